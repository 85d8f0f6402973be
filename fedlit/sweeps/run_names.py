"""Names of the runs of a sweep, which are those of their folders: what was varied."""

from __future__ import annotations

import hashlib
import os
import re
from collections import Counter
from collections.abc import Sequence
from typing import Any

from fedlit.settings.option_names import LISTS
from fedlit.settings.overrides import key_of, parse
from fedlit.written_values import as_written

_LONGEST = 120  # characters
_MOST_BYTES = 240  # file systems take 255
_DISLIKED = re.compile(r"[^\w=,.+-]+")  # by file systems, shells or TensorBoard


def run_names(jobs: Sequence[Sequence[str]], swept: Sequence[str]) -> list[str]:
    """A name for each job: `aggregator=fedavg,alpha=0.1,seed=1`.

    A key is shortened to its last part where that is unique. A name that is long, or that another job would have too,
    ends with eight digits of a hash of the full values.

    Args:
        jobs: the words of each job.
        swept: the keys that are varied, in the order in which they were written.

    >>> run_names([["seed=1", "partition.alpha=0.1"], ["seed=2", "partition.alpha=0.1"]], ["seed", "partition.alpha"])
    ['seed=1,alpha=0.1', 'seed=2,alpha=0.1']
    >>> run_names([["uplink=[]"], ["uplink=[topk,clip]"]], ["uplink"])
    ['uplink=none', 'uplink=topk+clip']
    """
    keys = [key.lstrip("+~") for key in swept]
    shown = _short_keys(keys)
    values = [_values(job) for job in jobs]
    texts = [[f"{shown[key]}={job[key]}" for key in keys if key in job] for job in values]
    names = [",".join(map(_plain, parts)) or "run" for parts in texts]
    times = Counter(name[:_LONGEST].casefold() for name in names)  # some file systems know no case
    return [
        _cut(name, ",".join(parts), is_shared=times[name[:_LONGEST].casefold()] > 1)
        for name, parts in zip(names, texts, strict=True)
    ]


def _values(job: Sequence[str]) -> dict[str, str]:
    return {key_of(override): _written(key_of(override), override.value()) for override in parse(job)}


def _written(key: str, value: Any) -> str:
    """A list of options without brackets: `topk+clip`, and `none` where it is empty."""
    return "+".join(map(str, value)) or "none" if key in LISTS and isinstance(value, list) else as_written(value)


def _short_keys(keys: Sequence[str]) -> dict[str, str]:
    """`partition.alpha` -> `alpha`, `optimizer@aggregator.server_optimizer` -> `server_optimizer`, if unique."""
    last = {key: re.split(r"[./@]", key)[-1] for key in keys}
    times = Counter(last.values())
    return {key: name if times[name] == 1 else key for key, name in last.items()}


def _plain(text: str) -> str:
    """Without characters that need quotes: `hidden=[64, 32]` -> `hidden=64,32`."""
    key, _, value = text.partition("=")
    cleaned = (_DISLIKED.sub("_", part).strip("_") for part in (key, value))
    return "=".join(cleaned)


def _cut(name: str, full: str, is_shared: bool) -> str:
    is_long = len(name) > _LONGEST or len(os.fsencode(name)) > _MOST_BYTES
    if not is_long and not is_shared:
        return name
    ending = f"-{hashlib.sha256(full.encode()).hexdigest()[:8]}"
    name = name[: _LONGEST - len(ending)]
    while len(os.fsencode(name)) > _MOST_BYTES - len(ending):
        name = name[:-1]
    return name + ending
