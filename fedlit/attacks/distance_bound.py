"""Min-max and min-sum: the largest deviation whose distances are within those of the known messages."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from fedlit.attacks.collusion import CollusiveAttack, Knowledge, Known
from fedlit.messages.wire import Wire

Direction = Literal["unit", "std", "sign"]
_BLOCK = 2**20  # entries of a message that are in 64 bits at a time


@dataclass(frozen=True)
class Distances:
    """Squared distances of H messages m_i from m(gamma) = mu + gamma p, over all keys, in 64 bits:

        |m(gamma) - m_i|^2 = pp gamma^2 - 2 along_i gamma + gram_ii,  with c_i = m_i - mu.

    Attributes:
        gram: (H, H) of c_i . c_j.
        along: (H,) of p . c_i.
        pp: () of p . p.
    """

    gram: Tensor
    along: Tensor
    pp: Tensor

    def between(self) -> Tensor:
        """(H, H) the squared distances |m_i - m_j|^2."""
        squares = self.gram.diagonal()
        return squares[:, None] + squares[None, :] - 2 * self.gram

    def largest_gamma(self, a: Tensor, b: Tensor, c: Tensor) -> Tensor:
        """The largest gamma with a gamma^2 - 2 b gamma <= c; 0 where a is 0, because there is no direction."""
        root = (b + (b.square() + a * c.clamp_min(0)).sqrt()) / a.where(a > 0, 1)
        return root.where(a > 0, 0)


class DistanceBound(CollusiveAttack):
    """All malicious clients send m = mu + gamma p, with the mean mu of the messages that they know, and the largest
    gamma that a bound on distances allows (Shejwalkar and Houmansadr 2021, section 5). The distances are over the
    weights of all Models in a message together.

    p is -mu / |mu| ("unit"), -sigma, the standard deviations of the entries ("std"), or -sign(mu) ("sign").

    The paper searches gamma by halving steps (algorithm 1). The bounds are quadratic in gamma, so their root is taken.
    """

    def __init__(
        self,
        clients: float | Sequence[int] = 0.2,
        rounds: Sequence[int] | Mapping[str, int] | None = None,
        knowledge: Knowledge = "all",
        direction: Direction = "std",
    ):
        """
        Args:
            clients, rounds, knowledge: see `CollusiveAttack`.
            direction: of the deviation.
        """
        super().__init__(clients, rounds, knowledge)
        self.direction = direction

    def agree(self, known: Known, state: dict[str, Any]) -> tuple[Wire, dict[str, Any]]:
        means = {key: m.mean(0, keepdim=True) for key, m in known.messages.items()}
        directions = self._directions(known.messages, means)
        gamma = self.gamma(_distances(known.messages, means, directions))
        return {key: mean + gamma.to(mean.dtype) * directions[key] for key, mean in means.items()}, state

    @abstractmethod
    def gamma(self, distances: Distances) -> Tensor:
        """() the largest factor within the bound."""

    def _directions(self, messages: Wire, means: Wire) -> Wire:
        if self.direction == "std":
            return {key: -m.std(0, correction=0, keepdim=True) for key, m in messages.items()}
        if self.direction == "sign":
            return {key: -mean.sign() for key, mean in means.items()}
        squares = torch.stack([mean.double().square().sum() for mean in means.values()])
        norm = squares.sum().sqrt()
        return {key: -mean / norm.where(norm > 0, 1).to(mean.dtype) for key, mean in means.items()}


class MinMax(DistanceBound):
    """max_i |m - m_i| <= max_ij |m_i - m_j| (equation 8): m is no further from a message than two messages are."""

    def gamma(self, distances: Distances) -> Tensor:
        room = distances.between().max() - distances.gram.diagonal()
        return distances.largest_gamma(distances.pp.expand_as(room), distances.along, room).min()


class MinSum(DistanceBound):
    """sum_i |m - m_i|^2 <= max_i sum_j |m_i - m_j|^2 (equation 9): m is no further from all messages than one of
    them is."""

    def gamma(self, distances: Distances) -> Tensor:
        room = distances.between().sum(1).max() - distances.gram.diagonal().sum()
        known = len(distances.gram)
        return distances.largest_gamma(known * distances.pp, distances.along.sum(), room)


def _distances(messages: Wire, means: Wire, directions: Wire) -> Distances:
    centred = [_blocks(messages[key], means[key], directions[key]) for key in messages]
    sums = [(c @ c.T, c @ p, p @ p) for pairs in centred for c, p in pairs]
    gram, along, pp = (torch.stack(parts).sum(0) for parts in zip(*sums, strict=True))
    return Distances(gram, along, pp)


def _blocks(messages: Tensor, mean: Tensor, direction: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """(H, B) centred messages and (B,) the direction, block by block, in 64 bits."""
    m, mu, p = messages.flatten(1), mean.flatten(), direction.flatten()
    for begin in range(0, m.shape[1], _BLOCK):
        cut = slice(begin, begin + _BLOCK)
        yield m[:, cut].double() - mu[cut].double(), p[cut].double()
