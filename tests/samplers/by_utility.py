"""Samplers of the literature that see the sizes of the shards, ask for losses, or keep a state."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from fedlit.samplers import Probe, Sampler


class PowerOfChoice(Sampler):
    """Cho et al. 2020 (power-of-choice): of `candidates` clients, drawn with probability n_k / n and without
    replacement, the `number` with the largest losses."""

    def __init__(self, candidates: int, number: int):
        self.candidates, self.number = candidates, number

    def setup(self, sizes: np.ndarray) -> None:
        self.shares = sizes / sizes.sum()

    def __call__(self, round_number: int, rng: np.random.Generator, clients: int, probe: Probe) -> Sequence[int]:
        drawn = rng.choice(clients, self.candidates, replace=False, p=self.shares)
        return drawn[np.argsort(-probe(drawn), kind="stable")[: self.number]].tolist()

    def expected(self, clients: int) -> float:
        return float(self.number)


class LastLosses(Sampler):
    """After Lai et al. 2021 (Oort, without its pacer and its blacklist): n_k times the last training loss, and
    sqrt(0.1 log R / R_k) times the largest such utility, where R_k is the round in which client k arrived last. Clients
    that were never asked come first, in a random order."""

    def __init__(self, number: int = 2):
        self.number = number

    def setup(self, sizes: np.ndarray) -> None:
        self.sizes = torch.from_numpy(sizes.astype(np.float64))

    def initial_state(self) -> dict[str, Any]:
        return {"loss": torch.zeros(len(self.sizes)).double(), "last": torch.zeros(len(self.sizes)).long(), "round": 0}

    def choose(
        self, round_number: int, rng: np.random.Generator, clients: int, probe: Probe, state: dict[str, Any]
    ) -> tuple[Sequence[int], dict[str, Any]]:
        utility = self.sizes * state["loss"]
        uncertain = (0.1 * np.log(round_number) / state["last"].clamp_min(1)).sqrt()
        score = (utility + uncertain * utility.max()).numpy()
        score[state["last"].numpy() == 0] = np.inf
        order = rng.permutation(clients)
        chosen = order[np.argsort(-score[order], kind="stable")][: self.number]
        return chosen.tolist(), {**state, "round": round_number}

    def observe(self, state: dict[str, Any], losses: Mapping[int, float]) -> dict[str, Any]:
        for client, loss in losses.items():
            state["loss"][client], state["last"][client] = loss, state["round"]
        return state

    def expected(self, clients: int) -> float:
        return float(self.number)
