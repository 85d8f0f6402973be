"""A round as the server knows it, and a client over the server's own data."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from fedlit.client import Client, CollectedPart, CollectFn, Fitted
from fedlit.device_copies import to_device
from fedlit.errors import InputError
from fedlit.model_vectors import Model, tree_map
from fedlit.plurals import counted
from fedlit.round import Round


class ServerClient:
    """One client without the leading axis: the server itself, over its own data and the public ones.

    Args:
        has_samples: the server has samples of its own (`server_samples`), and not only the public ones.
    """

    def __init__(self, client: Client, has_samples: bool = True):
        self.client, self._has_samples = client, has_samples

    def fit(self, model: Model, extras: Sequence[Tensor] = (), **options: Any) -> Fitted:
        """As `Client.fit`, with (P,) and (S,) for the argument and the result.

        Raises:
            InputError: the server has no samples of its own.
        """
        self._check_part("fit", "train")
        fitted = self.client.fit(_with_client_axis(model), extras=[v[None] for v in extras], **options)
        model, carry = tree_map(lambda t: t[0], fitted.model), tree_map(lambda t: t[0], fitted.carry)
        return Fitted(model, fitted.steps[0], fitted.lr[0], fitted.loss[0], carry, lambda: fitted.gain[0])

    def loss(self, model: Model, on: CollectedPart = "train") -> Tensor:
        """As `Client.loss`, (1,); "train" are the server's own samples."""
        self._check_part("loss", on)
        return self.client.loss(_with_client_axis(model), on)[0]

    def collect(
        self, model: Model, f: CollectFn, on: CollectedPart = "train", extras: Sequence[Tensor] = ()
    ) -> dict[str, Tensor]:
        """As `Client.collect`: `f` gets and returns tensors (1, ...), and the sums have no leading axis. "train" are
        the server's own samples."""
        self._check_part("collect", on)
        sums = self.client.collect(_with_client_axis(model), f, on, [v[None] for v in extras])
        return {name: total[0] for name, total in sums.items()}

    def _check_part(self, method: str, on: CollectedPart) -> None:
        if on == "validation":
            raise InputError(
                f"round.server_client.{method}: the server has no validation samples; leave out on='validation'."
            )
        if not self._has_samples and on != "public":
            remedy = "server_samples=<number>" if method == "fit" else "server_samples=<number>, or on='public'"
            raise InputError(f"round.server_client.{method}: the server has no samples of its own; write {remedy}.")


def unread_server_lr(algorithm: str) -> InputError:
    """The refusal of `server_lr_schedule` under an algorithm that does not read `ServerRound.server_lr_factor`."""
    return InputError(
        f"server_lr_schedule: {algorithm} does not read round.server_lr_factor in its server_update or download, "
        "because its server takes no step with a learning rate, so that the schedule would change nothing; leave "
        "server_lr_schedule out, or, in an algorithm of your own, multiply the server's step by that factor."
    )


def _with_client_axis(model: Model) -> Model:
    return tree_map(lambda t: t[None], model)


@dataclass
class ServerRound(Round):
    """What the server knows of a round. It is never sent to a client."""

    expected: float = 0.0  # mean size of the sampler's cohorts
    broadcast: dict[str, Any] = field(default_factory=dict)  # what every client of the cohort receives
    arrived: list[int] = field(default_factory=list)  # clients whose messages were reduced
    server_client: ServerClient | None = None  # a client over the server's own and the public data, if there are any
    device: torch.device | str = "cpu"  # of the clients' tensors on the server
    scheduled_server_lr: float = 1.0  # see `server_lr_factor`
    server_lr_was_read: bool = False  # whether an algorithm has read `server_lr_factor`
    reports: dict[str, float | Tensor] = field(default_factory=dict)  # see `report`

    def report(self, name: str, value: float | Tensor) -> None:
        """Put a number into the round's row of metrics, under `algorithm/<name>`. `server_update` and `unpack` may call
        it; of several calls with one name the last counts."""
        self.reports[name] = value

    @property
    def server_lr_factor(self) -> float:
        """The factor of the server's learning rate in this round (`server_lr_schedule`). A `server_update` (or a
        `download`) of an algorithm's own that takes a step multiplies it by this factor."""
        self.server_lr_was_read = True
        return self.scheduled_server_lr

    @property
    def share(self) -> float:
        """|S| / N: the number of clients that arrived over the number of all clients of the federation."""
        return len(self.arrived) / self.clients

    @property
    def rows(self) -> Tensor:
        """(A,) int64 on the device: the clients whose messages were reduced, in the order of the messages of
        `needs_all`. A client that the sampler drew twice is in it twice."""
        return _numbers(self.arrived, self.device)

    def put(self, tree: Any, new: Any) -> Any:
        """A copy of what the server keeps of every client, with new rows for the clients that arrived.

        >>> round = ServerRound(number=1, seed=0, cohort=[2, 0], clients=3, arrived=[2, 0])
        >>> round.put({"h": torch.zeros(3, 1)}, {"h": torch.tensor([[5.0], [7.0]])})["h"].T
        tensor([[7., 0., 5.]])

        Args:
            tree: tensors (N, ...) of all N clients, Models of these, or dicts.
            new: the same tree for the A clients of `rows`, (A, ...). Of a client that is twice in it, the last row
                counts.

        Raises:
            InputError: a tensor has another number of rows, or rows of another shape.
        """
        last = {client: row for row, client in enumerate(self.arrived)}
        clients, rows = (_numbers(values, self.device) for values in (last, last.values()))

        _refuse_unlike(tree, new)

        def replaced(all_rows: Tensor, new_rows: Tensor) -> Tensor:
            for tensor, count, name in ((all_rows, self.clients, "all clients"), (new_rows, len(self.arrived), "new")):
                if tensor.shape != (count, *all_rows.shape[1:]):
                    raise InputError(
                        f"round.put: the tensor of {name} has shape {tuple(tensor.shape)}, and needs "
                        f"{(count, *all_rows.shape[1:])}: there are {counted(self.clients, 'client')}, and "
                        f"{len(self.arrived)} arrived."
                    )
            new_rows = new_rows.to(all_rows)
            return all_rows.index_copy(0, clients, new_rows if len(last) == len(new_rows) else new_rows[rows])

        return tree_map(replaced, tree, new)

    def refuse_missing_data(self, method: str, error: AttributeError) -> None:
        """Raise InputError if the error is that of `round.server_client.fit` where the server has no data."""
        if self.server_client is None and error.obj is None and error.name in ("fit", "loss", "collect", "client"):
            raise InputError(
                f"{method} uses round.server_client.{error.name}, and the server has no data; write "
                "server_samples=<number>."
            ) from error

    def for_clients(self) -> Round:
        """The part of the round that clients may know."""
        return Round(self.number, self.seed, self.cohort, self.clients, self.purpose, self.lr_factor)


def _refuse_unlike(tree: Any, new: Any, path: str = "") -> None:
    """
    Raises:
        InputError: the arguments of `ServerRound.put` are no trees with the same keys and Models.
    """
    kinds = [next((kind for kind in (Tensor, Model, dict) if isinstance(value, kind)), None) for value in (tree, new)]
    if None in kinds or kinds[0] is not kinds[1]:
        raise InputError(
            f"round.put: {path or 'its first argument'} is a {type(tree).__name__}, and the new rows are a "
            f"{type(new).__name__}; give two tensors, two Models, or two dicts of these."
        )
    if isinstance(tree, dict):
        if tree.keys() != new.keys():
            raise InputError(
                f"round.put: {path or 'its first argument'} has the keys {', '.join(tree)}, and the new rows have "
                f"{', '.join(new)}; give the same keys."
            )
        for key, value in tree.items():
            _refuse_unlike(value, new[key], f"{path}.{key}" if path else key)


def _numbers(clients: Iterable[int], device: torch.device | str) -> Tensor:
    return to_device(np.fromiter(clients, dtype=np.int64), device)
