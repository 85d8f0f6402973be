"""alignment=none: all parties have the same people in the same order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from fedlit.errors import InputError
from fedlit.plurals import counted
from fedlit.vertical.alignment.base import Aligning, Alignment
from fedlit.vertical.party import Recv, Send
from fedlit.vertical.party_data import GUEST, PartyData


@dataclass(frozen=True)
class Same(Alignment):
    """Rows stay as they are. The guest learns how many rows each host has, and refuses another number than its own;
    ids are not compared."""

    name: ClassVar[str] = "none"
    clear: ClassVar[Mapping[str, str]] = {"rows.counts": "the numbers of training and of test people of a host"}

    def align(self, data: PartyData, others: Sequence[str]) -> Aligning:
        counts = np.array([len(data.train), len(data.test)])
        if data.party != GUEST:
            yield Send(GUEST, "rows", {"counts": counts})
            return data
        for host in others:
            received = (yield Recv(host, "rows"))["counts"]
            if not np.array_equal(received, counts):
                raise InputError(
                    f"alignment=none: {host} has {counted(int(received[0]), 'training row')} and "
                    f"{counted(int(received[1]), 'test row')}, and the guest has {counts[0]:,} and {counts[1]:,}; "
                    "write alignment=ecdh, which finds the people in common."
                )
        return data
