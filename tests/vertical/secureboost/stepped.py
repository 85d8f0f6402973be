"""All parties of a protocol in this process, stepped by a few lines that share no code with the engines."""

from __future__ import annotations

import copy
from collections import defaultdict, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from fedlit.vertical.ciphers.base import Cipher
from fedlit.vertical.ciphers.paillier import Paillier
from fedlit.vertical.ciphers.plain import Plain
from fedlit.vertical.party import Facts, Party, Recv, Send, State
from fedlit.vertical.party_data import PartyData
from fedlit.vertical.secureboost import SecureBoost

PLAIN, SMALL_KEY = Plain(256), Paillier(256, insecure=True)


@dataclass
class Run:
    """
    Attributes:
        rows: of each round: facts by party, and what the guest's `predict` returned.
        sent: (sender, Send) in order, of the whole run.
    """

    parties: dict[str, Party]
    states: dict[str, State]
    rows: list[dict[str, Facts]] = field(default_factory=list)
    sent: list[tuple[str, Send]] = field(default_factory=list)

    def phase(self, name: str, *number: int) -> dict[str, Facts]:
        ended = step({p: getattr(party, name)(self.states[p], *number) for p, party in self.parties.items()}, self.sent)
        self.states = {party: state for party, (state, _) in ended.items()}
        return {party: facts for party, (_, facts) in ended.items()}

    def messages(self, sender: str, name: str) -> list[Mapping[str, Any]]:
        return [send.body for party, send in self.sent if party == sender and send.name == name]


def step(generators: dict[str, Any], sent: list[tuple[str, Send]]) -> dict[str, tuple[State, Facts]]:
    """Run generators to their end, and check that each message is read."""
    queues: dict[tuple[str, str, str], deque] = defaultdict(deque)
    waiting: dict[str, Any] = dict.fromkeys(generators)
    ended: dict[str, Any] = {}
    while len(ended) < len(generators):
        moved = False
        for party, generator in generators.items():
            while party not in ended:
                want, value = waiting[party], None
                if isinstance(want, Recv):
                    if not (queue := queues[want.sender, party, want.name]):
                        break
                    value = queue.popleft()
                moved = True
                try:
                    waiting[party] = yielded = generator.send(value)
                except StopIteration as end:
                    ended[party] = end.value
                    break
                if isinstance(yielded, Send):
                    sent.append((party, yielded))
                    queues[party, yielded.to, yielded.name].append(copy.deepcopy(dict(yielded.body)))
        assert moved, f"a deadlock: {waiting}"
    assert not any(queues.values()), "a message that nobody reads"
    return ended


def run(
    protocol: SecureBoost,
    data: Mapping[str, PartyData],
    rounds: int,
    cipher: Cipher = PLAIN,
    task: str = "binary",
    states: Mapping[str, State] | None = None,
) -> Run:
    """Set up, and `rounds` rounds with a prediction after each."""
    hosts = [party for party in data if party != "guest"]
    parties = {name: protocol.party(name, table, hosts, cipher, task) for name, table in data.items()}  # type: ignore[arg-type]
    result = Run(parties, dict(states) if states else {name: {} for name in parties})
    result.phase("setup")
    for number in range(1, rounds + 1):
        facts = result.phase("round", number)
        result.rows.append(facts | {"test": result.phase("predict", number)["guest"]})
    return result


def tables(
    train: np.ndarray, test: np.ndarray, target: np.ndarray, test_target: np.ndarray, split: Mapping[str, Sequence[int]]
) -> dict[str, PartyData]:
    """A party's columns by their positions; the guest also has the targets."""
    return {
        party: PartyData(
            party,
            tuple(f"c{column}" for column in columns),
            np.asarray(train, np.float64)[:, list(columns)],
            np.asarray(test, np.float64)[:, list(columns)],
            np.arange(len(train)).astype(str),
            np.arange(len(test)).astype(str),
            np.asarray(target, np.float64) if party == "guest" else None,
            np.asarray(test_target, np.float64) if party == "guest" else None,
        )
        for party, columns in split.items()
    }
