"""The contract of an alignment: the parties agree on people and their order before a protocol begins."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Generator, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from fedlit.errors import InputError
from fedlit.vertical.party import Recv, Send
from fedlit.vertical.party_data import PartyData

Aligning = Generator[Send | Recv, Any, PartyData]


class Alignment(ABC):
    """A first exchange of the parties with columns. A subclass is a frozen dataclass.

    Class attributes:
        name: the option of `alignment=`.
        clear: the parts that travel in the clear, as "message.part", with the reason.
    """

    name: ClassVar[str]
    clear: ClassVar[Mapping[str, str]]

    @abstractmethod
    def align(self, data: PartyData, others: Sequence[str]) -> Aligning:
        """The steps of one party.

        Args:
            data: all its people.
            others: names of the other parties with columns.

        Returns:
            the rows of the people that all parties have, in the order that all agree on.

        Raises:
            InputError: the people do not fit together.
        """

    def order(self, ids: np.ndarray) -> np.ndarray:
        """Positions of these people in the order that `align` gives to people in common, (N,). The baselines need it:
        sums of floats depend on the order. By default people stay as they are."""
        return np.arange(len(ids))

    def check(self) -> None:  # noqa: B027  (most need no package)
        """Refuse missing packages, before any work."""


def check_common(train: int, test: int, parties: Sequence[str]) -> None:
    """
    Args:
        train, test: numbers of people in common.

    Raises:
        InputError: one of them is 0.
    """
    for count, kind in ((train, "training"), (test, "test")):
        if not count:
            raise InputError(
                f"{', '.join(parties[:-1])} and {parties[-1]} have no {kind} people in common; check that their ids "
                "are written the same way."
            )
