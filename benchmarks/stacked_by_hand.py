"""Stacked clients without a framework: a round of W3, W3u or W3a in plain torch, written for one network.

Forward, loss, backward and optimiser are formulas over stacked matrices: no autograd, no modules, no vmap. It is of no
use as a framework; it shows how much of a round is arithmetic.

Run as a contender: `python -m benchmarks.stacked_by_hand FILE THREADS`.
"""

from __future__ import annotations

import sys
import time
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from benchmarks.bare import Bare, Order
from benchmarks.contender_process import serve
from benchmarks.memory import footprint
from benchmarks.workloads import Task, load

Rows = slice | Tensor


class StackedByHand:
    """The first axis of all fields is the client, longest shard first."""

    def __init__(self, task: Task, order: Order | None = None):
        """
        Args:
            order: as in `Bare`.
        """
        self.task, self.order = task, order or Bare(task).order
        self.start = [p.detach().clone() for p in task.network().parameters()]

    def round(self, number: int) -> dict[str, Any]:
        """As `Bare.round`."""
        begin = time.perf_counter()
        w = self.task.workload
        cohort = sorted(self.task.cohort(number), key=lambda c: -len(self.task.shard(c)))
        sizes = np.array([len(self.task.shard(c)) for c in cohort])
        self.weights = [p.expand(len(cohort), *p.shape).clone() for p in self.start]
        self.moments = [(torch.zeros_like(p), torch.zeros_like(p)) for p in self.weights]
        self.losses, self.steps = torch.zeros(len(cohort)), torch.zeros(len(cohort))
        full, rest = sizes // w.batch_size, sizes % w.batch_size
        for epoch in range(w.epochs):
            samples = pad_sequence([self.order(number, c, epoch) for c in cohort], batch_first=True)
            for j in range(full[0]):
                n = int((full > j).sum())
                self._step(slice(0, n), samples[:n, j * w.batch_size : (j + 1) * w.batch_size])
            for size in np.unique(rest[rest > 0]):
                rows = torch.from_numpy(np.flatnonzero(rest == size))
                columns = torch.from_numpy(full[rest == size] * w.batch_size)[:, None] + torch.arange(int(size))
                self._step(rows, samples[rows].gather(1, columns))
        parts = torch.from_numpy(sizes / sizes.sum()).float()
        self.start = [torch.tensordot(parts, p, 1) for p in self.weights]
        loss = float(parts @ (self.losses / self.steps))
        return {"seconds": time.perf_counter() - begin, "loss": loss, "steps": int(self.steps.sum())}

    def _step(self, rows: Rows, samples: Tensor) -> None:
        x, y = self.task.x[samples], self.task.y[samples][..., None]  # (n, B, 64), (n, B, 1)
        first, first_bias, second, second_bias = (p[rows] for p in self.weights)
        hidden = torch.baddbmm(first_bias[:, None], x, first.mT).relu_()
        log_p = torch.log_softmax(torch.baddbmm(second_bias[:, None], hidden, second.mT), -1)
        batch = x.shape[1]
        self.losses[rows] -= log_p.gather(2, y).mean((1, 2))
        self.steps[rows] += 1
        out = log_p.exp_().scatter_add_(2, y, y.new_full(y.shape, -1, dtype=log_p.dtype)).div_(batch)
        inner = torch.bmm(out, second).mul_(hidden > 0)
        gradients = torch.bmm(inner.mT, x), inner.sum(1), torch.bmm(out.mT, hidden), out.sum(1)
        for at, gradient in enumerate(gradients):
            self._update(at, rows, gradient)

    def _update(self, at: int, rows: Rows, gradient: Tensor) -> None:
        w = self.task.workload
        weights = self.weights[at]
        if w.optimizer == "sgd":
            updated = weights[rows].sub_(gradient, alpha=w.lr)
        else:
            first, second = (m[rows] for m in self.moments[at])
            first.lerp_(gradient, 0.1)
            second.mul_(0.999).addcmul_(gradient, gradient, value=0.001)
            count = self.steps[rows].view(-1, *[1] * (gradient.dim() - 1))
            root = second.sqrt().div_((1 - 0.999**count).sqrt()).add_(1e-8)
            updated = weights[rows].sub_(first.div(root).div_(1 - 0.9**count).mul_(w.lr))
            if not isinstance(rows, slice):
                self.moments[at][0][rows], self.moments[at][1][rows] = first, second
        if not isinstance(rows, slice):
            weights[rows] = updated


def main(file: str, threads: str) -> None:
    torch.set_num_threads(int(threads))
    torch.manual_seed(0)
    by_hand = StackedByHand(load(file))
    with torch.no_grad():
        serve(lambda number: by_hand.round(number) | footprint(number))


if __name__ == "__main__":
    main(*sys.argv[1:])
