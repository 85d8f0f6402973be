"""The text of `--help`, made from the comments of conf/ in a few hundredths of a second, without Hydra or torch."""

from __future__ import annotations

import shutil
import textwrap
from collections.abc import Sequence
from pathlib import Path

import yaml

from fedlit.errors import InputError
from fedlit.settings import folders
from fedlit.settings.closest import closest, listed
from fedlit.settings.comments import LOADER, Entry, read_about, read_file
from fedlit.settings.folders import CONFIG_NAME, groups

EXAMPLES = (
    ("python -m fedlit.run clients=10 partition=dirichlet", "a first run"),
    ("python -m fedlit.run partition=dirichlet partition.alpha=0.1 aggregator=fedprox", "another option, its keys"),
    ("python -m fedlit.run model._target_=mine.Net model.lr=0.2", "your LightningModule, from mine.py in this folder"),
    ("python -m fedlit.run --multirun seed=0,1,2 aggregator=fedavg,fedprox", "a sweep: six runs"),
    ("python -m fedlit.run resume=outputs/2025-01-31/12-00-00 rounds=40", "a run goes on"),
)
FLAGS = (
    ("--help partition", "every key of the options of a group"),
    ("--cfg job", "show the configuration instead of running (--resolve: with all values filled in)"),
    ("--multirun, -m", "run each combination of the values that are given with commas"),
    ("--config-dir, -cd DIR", "a folder of your own options, DIR/model/mine.yaml for model=mine"),
    ("--info", "where the configuration comes from; --hydra-help and --version are Hydra's as well"),
)
OF_USER_CLASSES = {
    "data": (
        ("data.seed=0", "seed of the generators of torch, numpy and Python while your class makes its data [int >= 0]"),
        (
            "data.target=<number or key>",
            "part of a sample that is the label, where that is not clear: samples of three parts or more, dicts with "
            "several labels; a class with an argument target has the key for itself",
        ),
    )
}
"""Keys of a group that a class of the user's takes beyond its own arguments (`settings.classes.RUN_KEYS`)."""


def help_text(names: Sequence[str] = ()) -> str:
    """The help page; with names of groups (`--help partition`), every key of their options."""
    folder = folders.conf_folder()
    known = ordered_groups(folder)
    asked = [name for name in names if "=" not in name and not Path(name).is_dir()]
    for name in asked:
        if name not in known:
            nearest = closest(name, known)
            advice = f"did you mean --help {nearest}?" if nearest else f"the groups are {listed(known)}."
            raise InputError(f"--help {name}: there is no group of options named {name}; {advice}")
    return "\n\n".join(_group_page(folder, name, known[name]) for name in asked) if asked else _page(folder, known)


def defaults(folder: Path) -> dict[str, str | None]:
    """Group -> the option that config.yaml chooses (None: none), in the order of config.yaml."""
    listed_defaults = yaml.load((folder / f"{CONFIG_NAME}.yaml").read_text(encoding="utf-8"), Loader=LOADER)["defaults"]
    return {group: option for item in listed_defaults if isinstance(item, dict) for group, option in item.items()}


def ordered_groups(folder: Path) -> dict[str, list[str]]:
    """Group -> options, in the order of config.yaml; groups it does not name come last."""
    options = groups(folder)
    names = [*(name for name in defaults(folder) if name in options), *options]
    return {name: options[name] for name in dict.fromkeys(names)}


def _page(folder: Path, known: dict[str, list[str]]) -> str:
    default = defaults(folder)
    keys = [entry for entry in read_file(folder / f"{CONFIG_NAME}.yaml").entries if entry.default]
    blocks = [
        "fedlit: federated learning of any LightningModule, composed by Hydra.",
        "python -m fedlit.run [key=value ...] [group=option ...] [flags]     (installed also as: fedlit)",
        "Keys, with their defaults\n" + _entries(keys),
        "Groups and their options (* is the default)",
    ]
    for group, options in known.items():
        rows = [
            (f"{'*' if option == default.get(group) else ' '} {option}", read_about(folder / group / f"{option}.yaml"))
            for option in options
        ]
        blocks.append(f"{group}=\n{_rows(rows)}")
    return "\n\n".join([*blocks, "Examples\n" + _rows(EXAMPLES, below=True), "Flags\n" + _rows(FLAGS)])


def _group_page(folder: Path, group: str, options: Sequence[str]) -> str:
    blocks = []
    for option in options:
        file = read_file(folder / group / f"{option}.yaml")
        entries = [entry for entry in file.entries if entry.default and not _is_hydras(entry)]
        keys = _entries(entries, f"{group}." if not file.preset else "")
        about = textwrap.fill(
            f"{file.about} {file.source}".strip(), _width() - 2, initial_indent="  ", subsequent_indent="  "
        )
        blocks.append("\n".join(filter(None, (f"{group}={option}", about, keys))))
    if group in OF_USER_CLASSES:
        blocks.append(f"{group}._target_=mine.MyClass\n" + _rows(OF_USER_CLASSES[group]))
    return "\n\n".join(blocks)


def _is_hydras(entry: Entry) -> bool:
    return entry.key.rpartition(".")[2] in ("_target_", "_partial_", "_convert_", "_recursive_")


def _entries(entries: Sequence[Entry], above: str = "") -> str:
    return _rows([(f"{above}{e.key}={e.default}", _meaning(e)) for e in entries])


def _meaning(entry: Entry) -> str:
    return f"{entry.meaning} [{entry.allowed.text}]" if entry.allowed else entry.meaning


def _rows(rows: Sequence[tuple[str, str]], below: bool = False) -> str:
    """Two columns; `below`: the second under the first, for long ones."""
    wide = 6 if below else min(34, max((len(left) for left, _ in rows), default=0) + 4)
    lines = []
    for left, right in rows:
        indent = " " * wide
        wrapped = textwrap.wrap(right, _width() - wide) or [""]
        if len(left) + 3 > wide:
            lines.append(f"  {left}")
        else:
            lines.append(f"  {left:<{wide - 2}}{wrapped.pop(0)}".rstrip())
        lines += [indent + line for line in wrapped]
    return "\n".join(lines)


def _width() -> int:
    return max(60, min(120, shutil.get_terminal_size((110, 24)).columns))
