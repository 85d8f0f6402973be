"""The list of all options as a page of the docs: `python -m fedlit.settings.option_list > docs/options.md`."""

from __future__ import annotations

from pathlib import Path

from fedlit.settings import folders
from fedlit.settings.comments import Entry, OptionFile, read_file
from fedlit.settings.folders import CONFIG_NAME
from fedlit.settings.help import defaults, ordered_groups
from fedlit.settings.option_names import STAGES, choosing


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
        chosen = f"The default is `{default[group]}`." if default.get(group) else "Nothing is chosen by default."
        if group in STAGES:
            chosen = f"A list of options, in the order in which they are passed; the default is `{group}=[]`, no stage."
        blocks += [f"## {group}", chosen]
        for option in options:
            file = read_file(folder / group / f"{option}.yaml")
            blocks += [f"### `{choosing(group, option)}`", *_option(file, group)]
    return "\n\n".join(blocks) + "\n"


def _option(file: OptionFile, group: str) -> list[str]:
    about = f"{file.about} {file.source}".strip()
    table = _table(file.entries, "" if file.preset else f"{file.package or group}.")
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
