"""pfl as a contender: `python -m benchmarks.peers_pfl FILE THREADS`, in the environment `.venv-pfl`.

pfl's own loop, simulated backend, model and federated averaging in one process, one client after the other, as pfl does
without Horovod. pfl's data sets have the same batches in each epoch; here they are shuffled, as for other contenders.
"""

# mypy: disable-error-code="import-not-found"

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from pfl.aggregate.simulate import SimulatedBackend
from pfl.aggregate.weighting import WeightByDatapoints
from pfl.algorithm.base import NNAlgorithmParams
from pfl.algorithm.federated_averaging import FederatedAveraging
from pfl.callback.base import TrainingProcessCallback
from pfl.data.dataset import Dataset
from pfl.data.federated_dataset import FederatedDataset
from pfl.hyperparam.base import NNTrainHyperParams
from pfl.metrics import Metrics
from pfl.model.pytorch import PyTorchModel
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.contender_process import Gate
from benchmarks.workloads import Task, load

FOREVER = 10**9


class Net(nn.Module):
    """The network with a `loss` as pfl requires it, which records the losses of a round."""

    def __init__(self, task: Task):
        super().__init__()
        self.network = task.network()
        self.losses: list[Tensor] = []

    def loss(self, x: Tensor, y: Tensor, **_: Any) -> Tensor:
        loss = F.cross_entropy(self.network(x), y)
        self.losses.append(loss.detach())
        return loss

    def metrics(self, *batch: Tensor, **_: Any) -> dict[str, Any]:
        return {}


class Shuffled(Dataset):
    def iter(self, batch_size: int | None) -> Iterator[list[Tensor]]:
        x, y = self.raw_data
        for index in torch.randperm(len(x)).split(batch_size or len(x)):
            yield [x[index], y[index]]


class AtTheGate(TrainingProcessCallback):
    """Waits at the gate after each round."""

    def __init__(self, task: Task, net: Net, gate: Gate):
        self.task, self.net, self.gate = task, net, gate
        self.begin = time.perf_counter()

    def after_central_iteration(
        self, aggregate_metrics: Metrics, model: PyTorchModel, *, central_iteration: int
    ) -> tuple[bool, Metrics]:
        seconds = time.perf_counter() - self.begin
        report = {"seconds": seconds, "loss": self._loss(central_iteration + 1), "steps": len(self.net.losses)}
        self.net.losses.clear()
        stop = not self.gate.wait(report)
        self.begin = time.perf_counter()
        return stop, Metrics()

    def _loss(self, number: int) -> float:
        """The mean loss of the clients, weighted by samples; pfl trains the cohort in its order."""
        cohort, w = self.task.cohort(number), self.task.workload
        sizes = [len(self.task.shard(client)) for client in cohort]
        losses = iter(torch.stack(self.net.losses).tolist())
        means = [np.mean([next(losses) for _ in range(-(-n // w.batch_size) * w.epochs)]) for n in sizes]
        return float(np.average(means, weights=sizes))


def sampled_clients(task: Task) -> Iterator[int]:
    """The clients of all rounds, one after the other."""
    for cohort in task.cohorts:
        yield from cohort.tolist()


def main(file: str, threads: str) -> None:
    torch.set_num_threads(int(threads))
    np.random.seed(0)
    torch.manual_seed(0)
    task = load(file)
    w = task.workload
    net = Net(task)

    def data_of(client: int) -> Dataset:
        shard = task.shard(client)
        samples = slice(shard.start, shard.stop)
        return Shuffled((task.x[samples], task.y[samples]), user_id=str(client))

    sampled = sampled_clients(task)
    data = FederatedDataset(data_of, lambda: next(sampled))
    backend = SimulatedBackend(data, data, postprocessors=[WeightByDatapoints()])
    local = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam}[w.optimizer]
    model = PyTorchModel(net, local, torch.optim.SGD(net.parameters(), lr=1.0))
    training = NNTrainHyperParams(local_learning_rate=w.lr, local_num_epochs=w.epochs, local_batch_size=w.batch_size)
    rounds = NNAlgorithmParams(
        central_num_iterations=FOREVER,
        evaluation_frequency=FOREVER,
        train_cohort_size=w.per_round,
        val_cohort_size=None,
    )
    gate = Gate()
    if gate.wait({"ready": True}):
        at_the_gate = AtTheGate(task, net, gate)
        FederatedAveraging().run(rounds, backend, model, training, callbacks=[at_the_gate])


if __name__ == "__main__":
    main(*sys.argv[1:])
