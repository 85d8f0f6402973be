"""The plain loop in two processes of one thread, each with every second client of the cohort.

It shows how much of a round of W1 or W2 torch's own kernels take on this machine, by memory format and precision.

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


def _second_process(file: str, words: tuple[str, ...], connection: Connection) -> None:
    bare = _bare(file, words)
    connection.send("ready")
    while True:
        number, weights = connection.recv()
        bare.weights = [torch.from_numpy(w) for w in weights]
        weight_sums, *other_sums = bare.train_clients(number, bare.task.cohort(number)[1::2])
        connection.send(([weight_sum.numpy() for weight_sum in weight_sums], *other_sums))


def main(file: str, *words: str) -> None:
    context = multiprocessing.get_context("spawn")
    connection, second_end = context.Pipe()
    context.Process(target=_second_process, args=(file, words, second_end), daemon=True).start()
    bare = _bare(file, words)
    connection.recv()

    def round(number: int) -> dict[str, Any]:
        begin = time.perf_counter()
        connection.send((number, [w.numpy() for w in bare.weights]))
        first_sums, first_loss, first_examples, first_steps = bare.train_clients(number, bare.task.cohort(number)[::2])
        second_sums, second_loss, second_examples, second_steps = connection.recv()
        examples = first_examples + second_examples
        bare.weights = [(a + torch.from_numpy(b)) / examples for a, b in zip(first_sums, second_sums, strict=True)]
        report = {"loss": (first_loss + second_loss) / examples, "steps": first_steps + second_steps}
        return {"seconds": time.perf_counter() - begin} | report | footprint(number)

    serve(round)


if __name__ == "__main__":
    main(*sys.argv[1:])
