"""The text of `--help`, made from the comments of conf/ in a few hundredths of a second, without Hydra or torch."""

from __future__ import annotations

import shutil
import textwrap
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

import yaml

from fedlit.errors import InputError
from fedlit.settings import folders
from fedlit.settings.closest import closest, listed
from fedlit.settings.comments import GLOBAL, LOADER, Entry, read_about, read_file
from fedlit.settings.folders import CONFIG_NAME, groups
from fedlit.settings.option_names import choosing
from fedlit.settings.protocols import PROTOCOL, Chosen, brought_choices, chosen_in, shipped_protocols

EXAMPLES = (
    ("python -m fedlit.run clients=10 partition=dirichlet", "a first run"),
    ("python -m fedlit.run partition=dirichlet partition.alpha=0.1 aggregator=fedprox", "another option, its keys"),
    ("python -m fedlit.run model._target_=mine.Net model.lr=0.2", "your LightningModule, from mine.py in this folder"),
    ("python -m fedlit.run --multirun seed=0,1,2 aggregator=fedavg,fedprox", "a sweep: six runs"),
    ("python -m fedlit.run protocol=secureboost", "columns of the same people at several parties"),
    ("python -m fedlit.run resume=outputs/2025-01-31/12-00-00 rounds=40", "a run goes on"),
)
FLAGS = (
    ("--help partition", "every key of the options of a group; --help dirichlet: of an option"),
    ("--cfg job", "show the configuration instead of running (--resolve: with all values filled in)"),
    ("--multirun, -m", "run each combination of the values that are given with commas"),
    ("--config-dir, -cd DIR", "a folder of your own options, DIR/model/mine.yaml for model=mine"),
    ("--info", "where the configuration comes from; --hydra-help is Hydra's as well"),
    ("--version", "the versions of fedlit, torch, lightning and Hydra"),
)
OF_USER_CLASSES = {
    "data": (
        ("data.seed=0", "seed of the generators of torch, numpy and Python while your class makes its data [int >= 0]"),
        (
            "data.target=<number or key>",
            "part of a sample that is the label, where that is not clear: samples of three parts or more, dicts with "
            "several labels; a class with an argument target has the key for itself",
        ),
        ("data.public=100", "training samples that all clients and the server see [int >= 0]"),
    ),
    "protocol": (
        (
            "protocol.baselines=true",
            "also train what each party learns alone, and what all columns in one place give [bool]",
        ),
    ),
}
"""Keys of a group that a class of the user's takes beyond its own arguments (`settings.classes.RUN_KEYS`)."""


def help_text(arguments: Sequence[str] = ()) -> str:
    """The help page of a command line; with names of groups, options or keys (`--help partition`) what they are.

    Options of the user's (`--config-dir`, `hydra.searchpath`) are listed with those of fedlit.
    """
    user_folders, names = _own_folders(arguments)
    folders_of_options = [*user_folders, folders.conf_folder()]
    known = ordered_groups(*folders_of_options)
    pages = [_asked(name, known, folders_of_options) for name in names]
    return "\n\n".join(pages) if pages else _page(folders_of_options, known)


def _own_folders(arguments: Sequence[str]) -> tuple[list[Path], list[str]]:
    """The user's folders of options, and the names that are asked for."""
    given: list[str] = []
    names: list[str] = []
    words = iter(arguments)
    for word in words:
        flag, equals, value = word.partition("=")
        if flag in ("--config-dir", "-cd"):
            given.append(value if equals else next(words, ""))
        elif flag in ("--config-name", "-cn", "--package", "-p", "--cfg", "-c", "--info", "-i") and not equals:
            next(words, "")
        elif flag == "hydra.searchpath":
            given += [str(folder).removeprefix("file://") for folder in yaml.safe_load(value) or []]
        elif not word.startswith("-"):
            names.append(word)
    for folder in given:
        if not Path(folder).expanduser().is_dir():
            raise InputError(f"--config-dir: there is no folder {folder}; give one that holds groups of options.")
    return [Path(folder).expanduser() for folder in given], names


def defaults(folder: Path) -> dict[str, Chosen]:
    """Group -> the option of a run without words (None: none; a list: several): those of config.yaml and, behind
    `protocol`, those that its option brings."""
    listed_defaults = yaml.load((folder / f"{CONFIG_NAME}.yaml").read_text(encoding="utf-8"), Loader=LOADER)["defaults"]
    chosen: dict[str, Chosen] = {}
    for item in listed_defaults:
        for group, option in item.items() if isinstance(item, dict) else ():
            chosen[group] = option
            chosen |= chosen_in(folder / PROTOCOL / f"{option}.yaml") if group == PROTOCOL else {}
    return chosen


def ordered_groups(*folders_of_options: Path) -> dict[str, list[str]]:
    """Group -> options, in the order of the shipped config.yaml (the last folder) with the groups of protocols behind
    `protocol`; groups that it does not name come last."""
    options: dict[str, list[str]] = {}
    for folder in reversed(folders_of_options):
        for group, names in groups(folder).items():
            options[group] = list(dict.fromkeys([*options.get(group, []), *names]))
    ordered: list[str] = []
    for name in defaults(folders_of_options[-1]):
        ordered.append(name)
        if name == PROTOCOL:
            ordered += [c for f in shipped_protocols(folders_of_options[-1]).values() for c in brought_choices(f)]
    names = [*(name for name in ordered if name in options), *options]
    return {name: options[name] for name in dict.fromkeys(names)}


def brought_words(chosen: Mapping[str, Chosen]) -> list[str]:
    """The choices of a protocol as words, `data=digits`; `reduction=null` for none."""
    return [
        f"{choice}=null" if option is None else choosing(choice, *([option] if isinstance(option, str) else option))
        for choice, option in chosen.items()
    ]


def chosen_by(folder: Path, group: str) -> dict[str, Chosen]:
    """Protocol -> the option of a group that it brings, of the shipped protocols with this group."""
    chosen = {name: chosen_in(folder / PROTOCOL / f"{name}.yaml") for name in shipped_protocols(folder)}
    return {name: choices[group] for name, choices in chosen.items() if group in choices}


def _asked(name: str, known: dict[str, list[str]], folders_of_options: Sequence[Path]) -> str:
    """The page of a group, an option, a place where options are mounted, or a key."""
    place, _, option = name.lstrip("+~").partition("=")
    if option.startswith("["):  # uplink=[topk,clip]
        names = [f"{place}={inner.strip()}" for inner in option.strip("[]").split(",") if inner.strip()] or [place]
        return "\n\n".join(_asked(inner, known, folders_of_options) for inner in names)
    group, _, package = place.partition("@")
    if group in known:
        chosen = [option] if option in known[group] else known[group]
        pages = [_option_page(_file(folders_of_options, group, o), group, o, package) for o in chosen]
        if group in OF_USER_CLASSES and not option:
            pages.append(f"{group}._target_=mine.MyClass\n" + _rows(OF_USER_CLASSES[group]))
        return "\n\n".join(pages)
    choosing = [(other, group) for other, options in known.items() if group in options]
    if choosing:
        return "\n\n".join(_option_page(_file(folders_of_options, g, o), g, o) for g, o in choosing)
    files = [("", folders_of_options[-1] / f"{CONFIG_NAME}.yaml")]
    for inner, options in known.items():
        paths = [_file(folders_of_options, inner, o) for o in options]
        files += [(f"{inner}." if (file := read_file(path)).preset else file.above(inner), path) for path in paths]
    mounts = _mounts(known, files)
    if group in mounts:
        mounted = f"{mounts[group]}={option}" if option else mounts[group]
        return _asked(mounted, known, folders_of_options)
    rows = {
        _entries([e], above) for above, file in files for e in read_file(file).entries if f"{above}{e.key}" == group
    }
    if rows:
        return "\n".join(sorted(rows))
    names = [*known, *(option for options in known.values() for option in options), *mounts]
    nearest = closest(group, names)
    advice = f"did you mean --help {nearest}?" if nearest else f"the groups are {listed(known)}."
    raise InputError(f"--help {name}: there is no group of options, option or key named {group}; {advice}")


def _mounts(known: Collection[str], files: Sequence[tuple[str, Path]]) -> dict[str, str]:
    """Name -> group and package, of groups that a defaults list mounts in another place than their own.

    `server_lr_schedule` is `lr_schedule@server_lr_schedule`; `server_optimizer` and `aggregator.server_optimizer` are
    `optimizer@aggregator.server_optimizer`.

    Args:
        known: the groups.
        files: (package and a dot, or nothing; file).
    """
    mounts = {}
    for above, file in files:
        comments = read_file(file)
        for mount in comments.defaults:
            group, _, package = mount.lstrip("/").partition("@")
            if package and group in known and not package.startswith(f"{GLOBAL}."):
                place = package if comments.preset else f"{above}{package}"
                mounts[package] = mounts[place] = f"{group}@{place}"
    return mounts


def _file(folders_of_options: Sequence[Path], group: str, option: str) -> Path:
    """The file of an option in the first folder that has it."""
    files = [folder / group / f"{option}.yaml" for folder in folders_of_options]
    return next(file for file in files if file.is_file())


def _page(folders_of_options: Sequence[Path], known: dict[str, list[str]]) -> str:
    shipped = folders_of_options[-1]
    default = defaults(shipped)
    keys = [entry for entry in read_file(shipped / f"{CONFIG_NAME}.yaml").entries if entry.default]
    blocks = [
        "fedlit: federated learning of any LightningModule, composed by Hydra.",
        "python -m fedlit.run [key=value ...] [group=option ...] [flags]     (installed also as: fedlit)",
        "Keys, with their defaults\n" + _entries(keys),
    ]
    protocols = shipped_protocols(shipped)
    for name, file in protocols.items():
        of_protocol = [entry for entry in file.entries if entry.default and file.package == GLOBAL]
        if of_protocol:
            which = ", the default" if name == default[PROTOCOL] else ""
            blocks.append(f"Keys of {choosing(PROTOCOL, name)}{which}\n" + _entries(of_protocol))
    blocks.append("Groups and their options (* is the default)")
    for group, options in known.items():
        chosen = [default[group]] if group in default else list(chosen_by(shipped, group).values())
        rows = [
            (
                f"{'*' if option in chosen else ' '} {option}",
                read_about(_file(folders_of_options, group, option)),
            )
            for option in options
        ]
        blocks.append(f"{group}={_note(group, default, shipped)}\n{_rows(rows)}")
    return "\n\n".join([*blocks, "Examples\n" + _rows(EXAMPLES, below=True), "Flags\n" + _rows(FLAGS)])


def _note(group: str, default: dict[str, Chosen], shipped: Path) -> str:
    """What stands behind `group=` on the page: how it is written, and which protocols have it."""
    if default.get(group) == []:
        return "[...]  a list, in this order"
    protocols = chosen_by(shipped, group)
    if group in default or not protocols:
        return ""
    return f"  with {listed(choosing(PROTOCOL, name) for name in protocols)}"


def _option_page(path: Path, group: str, option: str, package: str = "") -> str:
    """
    Args:
        package: where the option is mounted; empty for the place of its group.
    """
    file = read_file(path)
    entries = [entry for entry in file.entries if entry.default and not _is_hydras(entry)]
    keys = _entries(entries, f"{package}." if package and not file.preset else file.above(group))
    brought = chosen_in(path) if group == PROTOCOL else {}
    groups_of = (
        textwrap.fill(
            f"It brings {' '.join(brought_words(brought))}",
            _width() - 2,
            initial_indent="  ",
            subsequent_indent="  ",
        )
        if brought
        else ""
    )
    about = textwrap.fill(
        f"{file.about} {file.source}".strip(), _width() - 2, initial_indent="  ", subsequent_indent="  "
    )
    chosen = f"{group}@{package}={option}" if package else choosing(group, option)
    return "\n".join(filter(None, (chosen, about, keys, groups_of)))


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
