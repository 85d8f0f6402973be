"""What is known of the messages of a run before its first round."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from fedlit.errors import InputError
from fedlit.model_vectors import Layout


@dataclass(frozen=True)
class MessagePlan:
    """The messages of a run, for `Stage.check` and `Reduction.check`, which refuse what cannot go together.

    Attributes:
        algorithm: its name.
        message: flat key of the wire -> a tensor of the shape and type of one client's row, before any stage.
        weighting: key -> how messages are averaged.
        layout: positions of the module's tensors in a Model.
        clients: N, the number of clients of the federation.
        expected: mean size of a cohort.
        server_samples: samples that the server has of its own.
        most_examples, mean_examples: the largest and the mean number of training samples of a client.
        uplink: the names of the stages, in order.
        norm: the largest Euclidean norm of all model vectors of a message after its stages; None: there is no bound.
        reduction: the name of the reduction's class.
        blind: the server sees sums only.
        hands_over: the algorithm gets every message instead of one.
        exact: keys that stages leave as they are (`Aggregator.exact`).
        clients_step: a message is the change of a client's fit (`Aggregator.clients_step`); False: a gradient.
        place: the key of the reduction's options; within another one "reduction.inner", and `expected` counts what that
            one makes.
    """

    algorithm: str
    message: Mapping[str, Tensor]
    weighting: Mapping[str, str]
    layout: Layout
    clients: int
    expected: float
    server_samples: int = 0
    most_examples: int = 1
    mean_examples: float = 1.0
    uplink: tuple[str, ...] = ()
    norm: float | None = None
    reduction: str = "Mean"
    blind: bool = False
    hands_over: bool = False
    exact: tuple[str, ...] = ()
    clients_step: bool = True
    place: str = "reduction"

    def model_keys(self) -> list[str]:
        """See `model_keys`."""
        keys = model_keys({key: value[None] for key, value in self.message.items()}, self.layout.size)
        return [key for key in keys if key not in self.exact]

    def check_moves_model(self, what: str, remedy: str) -> None:
        """
        Args:
            what: what works on the vectors that move a model, such as "uplink: TopK".
            remedy: what to write instead, for the sentence.

        Raises:
            InputError: no vector of the messages moves a model.
        """
        if self.model_keys():
            return
        others = f", only {', '.join(self.message)}" if self.message else ""
        raise InputError(f"{what} works on the weights of models, and {self.algorithm} sends none{others}; {remedy}.")

    def check_keys(self, what: str, keys: Any) -> None:
        """
        Args:
            what: what needs the keys, such as "uplink.topk".
            keys: of the message, such as "delta", or of parts that stages make, such as "delta.weights.values".

        Raises:
            InputError: a key is neither in the message nor a part of one that is.
        """
        for key in keys:
            if not any(f"{name}.".startswith(f"{key}.") or key.startswith(f"{name}.") for name in self.message):
                raise InputError(
                    f"{what} needs {key} of a message, and {self.algorithm} sends {', '.join(self.message)}; choose "
                    "one of these keys, or another aggregator."
                )


def model_keys(wire: Mapping[str, Any], size: int = 0) -> list[str]:
    """The keys of the vectors that move a model: the weights of each Model in the message, and other floating-point
    tensors with as many numbers a client as the model has, such as SCAFFOLD's `c`.

    >>> import torch
    >>> k, p = 2, 3
    >>> wire = {"delta.weights": torch.zeros(k, p), "delta.statistics": torch.zeros(k, p), "c": torch.zeros(k, p)}
    >>> model_keys(wire | {"steps": torch.zeros(k, 1)}, size=p)
    ['delta.weights', 'c']

    Args:
        wire: (K, ...).
        size: P, `layout.size`.
    """
    keys = []
    for key, value in wire.items():
        if not torch.is_tensor(value) or not value.is_floating_point() or not value.numel():
            continue
        in_model = key.endswith(".weights")
        if in_model or (not key.endswith(".statistics") and size and value[0].numel() == size):
            keys.append(key)
    return keys
