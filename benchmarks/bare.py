"""The plain PyTorch loop that a researcher would write: one model reused, tensors in memory, batches by index.

Run as a contender: `python -m benchmarks.bare FILE THREADS [channels_last] [cuda]`.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from benchmarks.contender_process import serve
from benchmarks.memory import footprint
from benchmarks.workloads import Task, load

Order = Callable[[int, int, int], Tensor]
"""(round, client, epoch) -> the client's samples in the order in which they are trained on."""


class Bare:
    def __init__(
        self,
        task: Task,
        order: Order | None = None,
        memory_format: torch.memory_format | None = None,
        forward_context: Callable[[], AbstractContextManager[Any]] = nullcontext,
        device: str = "cpu",
    ):
        """
        Args:
            order: of a client's samples; None draws a new permutation for each epoch.
            memory_format: of weights and images.
            forward_context: entered for each forward pass and its loss.
            device: of network and data, which stay there.
        """
        self.task, self.order, self.format = task, order or self._shuffle, memory_format
        self.forward_context = forward_context
        self.device = torch.device(device)
        self.x, self.y = task.x.to(self.device), task.y.to(self.device)
        self.network = task.network().to(self.device)
        if memory_format is not None:
            self.network.to(memory_format=memory_format)
        self.parameters: list[Tensor] = list(self.network.parameters())
        self.optimizer = task.optimizer()
        self.weights = [p.detach().clone() for p in self.parameters]

    def round(self, number: int) -> dict[str, Any]:
        """One round of federated averaging: seconds, mean training loss (weighted by samples), optimiser steps."""
        begin = time.perf_counter()
        cohort = self.task.cohort(number)
        weight_sums, loss_sum, examples, steps = self.train_clients(number, cohort)
        self.weights = [weight_sum / examples for weight_sum in weight_sums]
        if self.device.type == "cuda":
            torch.cuda.synchronize()
        seconds = time.perf_counter() - begin
        return {"seconds": seconds, "loss": loss_sum / examples, "steps": steps}

    def train_clients(self, number: int, clients: Iterable[int]) -> tuple[list[Tensor], float, int, int]:
        """Sums over clients: weights times samples, loss times samples, samples, steps."""
        weight_sums = [torch.zeros_like(w) for w in self.weights]
        loss_sum, examples, steps = 0.0, 0, 0
        for client in clients:
            with torch.no_grad():
                torch._foreach_copy_(self.parameters, self.weights)
            loss, client_steps = self.train(number, client)
            n = len(self.task.shard(client))
            torch._foreach_add_(weight_sums, [p.detach() for p in self.parameters], alpha=n)
            loss_sum, examples, steps = loss_sum + loss * n, examples + n, steps + client_steps
        return weight_sums, loss_sum, examples, steps

    def train(self, number: int, client: int) -> tuple[float, int]:
        """Train the network on a client's samples: the mean loss of its steps, and their number."""
        w = self.task.workload
        optimizer = self.optimizer(self.parameters)
        loss_sum, steps = torch.zeros((), device=self.device), 0
        for epoch in range(w.epochs):
            for index in self.order(number, client, epoch).to(self.device).split(w.batch_size):
                x, y = self.x[index], self.y[index]
                if self.format is not None:
                    x = x.contiguous(memory_format=self.format)
                with self.forward_context():
                    loss = F.cross_entropy(self.network(x), y)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                loss_sum += loss.detach()
                steps += 1
        return float(loss_sum) / steps, steps

    def _shuffle(self, number: int, client: int, epoch: int) -> Tensor:
        shard = self.task.shard(client)
        return shard.start + torch.randperm(len(shard))


def main(file: str, threads: str, *words: str) -> None:
    torch.set_num_threads(int(threads))
    torch.manual_seed(0)
    memory_format = torch.channels_last if "channels_last" in words else None
    bare = Bare(load(file), memory_format=memory_format, device="cuda" if "cuda" in words else "cpu")
    serve(lambda number: bare.round(number) | footprint(number))


if __name__ == "__main__":
    main(*sys.argv[1:])
