"""The comments of conf/'s YAML files: the only table of the meaning and the range of each key.

A key's comment stands on its line, `alpha: 0.5  # concentration; small is skewed [float > 0]`, and may go on below at
the same column. A file begins with a comment of one sentence on what the option is, then its source.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import yaml

from fedlit.errors import InputError
from fedlit.settings.allowed import Allowed, allowed

PUBLISHED = "published"
"""The key under which the YAML of an experiment has published values (`fedlit.reproduce`): no setting of a run."""

GLOBAL = "_global_"
"""The package of the whole configuration, as Hydra calls it."""

LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # ten times as fast, if PyYAML was built with it
_COMMENT = re.compile(r"(?P<meaning>.*?)\s*(?:\[(?P<allowed>[^\[\]]*)\])?", re.DOTALL)
_SENTENCE = re.compile(r".*?[.!](?=\s+[A-Z]|\s*$)", re.DOTALL)


@dataclass(frozen=True)
class Entry:
    """A key of an option file."""

    key: str  # dotted, as within the file
    default: str  # as it is written; empty for a key that only holds others
    meaning: str
    allowed: Allowed | None
    line: int


@dataclass(frozen=True)
class OptionFile:
    """The comments of one YAML file."""

    about: str  # one sentence
    source: str  # the rest of the head: paper, notes
    preset: bool  # sets keys of others all over the configuration (`# @package _global_`)
    entries: tuple[Entry, ...]
    defaults: tuple[str, ...] = ()  # the groups of its defaults list, "/optimizer@server_optimizer", "override /data"
    package: str = (
        ""  # where its keys stand, if that is not its group: `# @package logger.csv`; of a protocol also GLOBAL
    )

    def above(self, group: str) -> str:
        """What stands before the keys of an option of this group: `model.`; nothing at the top level."""
        if self.preset or self.package == GLOBAL:
            return ""
        return f"{self.package or group.replace('/', '.')}."


def keys_and_mounts(file: OptionFile, group: str) -> list[str]:
    """The keys of an option as they stand under its group, and where its defaults list mounts options of others."""
    if file.package == GLOBAL:
        return []  # they stand under no group
    above = f"{file.package}.".removeprefix(f"{group}.") if file.package else ""
    keys = [f"{above}{entry.key}" for entry in file.entries]
    mounts = [name.partition("@")[2] for name in file.defaults if "@" in name]
    return [*keys, *(mount for mount in mounts if not mount.startswith(f"{GLOBAL}."))]


@cache
def read_file(path: Path) -> OptionFile:
    """The comments of a YAML file; InputError for one that is no YAML or has a bracket outside the grammar."""
    try:
        return read(path.read_text(encoding="utf-8"), of_protocol=path.parent.name == "protocol")
    except (ValueError, yaml.YAMLError) as error:
        raise InputError(f"{path}: {' '.join(str(error).split())}; mend the file.") from error


def read(text: str, of_protocol: bool = False) -> OptionFile:
    """The comments of a YAML text; ValueError for a bracket outside the grammar of `fedlit.settings.allowed`.

    `of_protocol`: keys at the top level are new ones (of the group protocol), and not those of others.
    """
    lines = text.splitlines()
    about, source, package = _header(lines)
    is_global = package == GLOBAL
    preset = is_global and not of_protocol
    package = package if package[:1] != "_" or (is_global and of_protocol) else ""
    root = yaml.compose(text, Loader=LOADER)
    if not isinstance(root, yaml.MappingNode):
        return OptionFile(about, source, preset, (), package=package)
    entries = [entry for entry in _entries(root, "", lines) if not (preset and entry.key == PUBLISHED)]
    return OptionFile(about, source, preset, tuple(entries), tuple(_defaults(root)), package)


def read_about(path: Path) -> str:
    """The sentence at the head of a file, without reading the rest."""
    with path.open(encoding="utf-8") as file:
        head = []
        for line in file:
            if line.strip() and not line.startswith("#"):
                break
            head.append(line)
    return _header(head)[0]


def _header(lines: list[str]) -> tuple[str, str, str]:
    """The first sentence of a file, the rest of its head, and the package that it names."""
    head: list[str] = []
    package = ""
    for line in lines:
        if line.startswith("# @package"):
            package = line.removeprefix("# @package").strip()
        elif line.startswith("#"):
            head.append(line.lstrip("#").strip())
        elif line.strip() or head:
            break
    text = " ".join(head).strip()
    first = _SENTENCE.match(text)
    about = first.group() if first else text
    return about, text[len(about) :].strip(), package


def _defaults(root: yaml.MappingNode) -> Iterator[str]:
    for key, value in root.value:
        if key.value == "defaults" and isinstance(value, yaml.SequenceNode):
            yield from (item.value[0][0].value for item in value.value if isinstance(item, yaml.MappingNode))


def _entries(node: yaml.MappingNode, above: str, lines: list[str]) -> Iterator[Entry]:
    for key, value in node.value:
        if not above and key.value in ("defaults", "hydra"):
            continue  # keys of Hydra
        name = f"{above}{key.value}"
        block = isinstance(value, yaml.CollectionNode) and not value.flow_style
        comment = _comment_after(key.end_mark if block else value.end_mark, lines)
        match = _COMMENT.fullmatch(comment)
        assert match is not None  # the pattern takes anything
        range_ = allowed(match["allowed"]) if match["allowed"] is not None else None
        nested = isinstance(value, yaml.MappingNode) and bool(value.value) and (block or range_ is None)
        default = "" if block else _written(value, lines)
        if comment or not nested:
            yield Entry(name, default, match["meaning"].strip(), range_, key.start_mark.line + 1)
        if nested:
            yield from _entries(value, f"{name}.", lines)


def _comment_after(mark: yaml.Mark, lines: list[str]) -> str:
    rest = lines[mark.line][mark.column :] if mark.line < len(lines) else ""
    start = mark.column + len(rest) - len(rest.lstrip(": "))
    if not lines or mark.line >= len(lines) or not lines[mark.line][start:].startswith("#"):
        return ""
    comment = [lines[mark.line][start:]]
    for line in lines[mark.line + 1 :]:
        if line.strip().startswith("#") and len(line) - len(line.lstrip()) == start:
            comment.append(line)
        else:
            break
    return " ".join(line.strip().lstrip("#").strip() for line in comment)


def _written(value: yaml.Node, lines: list[str]) -> str:
    start, end = value.start_mark, value.end_mark
    if start.line == end.line:
        return lines[start.line][start.column : end.column] if start.line < len(lines) else ""
    return " ".join(
        [lines[start.line][start.column :], *lines[start.line + 1 : end.line], lines[end.line][: end.column]]
    )
