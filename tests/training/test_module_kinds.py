"""Modules of every kind are trained as docs/any_module.md lists, and none gives silently different numbers."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import numpy as np
import pytest
import torch
from torch import Tensor

from fedlit.client import Fitted
from fedlit.data import Samples
from fedlit.errors import InputError
from fedlit.evaluation.measure import Measure
from fedlit.model_vectors import tree_map
from fedlit.round import Round
from fedlit.training import Job, JobData, Trainer, Worker
from fedlit.training.chunk_client import ChunkClient
from fedlit.training.lightning import LightningTrainer
from fedlit.training.lightning.worker import LightningWorker
from fedlit.training.stacked import VectorizedTrainer
from fedlit.user_module.module_snapshot import counters
from tests.slow import some_slow
from tests.training.module_kinds.batches import BATCHES
from tests.training.module_kinds.case import Case
from tests.training.module_kinds.draws import DRAWS
from tests.training.module_kinds.facts import FACTS
from tests.training.module_kinds.flow import FLOW
from tests.training.module_kinds.layers import LAYERS
from tests.training.module_kinds.logs import LOGS
from tests.training.module_kinds.only_trainer import ONLY_TRAINER
from tests.training.module_kinds.optimizers import OPTIMIZERS, SCHEDULERS
from tests.training.module_kinds.scalars import SCALARS
from tests.training.module_kinds.setups import SETUPS, Users
from tests.training.module_kinds.state import STATE

CASES = LAYERS | SCALARS | OPTIMIZERS | SCHEDULERS | BATCHES | FACTS | DRAWS | STATE | FLOW | LOGS | SETUPS
CASES |= ONLY_TRAINER
DOCS = Path(__file__).parents[2] / "docs" / "any_module.md"
SHARDS = (10, 7, 4)  # three batches, two, and one


def listed() -> list[tuple[str, list[str]]]:
    """(how they are trained, names of cases) of each row of the docs."""
    lines = [line for line in DOCS.read_text().splitlines() if line.startswith("|")]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return [(row[1], re.findall("`(.+?)`", row[3])) for row in rows]


QUICK = {names[0] for _, names in listed() if names}  # one case a row
QUICK |= {name for name, case in CASES.items() if case.plan == "refused"}  # each takes milliseconds
# a state that is kept without a word gives wrong numbers without a word; each of these is found in another way
QUICK |= {name for name in STATE if CASES[name].plan == "one by one"}


def jobs(number: int, epochs: int = 2) -> list[Job]:
    parts = np.split(np.arange(sum(SHARDS)), np.cumsum(SHARDS)[:-1])
    round = Round(number, 0, [0, 1, 2], len(SHARDS))
    return [Job(c, round, 4, epochs, part) for c, part in enumerate(parts)]


def worker(kind: type[Trainer], module: pl.LightningModule, samples: Samples, **options: Any) -> Any:
    trainer = kind(**({"accelerator": "cpu", "precision": "64-true"} | options))
    torch.manual_seed(1)  # layers may be made by setup
    return trainer.worker(module, JobData(samples, samples, users=Users()), Measure())


class Averaging:
    """Plain averaging of clients that all take part, and all results of their fits."""

    def __init__(self, worker: Worker):
        self.worker = worker
        self.model, self.counters = worker.host.layout.read(worker.host.module), counters(worker.host.module)
        self.result: dict[str, Tensor] = {}

    def round(self, number: int) -> None:
        cohort = jobs(number)
        cuts = [slice(i, i + 1) for i in range(3)] if isinstance(self.worker, LightningWorker) else [slice(3)]
        clients = [self.worker.client(cohort[cut], self.counters, [{}] * len(cohort[cut])) for cut in cuts]
        fits = [client.fit(self.model) for client in clients]
        self._note(number, clients, fits)
        models = [f.model for f in fits]
        self.model = tree_map(lambda *t: torch.cat(t).mean(0), *models)
        for name in self.counters:
            self.counters[name] = torch.cat([c.counters[name] for c in clients]).amax(0)

    def _note(self, number: int, clients: list[ChunkClient], fits: list[Fitted]) -> None:
        wide = max(f.lr.shape[1] for f in fits)
        for what, parts in {
            "weights": [f.model.weights for f in fits],
            "statistics": [f.model.statistics for f in fits],
            "steps": [f.steps for f in fits],
            "lr": [f.lr.expand(-1, wide) for f in fits],
            "loss": [f.loss for f in fits],
            **{n: [c.counters[n] for c in clients] for n in self.counters},
        }.items():
            self.result[f"round {number}: {what}"] = torch.cat(parts).double()
        for facts in (f for c in clients for f in c.facts):
            plain = {n: v for n, v in facts.items() if isinstance(v, int | float) and n != "seconds"}
            for name, value in (plain | facts.get("logged", {})).items():
                self.result[f"round {number}: {name} of {facts['client']}"] = torch.tensor(float(value)).double()


def averaged(worker: Worker, rounds: int = 2) -> dict[str, Tensor]:
    run = Averaging(worker)
    for number in range(1, rounds + 1):
        run.round(number)
    return run.result


def assert_same(result: dict[str, Tensor], expected: dict[str, Tensor], tolerance: float = 1e-9) -> None:
    assert result.keys() == expected.keys()
    for name, value in expected.items():
        torch.testing.assert_close(
            result[name], value, rtol=tolerance, atol=tolerance, equal_nan=True, msg=lambda m, n=name: f"{n}: {m}"
        )


@pytest.mark.parametrize("name", some_slow(CASES, sorted(QUICK)))
def test_a_module_is_trained_as_the_docs_list(name: str, caplog: pytest.LogCaptureFixture) -> None:
    case: Case = CASES[name]
    torch.manual_seed(0)
    module = case.make()
    module_copy = remade(case)
    if case.plan == "refused":
        with pytest.raises(InputError, match=case.because or ".") as caught:
            worker(VectorizedTrainer, module_copy, case.samples(), stack="always", **case.options)
        assert "trainer=lightning" in str(caught.value) and "\n" not in str(caught.value)
        return
    vectorized = worker(VectorizedTrainer, module_copy, case.samples(), stack="always", **case.options)
    result = averaged(vectorized)
    expected = averaged(worker(LightningTrainer, module, case.samples(), **case.options))
    assert_same(result, expected, 1e-9 if not case.options else 1e-4)
    messages = [r.getMessage() for r in caplog.records if "one by one" in r.getMessage()]
    if case.plan == "stacked":
        assert vectorized.setup.plan.stacked and not messages, messages
    else:
        assert len(messages) == 1, messages
        assert re.search(case.because, messages[0]), messages
    assert all(math.isfinite(float(v.sum())) for n, v in expected.items() if n.endswith("weights"))


# steps that need a Python number, or do something for each client
UNTRACED = {"weight norm", "weight norm, older", "a check that never raises"}
# steps that use the number of the batch, the epoch or the round
UNTRACED |= {"batch_idx", "current_epoch", "round", "log_dict", "log in some steps", "log in dict batches"}
# steps that read facts that differ by client
UNTRACED |= {"global_step", "num_training_batches", "is_last_batch"}
UNTRACED |= {"batches of the loader", "batches of the data module", "estimated_stepping_batches"}


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name, case in CASES.items() if case.plan == "stacked"])
def test_a_traced_step_gives_a_trainers_numbers(name: str) -> None:
    case: Case = CASES[name]
    vectorized = worker(
        VectorizedTrainer, remade(case), case.samples(), stack="always", compile="trace", **case.options
    )
    result = averaged(vectorized)
    assert any(vectorized.setup.traces.values()) is (name not in UNTRACED)
    expected = averaged(worker(LightningTrainer, remade(case), case.samples(), **case.options))
    assert_same(result, expected, 1e-9 if not case.options else 1e-4)


def test_the_docs_list_every_case() -> None:
    rows = [(name, plan) for plan, names in listed() for name in names]
    assert sorted(rows) == sorted((name, case.plan) for name, case in CASES.items())


def remade(case: Case) -> pl.LightningModule:
    torch.manual_seed(0)
    return case.make()
