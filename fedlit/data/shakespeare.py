"""Shakespeare's plays: the next character, with each speaking role as a natural client."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from fedlit.data.counts import check_count
from fedlit.data.leaf_json import leaf_users
from fedlit.data.role_texts import role_texts
from fedlit.data.samples import TensorSamples
from fedlit.data.source import DataSource
from fedlit.errors import InputError
from fedlit.plurals import counted

_log = logging.getLogger(__name__)

ALPHABET = "\n !\"&'(),-.0123456789:;>?ABCDEFGHIJKLMNOPQRSTUVWXYZ[]abcdefghijklmnopqrstuvwxyz}"  # LEAF's 80 characters
_TEST_FRACTION = 0.2
_TEXTS = ("shakespeare_by_role.json", "tinyshakespeare.txt")  # files of texts, the first that exists
_PLAY = "https://raw.githubusercontent.com/karpathy/char-rnn/master/data/tinyshakespeare/input.txt"

Windows = tuple[np.ndarray, np.ndarray]  # (n, length) and (n,) uint8: characters, and the one that follows


def shakespeare(
    root: str | Path = "data",
    path: str | Path | None = None,
    counts: Sequence[int] | None = (299, 1_027_668),
    length: int = 80,
    stride: int = 1,
    test_fraction: float = _TEST_FRACTION,
) -> DataSource:
    """Next-character prediction (McMahan et al. 2017, arXiv:1602.05629; windows as in LEAF, arXiv:1812.01097).

    A sample is `length` characters and the class is the character after them, both among LEAF's 80 characters; any
    other character counts as the last of these, `}`. The role is the site. The last part of a role's text is its test
    set, and no window has characters of both parts.

    Args:
        root: folder with `shakespeare_by_role.json` (a JSON object of one text a role), `tinyshakespeare.txt`
            (karpathy's file) or `shakespeare/train` and `shakespeare/test` (LEAF's JSON files), sought in this order.
        path: such a file, or the folder of `train` and `test`, in place of these.
        counts: roles and characters that a file of texts has to hold; None: any. LEAF's files name their counts.
        length: characters of a window.
        stride: characters from one window of a text to the next.
        test_fraction: share of each role's text that is its test set. LEAF's files are divided already.

    Raises:
        InputError: a file is missing, is none of these or has other counts, or is too short for one window.
    """
    source = Path(path).expanduser() if path is not None else _sought(Path(root).expanduser())
    if not source.exists():
        raise InputError(f"There is no file or folder {source.absolute()}; leave data.path out, or correct it.")
    if source.is_dir():
        if stride != 1:
            raise InputError(f"data.stride={stride}: LEAF's files in {source} hold windows, not texts; leave it out.")
        if test_fraction != _TEST_FRACTION:
            raise InputError(
                f"data.test_fraction={test_fraction}: LEAF's files in {source} are divided already; leave it out, or "
                f"write them again by preprocess.sh --tf {1 - test_fraction:.4g}."
            )
        parts = {part: leaf_users(source / part) for part in ("train", "test")}
        train, test = (
            {role: _given_windows(source, role, *samples, length) for role, samples in parts[part].items()}
            for part in ("train", "test")
        )
    else:
        texts = role_texts(source)
        if counts is not None:
            _check_counts(source, texts, counts)
        halves = {role: _cut(_codes(words), test_fraction) for role, words in texts.items()}
        train, test = ({role: _windows(half[i], length, stride) for role, half in halves.items()} for i in (0, 1))
    return _source(source, train, test, length)


def _sought(root: Path) -> Path:
    """The first of the files under `root`."""
    for candidate in (*(root / name for name in _TEXTS), root / "shakespeare"):
        if candidate.exists():
            return candidate
    target = root / _TEXTS[1]
    raise InputError(
        f"There is no {', no '.join(_TEXTS)} and no folder shakespeare in {root.absolute()}; get a file by: curl "
        f"--create-dirs -o '{target}' '{_PLAY}' (or set data.root, or data.path to a JSON object of one text a role)."
    )


def _check_counts(file: Path, texts: Mapping[str, str], counts: Sequence[int]) -> None:
    if len(counts) != 2:
        raise InputError(f"data.counts={list(counts)} needs 2 numbers, roles and characters; write data.counts=null.")
    roles, characters = counts
    remedy = "get it again, or write data.counts=null for a file of your own"
    check_count(file, len(texts), roles, "role", remedy)
    check_count(file, sum(map(len, texts.values())), characters, "character", remedy)


def _codes(text: str) -> np.ndarray:
    """The characters of a text (n,) as numbers of the alphabet, uint8."""
    points = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32)
    table = np.full(128, len(ALPHABET) - 1, np.uint8)
    table[[ord(character) for character in ALPHABET]] = np.arange(len(ALPHABET))
    return table[np.where(points < 128, points, ord(ALPHABET[-1]))]


def _cut(codes: np.ndarray, fraction: float) -> tuple[np.ndarray, np.ndarray]:
    end = len(codes) - round(len(codes) * fraction)
    return codes[:end], codes[end:]


def _windows(codes: np.ndarray, length: int, stride: int) -> Windows:
    """The windows of a text; none if it is not longer than a window."""
    if len(codes) <= length:
        return np.empty((0, length), np.uint8), np.empty(0, np.uint8)
    views = np.lib.stride_tricks.sliding_window_view(codes, length + 1)[::stride]
    return views[:, :-1], views[:, -1]


def _given_windows(folder: Path, role: str, x: Sequence[str], y: Sequence[str], length: int) -> Windows:
    """The windows of LEAF's lists of texts."""
    if not all(isinstance(text, str) for text in (*x, *y)):
        raise InputError(f"{folder}: a sample of the role {role!r} is no text; write the files again, without codes.")
    lengths = {len(window) for window in x} - {length} or {len(following) for following in y} - {1}
    if lengths:
        raise InputError(
            f"{folder}: a sample of the role {role!r} has {counted(min(lengths), 'character')}, and windows of "
            f"data.length={length} with 1 character after each are expected."
        )
    return _codes("".join(x)).reshape(-1, length), _codes("".join(y))


def _source(file: Path, train: Mapping[str, Windows], test: Mapping[str, Windows], length: int) -> DataSource:
    """The roles that have training windows, in the order of the file, as sites."""
    roles, tested = ([role for role, (_, following) in part.items() if len(following)] for part in (train, test))
    unknown = [role for role in tested if role not in train]  # of LEAF's files; a file of texts has all roles in both
    if unknown and len(unknown) == len(tested):
        raise InputError(
            f"{file}: no role of test/ is in train/; write the files again by preprocess.sh -t sample, which divides "
            "the samples of each role."
        )
    if not set(roles) & set(tested):
        raise InputError(
            f"{file}: no role has a text for training and one for the test that are longer than data.length={length} "
            "characters; lower it."
        )
    if unknown:
        _log.warning("%s: %s of test/ left out, without samples in train/.", file, counted(len(unknown), "role"))
    if short := len(train) - len(roles):
        _log.warning("%s: %s left out, too short for a training window.", file, counted(short, "role"))
    known, train_sites = _samples(train, roles, length)
    unseen, test_sites = _samples(test, roles, length)
    names = [character if character.strip() else repr(character) for character in ALPHABET]
    shape = (length,)
    return DataSource("shakespeare", known, unseen, len(ALPHABET), shape, train_sites, test_sites, label_names=names)


def _samples(part: Mapping[str, Windows], roles: Sequence[str], length: int) -> tuple[TensorSamples, np.ndarray]:
    """The windows of all roles, and the number of the role of each."""
    empty = np.empty((0, length), np.uint8), np.empty(0, np.uint8)
    windows = [part.get(role, empty) for role in roles]
    x, y = (np.concatenate([pair[i] for pair in windows]) for i in (0, 1))
    sites = np.repeat(np.arange(len(roles)), [len(following) for _, following in windows])
    return TensorSamples(torch.from_numpy(x), torch.from_numpy(y.astype(np.int64)), prepare=_tokens), sites


def _tokens(x: Tensor) -> Tensor:
    return x.long()
