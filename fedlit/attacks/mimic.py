"""Mimic: Karimireddy et al. 2022."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from fedlit.attacks.collusion import CollusiveAttack, Knowledge, Known
from fedlit.device_copies import to_device
from fedlit.errors import InputError
from fedlit.messages.wire import Wire


class Mimic(CollusiveAttack):
    """All malicious clients send the message of one honest client, so that it counts too much (Karimireddy, He and
    Jaggi 2022, section 4; the warm-up is that of the authors' code). Each message is an honest one.

    In attacked round t = 0, 1, ... of the warm-up, over the known messages m_i and with z of norm 1,

        mu_t = (t mu_(t-1) + mean_i m_i) / (1 + t)
        v = sum_i <m_i - mu_t, z_(t-1)> (m_i - mu_t)
        z_t = (t z_(t-1) + v / |v|) / (1 + t), divided by its norm,

    which follows the direction of largest variance; z_(-1) is drawn. The mimicked client is argmax_i <m_i, z_t>. After
    the warm-up it is the last one; in a round in which its message has not arrived, the argmax by the last z.
    """

    def __init__(
        self,
        clients: float | Sequence[int] = 0.2,
        rounds: Sequence[int] | Mapping[str, int] | None = None,
        knowledge: Knowledge = "all",
        warmup: int = 10,
    ):
        """
        Args:
            clients, rounds, knowledge: see `CollusiveAttack`.
            warmup: attacked rounds in which the direction is learned, 1 or more.

        Raises:
            InputError: `warmup` is less.
        """
        super().__init__(clients, rounds, knowledge)
        if warmup < 1:
            raise InputError(f"attack.warmup={warmup}: the client to mimic is found in a round; write 1 or more.")
        self.warmup = warmup

    def agree(self, known: Known, state: dict[str, Any]) -> tuple[Wire, dict[str, Any]]:
        t, messages = int(state.get("t", 0)), known.messages
        mu, z = state.get("mu", {}), state.get("z", {})
        if t < self.warmup:
            z = z or self._first_direction(known)
            mu, z = _learned(messages, mu, z, t)
        scores = torch.stack([_scores(m, z[key]) for key, m in messages.items()]).sum(0)
        numbers = to_device(known.clients, scores.device)
        if t >= self.warmup:
            scores = scores.masked_fill(numbers == state["client"], torch.inf)
        row = scores.argmax(keepdim=True)
        client = numbers[row] if t < self.warmup else state["client"]
        return {key: m.index_select(0, row) for key, m in messages.items()}, {
            "t": t + 1,
            "mu": mu,
            "z": z,
            "client": client,
        }

    def _first_direction(self, known: Known) -> Wire:
        """A normal draw for each key, (P,)."""
        rng = known.round.generator("attack", "mimic")
        return {
            key: torch.from_numpy(rng.standard_normal(m.shape[1:])).to(m.dtype).to(m.device, non_blocking=True)
            for key, m in known.messages.items()
        }


def _learned(messages: Wire, mu: Wire, z: Wire, t: int) -> tuple[Wire, Wire]:
    """mu_t and z_t."""
    mu = {key: (t * mu[key] + m.mean(0)) / (1 + t) if t else m.mean(0) for key, m in messages.items()}
    centred = {key: m - mu[key] for key, m in messages.items()}
    inner = torch.stack([_scores(c, z[key]) for key, c in centred.items()]).sum(0)
    step = _unit({key: torch.tensordot(inner.to(c.dtype), c, 1) for key, c in centred.items()})
    return mu, _unit({key: (t * z[key] + v) / (1 + t) for key, v in step.items()} if t else step)


def _scores(messages: Tensor, direction: Tensor) -> Tensor:
    """(H,) inner products."""
    return messages.flatten(1) @ direction.flatten()


def _unit(vectors: Wire) -> Wire:
    """The vectors of all keys over their norm together; zeros stay."""
    norm = torch.stack([v.square().sum() for v in vectors.values()]).sum().sqrt()
    return {key: v / norm.where(norm > 0, 1).to(v.dtype) for key, v in vectors.items()}
