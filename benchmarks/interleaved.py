"""Contenders side by side: each in a process of its own, one round of each in turn, A, B, C, A, B, C.

So many contenders as W1 has do not fit into memory together, so they go in heats, and the plain loops run in every
heat: a contender is compared with the plain loop that took turns with it.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.combinations import Entry
from benchmarks.contender_process import Contender, Gone
from benchmarks.workloads import Workload

HEAT = 8  # contenders at a time, beside the plain loops
LONG, SLOW = 3.0, 1.5  # seconds, and times the plain loop: a contender beyond both is not measured after its warm-up
LOSS_TOLERANCE = {"float32": 0.02, "bf16": 0.04}  # relative: everyone shuffles by a generator of their own


@dataclass
class Result:
    """What was measured of one contender."""

    name: str
    kind: str
    precision: str
    plain: bool
    seconds: list[float] = field(default_factory=list)  # of the measured rounds
    against: float = float("nan")  # median seconds of the plain loop in the same heat
    outside: list[float] = field(default_factory=list)  # the part of them outside of fit, where it is told
    last: float = float("nan")  # seconds of the last round, a warm-up or not
    loss: float = float("nan")  # mean training loss of the last round
    steps: int = 0  # optimiser steps of the measured rounds
    failed: str = ""
    note: str = ""  # why it was not measured, where nothing failed

    @property
    def median(self) -> float:
        return statistics.median(self.seconds) if self.seconds else float("nan")

    @property
    def ratio(self) -> float:
        return self.median / self.against


def tournament(
    w: Workload, entries: Sequence[Entry], cohorts: np.ndarray, warm_ups: int, rounds: int, logs: Path
) -> list[Result]:
    """All contenders, in heats; the plain loops come first and have the rounds of all heats."""
    plain = [e for e in entries if e.kind == "bare"]
    others = [e for e in entries if e.kind != "bare"]
    heats = [others[at : at + HEAT] for at in range(0, len(others), HEAT)] or [[]]
    played = [compete(w, plain + heat, cohorts, warm_ups, rounds, logs) for heat in heats]
    merged = played[0][: len(plain)]
    for more in played[1:]:
        for whole, part in zip(merged, more[: len(plain)], strict=True):
            whole.seconds += part.seconds
            whole.failed = whole.failed or part.failed
    for whole in merged:
        whole.against = bare(merged).median
    return merged + [result for heat in played for result in heat[len(plain) :]]


def compete(
    w: Workload, entries: Sequence[Entry], cohorts: np.ndarray, warm_ups: int, rounds: int, logs: Path
) -> list[Result]:
    """One heat: warm up, then measure. One that does not start or ends is left out, with the reason.

    Raises:
        AssertionError: a contender made another number of optimiser steps than the workload has.
    """
    results = [Result(e.name, e.kind, e.precision, e.plain) for e in entries]
    running: dict[int, Contender] = {}
    try:
        for at, entry in enumerate(entries):
            running[at] = Contender(entry.name, entry.command, logs / f"{w.name}_{at}.log")
        for at in list(running):  # they start side by side
            _try(running, at, results[at], running[at].ready)
        for number in range(1, warm_ups + rounds + 1):
            expected = w.steps(cohorts[number - 1])
            for at in list(running):
                told = _try(running, at, results[at], running[at].round)
                if told:
                    _note(results[at], told, expected, number > warm_ups)
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


def _try(running: dict[int, Contender], at: int, result: Result, call: Any) -> dict[str, Any] | None:
    try:
        return call()
    except Gone as error:
        result.failed = str(error)
        print(f"left out: {error}", flush=True)
        running.pop(at).stop()
        return None


def _note(result: Result, told: dict[str, Any], expected: int, measured: bool) -> None:
    assert told["steps"] == expected, f"{result.name}: {told['steps']} steps, not {expected}"
    result.loss, result.last = told["loss"], told["seconds"]
    if measured:
        result.seconds.append(told["seconds"])
        result.steps += told["steps"]
        if "fit" in told:
            result.outside.append(told["seconds"] - told["fit"])


def _leave_out_slow(results: Sequence[Result], running: dict[int, Contender]) -> None:
    """After the warm-up: end those whose rounds are long and that have no chance to be the fastest. The plain loops
    stay, and what the target for Lightning's trainer is about."""
    fastest = min((results[at].last for at in running if results[at].kind == "bare"), default=float("inf"))
    for at in list(running):
        result = results[at]
        stays = result.kind != "fedlit" or (result.plain and result.name.startswith("lightning serial"))
        if not stays and result.last > max(LONG, SLOW * fastest):
            result.note = f"not measured beyond its warm-up, of which a round took {result.last:.1f} s"
            running.pop(at).stop()


def bare(results: Sequence[Result]) -> Result:
    """The plain loop to compare with: the faster number of threads."""
    return min((r for r in results if r.kind == "bare" and r.plain and r.seconds), key=lambda r: r.median)


def _compare_losses(w: Workload, results: Sequence[Result]) -> None:
    wanted = bare(results).loss
    for result in results:
        away = abs(result.loss - wanted) / wanted
        limit = LOSS_TOLERANCE[result.precision]
        if result.seconds and not away <= limit:
            result.failed = f"its final loss {result.loss:.4f} is {away:.1%} away from bare's {wanted:.4f}"
            print(f"{w.name}, {result.name}: {result.failed}", flush=True)
