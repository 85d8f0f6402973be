"""The runs of an experiment's published values: one for each combination of words and seed, none of them twice."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from fedlit.atomic_files import write_text
from fedlit.errors import InputError, one_line
from fedlit.report.columns import columns
from fedlit.report.results import value_at
from fedlit.report.targets import first_reached
from fedlit.reproduce.published import Published
from fedlit.run_folder import has_rounds
from fedlit.saved_run import SavedRun
from fedlit.settings.check import check
from fedlit.settings.compose import composer
from fedlit.settings.no_result import changes_no_result
from fedlit.settings.overrides import key_of, parse, quoted
from fedlit.sweeps.run_names import run_names
from fedlit.sweeps.same_run import Identity
from fedlit.this_machine import machine_name

MACHINE = "machine.txt"  # in a run's folder, written after its end
_QUIET = ("logger=none", "progress=none")
_PLACES = ("data.root", "data.path", "data.download")


@dataclass(frozen=True)
class Call:
    """What was asked for.

    Attributes:
        experiment: name of the preset.
        given: overrides of the user for all runs, such as trainer=vectorized.
        folder: where the runs lie.
    """

    experiment: str
    given: tuple[str, ...]
    folder: Path

    def run_folder(self, words: Sequence[str], seed: int) -> Path:
        """The folder of one run."""
        return self.folder / self.experiment / _name(words) / f"seed_{seed}"

    def run_words(self, words: Sequence[str], seed: int) -> list[str]:
        """The command line of one run, without its folder; what the user gives comes last and counts."""
        return [f"experiment={self.experiment}", *_QUIET, *words, *self.given, f"seed={seed}"]


@dataclass(frozen=True)
class Measured:
    """What the runs of one published value have reached.

    Attributes:
        values: seed -> value.
        seconds: of each run, without its start.
        machines: on which they ran.
        failures: seed -> why there is no value.
    """

    values: dict[int, float]
    seconds: list[float]
    machines: list[str]
    failures: dict[int, str]


def run_all(call: Call, published: Sequence[Published]) -> list[Measured]:
    """Bring all runs to their end, those that have ended before left as they are; a line for each on the terminal.

    Raises:
        InputError: a run is refused, or the run in its folder has other settings.
    """
    seeds: dict[tuple[str, ...], int] = {}
    for value in published:
        seeds[value.words] = max(value.seeds, seeds.get(value.words, 0))
    jobs = [(words, seed) for words, number in seeds.items() for seed in range(number)]
    runs: dict[tuple[tuple[str, ...], int], SavedRun | str] = {}
    for number, (words, seed) in enumerate(jobs, 1):
        folder = call.run_folder(words, seed)
        ended_before = _has_ended(call, words, seed)
        run = SavedRun(folder) if ended_before else _run(call.run_words(words, seed), folder)
        runs[words, seed] = run
        name = " ".join([*words, f"seed={seed}"])
        took = run if isinstance(run, str) else "has ended before" if ended_before else f"{_seconds(run):.0f} s"
        print(f"{number} of {len(jobs)}: {name}: {took}", flush=True)
        if isinstance(run, SavedRun):
            for value in published:
                if value.words == words and seed < value.seeds:
                    reached(value, run)  # a metric that the run lacks is refused after the first run
                    _tell_earlier(value, run)
    return [measured(value, {s: runs[value.words, s] for s in range(value.seeds)}) for value in published]


def measured(value: Published, runs: Mapping[int, SavedRun | str]) -> Measured:
    """The values of runs by seed; in place of a run that failed, its reason."""
    ended = {seed: run for seed, run in runs.items() if isinstance(run, SavedRun)}
    machines = dict.fromkeys(machine_of(run) for run in ended.values())
    return Measured(
        {seed: reached(value, run) for seed, run in ended.items()},
        [_seconds(run) for run in ended.values()],
        list(machines),
        {seed: run for seed, run in runs.items() if isinstance(run, str)},
    )


def reached(value: Published, run: SavedRun) -> float:
    """The value of a run: its metric after the last round that has measured it, the mean of several such rounds (NaN
    where there are fewer), or the round in which it reaches the target (infinite where no round does).

    Raises:
        InputError: the run has no such metric, or a target of a metric of which no direction is the better one.
    """
    try:
        column = columns([run], [value.metric])[0]
    except InputError as error:
        raise InputError(f"published value of {value.metric}: {str(error).partition(': ')[2]}") from None
    if value.target is None and value.evaluations > 1:
        measured = [row[value.metric] for row in run.rows if value.metric in row][-value.evaluations :]
        return fmean(measured) if len(measured) == value.evaluations else math.nan
    if value.target is None:
        return value_at(run, value.metric, None)
    if not column.sign:
        raise InputError(
            f"published value of {value.metric}: neither direction of it is declared to be better, so that it has no "
            "target; name it in evaluation.higher_is_better or lower_is_better of the experiment."
        )
    cost = first_reached(run, column, value.target)
    return math.inf if cost is None else float(cost["round"])


def _tell_earlier(value: Published, run: SavedRun) -> None:
    """A line where a value is not of the last round: a run that stops may end in a round without an evaluation."""
    measured = run.measured(value.metric)
    if value.target is None and measured is not None and measured[0] < run.rows[-1]["round"]:
        print(f"  {value.metric} is of round {measured[0]}, the last one that has measured it", flush=True)


def machine_of(run: SavedRun) -> str:
    """The machine that a run has ended on."""
    file = run.folder / MACHINE
    return file.read_text(encoding="utf-8").strip() if file.exists() else "unknown"


def changes(given: Sequence[str]) -> list[str]:
    """Those of the given overrides that change what is measured: all but places, threads, engines and the trainer."""
    texts = []
    for override in parse(given):
        key = key_of(override)
        if key not in (*_PLACES, "trainer") and not changes_no_result(key):
            texts.append(override.input_line or "")
    return texts


def without_places(given: Sequence[str]) -> list[str]:
    """The given overrides without those that say where data lie on this machine, or how a run is shown."""
    hidden = (*_PLACES, "hydra", "progress", "logger", "threads")
    return [o.input_line or "" for o in parse(given) if not {key_of(o), key_of(o).partition(".")[0]} & {*hidden}]


def _run(words: Sequence[str], folder: Path) -> SavedRun | str:
    """The run, begun or resumed; a sentence if it failed."""
    from fedlit.simulation import simulate  # imports torch

    begun = any((folder / "checkpoints").glob("round_*"))
    place = f"resume={quoted(str(folder))}" if begun else f"hydra.run.dir={quoted(str(folder))}"
    try:
        run = simulate([*words, place]).saved
    except InputError:
        raise
    except Exception as error:
        return f"failed, {one_line(error)}; {folder / 'run.log'} has its trace"
    write_text(folder / MACHINE, f"{machine_name()}\n")
    return run


def _has_ended(call: Call, words: Sequence[str], seed: int) -> bool:
    """Whether the run has come to its end before.

    A run that was killed is checked as well: it goes on with the words that it has saved, not with those given now.
    One of fewer rounds does not go on, because schedules of learning rates depend on the number of rounds.

    Raises:
        InputError: the run in its folder has other settings.
    """
    folder = call.run_folder(words, seed)
    if not has_rounds(folder):
        return False
    run = SavedRun(folder)
    with composer() as opened:
        wanted = check(call.run_words(words, seed), opened).composed.config
    identity = Identity([wanted])
    if differences := identity.differences(run.config, wanted) + identity.end_differences(run.config, wanted):
        raise InputError(
            f"{folder}: the run in this folder has other settings, {differences[0]}; write the same words as before, "
            "or another --folder."
        )
    return run.finished


def _seconds(run: SavedRun) -> float:
    summary: dict[str, Any] = run.summary or {}
    return round(float(summary.get("seconds", math.nan)), 1)


def _name(words: Sequence[str]) -> str:
    return run_names([words], [key_of(override) for override in parse(words)])[0] if words else "preset"
