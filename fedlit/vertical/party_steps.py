"""One party where it runs: its alignment, then the phases of the party that the protocol makes of the aligned data."""

from __future__ import annotations

import math
from collections.abc import Generator
from typing import Any

from fedlit.errors import InputError
from fedlit.stop import Stop
from fedlit.vertical import wire
from fedlit.vertical.contract_errors import BrokenProtocol, PartyFailed, place
from fedlit.vertical.engine import ALIGN, Plan
from fedlit.vertical.mail import Letter
from fedlit.vertical.party import Facts, Party, Recv, Send, State
from fedlit.vertical.party_data import PartyData
from fedlit.vertical.state import as_bytes, from_bytes

Ended = tuple[bytes, Facts]
Exchange = Generator[Letter | Recv, bytes | None, Ended]
"""Letters that are posted, and requests whose `yield` gives the bytes of a message."""


class PartySteps:
    """
    Args:
        data: the party's columns; None for a helper.
    """

    def __init__(self, plan: Plan, name: str, data: PartyData | None):
        self.plan, self.name, self.data = plan, name, data
        self.party: Party | None = None

    def phase(self, phase: str, number: int, state: bytes) -> Exchange:
        """The steps of a phase, from a state to the new one and the facts.

        Raises:
            Stop, InputError: as the party raises it.
            PartyFailed: the party raised another exception.
        """
        try:
            steps = self._align() if phase == ALIGN else self._steps(phase, number, from_bytes(state))
            returned = yield from self._exchange(steps)
            if phase == ALIGN:
                return state, returned[1]
            return as_bytes(returned[0], f"the state of {self.name}"), _checked(returned[1])
        except BrokenProtocol as error:
            raise BrokenProtocol(f"{place(self.name, phase, number)}: {error}") from error
        except (InputError, Stop):
            raise
        except Exception as error:
            raise PartyFailed(f"{place(self.name, phase, number)}: {type(error).__name__}: {error}") from error

    def _exchange(self, steps: Any) -> Generator[Letter | Recv, bytes | None, tuple[State, Facts]]:
        """The steps with messages as bytes."""
        if not isinstance(steps, Generator):  # a phase without messages may be a plain method
            return _checked_end(steps)
        answer: Any = None
        try:
            while True:
                step = steps.send(answer)
                if isinstance(step, Send):
                    yield Letter(self.name, step.to, step.name, wire.pack(step.body))
                    answer = None
                elif isinstance(step, Recv):
                    content = yield step
                    answer = wire.unpack(content or b"")
                else:
                    raise BrokenProtocol(f"a party yields Send or Recv, and this is a {type(step).__name__}.")
        except StopIteration as end:
            return _checked_end(end.value)
        finally:
            steps.close()

    def _align(self) -> Generator[Any, Any, tuple[State, Facts]]:
        data, facts = self.data, {}
        if data is not None and self.plan.hosts:
            others = [name for name in self.plan.holders if name != self.name]
            data = yield from self.plan.alignment.align(data, others)
            facts = {"train_rows": float(len(data.train)), "test_rows": float(len(data.test))}
        plan = self.plan
        self.party = plan.protocol.party(self.name, data, plan.hosts, plan.cipher, plan.task)
        return {}, facts

    def _steps(self, phase: str, number: int, state: State) -> Any:
        assert self.party is not None, "the alignment comes first"
        if phase == "setup":
            return self.party.setup(state)
        return self.party.round(state, number) if phase == "round" else self.party.predict(state, number)


def _checked_end(returned: Any) -> tuple[State, Facts]:
    if not isinstance(returned, tuple) or len(returned) != 2 or not all(isinstance(part, dict) for part in returned):
        raise BrokenProtocol("a phase has to return a state and facts, two dicts.")
    return returned


def _checked(facts: Facts) -> Facts:
    numbers = {str(name): float(value) for name, value in facts.items()}
    return {name: value if math.isfinite(value) else math.nan for name, value in numbers.items()}
