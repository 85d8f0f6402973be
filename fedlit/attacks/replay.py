"""Replay."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from fedlit.attacks.transit import TransitAttack
from fedlit.errors import InputError
from fedlit.messages.stages.stage_client import StageClient
from fedlit.messages.wire import Wire


class Replay(TransitAttack):
    """Somebody between a client and the server lets the first message of the client pass and keeps it, and sends it
    again in place of each later one.

    Where the server refuses it, the client keeps its states, as after any lost message.
    """

    def kept(self, wire: Wire, k: int) -> dict[str, Any]:
        for key, value in wire.items():
            if isinstance(value, list):
                raise InputError(
                    f"attack=replay keeps messages of one length, and those under {key} have several; leave out the "
                    "stage that makes them."
                )
        none = torch.zeros(k, 1, dtype=torch.bool)
        return {"has_message": none, "message": {key: torch.zeros_like(value) for key, value in wire.items()}}

    def changed(
        self, client: StageClient, row: int, message: dict[str, Tensor], kept: dict[str, Any]
    ) -> tuple[dict[str, Tensor], dict[str, Any]]:
        if bool(kept["has_message"]):
            return dict(kept["message"]), kept
        return message, {"has_message": torch.ones_like(kept["has_message"]), "message": dict(message)}
