"""The contract of an engine: where the parties of a run are stepped."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field

from fedlit.vertical.alignment import Alignment
from fedlit.vertical.ciphers.base import Cipher
from fedlit.vertical.ledger import Ledger
from fedlit.vertical.mail import Mail, Tap
from fedlit.vertical.party import Facts
from fedlit.vertical.party_data import GUEST, PartyData
from fedlit.vertical.protocol import Protocol, Task

ALIGN, SETUP, ROUND, PREDICT = "align", "setup", "round", "predict"


@dataclass(frozen=True)
class Plan:
    """What every party knows of the run.

    Attributes:
        hosts: names of the hosts, in order.
        threads: of an operation of torch or numpy, in every process that steps a party.
    """

    protocol: Protocol
    cipher: Cipher
    alignment: Alignment
    hosts: tuple[str, ...]
    task: Task
    threads: int = 1

    @property
    def holders(self) -> tuple[str, ...]:
        """The parties with columns."""
        return (GUEST, *self.hosts)

    @property
    def parties(self) -> tuple[str, ...]:
        """All, in the order in which they are stepped; a guest alone has no helpers."""
        return (*self.holders, *(self.protocol.helpers if self.hosts else ()))

    @property
    def clear(self) -> dict[str, str]:
        """The parts that may travel in the clear."""
        return {**self.alignment.clear, **self.protocol.clear}

    def ledger(self) -> Ledger:
        """An empty ledger of this run."""
        return Ledger(self.parties, self.clear, self.cipher.hides)


@dataclass(frozen=True)
class PhaseEnd:
    """What all parties have returned from a phase.

    Attributes:
        states: party -> its new state, as bytes (`fedlit.vertical.state`).
        facts: party -> its facts.
    """

    states: Mapping[str, bytes]
    facts: Mapping[str, Facts]


@dataclass
class Engine(ABC):
    """Steps all parties through a phase.

    Attributes:
        taps: see each letter; for tests and for watching a protocol.
    """

    taps: list[Tap] = field(default_factory=list, init=False)

    def start(self, plan: Plan, data: Mapping[str, PartyData], ledger: Ledger) -> None:
        """
        Args:
            data: party with columns -> its columns.
        """
        self.plan, self.data, self.ledger = plan, data, ledger

    def phase(self, phase: str, number: int, states: Mapping[str, bytes]) -> PhaseEnd:
        """Step all parties to the end of a phase. `align` comes first, and makes the parties. After an error the engine
        has to be stopped.

        Args:
            number: of the round; before `align` and `setup` that of the last complete one.
            states: party -> its state, as bytes; they stay as they are.

        Raises:
            Stop, InputError: a party has raised it.
            PartyFailed, PartyLost, BrokenProtocol: see `fedlit.vertical.contract_errors`.
        """
        self.ledger.begin(phase, number)
        mail = Mail(self.plan.parties, [self.ledger.note, *self.taps])
        end = self.run_phase(phase, number, states, mail)
        mail.check_read()
        return end

    @abstractmethod
    def run_phase(self, phase: str, number: int, states: Mapping[str, bytes], mail: Mail) -> PhaseEnd:
        """`phase`, with the mail that it makes."""

    def stop(self) -> None:  # noqa: B027  (serial has nothing to end)
        """End what the engine has started."""

    def __enter__(self) -> Engine:
        return self

    def __exit__(self, *error: object) -> None:
        self.stop()
