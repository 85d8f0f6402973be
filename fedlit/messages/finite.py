"""Whether messages and states are finite."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

from fedlit.errors import InputError
from fedlit.messages.wire import Wire
from fedlit.model_vectors import Model

NOT_FINITE = "its message has NaN or infinite values in"  # a key; the client's name comes before


def finite_rows(values: Iterable[Any], k: int) -> Tensor:
    """(k,) bools: whether each row is finite in all values, which are tensors (k, ...) or lists of k tensors. Integers
    and bools are."""
    rows = [_as_rows(value) for value in values if isinstance(value, list) or _may_be_infinite(value)]
    if not rows:
        return torch.ones(k, dtype=torch.bool)
    # NaN and infinity stay in a sum, and a sum is cheap. Sums of finite numbers can overflow: then each one is tested
    finite = _all([torch.isfinite(_by_row(torch.sum, r)) for r in rows])
    return finite if finite.all() else _all([_by_row(torch.all, _by_element(r)) for r in rows])


def first_not_finite(wire: Wire, k: int) -> list[str]:
    """k strings: the first key under which a client's row is not finite; empty where there is none."""
    keys = [""] * k
    if bool(finite_rows(wire.values(), k).all()):
        return keys
    for key, value in reversed(wire.items()):
        for r, is_finite in enumerate(finite_rows([value], k).tolist()):
            keys[r] = keys[r] if is_finite else key
    return keys


def check_reduced(reduced: Wire, sent: Collection[str], reduction: str, round_number: int) -> None:
    """
    Args:
        reduced: the reduced message, as a wire without the axis K.
        sent: the keys of the messages; the others are the reduction's own.

    Raises:
        InputError: a reduced value is not finite.
    """
    for key, value in reduced.items():
        if key in sent and not _is_finite(value):
            raise InputError(
                f"round {round_number}: {reduction} of the messages has NaN or infinite values in {key}, although each "
                "message is finite: their sum overflows; lower the learning rate, or clip gradients by "
                "trainer.gradient_clip_val=1"
            )


def check_server_state(before: dict[str, Any], after: dict[str, Any], aggregator: str, round_number: int) -> None:
    """
    Raises:
        InputError: a Model in the server's new state, or a tensor that was finite before, is not finite.
    """
    bad = {path: of_model for path, value, of_model in _leaves(after) if not _is_finite(value)}
    if not bad:
        return
    was_finite = {path: _is_finite(value) for path, value, _ in _leaves(before)}
    for path, of_model in bad.items():
        if was_finite.get(path, of_model):
            raise InputError(
                f"round {round_number}: server_update of {aggregator} made NaN or infinite values in {path} of the "
                "server's state, although the clients' messages are finite; lower the server's learning rate "
                "(aggregator.server_optimizer.lr, if the server has an optimiser) or that of the clients"
            )


def _leaves(tree: Any, path: str = "", of_model: bool = False) -> Iterator[tuple[str, Tensor, bool]]:
    """(path, tensor, whether it is a part of a Model) for each tensor of a state."""
    if isinstance(tree, Model):
        tree, of_model = {"weights": tree.weights, "statistics": tree.statistics}, True
    if isinstance(tree, Tensor):
        yield path, tree, of_model
    elif isinstance(tree, Mapping | list | tuple):
        for key, part in tree.items() if isinstance(tree, Mapping) else enumerate(tree):
            yield from _leaves(part, f"{path}.{key}".lstrip("."), of_model)


def _is_finite(value: Any) -> bool:
    values = value if isinstance(value, list) else [value]
    return all(bool(finite_rows([t[None]], 1)) for t in values if isinstance(t, Tensor))


def _may_be_infinite(t: Tensor) -> bool:
    return t.is_floating_point() or t.is_complex()


def _as_rows(value: Tensor | list[Tensor]) -> Tensor | list[Tensor]:
    """As real numbers that torch can add: (k, n), or k tensors (n,)."""
    if isinstance(value, list):
        return [torch.as_tensor(_as_rows(row[None]))[0] for row in value]
    if value.is_complex():
        value = torch.view_as_real(value.resolve_conj())
    elif value.is_floating_point() and value.element_size() == 1:
        value = value.float()
    return value.flatten(1) if value.dim() > 1 else value[:, None]


def _by_row(f: Callable[..., Tensor], rows: Tensor | list[Tensor]) -> Tensor:
    return torch.stack([f(row) for row in rows]) if isinstance(rows, list) else f(rows, 1)


def _by_element(rows: Tensor | list[Tensor]) -> Tensor | list[Tensor]:
    return [torch.isfinite(row) for row in rows] if isinstance(rows, list) else torch.isfinite(rows)


def _all(results: list[Tensor]) -> Tensor:
    return torch.stack([result.to(results[0].device) for result in results]).all(0)
