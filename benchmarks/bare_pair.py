"""What two processes of one thread can come to: the plain loop in both, each with every second client of the cohort.

It shows how much of a round of W1 or W2 is torch's own kernels on this machine, at a format and a precision.

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

from benchmarks.bare import Bare
from benchmarks.contender_process import serve
from benchmarks.memory import footprint
from benchmarks.workloads import load


def _bare(file: str, words: tuple[str, ...]) -> Bare:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    return Bare(
        load(file),
        memory_format=torch.channels_last if "channels_last" in words else None,
        forward_context=partial(torch.autocast, "cpu", torch.bfloat16) if "bf16" in words else nullcontext,
    )


def _other(file: str, words: tuple[str, ...], line: Connection) -> None:
    bare = _bare(file, words)
    line.send("ready")
    while True:
        number, weights = line.recv()
        bare.weights = [torch.from_numpy(w) for w in weights]
        total, *rest = bare.part(number, bare.task.cohort(number)[1::2])
        line.send(([t.numpy() for t in total], *rest))


def main(file: str, *words: str) -> None:
    line, theirs = multiprocessing.get_context("spawn").Pipe()
    multiprocessing.get_context("spawn").Process(target=_other, args=(file, words, theirs), daemon=True).start()
    bare = _bare(file, words)
    line.recv()

    def round(number: int) -> dict[str, Any]:
        begin = time.perf_counter()
        line.send((number, [w.numpy() for w in bare.weights]))
        mine = bare.part(number, bare.task.cohort(number)[::2])
        theirs = line.recv()
        examples = mine[2] + theirs[2]
        bare.weights = [(a + torch.from_numpy(b)) / examples for a, b in zip(mine[0], theirs[0], strict=True)]
        told = {"loss": (mine[1] + theirs[1]) / examples, "steps": mine[3] + theirs[3]}
        return {"seconds": time.perf_counter() - begin} | told | footprint(number)

    serve(round)


if __name__ == "__main__":
    main(*sys.argv[1:])
