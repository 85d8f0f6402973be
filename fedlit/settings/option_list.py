"""The list of all options as a page of the docs: `python -m fedlit.settings.option_list > docs/options.md`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from fedlit.settings import folders
from fedlit.settings.comments import Entry, OptionFile, read_file
from fedlit.settings.folders import CONFIG_NAME
from fedlit.settings.help import brought_words, chosen_by, defaults, ordered_groups
from fedlit.settings.option_names import STAGES, choosing
from fedlit.settings.protocols import PROTOCOL, Chosen, chosen_in


def option_list(folder: Path) -> str:
    """Every option of every group and all their keys, as markdown."""
    top = read_file(folder / f"{CONFIG_NAME}.yaml")
    default = defaults(folder)
    blocks = [
        "# Options",
        "Made from the comments in `conf/` by `python -m fedlit.settings.option_list > docs/options.md`.",
        "## Top level",
        _table(top.entries, ""),
    ]
    for group, options in ordered_groups(folder).items():
        blocks += [f"## {group}", _chosen(group, default, folder)]
        for option in options:
            file = read_file(folder / group / f"{option}.yaml")
            blocks += [f"### `{choosing(group, option)}`", *_option(file, group)]
            if group == PROTOCOL:
                words = brought_words(chosen_in(folder / group / f"{option}.yaml"))
                blocks.append(f"It brings {', '.join(f'`{word}`' for word in words)}.")
    return "\n\n".join(blocks) + "\n"


def _chosen(group: str, default: Mapping[str, Chosen], folder: Path) -> str:
    """The sentence on the option of a group that is chosen without words, and on the protocols that have the group."""
    by_protocol = chosen_by(folder, group)
    names = [f"`{choosing(PROTOCOL, name)}`" for name in by_protocol]
    options = [*by_protocol.values()] or [default.get(group)]
    if group in STAGES:
        chosen = f"A list of options, in the order in which they are passed; the default is `{group}=[]`, no stage."
    elif any(option != options[0] for option in options):
        pairs = (f"`{option}` with {name}" for option, name in zip(options, names, strict=True))
        return f"The default is {', '.join(pairs)}."
    else:
        chosen = f"The default is `{options[0]}`." if options[0] else "Nothing is chosen by default."
    return f"{chosen} A group of {', '.join(names)} alone." if names else chosen


def _option(file: OptionFile, group: str) -> list[str]:
    about = f"{file.about} {file.source}".strip()
    table = _table(file.entries, file.above(group))
    return [block for block in (about, table) if block]


def _table(entries: tuple[Entry, ...], above: str) -> str:
    rows = [_row(entry, above) for entry in entries if entry.default]
    return "\n".join(["| key | default | meaning | allowed |", "|---|---|---|---|", *rows]) if rows else ""


def _row(entry: Entry, above: str) -> str:
    allowed = _cell(entry.allowed.text) if entry.allowed else ""
    return f"| `{above}{entry.key}` | `{_cell(entry.default)}` | {_cell(entry.meaning)} | {allowed} |"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


if __name__ == "__main__":
    print(option_list(folders.conf_folder()), end="")
