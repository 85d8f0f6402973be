"""What an algorithm is given for its clients: the same words for one client on a Trainer and for a stack of them.

Everything an algorithm gets or gives for clients has the leading axis K, one row a client: (K, P), (K, S), (K, 1). On a
Lightning Trainer K is 1. The server's own tensors have no such axis and broadcast.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from torch import Tensor

from fedlit.model_vectors import Model
from fedlit.round import Round

AdjustGradient = Callable[..., Tensor]  # correct(grad, weights, *using) -> gradient, elementwise on matching pieces
GradientFn = Callable[..., Any]  # rule(step, weights, *using, **beside) -> gradient (K, P), or (gradient, new beside)


@dataclass
class Fitted:
    """What one local training gives."""

    model: Model  # (K, P), (K, S) after training
    steps: Tensor  # (K, 1) optimiser steps taken
    lr: Tensor  # (K, 1) sum of the steps' learning rates; (K, P) where parameter groups differ
    loss: Tensor  # (K, 1) mean training loss over the steps
    carry: dict[str, Tensor] = field(default_factory=dict)  # what moved along with the weights


class Step(ABC):
    """One optimiser step's batch, as a rule sees it: the user's loss and features at any weights (K, P).

    The step's own forward pass has moved the running statistics already: these calls leave them alone, and they repeat
    that pass's random draws, so the loss at the step's weights is the step's loss.
    """

    lr: Tensor  # (K, 1) the step's learning rate; (K, P) where parameter groups differ

    @abstractmethod
    def loss(self, weights: Tensor, part: tuple[int, int] = (0, 1)) -> Tensor:
        """The user's loss (K,) on every n-th sample from the i-th on, `part` = (i, n); on all where the batch is
        shorter than n. Differentiable as often as wished."""

    @abstractmethod
    def features(self, weights: Tensor) -> Tensor:
        """What goes into the linear layer that runs last, (K, B, D)."""

    @abstractmethod
    def outputs(self, weights: Tensor) -> Tensor:
        """What comes out of the linear layer that runs last, (K, B, C)."""

    @property
    @abstractmethod
    def targets(self) -> Tensor:
        """The batch's targets, its last tensor, (K, B, ...)."""


class Client(ABC):
    """K clients at a time."""

    round: Round
    number: Tensor  # (K, 1) which clients these are
    examples: Tensor  # (K, 1) their training samples
    moved: Tensor  # (K, 1) bool: every fit so far made a step. Who did not move is taken out before the reduction

    @abstractmethod
    def fit(
        self,
        model: Model,
        epochs: int | None = None,
        adjust_gradient: AdjustGradient | None = None,
        extras: Sequence[Tensor] = (),
        trainable: Model | None = None,
        gradient_fn: GradientFn | None = None,
        carry: dict[str, Tensor] | None = None,
    ) -> Fitted:
        """Train from `model` with the user's training_step and configure_optimizers.

        Args:
            model: where to start, (K, P) and (K, S), or (P,) and (S,) for all alike.
            epochs: local epochs; None is the configuration's `local_epochs`.
            correct: `correct(grad, weights, *using)` gives the gradient to step along. It is elementwise and sees
                matching pieces of its arguments, tensor by tensor or the whole vector.
            using: what `correct` or `rule` needs besides; what differs from client to client reaches them this way,
                never by a closure, for they are called for some rows of a stack. Under `correct` of shape (K, P) or
                (P,); under `rule` any shape after K, or (D,) for all alike.
            only: a Model of bools: what may move. The rest gets no gradient, no momentum and no weight decay.
            rule: `rule(step, weights, *using, **beside)` gives the gradient (K, P) in place of the plain one, and,
                where there is a `beside`, a dict of that one's new values as a second value.
            beside: tensors (K, ...) that move along with the weights.
        """

    @abstractmethod
    def loss(self, model: Model, on: Literal["train", "validation"] = "train") -> Tensor:
        """Mean loss (K, 1) of `model` on the clients' training or validation data, in evaluation mode."""

    @abstractmethod
    def draw(self, kind: Literal["normal", "uniform"], what: str, like: Tensor) -> Tensor:
        """Random numbers of `like`'s shape (K, ...), from a stream keyed by seed, round, client, `what`, and how often
        it was asked for."""
