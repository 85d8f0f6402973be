"""The client of a trial: the arguments of its `fit`, and what the algorithm's functions return, are checked."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

import torch
from torch import Tensor

from fedlit.algorithm_trial import fit_arguments as check
from fedlit.algorithm_trial.closures import client_tensors
from fedlit.algorithm_trial.returned_values import check_model
from fedlit.algorithm_trial.trees import described
from fedlit.client import AdjustGradient, Client, CollectedPart, CollectFn, Fitted, GradientFn
from fedlit.errors import InputError
from fedlit.global_generators import generator_states, isolated_generators
from fedlit.model_vectors import Layout, Model
from fedlit.training.collected_sums import check_returned

_MOST_EPOCHS = 2  # of one fit in the trial
_ADJUSTS, _STEPS = ("gradient", "weights"), ("step", "weights")  # the first arguments of the functions


class WatchedClient:
    """Gives what `client` gives.

    Args:
        where: the class and the method that gets the client.
        client: K clients.
        layout: of the module.
        by_pieces: call `adjust_gradient` on pieces of its arguments, as the other trainer does: tensor by tensor
            where it is called with whole vectors, and on halves of a tensor where it is called tensor by tensor.
    """

    def __init__(self, where: str, client: Client, layout: Layout, by_pieces: bool = False):
        self.where, self.client, self.layout, self.by_pieces = where, client, layout, by_pieces
        self.round, self.moved = client.round, client.moved
        self.number, self.examples = client.number.clone(), client.examples.clone()
        self.fits = 0
        self._collects = False  # a function of `collect` is running
        self.adjusts = self.replaces = False  # whether a fit had an adjust_gradient or a gradient_fn
        self.closed_over = ""  # a sentence on a tensor of clients in the closure of one of the functions

    def __getattr__(self, name: str) -> Any:
        return getattr(self.client, name)

    def fit(
        self,
        model: Model,
        epochs: int | Tensor | None = None,
        adjust_gradient: AdjustGradient | None = None,
        extras: Sequence[Tensor] = (),
        trainable: Model | None = None,
        gradient_fn: GradientFn | None = None,
        carry: dict[str, Tensor] | None = None,
        **unknown: Any,
    ) -> Fitted:
        """See `Client.fit`."""
        k = len(self.examples)
        check.check_fit(self.where, unknown, self._collects)
        self.fits += 1
        check_model(f"{self.where}: the model of client.fit", model, self.layout, k)
        check.check_trainable(self.where, trainable, self.layout, k)
        check.check_extras(self.where, extras, k, None if adjust_gradient is None else self.layout.size)
        check.check_carry(self.where, carry, k, used=gradient_fn is not None)
        if adjust_gradient is not None:
            self.adjusts = True
            check.check_arguments(f"{self.where}: its adjust_gradient", adjust_gradient, _ADJUSTS, extras)
            self._note_closure("adjust_gradient", adjust_gradient, k)
            adjust_gradient = self._watched_adjust_gradient(adjust_gradient)
        if gradient_fn is not None:
            self.replaces = True
            check.check_arguments(f"{self.where}: its gradient_fn", gradient_fn, _STEPS, extras, carry or {})
            self._note_closure("gradient_fn", gradient_fn, k)
            gradient_fn = self._watched_gradient_fn(gradient_fn, set(carry or ()))
        if epochs is not None:
            epochs = epochs.clamp(max=_MOST_EPOCHS) if isinstance(epochs, Tensor) else min(epochs, _MOST_EPOCHS)
        with isolated_generators(0):
            return self.client.fit(model, epochs, adjust_gradient, extras, trainable, gradient_fn, carry)

    def loss(self, model: Model, on: CollectedPart = "train") -> Tensor:
        """See `Client.loss`."""
        check_model(f"{self.where}: the model of client.loss", model, self.layout, len(self.examples))
        with isolated_generators(0):
            return self.client.loss(model, on)

    def collect(
        self, model: Model, f: CollectFn, on: CollectedPart = "train", extras: Sequence[Tensor] = ()
    ) -> dict[str, Tensor]:
        """See `Client.collect`."""
        k = len(self.examples)
        check_model(f"{self.where}: the model of client.collect", model, self.layout, k)
        check.check_extras(self.where, extras, k, None)
        check.check_arguments(f"{self.where}: its function of client.collect", f, _STEPS, extras)
        self._note_closure("function of client.collect", f, k)
        if on == "validation" and not any(len(job.validation) for job in self.jobs):
            raise InputError(
                f"{self.where}: client.collect sums over validation samples, and no client has any; write "
                "evaluation.client_validation=0.2, or on='train'."
            )
        with isolated_generators(0):
            return self.client.collect(model, self._watched_collect_fn(f), on, extras)

    def draw(self, kind: Literal["normal", "uniform"], what: str, like: Tensor) -> Tensor:
        """See `Client.draw`."""
        return self.client.draw(kind, what, like)

    # --- functions ----------------------------------------------------------------------------------------
    def _note_closure(self, name: str, function: Callable[..., Any], k: int) -> None:
        values = client_tensors(function, k)
        if values:
            self.closed_over = (
                f"{self.where}: its {name} reads {values[0]} from the scope around it, and may be called for some "
                "clients only; pass the tensor by extras=(...) and take it as a further argument."
            )

    def _failed(self, name: str, error: Exception) -> None:
        """Raise the sentence for an error in one of the functions that a closure explains."""
        if isinstance(error, RuntimeError | IndexError) and "size" in f"{error}":
            if self.closed_over:
                raise InputError(self.closed_over) from error
            if name == "adjust_gradient":
                raise InputError(self.not_elementwise()) from error

    def _watched_adjust_gradient(self, function: AdjustGradient) -> AdjustGradient:
        pieces = self.by_pieces

        def adjust_gradient(gradient: Tensor, weights: Tensor, *extras: Tensor) -> Tensor:
            nonlocal pieces
            weights_before, shape = weights.clone(), gradient.shape
            if pieces and _draws(function, gradient.clone(), weights_before.clone(), *extras):
                pieces = False  # the draws of pieces are others
            try:
                adjusted = (self._in_pieces if pieces else _called)(function, gradient, weights, *extras)
            except InputError:
                raise
            except Exception as error:
                self._failed("adjust_gradient", error)
                if pieces:
                    raise InputError(self.not_elementwise()) from error
                raise
            self._check_gradient("adjust_gradient", adjusted, shape)
            if not torch.equal(weights, weights_before) and not weights_before.isnan().any():
                raise InputError(
                    f"{self.where}: its adjust_gradient changes the weights in place; return the new gradient only."
                )
            return adjusted

        return adjust_gradient

    def not_elementwise(self) -> str:
        """The sentence for an `adjust_gradient` that gives other numbers, or fails, on pieces."""
        return (
            f"{self.where}: its adjust_gradient is not elementwise; it gets whole vectors or one tensor at a time, "
            "so that a norm or mean over positions depends on the trainer, and vectors of other lengths do not fit: "
            "write a gradient_fn, or pass vectors by extras."
        )

    def _in_pieces(self, function: AdjustGradient, *arguments: Tensor) -> Tensor:
        gradient = arguments[0]
        if gradient.dim() == 2 and gradient.shape[-1] == self.layout.size:  # whole vectors, a row a client
            rows = []
            for r in range(len(gradient)):
                named = [self.layout.pieces(t[r]) for t in arguments]
                parts = [function(*(pieces[name] for pieces in named)) for name in self.layout.weights]
                rows.append(torch.cat([part.reshape(-1) for part in parts]))
            return torch.stack(rows)
        vectors, middle = [t.reshape(-1) for t in arguments], gradient.numel() // 2
        cuts = [slice(0, middle), slice(middle, None)] if middle else [slice(None)]
        halves = [function(*(v[cut] if len(v) == gradient.numel() else v for v in vectors)) for cut in cuts]
        return torch.cat(halves).reshape(gradient.shape)

    def _watched_gradient_fn(self, function: GradientFn, carried: set[str]) -> GradientFn:
        def gradient_fn(step: Any, weights: Tensor, *extras: Tensor, **carry: Tensor) -> Any:
            try:
                result = function(step, weights, *extras, **carry)
            except InputError:
                raise
            except Exception as error:
                self._failed("gradient_fn", error)
                raise
            if carried:
                if not isinstance(result, tuple | list) or len(result) != 2 or not isinstance(result[1], dict):
                    raise InputError(
                        f"{self.where}: its gradient_fn returns {described(result)}; with `carry` it returns a pair, "
                        "the gradient and a dict of the new values of `carry`."
                    )
                self._check_new_carry(result[1], carry)
            elif isinstance(result, tuple | list):
                raise InputError(
                    f"{self.where}: its gradient_fn returns {described(result)}; without `carry` it returns the "
                    "gradient (K, P) alone, which torch.autograd.grad(...)[0] gives."
                )
            gradient = result[0] if carried else result
            self._check_gradient("gradient_fn", gradient, weights.shape)
            return result

        return gradient_fn

    def _watched_collect_fn(self, function: CollectFn) -> CollectFn:
        name = "function of client.collect"

        def collected(step: Any, weights: Tensor, *extras: Tensor) -> dict[str, Tensor]:
            self._collects = True
            try:
                returned = function(step, weights, *extras)
            except InputError:
                raise
            except Exception as error:
                self._failed(name, error)
                raise
            finally:
                self._collects = False
            try:
                check_returned(f"{self.where}: its {name}", returned, len(weights))
            except InputError as error:
                raise InputError(self.closed_over or str(error)) from None
            return returned

        return collected

    def _check_new_carry(self, new: dict[str, Any], carry: dict[str, Tensor]) -> None:
        for name, value in new.items():
            if name not in carry:
                raise InputError(
                    f"{self.where}: its gradient_fn returns a new value of {name!r}, which `carry` does not have; its "
                    f"names are {', '.join(carry)}."
                )
            if not isinstance(value, Tensor) or value.shape != carry[name].shape:
                raise InputError(
                    self.closed_over
                    or f"{self.where}: its gradient_fn returns {described(value)} for {name!r} of `carry`; return the "
                    f"shape that it got, {tuple(carry[name].shape)}."
                )

    def _check_gradient(self, name: str, gradient: Any, shape: torch.Size) -> None:
        if isinstance(gradient, Tensor) and gradient.shape == shape:
            return
        if self.closed_over:
            raise InputError(self.closed_over)
        raise InputError(
            f"{self.where}: its {name} returns {described(gradient)}, not a gradient of shape {tuple(shape)}; return a "
            "tensor of the shape of the weights."
        )


def _draws(function: Callable[..., Any], *arguments: Any) -> bool:
    """Whether a function draws from a global generator."""
    with isolated_generators(0):
        states = generator_states()
        function(*arguments)
        return generator_states() != states


def _called(function: Callable[..., Any], *arguments: Any) -> Any:
    return function(*arguments)
