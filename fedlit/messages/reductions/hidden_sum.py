"""What all reductions share that give the mean of messages which the server cannot read."""

from __future__ import annotations

import logging
import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor

from fedlit.errors import InputError
from fedlit.messages.plan import MessagePlan
from fedlit.messages.reductions.base import Reduced
from fedlit.messages.reductions.protocol import Asked, Kept, Protocol, ProtocolClient
from fedlit.messages.reductions.rule import check_count, check_option
from fedlit.messages.secure.weighted_sums import WeightedSums
from fedlit.messages.wire import SHAPE, Wire, without_elements

log = logging.getLogger(__name__)


class HiddenSum(Protocol, ABC):
    """The weighted mean of `Mean`. In the first trip a client hides its message as a vector that can be added; the
    weights n_k are hidden too.

    An entry beyond the range is never clipped: its client sends nothing and is lost.

    Args:
        range: the largest absolute value of an entry of a message.
        most_examples: the most training samples of a client; a client with more is lost. None: the largest number
            among the federation's clients. It is public.
    """

    blind: ClassVar[bool] = True
    weighs_by_messages: ClassVar[bool] = True

    def __init__(self, range: float, most_examples: int | None):
        check_positive("range", range)
        if most_examples is not None:
            check_count("most_examples", most_examples, low=1)
        self.range, self.most_examples = range, most_examples

    # --- before the run ---------------------------------------------------------------------------
    def check(self, plan: MessagePlan) -> None:
        name = type(self).__name__
        if not plan.message:
            raise InputError(
                f"reduction: {name} hides messages, and clients of {plan.algorithm} send none; leave it out by "
                "reduction=null, or choose another aggregator."
            )
        if plan.expected < 2:
            raise InputError(
                f"reduction: {name} adds the messages of 2 clients or more, and a round has {plan.expected:g} of them: "
                "the sum of a single message is this message; ask more clients, or write reduction=mean."
            )
        if self.most_examples is None:
            self.most_examples = plan.most_examples
        self.check_sums(math.ceil(plan.expected), self.sums_of(plan.weighting, plan.message))

    @abstractmethod
    def check_sums(self, clients: int, sums: WeightedSums) -> None:
        """
        Raises:
            InputError: the sums of this number of clients cannot be had as the options want them.
        """

    # --- the clients' half ------------------------------------------------------------------------
    def first(self, client: ProtocolClient, wire: Wire, weighting: Mapping[str, str]) -> tuple[Wire, Kept]:
        sums = self.sums_of(weighting, {key: value[0] for key, value in wire.items()})
        refusals = sums.refusals(wire, client.examples)
        for row, why in refusals.items():
            client.refuse([row], f"{why}, and its message is not sent")
        sent, kept = self.hide(client, sums, _with_zeros(wire, list(refusals)))
        return sent | {f"{key}{SHAPE}": without_elements(value) for key, value in wire.items()}, kept

    @abstractmethod
    def hide(self, client: ProtocolClient, sums: WeightedSums, wire: Wire) -> tuple[Wire, Kept]:
        """The first trip: what K clients send, and what they keep.

        Args:
            sums: makes vectors of the messages.
            wire: the messages (K, ...), within the range; zeros in place of those that are not sent.
        """

    # --- the server's half ------------------------------------------------------------------------
    def begin(self) -> None:
        self._rows: dict[str, Tensor] = {}  # key -> a tensor like one client's row
        self.fault = ""  # why there is no sum

    def add(self, clients: list[int], wire: Wire, examples: Tensor) -> None:
        shapes = {key.removesuffix(SHAPE): value for key, value in wire.items() if key.endswith(SHAPE)}
        if shapes:
            self._rows = {key: value.new_empty(value.shape[1:-1]) for key, value in shapes.items()}
        self.add_hidden(clients, wire)

    @abstractmethod
    def add_hidden(self, clients: list[int], wire: Wire) -> None:
        """Add a chunk of messages (K, ...) of a trip."""

    def ask(self) -> Asked:
        """Nobody is asked in a round whose cohort is too large for the options: a sampler may choose more clients than
        it does on average, and a sum beyond what can be had would be another number."""
        try:
            self.check_sums(len(self.round.cohort), self.sums)
        except InputError as error:
            self.fault = str(error).removeprefix("reduction: ")
            return Asked([])
        return self.ask_hidden()

    @abstractmethod
    def ask_hidden(self) -> Asked:
        """What the server sends for the next trip."""

    def finish(self) -> Reduced:
        if not self._rows:
            return Reduced({})
        reduced = None if self.fault else self.opened()
        if reduced is not None:
            return reduced
        name = type(self).__name__
        log.warning(
            "round %d: %s reduces nothing, and the server keeps its state: %s", self.round.number, name, self.fault
        )
        return Reduced({})

    @abstractmethod
    def opened(self) -> Reduced | None:
        """The reduced message; None where there is none, with the reason in `fault`."""

    @property
    def sums(self) -> WeightedSums:
        """Makes means of the sums of this round."""
        return self.sums_of(self.weighting, self._rows)

    # --- both halves ------------------------------------------------------------------------------
    def sums_of(self, weighting: Mapping[str, str], row: Mapping[str, Tensor]) -> WeightedSums:
        """
        Raises:
            InputError: `most_examples` is not known, or the messages hold complex numbers.
        """
        if self.most_examples is None:
            raise InputError(
                "reduction.most_examples=null takes the largest number of training samples of the federation's clients "
                "when the algorithm is tried before the run, and this one could not be tried; write the number."
            )
        return WeightedSums(weighting, row, self.range, self.most_examples)


def check_positive(name: str, value: Any) -> None:
    """
    Raises:
        InputError: an option is no finite number above 0.
    """
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    check_option(name, value, number and math.isfinite(value) and value > 0, "a finite number above 0")


def _with_zeros(wire: Wire, rows: list[int]) -> Wire:
    """The messages with zeros in these rows."""
    if not rows:
        return wire
    return {key: value.index_fill(0, torch.tensor(rows, device=value.device), 0) for key, value in wire.items()}
