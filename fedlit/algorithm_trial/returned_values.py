"""Types and shapes of what an algorithm's methods return. Each mistake is one sentence (`InputError`).

`where` names the value, such as `Scaffold.local_update: the message`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from fedlit.algorithm_trial.trees import described, shortened, tensors
from fedlit.checkpoint import as_resumed
from fedlit.errors import InputError
from fedlit.messages.weights import is_weight
from fedlit.model_vectors import Layout, Model
from fedlit.user_module.module_snapshot import differ

_PLAIN = "tensors, Models, dicts of these, lists, and numbers or text of Python"


def check_dict(where: str, value: Any, example: str) -> None:
    """A dict with names as keys."""
    if not isinstance(value, Mapping):
        raise InputError(f"{where} is {described(value)}, not a dict; return {example}.")
    for key in value:
        if not isinstance(key, str):
            raise InputError(f"{where} has the key {key!r}, which is no text; use names, such as 'model'.")


def check_tensors(where: str, value: Any, k: int | None = None, example: str = "{}") -> None:
    """A dict of tensors, Models and dicts of these; with `k`, each has the leading axis of k clients."""
    check_dict(where, value, example)
    _check_inner(where, value, "", k)


def _check_inner(where: str, value: Mapping[Any, Any], path: str, k: int | None) -> None:
    for key, inner in value.items():
        name = f"{path}{key}"
        if isinstance(inner, Mapping):
            _check_inner(where, inner, f"{name}.", k)
            continue
        is_model = isinstance(inner, Model)
        parts = [(f"{name}.{p}", getattr(inner, p)) for p in ("weights", "statistics")] if is_model else [(name, inner)]
        for part, tensor in parts:
            if not isinstance(tensor, Tensor):
                raise InputError(f"{where} has {part}, {described(tensor)}; write {_tensor_advice(tensor, k)}.")
            if k is not None and tensor.shape[:1] != (k,):
                raise InputError(
                    f"{where} has {part} of shape {tuple(tensor.shape)}, and its first axis has to be the {k} "
                    f"client{'s' * (k > 1)} of the chunk; return (K, ...), such as (K, 1) for a number a client."
                )


def _tensor_advice(value: Any, k: int | None) -> str:
    if isinstance(value, bool | int | float):
        return f"torch.full_like(client.examples, {value})" if k is not None else f"torch.tensor([{float(value)}])"
    return "a tensor, a Model, or a dict of these"


def check_pair(where: str, value: Any) -> None:
    """The result of `local_update` is a message and a state."""
    if not isinstance(value, tuple | list) or len(value) != 2:
        size = f" of {len(value)}" if isinstance(value, tuple | list) else ""
        raise InputError(
            f"{where} returns {described(value)}{size}, not the pair of message and state; write: return message, "
            "state."
        )


def check_state_like(where: str, state: Any, initial: Mapping[str, Any], k: int) -> None:
    """A new client state has the keys, and a row's shapes, of `client_state`."""
    check_tensors(where, state, k, "{} for a stateless client")
    shapes, first_shapes = ({path: tuple(t.shape) for path, t in tensors(tree).items()} for tree in (state, initial))
    extra, absent = sorted(shapes.keys() - first_shapes.keys()), sorted(first_shapes.keys() - shapes.keys())
    if extra or absent:
        key = (extra or absent)[0]
        has, client_state_has = ("has", "does not have") if extra else ("does not have", "has")
        raise InputError(
            f"{where} {has} {key!r}, which the state of client_state {client_state_has}; return the same keys from "
            "both, because clients in their first round are trained together with others."
        )
    for path, first_shape in first_shapes.items():
        if shapes[path][1:] != first_shape:
            raise InputError(
                f"{where} has {path} of shape {shapes[path][1:]} for each client, and client_state gives "
                f"{first_shape}; return the same shape from both, with the axis K first from local_update."
            )


def check_model(where: str, value: Any, layout: Layout, k: int | None) -> None:
    """A Model (P,), (S,), or (K, P), (K, S) where `k` is given."""
    sizes = layout.size, sum(shape.numel() for shape in layout.statistics.values())
    wanted = " and ".join(f"({size},)" for size in sizes)
    if k is not None:
        wanted = " and ".join(f"(K, {size})" for size in sizes) + f" or {wanted}"
    if not isinstance(value, Model):
        raise InputError(f"{where} is {described(value)}; give a Model of shapes {wanted}.")
    for vector, size in zip((value.weights, value.statistics), sizes, strict=True):
        if not isinstance(vector, Tensor):
            raise InputError(f"{where} is a Model that holds {described(vector)}; give a Model of shapes {wanted}.")
        allowed = {(size,)} | ({(k, size), (1, size)} if k is not None else set())
        if tuple(vector.shape) not in allowed:
            raise InputError(f"{where} is {described(value)}; give a Model of shapes {wanted}.")


def check_default_delta(name: str, message: Mapping[str, Any], model: Any) -> None:
    """The default `server_update` adds the reduced `delta` to the server's model."""
    if "delta" not in message:
        keys = ", ".join(map(repr, message))
        raise InputError(
            f"{name}.local_update sends {keys} and no 'delta', which the default server_update needs; send the change "
            "of the model under 'delta', or write server_update."
        )
    delta = message["delta"]
    if not isinstance(delta, Model):
        raise InputError(
            f"{name}.local_update sends {described(delta)} under 'delta', and the default server_update needs a Model; "
            "send client.fit(x).model - x."
        )
    if isinstance(model, Model):
        for new, old in ((delta.weights, model.weights), (delta.statistics, model.statistics)):
            if new.shape[1:] != old.shape:
                raise InputError(
                    f"{name}.local_update sends {described(delta)} under 'delta', and the server's model is "
                    f"{described(model)}; send (K, ...) of the same lengths."
                )


def check_averaged(where: str, message: Mapping[str, Any], weighting: Mapping[str, str]) -> None:
    """A mean is of numbers. Small integers would overflow in the weighted sum. Weights are added in 64 bits."""
    for path, tensor in tensors(message).items():
        if tensor.is_floating_point() or is_weight(weighting, path):
            continue
        if tensor.dtype == torch.bool or tensor.dtype.itemsize < 4:
            kind = str(tensor.dtype).removeprefix("torch.")
            raise InputError(
                f"{where} has {path} of type {kind}, of which there is no mean; send {path}.to(client.examples), or "
                "set needs_all=True to get each message."
            )


def check_saved(where: str, state: Mapping[str, Any]) -> None:
    """A server state is read from a checkpoint as it was saved."""
    for key, value in shortened(state).items():
        try:
            devices = [
                t.device for t in tensors(value).values() if t.device.type != "cpu"
            ]  # a step count is on the CPU
            resumed = as_resumed({key: value}, *devices[:1])
        except Exception:
            path, leaf = _first_unsaved(f"{key}", value)
            raise InputError(
                f"{where} keeps {path}, {described(leaf)}, which a resumed run cannot read from a checkpoint; keep "
                f"{_PLAIN}{_plain_advice(leaf)}."
            ) from None
        if differ({key: value}, resumed, depth=8) and not differ(value, value):
            raise InputError(
                f"{where} keeps {key}, {described(value)}, which a checkpoint returns in another form; keep {_PLAIN}."
            )


def _first_unsaved(path: str, value: Any) -> tuple[str, Any]:
    """The smallest part of a value that a checkpoint cannot hold."""
    parts: list[tuple[str, Any]] = []
    if isinstance(value, Mapping):
        parts = [(f"{path}.{key}", inner) for key, inner in value.items()]
    elif isinstance(value, list | tuple):
        parts = [(f"{path}[{number}]", inner) for number, inner in enumerate(value)]
    for inner_path, inner in parts:
        try:
            as_resumed([inner])
        except Exception:
            return _first_unsaved(inner_path, inner)
    return path, value


def _plain_advice(value: Any) -> str:
    module = type(value).__module__.partition(".")[0]
    if module == "numpy":
        return ", such as torch.from_numpy(array)" if type(value).__name__ == "ndarray" else ", such as value.item()"
    if isinstance(value, Model):
        return ", such as a dict of Models in place of a list"
    return ""
