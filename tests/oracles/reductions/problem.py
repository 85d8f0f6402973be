"""What an oracle of a reduction may know of a round.

An oracle is a module `tests/oracles/reductions/<option>.py` for an option of conf/reduction/. It has `reduced(round,
**options) -> (P,)`, written from the paper in numpy, and `CASES`, the options to try. No file of this folder imports
fedlit. A wrapper's `inner` is the name of another oracle, or a dict {"rule": name, ...its options}.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np


@dataclass
class Sent:
    """The messages of a round.

    Attributes:
        x: (n, P), in the order of the clients' numbers.
        clients: n numbers, ascending.
        examples: (n,) training samples.
        earlier: the rounds before.
        received: (P,), the model from which the clients began.
        server: (P,), the update that the server trained itself.
        generator: the keyed generator of the round: purpose -> numpy's Generator.
    """

    x: np.ndarray
    clients: list[int]
    examples: np.ndarray
    earlier: list[Sent] = field(default_factory=list)
    received: np.ndarray | None = None
    server: np.ndarray | None = None
    generator: Callable[..., np.random.Generator] | None = None


def by_inner(sent: Sent, x: np.ndarray, inner: dict[str, Any]) -> np.ndarray:
    """The result of an inner rule on mixed messages, which count the same."""
    options = dict(inner)
    module = importlib.import_module(f"tests.oracles.reductions.{options.pop('rule')}")
    result: np.ndarray = module.reduced(
        replace(sent, x=x, clients=list(range(len(x))), examples=np.ones(len(x))), **options
    )
    return result
