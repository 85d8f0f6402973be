"""The robust rules that need nothing but the messages, against f malicious clients of eleven."""

from __future__ import annotations

from collections.abc import Callable

from fedlit.messages.reductions import (
    Bucketing,
    Bulyan,
    CenteredClipping,
    Dnc,
    FoolsGold,
    GeometricMedian,
    Krum,
    Median,
    MultiKrum,
    Nnm,
    NormBound,
    Reduction,
    TrimmedMean,
)
from tests.messages.reductions.rounds import CLIENTS, LAYOUT

F = 2

MAKERS: dict[str, Callable[[], Reduction]] = {
    "median": Median,
    "trimmed mean": lambda: TrimmedMean(F),
    "krum": lambda: Krum(F),
    "multi-krum": lambda: MultiKrum(F),
    "bulyan": lambda: Bulyan(F),
    "geometric median": GeometricMedian,
    "centred clipping": lambda: CenteredClipping(1.0, 3),
    "norm bound": NormBound,
    "foolsgold": FoolsGold,
    "dnc": lambda: Dnc(F),
    "median of buckets": lambda: Bucketing(2, Median()),
    "krum after mixing": lambda: Nnm(F, Krum(F)),
    "mean after mixing": lambda: Nnm(F),
}
TRANSLATED = ("median", "trimmed mean", "krum", "multi-krum", "bulyan", "geometric median", "dnc", "median of buckets",
              "krum after mixing", "mean after mixing")  # fmt: skip
"""Rules that follow when the same vector is added to all messages; the others measure from 0."""
RESISTS = [name for name in TRANSLATED if name not in ("mean after mixing", "geometric median")]
"""Rules whose result, with one number a message, is within the range of the honest clients."""


def made(name: str) -> Reduction:
    rule = MAKERS[name]()
    rule.setup(LAYOUT, CLIENTS)
    return rule
