"""Contenders in turn: each in a process of its own, one round of each, A, B, C, A, B, C.

The contenders of W1 do not fit into memory together, so they compete in heats. The plain loops run in every heat: a
contender is compared with the plain loop of its own heat.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.combinations import Entry
from benchmarks.contender_process import Contender, Disconnected
from benchmarks.workloads import Workload

HEAT = 8  # contenders at a time, in addition to the plain loops
LONG, SLOW = 3.0, 1.5  # seconds, ratio to the plain loop: a contender above both is not measured after its warm-up
LOSS_TOLERANCE = {"float32": 0.02, "bf16": 0.04}  # relative: each contender shuffles with a generator of its own


@dataclass
class Result:
    """The measurements of one contender."""

    name: str
    kind: str
    precision: str
    plain: bool
    seconds: list[float] = field(default_factory=list)  # of the measured rounds
    against: float = float("nan")  # median seconds of the plain loop in the same heat
    outside: list[float] = field(default_factory=list)  # the part of them outside of fit, if it is reported
    last: float = float("nan")  # seconds of the last round, warm-up or not
    loss: float = float("nan")  # mean training loss of the last round
    steps: int = 0  # optimiser steps of the measured rounds
    failed: str = ""
    note: str = ""  # why it was not measured, if nothing failed

    @property
    def median(self) -> float:
        return statistics.median(self.seconds) if self.seconds else float("nan")

    @property
    def ratio(self) -> float:
        return self.median / self.against


def tournament(
    w: Workload, entries: Sequence[Entry], cohorts: np.ndarray, warm_ups: int, rounds: int, logs: Path
) -> list[Result]:
    """All contenders, in heats. The plain loops come first, with their rounds of all heats."""
    plain = [e for e in entries if e.kind == "bare"]
    others = [e for e in entries if e.kind != "bare"]
    heats = [others[i : i + HEAT] for i in range(0, len(others), HEAT)] or [[]]
    heat_results = [compete(w, plain + heat, cohorts, warm_ups, rounds, logs) for heat in heats]
    merged = heat_results[0][: len(plain)]
    for results in heat_results[1:]:
        for total, part in zip(merged, results[: len(plain)], strict=True):
            total.seconds += part.seconds
            total.failed = total.failed or part.failed
    for total in merged:
        total.against = bare(merged).median
    return merged + [result for results in heat_results for result in results[len(plain) :]]


def compete(
    w: Workload, entries: Sequence[Entry], cohorts: np.ndarray, warm_ups: int, rounds: int, logs: Path
) -> list[Result]:
    """One heat: warm up, then measure. A contender that does not start, or ends, is left out with the reason.

    Raises:
        AssertionError: a contender's number of optimiser steps is not that of the workload.
    """
    results = [Result(e.name, e.kind, e.precision, e.plain) for e in entries]
    running: dict[int, Contender] = {}
    try:
        for i, entry in enumerate(entries):
            running[i] = Contender(entry.name, entry.command, logs / f"{w.name}_{i}.log")
        for i in list(running):  # they start in parallel
            _try(running, i, results[i], running[i].ready)
        for number in range(1, warm_ups + rounds + 1):
            expected = w.steps(cohorts[number - 1])
            for i in list(running):
                report = _try(running, i, results[i], running[i].round)
                if report:
                    _record(results[i], report, expected, number > warm_ups)
            if number == warm_ups:
                _leave_out_slow(results, running)
            print(f"{w.name}: round {number} of {warm_ups + rounds}", flush=True)
    finally:
        for contender in running.values():
            contender.stop()
    _compare_losses(w, results)
    for result in results:
        result.against = bare(results).median
    return results


def _try(running: dict[int, Contender], i: int, result: Result, call: Any) -> dict[str, Any] | None:
    try:
        return call()
    except Disconnected as error:
        result.failed = str(error)
        print(f"left out: {error}", flush=True)
        running.pop(i).stop()
        return None


def _record(result: Result, report: dict[str, Any], expected: int, measured: bool) -> None:
    assert report["steps"] == expected, f"{result.name}: {report['steps']} steps, not {expected}"
    result.loss, result.last = report["loss"], report["seconds"]
    if measured:
        result.seconds.append(report["seconds"])
        result.steps += report["steps"]
        if "fit" in report:
            result.outside.append(report["seconds"] - report["fit"])


def _leave_out_slow(results: Sequence[Result], running: dict[int, Contender]) -> None:
    """After the warm-up: stop contenders whose rounds are long and that cannot become the fastest.

    The plain loops stay, and so does `lightning serial`, which has a target.
    """
    fastest = min((results[i].last for i in running if results[i].kind == "bare"), default=float("inf"))
    for i in list(running):
        result = results[i]
        stays = result.kind != "fedlit" or (result.plain and result.name.startswith("lightning serial"))
        if not stays and result.last > max(LONG, SLOW * fastest):
            result.note = f"not measured after its warm-up, in which a round took {result.last:.1f} s"
            running.pop(i).stop()


def bare(results: Sequence[Result]) -> Result:
    """The plain loop that ratios refer to: the one with the faster number of threads."""
    return min((r for r in results if r.kind == "bare" and r.plain and r.seconds), key=lambda r: r.median)


def _compare_losses(w: Workload, results: Sequence[Result]) -> None:
    expected = bare(results).loss
    for result in results:
        difference = abs(result.loss - expected) / expected
        limit = LOSS_TOLERANCE[result.precision]
        if result.seconds and not difference <= limit:
            result.failed = f"its final loss {result.loss:.4f} is {difference:.1%} away from bare's {expected:.4f}"
            print(f"{w.name}, {result.name}: {result.failed}", flush=True)
