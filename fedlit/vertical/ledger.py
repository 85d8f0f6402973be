"""messages.jsonl: all that has travelled between parties, a line a round, phase, sender, receiver, message and part.

`{"round": 3, "phase": "round", "from": "host", "to": "guest", "message": "split", "part": "node", "count": 31,
"shape": [1], "values": 31, "sealed": false, "bytes": 2542, "why": "the guest keeps the tree of references"}`
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from fedlit.atomic_files import append, write_text
from fedlit.metric_names import COMM_BYTES, Row, pair_bytes
from fedlit.round_lines import read_lines
from fedlit.vertical import wire
from fedlit.vertical.contract_errors import BrokenProtocol
from fedlit.vertical.mail import Letter

NAME = "messages.jsonl"
COUNTED = ("round", "predict")  # the phases whose bytes are in the row of a round

Entry = dict[str, Any]


class Ledger:
    """Notes each letter, and refuses a part that may not travel in the clear.

    The entries of a round are written when the round counts: `keep`. A round that breaks off leaves none.

    Args:
        parties: names of all, in their order.
        clear: "message.part" -> why it may travel in the clear; "message" for a message without parts.
        hides: the cipher hides what it seals: each other part has to be sealed. False under `plain`.
    """

    def __init__(self, parties: Sequence[str], clear: Mapping[str, str], hides: bool):
        self.parties, self.clear, self.hides = tuple(parties), dict(clear), hides
        self._path: Path | None = None
        self._phase, self._round = "", 0
        self._entries: dict[tuple[Any, ...], Entry] = {}

    def open(self, folder: Path, resumed_after: int) -> None:
        """Write into a run folder; drop the entries of rounds that run again, and a line that a kill cut off."""
        self._path = folder / NAME
        kept = [entry for entry in read(self._path) if entry["round"] <= resumed_after]
        write_text(self._path, "".join(map(_line, kept)))

    def begin(self, phase: str, number: int) -> None:
        """The letters from now on belong to this phase of this round."""
        self._phase, self._round = phase, number

    def note(self, letter: Letter) -> None:
        """
        Raises:
            BrokenProtocol: a part travels in the clear, and the protocol does not declare it.
        """
        parts = wire.facts(letter.content) or [wire.PartFacts("", (), False, 0, 0)]
        for part in parts:
            what = f"{letter.name}.{part.name}" if part.name else letter.name
            declared = self.clear.get(what)
            if self.hides and not part.sealed and declared is None:
                raise BrokenProtocol(
                    f"{letter.sender} sends {what} to {letter.receiver} in the clear, and the "
                    "protocol's `clear` does not declare it; seal it, or declare it with the reason."
                )
            key = (self._round, self._phase, letter.sender, letter.receiver, letter.name, part.name, part.sealed)
            entry = self._entries.setdefault(key, self._entry(letter, part, declared))
            entry["count"] += 1
            entry["values"] += part.values
            entry["bytes"] += part.bytes
            if part.values > _values(entry["shape"]):
                entry["shape"] = list(part.shape)

    def row(self) -> Row:
        """The bytes of the round so far, in all and by sender and receiver; not those of `setup`, which a resumed run
        repeats."""
        sums: Counter[str] = Counter({COMM_BYTES: 0})
        for entry in self._entries.values():
            if entry["phase"] in COUNTED:
                sums[COMM_BYTES] += entry["bytes"]
                sums[pair_bytes(entry["from"], entry["to"])] += entry["bytes"]
        return {COMM_BYTES: sums.pop(COMM_BYTES), **dict(sorted(sums.items()))}

    def keep(self) -> None:
        """The round counts: write its entries. They are in the order of senders, and of what each has sent, which no
        engine changes."""
        entries, self._entries = list(self._entries.values()), {}
        phases = list(dict.fromkeys(entry["phase"] for entry in entries))
        entries.sort(key=lambda entry: (phases.index(entry["phase"]), self.parties.index(entry["from"])))
        if self._path is not None and entries:
            append(self._path, "".join(map(_line, entries)).encode())

    def drop(self) -> None:
        """The round does not count."""
        self._entries = {}

    def _entry(self, letter: Letter, part: wire.PartFacts, declared: str | None) -> Entry:
        entry: Entry = {"round": self._round, "phase": self._phase, "from": letter.sender, "to": letter.receiver}
        entry |= {"message": letter.name, "part": part.name, "count": 0, "shape": list(part.shape), "values": 0}
        entry |= {"sealed": part.sealed, "bytes": 0}
        if not part.sealed:
            entry["why"] = declared or "the cipher seals nothing"
        return entry


def read(path: Path) -> list[Entry]:
    """The entries of a ledger; a line that a kill cut off is skipped."""
    return read_lines(path).records if path.exists() else []


def _values(shape: Sequence[int]) -> int:
    product = 1
    for size in shape:
        product *= size
    return product


def _line(entry: Entry) -> str:
    return json.dumps(entry, allow_nan=False) + "\n"
