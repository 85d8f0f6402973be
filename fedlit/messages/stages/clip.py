"""A bound on the norm of each message."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor

from fedlit.errors import InputError
from fedlit.messages.stages.base import Place
from fedlit.messages.stages.keyed_stage import KeyedStage
from fedlit.messages.stages.option_checks import check_number
from fedlit.messages.stages.scales import euclidean_norm, largest, nonzero, wide
from fedlit.messages.stages.stage_client import StageClient
from fedlit.messages.wire import Wire
from fedlit.model_vectors import Model
from fedlit.server_round import ServerRound

BELOW = "clip.below"


class Clip(KeyedStage):
    """All model vectors Delta of a message together are scaled to a norm of at most S:

        Delta min(1, S / ||Delta||)

    (McMahan et al. 2018, "Learning Differentially Private Recurrent Language Models", section 2, flat clipping.)
    Statistics and other values travel unchanged. After compression, ||Delta|| is that of the message as the server
    decodes it, and the parts are scaled.

    With `quantile` gamma S follows that quantile of the clients' norms (Andrew et al. 2021, "Differentially Private
    Learning with Adaptive Clipping", algorithm 1). Each client sends b_k = 1 if ||Delta_k|| <= S and else 0, as
    `clip.below`, one number. The server keeps S, sends it to the clients, and from the mean b of a round makes

        S <- S exp(-server_lr (b - gamma)).

    The paper adds noise to b; this stage adds none, so that S is not private.

    Clipping alone works under any weights of the clients: `uniform` is False. b is weighed as other keys are, by
    examples if the weighting does not say otherwise.

    The row of metrics has the share of the clients whose messages were clipped, `clipped`; with `quantile` also S,
    `norm`.

    Args:
        norm: S; with `quantile` that of the first round.
        quantile: gamma, in [0, 1]; None: S is constant.
        server_lr: the paper's eta_C.
        keys: see `KeyedStage`.
    """

    place: ClassVar[Place] = "limit"
    adds: ClassVar[tuple[str, ...]] = (BELOW,)

    def __init__(
        self,
        norm: float = 1.0,
        quantile: float | None = None,
        server_lr: float = 0.2,
        keys: Sequence[str] | None = None,
    ):
        check_number(self, "norm", norm, 0, low_open=True)
        check_number(self, "server_lr", server_lr, 0, low_open=True)
        if quantile is not None:
            check_number(self, "quantile", quantile, 0, 1)
        super().__init__(keys)
        self.norm, self.quantile, self.server_lr = norm, quantile, server_lr

    def bound(self, norm: float | None) -> float | None:
        """The smaller of `norm` and S; `norm` if S adapts, or if `keys` may leave vectors out."""
        if self.quantile is not None or self.keys is not None:
            return norm
        return self.norm if norm is None else min(norm, self.norm)

    def server_state(self, model: Model) -> dict[str, Any]:
        return {} if self.quantile is None else {"norm": wide(model.weights.new_full((1,), self.norm))}

    def broadcast(self, server: dict[str, Any]) -> Wire:
        return dict(server)

    def encode(self, client: StageClient, wire: Wire, state: dict[str, Any]) -> tuple[Wire, dict[str, Any]]:
        decoded = client.decoded(wire)
        keys = self.chosen_keys(client.stage, decoded)
        limit = self.norm if self.quantile is None else client.received["norm"]
        ratio = _ratio(limit, [wide(decoded[key]).flatten(1) for key in keys])
        scaled = {
            name: _scaled(value, ratio.clamp_max(1))
            for name, value in wire.items()
            if any(name == key or name.startswith(f"{key}.") for key in keys)
        }
        client.note("clipped", (ratio < 1).to(ratio.dtype))
        if self.quantile is None:
            return wire | scaled, state
        if BELOW in wire:
            raise InputError(
                f"uplink.{client.stage}: another stage has already sent {BELOW}, and only one norm can adapt; write "
                f"uplink.{client.stage}.quantile=null."
            )
        return wire | scaled | {BELOW: (ratio >= 1).to(ratio.dtype)}, state

    def reduced(
        self, reduced: Wire, server: dict[str, Any], round: ServerRound
    ) -> tuple[Wire, dict[str, Any], dict[str, float]]:
        if self.quantile is None:
            return reduced, server, {}
        if BELOW not in reduced:
            raise InputError(
                f"Clip: quantile={self.quantile} needs the mean of {BELOW}, and the reduction of the messages has lost "
                "it; write quantile=null, or another reduction."
            )
        reduced, norm = dict(reduced), server["norm"]
        below = reduced.pop(BELOW).mean().to(norm)  # one number, or those of all messages (`hands_over`)
        return reduced, {"norm": norm * torch.exp(self.server_lr * (self.quantile - below))}, {"norm": float(norm)}


def _ratio(limit: float | Tensor, vectors: Sequence[Tensor]) -> Tensor:
    """limit / || all vectors (K, n) together ||, (K, 1); infinite where they are zero. Nothing overflows where the
    vectors are finite."""
    top = torch.cat([largest(vector) for vector in vectors], 1).amax(1, keepdim=True)
    norms = [euclidean_norm(vector / nonzero(top)) for vector in vectors]
    return limit / nonzero(top) / euclidean_norm(torch.cat(norms, 1))


def _scaled(value: Any, factor: Tensor) -> Any:
    """Values (K, ...), or K tensors, times factors (K, 1). Integers are no factors of a message and stay."""
    if isinstance(value, list):
        return [_scaled(row[None], factor[k, None])[0] for k, row in enumerate(value)]
    if not value.is_floating_point():
        return value
    return value * factor.reshape(-1, *[1] * (value.dim() - 1)).to(value.dtype)
