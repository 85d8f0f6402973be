"""How options are chosen: groups of one option, `partition=iid`, and of a list of options, `uplink=[topk,clip]`."""

from __future__ import annotations

from collections.abc import Sequence

STAGES = ("uplink", "downlink")  # the order of the list is that of the stages
LISTS = ("logger", *STAGES)
OPTIONAL = ("reduction",)  # a group from which no option is chosen by default; null is no option

OTHER_SWEEP = "as a sweep of its own; python -m fedlit.report <folder> <folder> makes one table of both."
"""The advice for a key that some runs of a sweep lack, behind the words of the others."""


def choosing(group: str, *options: str) -> str:
    """The override that chooses options: `partition=iid`, `uplink=[topk,clip]`."""
    return f"{group}={as_list(group, options)}"


def as_list(group: str, options: Sequence[str]) -> str:
    """The options of one choice, as they stand after the `=`.

    >>> as_list("uplink", ["topk"]), as_list("uplink", []), as_list("logger", ["csv"]), as_list("logger", [])
    ('[topk]', '[]', 'csv', 'none')
    """
    if group not in STAGES and len(options) < 2:
        return options[0] if options else "none"
    return f"[{','.join(options)}]"
