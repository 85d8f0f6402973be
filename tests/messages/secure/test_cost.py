"""What a secure sum costs, against a NumPy loop that expands the same masks in the same process."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch

from fedlit.messages.reductions import ProtocolClient, SecureSum
from fedlit.messages.wire import num_bytes
from fedlit.round import Round
from fedlit.server_round import ServerRound

N, SIZE, LOST = 50, 100_000, 15


def seconds(run: Callable[[], Any]) -> float:
    began = time.perf_counter()
    run()
    return time.perf_counter() - began


def expanded(masks: int) -> float:
    """The seconds of a loop that makes masks by AES-CTR and adds them."""
    from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

    keys = [os.urandom(32) for _ in range(masks)]

    def loop() -> None:
        total = np.zeros(SIZE, np.uint32)
        for key in keys:
            stream = Cipher(algorithms.AES(key), modes.CTR(bytes(16))).encryptor().update(bytes(4 * SIZE))
            total += np.frombuffer(stream, np.uint32)

    return seconds(loop)


@dataclass
class Cost:
    clients: float = 0.0  # seconds of all
    server: float = 0.0
    upload: float = 0.0  # bytes of a client


def round_of(reduction: SecureSum) -> Cost:
    """All trips of a round, of which the last 15 clients do not send their masked message."""
    cohort, cost = list(range(N)), Cost()
    round = Round(number=1, seed=0, cohort=cohort, clients=N)
    server = reduction.start({}, ServerRound(number=1, seed=0, cohort=cohort, clients=N))
    numbers, examples = torch.arange(N)[:, None], torch.full((N, 1), 60.0)
    alive = cohort
    at = ProtocolClient(numbers, examples, round)
    message = {"delta.weights": torch.rand(N, SIZE)}
    began = time.perf_counter()
    sent, kept = reduction.first(at, message, {})
    for trip in range(2, 6):
        cost.clients += time.perf_counter() - began
        cost.upload += num_bytes(sent) / len(alive)
        if trip == 4:
            alive = cohort[: N - LOST]
            sent, kept = ({key: value[: N - LOST] for key, value in part.items()} for part in (sent, kept))
        began = time.perf_counter()
        server.add(alive, sent, examples[alive])
        if trip == 5:
            break
        asked = server.ask()
        cost.server += time.perf_counter() - began
        at = ProtocolClient(numbers[alive], examples[alive], round, trip, asked.to_all, asked.to_each)
        began = time.perf_counter()
        sent, kept = reduction.answer(at, kept)
    assert server.finish().message
    cost.server += time.perf_counter() - began
    return cost


@pytest.mark.slow
def test_masks_are_most_of_the_cost() -> None:
    """A client after training, and the server, take three times as long as the masks at most; the best of five rounds,
    because the machine may do other work."""
    ratios = []
    for _ in range(5):
        of_client, of_server = expanded(N), expanded(LOST * (N - LOST) + N - LOST)
        cost = round_of(SecureSum(most_examples=60))
        ratios.append((cost.clients / N / of_client, cost.server / of_server))
        print(
            f"a client {cost.clients / N:.4f} s, its masks {of_client:.4f} s; server {cost.server:.3f} s, its masks "
            f"{of_server:.3f} s; upload {cost.upload / (4 * SIZE):.3f} of float32"
        )
    assert min(client for client, _ in ratios) < 3
    assert min(server for _, server in ratios) < 3
    assert cost.upload < 1.05 * 4 * SIZE
