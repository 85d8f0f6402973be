"""data=shakespeare: windows of roles, from texts, a play or LEAF's files; wrong files are refused in a sentence."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fedlit.data import DataSource
from fedlit.data.shakespeare import ALPHABET, shakespeare
from fedlit.errors import InputError

TEXTS = {"KING": "Now is the winter, sir.", "FOOL": "No!", "QUEEN": "A horse; a horse"}


def write_texts(folder: Path, texts: Any = TEXTS) -> Path:
    (folder / "roles.json").write_text(json.dumps(texts))
    return folder / "roles.json"


def read(path: Path, **options: Any) -> DataSource:
    of_texts = {} if path.is_dir() else {"counts": None, "test_fraction": 0.4}
    return shakespeare(**{"path": path, "length": 4, **of_texts, **options})


def windows(source: DataSource, part: str) -> list[tuple[int, str, str]]:
    """The samples of a part as (site, characters, next character)."""
    samples = getattr(source, part)
    x, y = samples.batch(np.arange(len(samples)))
    sites = getattr(source, f"{part}_sites")
    texts = ["".join(ALPHABET[i] for i in row) for row in x.tolist()]
    return [(int(s), t, ALPHABET[i]) for s, t, i in zip(sites, texts, y.tolist(), strict=True)]


def test_windows_are_cut_from_each_roles_own_text_and_no_character_is_in_both_parts(tmp_path: Path) -> None:
    source = read(write_texts(tmp_path))
    # 23 characters: 9 (0.4 * 23 = 9.2) at the end are the test; 16 characters: 6 are
    king, queen = TEXTS["KING"], TEXTS["QUEEN"]
    expected = {"train": [(0, king[:14]), (1, queen[:10])], "test": [(0, king[14:]), (1, queen[10:])]}
    for part, texts in expected.items():
        by_hand = [(site, text[i : i + 4], text[i + 4]) for site, text in texts for i in range(len(text) - 4)]
        assert windows(source, part) == by_hand
    assert (source.classes, source.input_shape, len(source.label_names or [])) == (80, (4,), 80)


def test_the_stride_leaves_windows_out(tmp_path: Path) -> None:
    every, third = (windows(read(write_texts(tmp_path), stride=stride), "train") for stride in (1, 3))
    assert third == [w for site in (0, 1) for w in [e for e in every if e[0] == site][::3]]


def test_roles_that_are_too_short_are_left_out_and_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    read(write_texts(tmp_path))
    assert "1 role left out, too short for a training window" in caplog.text
    with pytest.raises(InputError, match=r"no role has a text .* longer than data\.length=50"):
        read(write_texts(tmp_path), length=50)
    with pytest.raises(InputError, match="no role has a text for training and one for the test"):
        read(write_texts(tmp_path), test_fraction=0.9)


def test_another_character_counts_as_the_last_of_the_alphabet(tmp_path: Path) -> None:
    source = read(write_texts(tmp_path, {"A": "caf\u00e9 $5 caf\u00e9 caf\u00e9 abc"}))
    assert windows(source, "train")[:2] == [(0, "caf}", " "), (0, "af} ", "}")]


def test_a_play_is_read_by_its_speeches(tmp_path: Path) -> None:
    play = tmp_path / "play.txt"
    play.write_text("KING:\nNow is\nwinter\n\nFOOL:\n\nQUEEN:\nA horse; a horse\n\nKING:\n\nKING:\nNo more\n")
    (tmp_path / "roles.json").write_text(json.dumps({"KING": "Now is\nwinter\n\nNo more", "QUEEN": "A horse; a horse"}))
    texts, speeches = read(tmp_path / "roles.json"), read(play)
    for part in ("train", "test"):
        assert windows(texts, part) == windows(speeches, part)
    play.write_text("KING:\nNow\n\nEnter two ghosts.\n")
    with pytest.raises(InputError, match="the speech that begins with 'Enter two ghosts.' names no role"):
        read(play)


def write_leaf(
    folder: Path, part: str, file: str, users: dict[str, tuple[list[str], list[str]]], more: int = 0
) -> None:
    (folder / part).mkdir(exist_ok=True, parents=True)
    content = {
        "users": list(users),
        "num_samples": [len(x) + more for x, _ in users.values()],
        "user_data": {user: {"x": x, "y": y} for user, (x, y) in users.items()},
    }
    (folder / part / file).write_text(json.dumps(content))


def test_leafs_files_are_read_as_they_are_divided(tmp_path: Path) -> None:
    write_leaf(tmp_path, "train", "a.json", {"KING": (["Now ", "ow i"], ["i", "s"])})
    write_leaf(tmp_path, "train", "b.json", {"QUEEN": (["A ho"], ["r"])})
    write_leaf(tmp_path, "test", "c.json", {"QUEEN": (["orse"], [";"]), "KING": (["sir."], ["\n"])})
    source = read(tmp_path)
    assert windows(source, "train") == [(0, "Now ", "i"), (0, "ow i", "s"), (1, "A ho", "r")]
    assert windows(source, "test") == [(0, "sir.", "\n"), (1, "orse", ";")]
    with pytest.raises(InputError, match="has 4 characters, and windows of data.length=80"):
        read(tmp_path, length=80)
    with pytest.raises(InputError, match=r"data.stride=2: LEAF's files .* hold windows, not texts; leave it out"):
        read(tmp_path, stride=2)
    with pytest.raises(InputError, match=r"data.test_fraction=0.4: LEAF's files .* preprocess.sh --tf 0.6\.$"):
        read(tmp_path, test_fraction=0.4)


def test_roles_that_only_leafs_test_files_have_are_left_out_with_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """As `preprocess.sh -t user` divides them."""
    write_leaf(tmp_path, "train", "a.json", {"KING": (["Now "], ["i"])})
    write_leaf(tmp_path, "test", "a.json", {"FOOL": (["No, "], ["n"])})
    with pytest.raises(InputError, match="no role of test/ is in train/; write the files again by preprocess.sh -t sa"):
        read(tmp_path)
    write_leaf(tmp_path, "test", "b.json", {"KING": (["ow i"], ["s"])})
    assert windows(read(tmp_path), "test") == [(0, "ow i", "s")]
    assert "1 role of test/ left out, without samples in train/" in caplog.text


def test_leafs_own_counts_are_checked(tmp_path: Path) -> None:
    write_leaf(tmp_path, "train", "a.json", {"KING": (["Now "], ["i"])}, more=1)
    write_leaf(tmp_path, "test", "a.json", {"KING": (["Now "], ["i"])})
    with pytest.raises(InputError, match="has 1 sample of the user 'KING', and 2 are expected"):
        read(tmp_path)
    write_leaf(tmp_path, "train", "b.json", {"KING": (["Now "], ["i"])})
    write_leaf(tmp_path, "train", "a.json", {"KING": (["Now "], ["i"])})
    with pytest.raises(InputError, match="the user 'KING' is in two files"):
        read(tmp_path)


@pytest.mark.parametrize(
    ("counts", "message"),
    [
        ([4, 42], "has 3 roles, and 4 are expected; get it again, or write data.counts=null"),
        ([3, 43], "has 42 characters, and 43 are expected"),
        ([3], "needs 2 numbers, roles and characters"),
    ],
)
def test_a_file_of_texts_with_other_counts_is_refused(counts: list[int], message: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=message):
        read(write_texts(tmp_path), counts=counts)
    assert len(read(write_texts(tmp_path), counts=[3, 42]).train) == 16


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"num_samples": []}, "has 0 users in num_samples, and 1 are expected"),
        ({"user_data": {}}, "has 0 users, and 1 are expected"),
        ({"user_data": {"QUEEN": {}}}, "has 0 samples of the user 'KING', and 1 are expected"),
        ({"user_data": {"KING": {"x": [[1, 2, 3, 4]], "y": [5]}}}, "a sample of the role 'KING' is no text"),
    ],
)
def test_other_forms_of_leafs_files_are_refused(change: dict[str, Any], message: str, tmp_path: Path) -> None:
    content = {"users": ["KING"], "num_samples": [1], "user_data": {"KING": {"x": ["Now "], "y": ["i"]}}}
    for part in ("train", "test"):
        (tmp_path / part).mkdir()
        (tmp_path / part / "a.json").write_text(json.dumps({**content, **change}))
    with pytest.raises(InputError, match=message):
        read(tmp_path)


def test_a_missing_path_and_an_empty_folder_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="There is no file or folder .*none.json"):
        read(tmp_path / "none.json")
    with pytest.raises(InputError, match="There is no JSON file in .*train; write them by LEAF's preprocess.sh"):
        read(tmp_path)


@pytest.mark.parametrize("content", ["{", '["a"]', '{"a": 1}'])
def test_a_file_that_holds_no_texts_is_refused(content: str, tmp_path: Path) -> None:
    (tmp_path / "roles.json").write_text(content)
    with pytest.raises(InputError, match=r"roles.json (cannot be read|is no mapping from roles to texts)"):
        read(tmp_path / "roles.json")
