"""Algorithms that ask for sums (`client.collect`): whole runs, without a fit and before one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from fedlit.aggregators import FedAvg
from fedlit.model_vectors import Model
from fedlit.training.lightning import LightningTrainer
from fedlit.training.stacked import VectorizedTrainer
from tests.aggregators.federations import SIZES, Listed, Net, Running, numbers
from tests.small_runs import command, rows, same_bits, saved

COHORTS = [[0, 2], [3, 1, 2], [1, 0]]
TRAINERS = {"lightning": LightningTrainer, "vectorized": VectorizedTrainer}


class GradientDescent(FedAvg):
    """A step along the gradient of the cohort's whole data: no client makes a step of its own."""

    lr = 0.5

    def local_update(self, client: Any, received: Any, state: Any) -> Any:
        def gradient(step: Any, w: Any) -> Any:
            return {"sum": step.examples * torch.autograd.grad(step.loss(w).sum(), w)[0]}

        x = received["model"]
        mean = client.collect(x, gradient)["sum"] / client.examples.clamp_min(1)
        return {"delta": Model(-self.lr * mean, mean.new_zeros(len(mean), x.statistics.shape[-1]))}, state


@pytest.mark.parametrize("trainer", TRAINERS)
def test_rounds_without_a_fit_are_gradient_descent(trainer: str, tmp_path: Path) -> None:
    run = Running(tmp_path, GradientDescent(), Listed(*COHORTS), dropout=0.5, kind=TRAINERS[trainer])
    x, y = numbers()
    ends = torch.tensor(SIZES).cumsum(0).tolist()
    parts = [range(end - size, end) for end, size in zip(ends, SIZES, strict=True)]
    net = Net().double()
    net.load_state_dict(run.layout.named(run.start), strict=False)
    for cohort in COHORTS:
        index = [i for client in cohort for i in parts[client]]
        gradients = torch.autograd.grad(nn.functional.cross_entropy(net(x[index]), y[index]), list(net.parameters()))
        with torch.no_grad():
            for p, g in zip(net.parameters(), gradients, strict=True):
                p -= 0.5 * g
    trained = run.go(3).named()
    assert max(float((trained[n] - p).abs().max()) for n, p in net.named_parameters()) < 1e-12
    for row, cohort in zip(run.rows, COHORTS, strict=True):
        assert (row["cohort/arrived"], row["cohort/idle"]) == (len(cohort), 0)
        assert not any(name.startswith("train/") for name in row)


def test_a_client_without_samples_sends_zeros_and_is_not_idle(tmp_path: Path) -> None:
    sizes = (13, 4, 9, 0)
    run = Running(tmp_path, GradientDescent(), sizes=sizes, kind=VectorizedTrainer).go()
    others = Running(tmp_path, GradientDescent(), Listed([0, 1, 2]), sizes=sizes, kind=VectorizedTrainer).go()
    assert run.rows[0]["cohort/arrived"] == 4 and run.rows[0]["cohort/idle"] == 0
    torch.testing.assert_close(run.weights, others.weights, rtol=0, atol=1e-12)


RUN = ("aggregator._target_=tests.aggregators.written.WholeGradients", "data=digits", "clients=5", "participation=0.6")
QUIET = ("threads=1", "device=cpu", "progress=none", "logger=none", "checkpoint.keep=99")


@pytest.mark.slow
@pytest.mark.parametrize("trainer", TRAINERS)
def test_a_resumed_run_has_the_same_bits(trainer: str, in_folder: Path) -> None:
    words = (*RUN, *QUIET, f"trainer={trainer}")
    assert command(*words, "rounds=3", "hydra.run.dir=whole") == 0
    assert command(*words, "rounds=1", "hydra.run.dir=parts") == 0
    assert command("resume=parts", "rounds=3") == 0
    assert same_bits(saved(Path("whole"), 3), saved(Path("parts"), 3)) and len(rows(Path("parts"))) == 3


@pytest.mark.slow
def test_processes_give_the_same_bits(in_folder: Path) -> None:
    for engine in ("serial", "processes"):
        assert command(*RUN, *QUIET, f"engine={engine}", "rounds=3", f"hydra.run.dir={engine}") == 0
    assert same_bits(saved(Path("serial"), 3), saved(Path("processes"), 3))
