"""One round of an algorithm over a few clients, without the round loop: shared by the tests of trainers and engines."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import lightning.pytorch as pl
import numpy as np
import torch
from torch import Tensor

from fedlit.aggregators import Aggregator, FedAvg
from fedlit.client_tasks import TrainTask
from fedlit.data import Samples, Transform
from fedlit.engines import Serial
from fedlit.evaluation.measure import Measure
from fedlit.messages.composition import chosen_reduction, run_weighting
from fedlit.messages.pipeline import Pipeline
from fedlit.round import Round
from fedlit.training import Cohort, Job, JobData, Returned
from fedlit.training.lightning import LightningTrainer
from fedlit.user_module.module_snapshot import counters


def cut(*sizes: int) -> list[np.ndarray]:
    """Shards of these sizes: 0..a-1, a..a+b-1, ..."""
    return np.split(np.arange(sum(sizes)), np.cumsum(sizes)[:-1])


class Federated:
    """A module on a Serial engine, and rounds of it. The server never steps: every round begins at the same weights."""

    def __init__(
        self,
        module: pl.LightningModule,
        samples: Samples,
        shards: Sequence[np.ndarray],
        aggregator: Aggregator | None = None,
        on_failure: Any = "raise",
        test: Samples | None = None,
        tests: Sequence[np.ndarray] | None = None,
        transform: Transform | None = None,
        **trainer: Any,
    ):
        self.shards, self.tests = shards, tests
        self.aggregator = aggregator or FedAvg()
        self.counters = counters(module)
        self.engine = Serial(on_failure)
        self.engine.start(
            LightningTrainer(accelerator="cpu", **trainer),
            module,
            JobData(samples, samples if test is None else test, transform),
            Measure(),
        )
        self.worker: Any = self.engine.local_worker
        self.module = self.worker.host.module
        self.layout = self.worker.host.layout
        self.aggregator.setup(self.layout, len(shards))
        self.start = self.layout.read(self.module)
        self.reduction = chosen_reduction(self.aggregator, {}, None)

    def jobs(self, order: Sequence[int], number: int = 1, batch_size: int = 4, epochs: int = 1) -> list[Job]:
        round = Round(number, 0, list(order), len(self.shards))
        none = np.empty(0, dtype=np.int64)
        tests = self.tests or [none] * len(self.shards)
        return [Job(c, round, batch_size, epochs, self.shards[c], test=tests[c]) for c in order]

    def round(self, *args: Any, **options: Any) -> list[Returned]:
        """As `stream`, all at once."""
        return list(self.stream(*args, **options))

    def stream(
        self,
        order: Sequence[int] | None = None,
        states: Sequence[dict[str, Any]] | None = None,
        watched: Sequence[int] = (),
        each_epoch: bool = False,
        **job: Any,
    ) -> Iterator[Returned]:
        """The clients' halves of a round, one Returned for each client."""
        order = range(len(self.shards)) if order is None else order
        weighting = run_weighting(self.aggregator, {})
        work = TrainTask(Pipeline(self.aggregator, {}, self.reduction, weighting), frozenset(watched), each_epoch)
        fresh = {"algorithm": self.aggregator.client_state(self.start)}
        broadcast = {"model": self.start}
        jobs = self.jobs(order, **job)
        return self.engine.run(work, Cohort(jobs, broadcast, {}, states or [fresh] * len(jobs), self.counters))

    def trained(self, returned: Returned) -> Tensor:
        """The trained weights (P,) of one client."""
        return self.start.weights + delta(returned)


def delta(returned: Returned) -> Tensor:
    """The change of the weights (P,) that one client sent."""
    (name,) = [n for n in returned.wire if "delta" in n and "weights" in n]
    return returned.wire[name][0]


def facts(returned: Sequence[Returned]) -> dict[int, dict[str, Any]]:
    return {f["client"]: f for chunk in returned for f in chunk.facts}


def numbers(n: int, width: int = 6, classes: int = 3, seed: int = 0, dtype: torch.dtype = torch.float32) -> Any:
    """Inputs (n, width) and classes (n,)."""
    rng = np.random.default_rng(seed)
    return torch.tensor(rng.normal(size=(n, width)), dtype=dtype), torch.tensor(rng.integers(0, classes, n))
