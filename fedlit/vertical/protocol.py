"""The contract of a protocol: which parties there are, what they may say in the clear, and what is measured."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import ClassVar, Literal

from fedlit.vertical.ciphers.base import Cipher
from fedlit.vertical.party import Party
from fedlit.vertical.party_data import GUEST, PartyData

Task = Literal["binary", "regression"]


class Protocol(ABC):
    """What the parties do together. Hyperparameters are the fields of a subclass, which is a frozen dataclass.

    Class attributes:
        tasks: the tasks that it can learn.
        clear: the parts that travel in the clear, as "message.part", with the reason. Under any cipher but `plain` each
            other part has to be `Sealed`.
        helpers: parties without columns, such as a coordinator.
        measures: names of what the guest's `predict` returns, in the row of metrics as `global/test/<name>`; the first
            one is the headline.
    """

    tasks: ClassVar[tuple[Task, ...]]
    clear: ClassVar[Mapping[str, str]]
    helpers: ClassVar[tuple[str, ...]] = ()
    measures: ClassVar[Mapping[Task, tuple[str, ...]]]

    @abstractmethod
    def party(self, name: str, data: PartyData | None, hosts: Sequence[str], cipher: Cipher, task: Task) -> Party:
        """One party, made where it runs: in its own process under `engine=processes`.

        Args:
            name: `guest`, one of `hosts`, or one of `helpers`.
            data: its columns, with rows in the order that all parties have agreed on; None for a helper.
            hosts: names of the hosts, in the order of the configuration; none where the guest trains alone.
        """

    def check(  # noqa: B027  (not each protocol has something to refuse)
        self, task: Task, columns: Mapping[str, Sequence[str]], cipher: Cipher
    ) -> None:
        """Refuse what this protocol cannot do, before any work: raise an `InputError` of one sentence.

        Args:
            columns: the names of each party's columns.
        """


__all__ = ["GUEST", "Protocol", "Task"]
