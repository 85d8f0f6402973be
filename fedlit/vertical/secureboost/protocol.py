"""SecureBoost: who takes part, what travels, and what is refused."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from fedlit.vertical.ciphers.base import Cipher, IntegerCipher
from fedlit.vertical.measures import MEASURES
from fedlit.vertical.party import Party
from fedlit.vertical.party_data import GUEST, PartyData
from fedlit.vertical.protocol import Protocol, Task
from fedlit.vertical.secureboost.guest import Guest
from fedlit.vertical.secureboost.host import Host
from fedlit.vertical.secureboost.options import Options
from fedlit.vertical.secureboost.refusals import check_options

_ATTACK = "only under leak=instance_space, which measures an attack"


@dataclass(frozen=True)
class SecureBoost(Options, Protocol):
    """Gradient boosted trees over columns of several parties (Cheng et al. 2021, algorithms 1 and 2), a tree a round.

    The trees are those of the same boosting on the joined columns: sums of derivatives are whole numbers, and equal
    gains are decided by (order of parties, column, bin). Parties have one order: the guest, then hosts as configured.

    | phase | from | to | message | parts | |
    |---|---|---|---|---|---|
    | setup | guest | host | `key` | `key` | clear: a public key |
    | round | guest | host | `gradients` | `packed`: g and h of each person | sealed |
    | each level | host | guest | `sums` | `packed`: the left sums of g and h of each split, shuffled | sealed |
    | | | | | `node` of each of them | clear |
    | | guest | host | `split` | `id`: the host's splits of the best gain | clear |
    | | host | guest | `left` | `side` of each person in a node that the host splits; `record` of the split | clear |
    | not the last | guest | host | `nodes` | `of`: the node of each person | clear |
    | predict, each level | guest | host | `ask` | `row` and `record`: the people at its splits | clear |
    | | host | guest | `answer` | `side` of each | clear |
    | leak | guest | host | `known` | `row` and `label` of the people whose labels a host is assumed to know | clear |
    | | host | guest | `guesses` | `nodes`, `linear`, `forest`: its guesses at all labels | clear |

    A host learns which people share a node, and which of its splits were best. The guest learns the sums of g and h on
    both sides of each split of a host, without its column and threshold, and the sides of all people at those chosen.
    Columns, thresholds, labels and derivatives do not travel in the clear.

    Args: see `Options`.
    """

    tasks: ClassVar[tuple[Task, ...]] = ("binary", "regression")
    clear: ClassVar[Mapping[str, str]] = {
        "key.key": "a public key",
        "sums.node": "the guest compares the splits of a node",
        "split.id": "ids are shuffled, and the host has to know the split that it makes",
        "left.side": "the guest sums the derivatives of each side",
        "left.record": "a number; column and threshold stay with the host",
        "nodes.of": "a host sums the derivatives of each node",
        "ask.row": "the host has to know whom it is asked about",
        "ask.record": "the number of a split that the host keeps",
        "answer.side": "the guest has to know the leaf of a person",
        "known.row": _ATTACK,
        "known.label": _ATTACK,
        "guesses.nodes": _ATTACK,
        "guesses.linear": _ATTACK,
        "guesses.forest": _ATTACK,
    }
    measures: ClassVar[Mapping[Task, tuple[str, ...]]] = MEASURES

    def party(self, name: str, data: PartyData | None, hosts: Sequence[str], cipher: Cipher, task: Task) -> Party:
        assert data is not None, "secureboost has no party without columns"
        assert isinstance(cipher, IntegerCipher), "refused by check"
        return Guest(data, hosts, self, cipher, task) if name == GUEST else Host(data, self, cipher)

    def check(self, task: Task, columns: Mapping[str, Sequence[str]], cipher: Cipher) -> None:
        check_options(self, task, [party for party in columns if party != GUEST], cipher)
