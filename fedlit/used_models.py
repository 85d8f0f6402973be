"""The model that a client would use: the personal one where the algorithm or fine-tuning gives one."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeGuard

from fedlit.aggregators.base import Aggregator, State
from fedlit.errors import InputError
from fedlit.model_vectors import Layout, Model
from fedlit.training.chunk_client import ChunkClient

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class FineTuning:
    """The personal model is the received model after E local epochs, under every algorithm.

    Where no whole model is received (`local`, `fedper`), the epochs begin at the algorithm's own personal model.
    Nothing of them is kept.
    """

    epochs: int
    trainable: Model | None = None  # bools (P,), (S,): the positions that may change; None: all

    @classmethod
    def of(cls, epochs: int, only: str | Sequence[str] | None, layout: Layout) -> FineTuning | None:
        """The options `evaluation.finetune` and `evaluation.finetune_only`; None without epochs.

        Raises:
            InputError: a pattern fits no name, or no trained parameter.
        """
        if not epochs:
            return None
        if only is None:
            return cls(epochs)
        try:
            trainable = layout.where(only)
        except InputError as error:
            raise InputError(f"evaluation.finetune_only={only}: {error}") from error
        if not bool(trainable.weights.any()):
            raise InputError(
                f"evaluation.finetune_only={only}: it holds no trained parameter; name a layer that is trained."
            )
        return cls(epochs, trainable)

    def check(
        self, aggregator: Aggregator, server: State, layout: Layout, clients: Sequence[int], pooled: bool
    ) -> None:
        """Refuse an algorithm without a model to begin at, and warn of personal models that are not measured.

        Args:
            server: the server's state.
            clients: those that are evaluated.
            pooled: one client trains on all shards, and what it keeps belongs to no client.

        Raises:
            InputError: clients receive no whole model and have none of their own.
        """
        are_personal = not pooled and has_personal_models(aggregator, server, clients)
        if is_whole(aggregator.broadcast(server).get("model"), layout.size):
            if are_personal:
                log.warning(
                    "evaluation.finetune=%d: the received model is fine-tuned and measured, and not %s's own personal "
                    "models; write evaluation.finetune=0 to measure those.",
                    self.epochs,
                    aggregator,
                )
        elif not are_personal:
            raise InputError(
                f"evaluation.finetune={self.epochs}: {aggregator} gives a client no model to begin at; write "
                "evaluation.finetune=0, or another aggregator."
            )


@dataclass(frozen=True)
class UsedModels:
    """`models(client, received, state)` gives the models (K, P), (K, S) that clients would use on their own data, or
    (P,), (S,) where all use the same. Picklable."""

    aggregator: Aggregator
    finetuning: FineTuning | None = None

    def __call__(self, client: ChunkClient, received: State, state: State) -> Model:
        tuning = self.finetuning
        if tuning is None:
            return self.aggregator.personal(client, received, state)
        start = received.get("model")
        if not is_whole(start, client.layout.size):
            start = self.aggregator.personal(client, received, state)
        return client.fit(start, epochs=tuning.epochs, trainable=tuning.trainable).model


def has_personal_models(aggregator: Aggregator, server: State, clients: Sequence[int]) -> bool:
    """Whether an algorithm gives clients models of their own: it overrides `personal`, or a client's model comes by
    `download`."""
    if type(aggregator).personal is not Aggregator.personal:
        return True
    if type(aggregator).download is Aggregator.download:
        return False
    return any("model" in aggregator.download(server, client) for client in clients)


def is_whole(model: Any, size: int) -> TypeGuard[Model]:
    """Whether a value is a model with all trained parameters (`size`), one a client or one for all."""
    return isinstance(model, Model) and model.weights.dim() <= 2 and model.weights.shape[-1] == size
