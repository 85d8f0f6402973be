"""The malicious clients of a run, and the rounds in which they attack."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from fedlit.errors import InputError
from fedlit.plurals import counted
from fedlit.randomness import generator
from fedlit.written_values import as_written


class MaliciousClients:
    """
    >>> MaliciousClients([1, 4], clients=6).rank(torch.tensor([[4], [0], [-1]])).T
    tensor([[ 1, -1, -1]], dtype=torch.int32)

    Args:
        numbers: of the malicious clients, in increasing order.
        clients: N, the number of all clients.
    """

    def __init__(self, numbers: Sequence[int], clients: int):
        self.numbers, self.clients = tuple(numbers), clients
        self._members = frozenset(self.numbers)
        self._ranks: Tensor | None = None

    def __contains__(self, client: int) -> bool:
        return client in self._members

    def __len__(self) -> int:
        return len(self.numbers)

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_ranks": None}  # a worker may have another device

    def rank(self, client: Tensor) -> Tensor:
        """The place of each client among the malicious ones, from 0; -1 for an honest client, and for client -1, which
        is no client. A lookup in a table, so that nothing waits for a GPU.

        Args:
            client: numbers of any shape, int64.
        """
        if self._ranks is None or self._ranks.device != client.device:
            ranks = np.full(self.clients + 1, -1, dtype=np.int32)  # the last place is that of client -1
            ranks[list(self.numbers)] = np.arange(len(self.numbers))
            self._ranks = torch.from_numpy(ranks).to(client.device, non_blocking=True)
        return self._ranks[client]


def malicious_numbers(option: float | Sequence[int], clients: int, seed: int) -> list[int]:
    """The malicious clients: those of a list, or round(share N) clients, drawn from the seed alone.

    >>> malicious_numbers(0.3, clients=10, seed=0), malicious_numbers([7, 2], clients=10, seed=0)
    ([2, 5, 8], [2, 7])

    Args:
        option: a share of all clients, or their numbers.
        clients: N, the number of all clients.

    Raises:
        InputError: a number is no client, or stands in the list twice; or a share above 0 of the clients is no client.
    """
    if isinstance(option, int | float):
        if not 0 <= option <= 1:
            raise InputError(
                f"attack.clients={option}: a share lies between 0 and 1; write for example attack.clients=0.2, or a "
                "list of clients, 'attack.clients=[0,1]'."
            )
        count = round(option * clients)
        if option and not count:
            raise InputError(
                f"attack.clients={option}: this share of {counted(clients, 'client')} is none; write a larger share, a "
                "list such as 'attack.clients=[0]', or attack=none."
            )
        drawn = generator(seed, "malicious clients").permutation(clients)[:count]
        return sorted(drawn.tolist())
    numbers = sorted(int(number) for number in option)
    outside = [number for number in numbers if not 0 <= number < clients]
    if outside:
        raise InputError(
            f"attack.clients: client {outside[0]} does not exist, because the {counted(clients, 'client')} are "
            f"numbered from 0 to {clients - 1}; write these numbers, or a share such as attack.clients=0.2."
        )
    if len(set(numbers)) < len(numbers):
        raise InputError(f"attack.clients={numbers}: a client is in the list twice; write each number once.")
    return numbers


class AttackRounds:
    """The rounds of an attack: all, those of a list, or every n-th from a first one on.

    >>> [number for number in range(1, 10) if number in AttackRounds({"from": 3, "every": 2})]
    [3, 5, 7, 9]

    Args:
        option: None, a list of numbers from 1 on, or a mapping with "from" and "every", both 1 if they are left out.

    Raises:
        InputError: it is none of these.
    """

    def __init__(self, option: Sequence[int] | Mapping[str, int] | None):
        self.option = option
        self.first, self.interval, self.listed = 1, 1, None
        if isinstance(option, Mapping):
            option = dict(option)
            unknown = set(option) - {"from", "every"}
            if unknown or not all(_is_number(value) for value in option.values()):
                raise InputError(_no_rounds(option))
            self.first, self.interval = option.get("from", 1), option.get("every", 1)
        elif option is not None:
            if isinstance(option, str) or not isinstance(option, Sequence) or not all(_is_number(n) for n in option):
                raise InputError(_no_rounds(option))
            self.listed = frozenset(option)

    listed: frozenset[int] | None

    def __str__(self) -> str:
        """As the option is written on the command line."""
        mapping = dict(self.option) if isinstance(self.option, Mapping) else self.option
        return as_written(mapping if mapping is None or isinstance(mapping, dict) else list(mapping))

    def __contains__(self, number: int) -> bool:
        if self.listed is not None:
            return number in self.listed
        return number >= self.first and (number - self.first) % self.interval == 0


def _is_number(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


def _no_rounds(option: Any) -> str:
    return (
        f"attack.rounds={as_written(option)}: the rounds of an attack are null (all), a list of numbers from 1 on, or "
        "a first round and an interval; write for example 'attack.rounds=[5]' or 'attack.rounds={from:10,every:5}'."
    )
