"""The model that a client would use: the personal one where the algorithm or fine-tuning gives one."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeGuard

from fedlit.aggregators.base import Aggregator, State
from fedlit.errors import InputError
from fedlit.federation import Federation
from fedlit.model_vectors import Layout, Model
from fedlit.server_round import ServerRound
from fedlit.state import FederationState
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

    def check(self, federation: Federation, state: FederationState) -> None:
        """Refuse an algorithm without a model to begin at, and warn of personal models that are not measured.

        Raises:
            InputError: clients receive no whole model and have none of their own.
        """
        aggregator = federation.aggregator
        round = federation.round(state.round + 1, [0], "evaluate")
        # what the one client of pooled data keeps belongs to no client
        are_personal = not federation.clients.pooled and has_personal_models(federation, state, round)
        if sends_one_model(federation, state):
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


def has_personal_models(federation: Federation, state: FederationState, round: ServerRound) -> bool:
    """Whether clients may use another model than the one that all of them receive: the algorithm overrides `personal`,
    or the clients of the round get their models by `download`."""
    if type(federation.aggregator).personal is not Aggregator.personal:
        return True
    return "model" in federation.downloads(state, round)


def sends_one_model(federation: Federation, state: FederationState) -> bool:
    """Whether all clients receive one whole model."""
    model = federation.aggregator.broadcast(state.server).get("model")
    return is_whole(model, federation.initial_model.weights.shape[-1])


def is_whole(model: Any, size: int) -> TypeGuard[Model]:
    """Whether a value is a model with all trained parameters (`size`), one a client or one for all."""
    return isinstance(model, Model) and model.weights.dim() <= 2 and model.weights.shape[-1] == size
