"""What two processes of one thread can come to: the plain loop in both, each with every second client of the cohort.

It shows how much of a round of W1 or W2 is torch's own kernels on this machine, at a format and a precision, and what
the system takes for memory that is given back and asked for again.

Run as a contender: `python -m benchmarks.bare_pair FILE [channels_last] [bf16]`.
"""

from __future__ import annotations

import multiprocessing
import sys
import time
from contextlib import nullcontext
from functools import partial
from multiprocessing.connection import Connection
from typing import Any

import torch
from torch import Tensor

from benchmarks.bare import Bare
from benchmarks.memory import footprint
from benchmarks.pipe import serve
from benchmarks.workloads import load


class Half:
    def __init__(self, file: str, words: tuple[str, ...]):
        torch.set_num_threads(1)
        torch.manual_seed(0)
        self.bare = Bare(
            load(file),
            memory_format=torch.channels_last if "channels_last" in words else None,
            forward_context=partial(torch.autocast, "cpu", torch.bfloat16) if "bf16" in words else nullcontext,
        )

    def part(self, number: int, which: int) -> tuple[list[Tensor], float, int, int]:
        """Of its clients: weights and losses, summed by samples; samples, steps."""
        bare = self.bare
        total = [torch.zeros_like(w) for w in bare.weights]
        losses, examples, steps = 0.0, 0, 0
        for client in bare.task.cohort(number)[which::2]:
            loss, n, made = bare.client(number, client, total)
            losses, examples, steps = losses + loss * n, examples + n, steps + made
        return total, losses, examples, steps


def _other(file: str, words: tuple[str, ...], line: Connection) -> None:
    half = Half(file, words)
    line.send("ready")
    while (asked := line.recv()) is not None:
        number, weights = asked
        half.bare.weights = [torch.from_numpy(w) for w in weights]
        total, *rest = half.part(number, 1)
        line.send(([t.numpy() for t in total], *rest))


def main(file: str, *words: str) -> None:
    line, theirs = multiprocessing.get_context("spawn").Pipe()
    multiprocessing.get_context("spawn").Process(target=_other, args=(file, words, theirs), daemon=True).start()
    half = Half(file, words)
    line.recv()

    def round(number: int) -> dict[str, Any]:
        begin = time.perf_counter()
        line.send((number, [w.numpy() for w in half.bare.weights]))
        mine = half.part(number, 0)
        theirs = line.recv()
        examples = mine[2] + theirs[2]
        half.bare.weights = [(a + torch.from_numpy(b)) / examples for a, b in zip(mine[0], theirs[0], strict=True)]
        told = {"loss": (mine[1] + theirs[1]) / examples, "steps": mine[3] + theirs[3]}
        return {"seconds": time.perf_counter() - begin} | told | footprint(number)

    serve(round)


if __name__ == "__main__":
    main(*sys.argv[1:])
