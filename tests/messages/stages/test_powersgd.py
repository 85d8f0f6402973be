"""PowerSGD against its paper's algorithm (tests/oracles/stages/powersgd.py), and against torch's hook for DDP."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.algorithms.ddp_comm_hooks import powerSGD_hook

from fedlit.errors import InputError
from fedlit.messages.stages import PowerSgd
from fedlit.messages.wire import Wire, num_bytes
from fedlit.model_vectors import Layout, Model
from fedlit.server_round import ServerRound
from tests.messages.stages.stage_clients import W, clients, vectors
from tests.oracles.stages import powersgd

SHARES = [0.5, 0.3, 0.2]


class Net(nn.Module):
    """(4, 3, 2), a number, (6, 5) and (6,), in this order: two matrices, (4, 6) and (6, 5)."""

    def __init__(self, *scale: int) -> None:
        super().__init__()
        self.filters = nn.Parameter(torch.zeros(4, 3, 2, dtype=torch.float64))
        self.scale = nn.Parameter(torch.zeros(scale, dtype=torch.float64))
        self.body = nn.Linear(5, 6, dtype=torch.float64)


LAYOUT = Layout(Net())
P = 61
RAW = [24, *range(55, 61)]  # the places of the other numbers


class Trips:
    """A federation of one stage: weighted means of what clients send in two trips."""

    def __init__(self, stage: PowerSgd, layout: Layout = LAYOUT):
        self.stage = stage
        stage.setup(layout, 10)
        self.server = stage.server_state(Model(torch.zeros(layout.size, dtype=torch.float64), torch.zeros(0)))
        self.states: list[dict[str, Any]] = [{} for _ in range(10)]
        self.up = self.down = 0
        self.number = 0

    def round(self, wire: Wire, numbers: list[int], shares: list[float]) -> Wire:
        self.number += 1
        chunks, means = [[row] for row in range(len(numbers))], []
        if self.number % 2:
            chunks = [list(range(len(numbers)))]
        received = self.stage.broadcast(self.server)
        self.down = num_bytes(received)
        for trip in (1, 2):
            rows: list[Wire] = []
            for chunk in chunks:
                sent = self._chunk(trip, received, {key: value[chunk] for key, value in wire.items()}, numbers, chunk)
                rows += [{key: value[r] for key, value in sent.items()} for r in range(len(chunk))]
            self.up = num_bytes(rows[0]) + (self.up if trip == 2 else 0)
            means.append({key: sum(a * row[key] for a, row in zip(shares, rows, strict=True)) for key in rows[0]})
            if trip == 1:
                received = self.stage.ask(means, self.server)
                self.down += num_bytes(received)
        reduced = self.stage.means(means, self.server)
        round = ServerRound(self.number, 0, numbers, 10, arrived=numbers)
        message, self.server, report = self.stage.reduced(reduced, self.server, round)
        assert report == {}
        return message

    def _chunk(self, trip: int, received: Wire, wire: Wire, numbers: list[int], chunk: list[int]) -> Wire:
        client = clients([numbers[r] for r in chunk], self.number)
        client.received = received
        if trip == 1:
            first = self.stage.state(client, wire)
            for place, r in enumerate(chunk):
                if not self.states[numbers[r]]:
                    self.states[numbers[r]] = {key: value[place] for key, value in first.items()}
        states = [self.states[numbers[r]] for r in chunk]
        stacked = {key: torch.stack([state[key] for state in states]) for key in states[0]}
        sent, after = (
            self.stage.encode(client, wire, stacked) if trip == 1 else self.stage.answer(client, received, stacked)
        )
        for place, r in enumerate(chunk):
            self.states[numbers[r]] = {key: value[place] for key, value in after.items()}
        return sent


def matrices(vector: Tensor) -> list[np.ndarray]:
    return [vector[:24].reshape(4, 6).numpy(), vector[25:55].reshape(6, 5).numpy()]


@pytest.mark.parametrize("feedback", [True, False])
@pytest.mark.parametrize("rank", [1, 2])
def test_means_are_those_of_the_paper(rank: int, feedback: bool) -> None:
    trips = Trips(PowerSgd(rank, feedback))
    starts = trips.stage.matrices.right(trips.server["q"])
    rounds = [vectors(3, P, seed=seed) for seed in range(5)]
    means = [trips.round({W: x, "n": x[:, :1]}, [0, 1, 2], SHARES) for x in rounds]
    shares = torch.tensor(SHARES, dtype=torch.float64)
    for number, start in enumerate(starts):
        by_worker = [[matrices(row)[number] for row in x] for x in rounds]
        expected = powersgd.means(by_worker, start.numpy(), SHARES, feedback)
        for mean, oracle in zip(means, expected, strict=True):
            np.testing.assert_allclose(matrices(mean[W])[number], oracle, rtol=1e-9, atol=1e-9)
    for x, mean in zip(rounds, means, strict=True):
        torch.testing.assert_close(mean[W][RAW], shares @ x[:, RAW], rtol=1e-12, atol=1e-12)
        assert mean.keys() == {W, "n"} and mean[W].shape == (P,)
        torch.testing.assert_close(mean["n"], shares @ x[:, :1])


def test_a_client_keeps_what_its_messages_have_lost() -> None:
    trips = Trips(PowerSgd(1))
    for number in range(1, 5):
        before = [state.get(f"residual.{W}", torch.zeros(P)) for state in trips.states]
        x = vectors(2, P, seed=number)
        mean = trips.round({W: x}, [number % 3, 4], [0.5, 0.5])[W]
        kept = [trips.states[client][f"residual.{W}"] for client in (number % 3, 4)]
        sent = x + torch.stack([before[number % 3], before[4]])
        torch.testing.assert_close(mean + sum(kept) / 2, sent.mean(0), rtol=1e-10, atol=1e-10)
        assert not any(bool(e[RAW].any()) for e in kept) and all(bool(e.any()) for e in kept)
    seldom = trips.states[0][f"residual.{W}"].clone()
    trips.round({W: vectors(1, P)}, [4], [1.0])
    assert torch.equal(trips.states[0][f"residual.{W}"], seldom)


def test_a_mean_of_the_rank_is_exact() -> None:
    rng = np.random.default_rng(0)
    rank_one = [torch.from_numpy(np.outer(rng.standard_normal(n), rng.standard_normal(m))) for n, m in ((4, 6), (6, 5))]
    raw = vectors(1, 7)[0]
    vector = torch.cat([rank_one[0].flatten(), raw[:1], rank_one[1].flatten(), raw[1:]])
    wire = {W: torch.stack([2 * vector, -0.5 * vector, vector])}
    for feedback in (True, False):
        mean = Trips(PowerSgd(1, feedback)).round(wire, [0, 1, 2], SHARES)[W]
        torch.testing.assert_close(mean, (1.0 - 0.15 + 0.2) * vector, rtol=1e-12, atol=1e-12)


def test_matrices_that_factors_make_no_smaller_travel_as_they_are() -> None:
    trips = Trips(PowerSgd(4), Layout(nn.Linear(9, 30, dtype=torch.float64)))  # 4 (30 + 9) < 270
    x = vectors(3, 300)
    assert not torch.allclose(trips.round({W: x}, [0, 1, 2], SHARES)[W], x.mean(0))
    both = PowerSgd(2)  # (4, 6) as 20 of 24 numbers, (6, 5) as 22 of 30
    both.setup(LAYOUT, 10)
    assert [piece.rank for piece in both.matrices.pieces] == [2, 0, 2, 0]
    with pytest.raises(InputError, match="rank=3 makes no matrix of the model smaller"):
        PowerSgd(3).setup(LAYOUT, 10)


def test_the_full_rank_gives_the_mean() -> None:
    """A matrix (30, 9) of rank 6: three of its columns are sums of others."""
    trips = Trips(PowerSgd(6), Layout(nn.Linear(9, 30, dtype=torch.float64)))
    x = vectors(3, 300)
    matrix = x[:, :270].reshape(3, 30, 9)
    matrix[:, :, 6:] = matrix[:, :, :3] - 2 * matrix[:, :, 3:6]
    shares = torch.tensor(SHARES, dtype=torch.float64)
    mean = trips.round({W: x}, [0, 1, 2], SHARES)[W]
    torch.testing.assert_close(mean, shares @ x, rtol=1e-10, atol=1e-10)


def test_bytes_up_and_down() -> None:
    for rank in (1, 2):
        trips = Trips(PowerSgd(rank))
        for _ in range(2):
            trips.round({W: vectors(3, P), "delta.statistics": torch.zeros(3, 0)}, [0, 1, 2], SHARES)
            assert trips.up == 8 * (rank * (4 + 6) + rank * (6 + 5) + 7)
            assert trips.down == 8 * rank * (4 + 6 + 6 + 5)


def test_zeros_stay_zeros_and_do_not_end_the_search() -> None:
    trips = Trips(PowerSgd(2))
    zero = torch.zeros(3, P, dtype=torch.float64)
    assert torch.equal(trips.round({W: zero}, [0, 1, 2], SHARES)[W], zero[0])
    x = vectors(1, P).expand(3, -1)
    errors = [float((trips.round({W: x}, [0, 1, 2], SHARES)[W] - x[0]).norm()) for _ in range(3)]
    assert errors[0] < 0.9 * float(x[0].norm())


def test_warm_start_finds_more_and_the_draws_of_a_cold_one_have_a_key() -> None:
    x = vectors(1, P).expand(3, -1)

    def errors(warm: bool) -> list[float]:
        trips = Trips(PowerSgd(1, feedback=False, warm_start=warm))
        return [float((trips.round({W: x}, [0, 1, 2], SHARES)[W] - x[0]).norm()) for _ in range(8)]

    warm, cold = errors(True), errors(False)
    assert all(later <= earlier + 1e-12 for earlier, later in pairwise(warm))
    assert warm[-1] < min(cold) + 1e-6 and len(set(cold)) == 8
    assert errors(False) == cold


def test_single_precision_and_16_bits() -> None:
    for dtype in (torch.float32, torch.bfloat16):
        trips = Trips(PowerSgd(1))
        x = vectors(3, P).to(dtype)
        for _ in range(2):
            mean = trips.round({W: x}, [0, 1, 2], SHARES)[W]
        assert mean.dtype == torch.float32 and torch.isfinite(mean).all()


def test_a_key_that_comes_later_is_named() -> None:
    trips = Trips(PowerSgd(1))
    trips.round({W: vectors(2, P)}, [0, 1], [0.5, 0.5])
    with pytest.raises(InputError, match="^uplink.tried: late.weights was no part of the messages of earlier rounds"):
        trips.round({"late.weights": vectors(2, P)}, [2, 3], [0.5, 0.5])


def test_means_are_those_of_torchs_hook(tmp_path: Path) -> None:
    """One process whose gradient is the mean of the clients' messages: both methods are linear in it. The hook draws
    its first Q, so that the stage begins with the Q that a round of the hook has left."""
    dist.init_process_group("gloo", init_method=f"file://{tmp_path}/rendezvous", rank=0, world_size=1)
    try:
        means = _hooked_means([vectors(3, P, seed=seed) for seed in range(5)])
    finally:
        dist.destroy_process_group()
    trips = Trips(PowerSgd(2))
    trips.server = {"q": means.pop("q")}
    for seed, expected in means.items():
        mean = trips.round({W: vectors(3, P, seed=int(seed))}, [0, 1, 2], SHARES)[W]
        torch.testing.assert_close(mean, expected, rtol=1e-8, atol=1e-8)


def _hooked_means(rounds: list[Tensor]) -> dict[str, Tensor]:
    """Number of the round -> the mean by the hook, from the round 1 on; "q": the Q before it."""
    net = Net(1)  # the hook takes no number without axes
    state = powerSGD_hook.PowerSGDState(
        None, matrix_approximation_rank=2, start_powerSGD_iter=2, min_compression_rate=1.0
    )
    ddp = nn.parallel.DistributedDataParallel(Scalar(net))
    ddp.register_comm_hook(state, powerSGD_hook.powerSGD_hook)
    shares = torch.tensor(SHARES, dtype=torch.float64)
    result: dict[str, Tensor] = {}
    for number, x in enumerate([rounds[0], rounds[0], *rounds]):  # two rounds without compression
        net.zero_grad()
        ddp(shares @ x).backward()
        gradient = torch.cat([p.grad.flatten() for p in net.parameters() if p.grad is not None])
        if number == 2:
            for error in state.error_dict.values():
                error.zero_()
            (q,) = state.q_memory_dict.values()
            result["q"] = _in_layout_order(q)
        elif number > 2:
            result[str(number - 2)] = gradient.clone()
    return result


class Scalar(nn.Module):
    """A loss whose gradient is the argument."""

    def __init__(self, net: nn.Module):
        super().__init__()
        self.net = net

    def forward(self, vector: Tensor) -> Tensor:
        return (torch.cat([p.flatten() for p in self.net.parameters()]) * vector).sum()


def _in_layout_order(q: Tensor) -> Tensor:
    """The hook's Q of its two matrices, in the order of the layout. It groups matrices by shape, and a bucket has the
    parameters in reverse."""
    first, second = q[: 2 * 5], q[2 * 5 :]
    return torch.cat([second, first])
