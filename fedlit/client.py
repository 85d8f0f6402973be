"""The clients as an algorithm sees them: one interface for one client on a Trainer and for a stack of clients.

Every tensor that an algorithm receives or returns for clients has the leading axis K, one row a client: (K, P), (K, S)
or (K, 1). On a Lightning Trainer K is 1. The server's tensors have no such axis and broadcast.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from torch import Tensor

from fedlit.errors import InputError
from fedlit.model_vectors import Model
from fedlit.round import Round

AdjustGradient = Callable[..., Tensor]
"""`adjust_gradient(grad, weights, *extras) -> gradient`, elementwise on matching pieces."""

GradientFn = Callable[..., Any]
"""`gradient_fn(step, weights, *extras, **carry) -> gradient` (K, P), or `(gradient, new values of carry)`."""

CollectFn = Callable[..., dict[str, Tensor]]
"""`f(step, weights, *extras) -> {name: tensor (K, ...)}`, which is summed over the batches."""

CollectedPart = Literal["train", "validation", "public"]
"""The samples that `Client.loss` and `Client.collect` take; "public" are those of `data.public`, the same for all
clients and the server."""

ClientState = dict[str, Any]
"""The state of one client between rounds, by owner: "algorithm", "stages" (by a stage's name), "optimizer". No leading
axis."""


@dataclass
class Fitted:
    """The result of one local training."""

    model: Model  # (K, P), (K, S) after training
    steps: Tensor  # (K, 1) optimiser steps taken
    lr: Tensor  # (K, 1) sum of the steps' learning rates; (K, P) where parameter groups differ
    loss: Tensor  # (K, 1) mean training loss over the steps
    carry: dict[str, Tensor] = field(default_factory=dict)  # final values of the tensors in `carry`
    compute_gain: Callable[[], Tensor] | None = field(default=None, repr=False)  # see `gain`

    @property
    def gain(self) -> Tensor:
        """What the steps applied of a constant gradient of 1, from an empty momentum: (K, 1), or (K, P) where
        parameters differ. The change of the weights over it, (x - y) / gain, is the fit's mean gradient.

        The gradient is the one that SGD gets, after `adjust_gradient`, clipping and weight decay. Without momentum the
        gain is `lr`. With learning rate gamma_j and momentum rho it is sum_j gamma_j (1 - rho^j) / (1 - rho);
        `fedlit.training.sgd_gain` has the formula with dampening and Nesterov's momentum. Steps in which a parameter
        had no gradient are not in its gain. A parameter that was never stepped has the gain of another, so that a
        division gives 0. Under `maximize` the gain is negative.

        Raises:
            InputError: it is not defined: for another optimiser than torch.optim.SGD, and under
                `trainer.keep_optimizer_state=true`.
        """
        if self.compute_gain is None:
            raise InputError("this fit has no gain (Fitted.gain): it was not made by a trainer; divide by its lr.")
        return self.compute_gain()


class Step(Protocol):
    """A batch as a `gradient_fn`, or the function of `Client.collect`, sees it: the user's loss and features at any
    weights (K, P).

    In a fit the step's own forward pass has already updated the running statistics. These calls begin at the buffers
    before that pass, leave the statistics alone, and repeat its random draws, so the loss at the step's weights is the
    step's loss. In `Client.collect` the module is in evaluation mode.
    """

    examples: Tensor  # (K, 1) samples in the batch, as a floating number

    @property
    def lr(self) -> Tensor:
        """(K, 1) the step's learning rate; (K, P) where parameter groups differ, 0 at parameters that no optimiser
        holds. InputError in `Client.collect`."""

    @property
    def number(self) -> Tensor:
        """(K, 1) int64: the place of this batch among those of the fit, or of the `collect`, of each client, from 0."""

    def loss(self, weights: Tensor, part: tuple[int, int] = (0, 1)) -> Tensor:
        """The user's loss (K,) on every n-th sample from the i-th on, `part` = (i, n); on all samples where the batch
        is shorter than n (in a fit with batch normalisation: than 2n). It can be differentiated any number of times."""

    def features(self, weights: Tensor) -> Tensor:
        """The input of the linear layer that runs last, (K, B, D)."""

    def outputs(self, weights: Tensor) -> Tensor:
        """The output of the linear layer that runs last, (K, B, C)."""

    @property
    def targets(self) -> Tensor:
        """The batch's targets, (K, B, ...): the part that `data.target` names, else the second of a pair."""

    def draw(self, kind: Literal["normal", "uniform"], what: str, like: Tensor) -> Tensor:
        """Random numbers of `like`'s shape (K, ...), from a stream keyed by seed, round, client, fit, step, `what` and
        the number of earlier calls with the same `what` in this step."""


class Client(Protocol):
    """K clients at a time.

    Example: FedProx (Li et al. 2020) adds mu (w - x) to each gradient, where x is the received model:

        def local_update(self, client, received, state):
            x = received["model"]
            fitted = client.fit(x, adjust_gradient=lambda grad, w, x: grad + self.mu * (w - x), extras=(x.weights,))
            return {"delta": fitted.model - x}, state
    """

    round: Round
    number: Tensor  # (K, 1) the clients' numbers
    examples: Tensor  # (K, 1) their training samples
    moved: Tensor  # (K, 1) bool: every fit so far made a step. Other clients are removed before the reduction

    def fit(
        self,
        model: Model,
        epochs: int | Tensor | None = None,
        adjust_gradient: AdjustGradient | None = None,
        extras: Sequence[Tensor] = (),
        trainable: Model | None = None,
        gradient_fn: GradientFn | None = None,
        carry: dict[str, Tensor] | None = None,
    ) -> Fitted:
        """Train from `model` with the user's training_step and configure_optimizers.

        Args:
            model: the starting point, (K, P) and (K, S), or (P,) and (S,) where all clients share it.
            epochs: local epochs, a whole number or a tensor (K, 1) of them, one for each client. A client with 0 makes
                no step. None is the configuration's `local_epochs` or `local_updates`. A tensor is read once a fit,
                which waits for its device: on the CPU it costs nothing.
            adjust_gradient: `adjust_gradient(grad, weights, *extras)` returns the gradient to step along. It is
                elementwise and sees matching pieces of its arguments, tensor by tensor or the whole vector.
            extras: further arguments of `adjust_gradient` or `gradient_fn`. Tensors that differ between clients are
                passed here and never by a closure, because the functions may be called for some rows of a stack.
                Under `adjust_gradient` of shape (K, P) or (P,); under `gradient_fn` of any shape after K, or (D,) where
                all clients share it.
            trainable: a Model of bools: the positions that may change. The others get no gradient, no momentum and no
                weight decay.
            gradient_fn: `gradient_fn(step, weights, *extras, **carry)` returns the gradient (K, P) that replaces the
                plain one and, where `carry` is given, a dict of its new values as a second value.
            carry: tensors (K, ...) that are updated in each step along with the weights. They keep their types.
        """

    def loss(self, model: Model, on: CollectedPart = "train") -> Tensor:
        """Mean loss (K, 1) of `model` on the clients' training, validation or public data, in evaluation mode.

        Raises:
            InputError: there are no public samples.
        """

    def collect(
        self, model: Model, f: CollectFn, on: CollectedPart = "train", extras: Sequence[Tensor] = ()
    ) -> dict[str, Tensor]:
        """The sums over each client's batches of what `f` computes of a batch at `model`.

        It trains nothing: the module is in evaluation mode (running statistics are used and not changed, there is no
        dropout and no augmentation), no epoch, step or loss is counted, and no draw of a fit changes. A client without
        a fit is not idle. The batches are those of the job's batch size in the order of the part; the last one may be
        smaller, and none is left out. A client without samples gets zeros. A batch for which training_step returns None
        adds nothing where `f` asks for its loss.

        Example: the gradient of the clients' whole loss, the mean over their samples, as in option I of SCAFFOLD
        (Karimireddy et al. 2020, algorithm 1):

            def gradient(step, weights):
                (grad,) = torch.autograd.grad(step.loss(weights).sum(), weights)
                return {"gradient": step.examples * grad}

            full = client.collect(x, gradient)["gradient"] / client.examples.clamp_min(1)

        Args:
            model: (K, P) and (K, S), or (P,) and (S,) where all clients share it.
            f: `f(step, weights, *extras)` returns a dict of tensors (K, ...), the same keys and shapes for each batch.
                The weights (K, P) are a leaf that requires a gradient. It may be called for some rows of a stack.
            on: the samples: "train", "validation" or "public".
            extras: further arguments of `f`, as those of a `gradient_fn`.

        Returns:
            The sums (K, ...), by the keys of `f`, without a graph.

        Raises:
            InputError: `f` returns something else, asks for the loss of a module that trains in its step (manual
                optimisation), or there are no public samples.
        """

    def draw(self, kind: Literal["normal", "uniform"], what: str, like: Tensor) -> Tensor:
        """Random numbers of `like`'s shape (K, ...), from a stream keyed by seed, round, client, `what` and the number
        of earlier calls with the same `what`."""
