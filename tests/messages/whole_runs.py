"""Small runs of every option of what travels, from the command line's words."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from fedlit.messages.reductions.hidden_sum import HiddenSum
from fedlit.settings.classes import locate
from tests import small_runs
from tests.small_runs import OPTIONS, composed

SETTING = ["data=digits", "clients=9", "participation=0.9", "local_updates=2", "batch_size=8", "server_samples=20"]
SETTING += ["threads=1", "device=cpu", "progress=none", "logger=none", "checkpoint.every=0", "checkpoint.keep=9"]
SETTING += ["partition=dirichlet", "evaluation.clients=0"]

_CLASSES = {name: composed(f"reduction={name}").config.reduction._target_ for name in OPTIONS["reduction"]}
HIDDEN = [name for name, target in _CLASSES.items() if issubclass(locate(target, "reduction"), HiddenSum)]
"""Sums that the server cannot read."""

WAYS = {
    **{f"uplink {name}": [f"uplink=[{name}]"] for name in OPTIONS["uplink"]},
    "uplink topk clip": ["uplink=[topk,clip]", "uplink.clip.norm=0.1"],
    "uplink adaptive clip": ["uplink=[clip]", "uplink.clip.quantile=0.5"],
    **{f"downlink {name}": [f"downlink=[{name}]"] for name in OPTIONS["downlink"]},
    **{f"reduction {name}": [f"reduction={name}"] for name in OPTIONS["reduction"]},
    "reduction secure": ["reduction=secure", "reduction.bits=64"],
    "reduction paillier": ["reduction=paillier", "model=logistic", "clients=3"],  # milliseconds for 31 numbers
    "bucketing krum": ["reduction=bucketing", "reduction@reduction.inner=krum", "reduction.inner.f=0"],
    **{f"attack {name}": [f"attack={name}"] for name in OPTIONS["attack"] if name != "none"},
}
"""What is tried -> its words."""


def command(*words: str) -> int:
    return small_runs.command(*SETTING, *words)


def final(folder: str, round: int) -> dict[str, Any]:
    return small_runs.saved(Path(folder), round)


def agree(first: str, second: str, rounds: int, tolerance: float) -> None:
    """The metrics and the states of two runs agree."""
    of_first, of_second = (small_runs.numbers(Path(folder)) for folder in (first, second))
    assert [row.keys() for row in of_first] == [row.keys() for row in of_second]
    for row, other in zip(of_first, of_second, strict=True):
        for name, value in row.items():
            _same(value, other[name], tolerance, name)
    parts = "server", "clients", "messages"
    states = [small_runs.tensors({p: final(f, rounds)[p] for p in parts}) for f in (first, second)]
    assert states[0].keys() == states[1].keys()
    for name, tensor in states[0].items():
        _same(tensor, states[1][name], tolerance, name)


def _same(value: Any, other: Any, tolerance: float, name: str) -> None:
    if value is None or other is None:
        assert value is other, name
        return
    torch.testing.assert_close(
        torch.as_tensor(value), torch.as_tensor(other), rtol=tolerance, atol=tolerance, equal_nan=True, msg=name
    )
