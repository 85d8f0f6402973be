"""A sweep whose sweeper chooses each run by the results of those before, such as hydra/sweeper=optuna.

Nothing of the sweeper is saved. A study that goes on asks it for the same runs once more, and a run that is finished
answers from its folder. With the same seed and the same answers the sweeper chooses the same runs. Where it does not,
the study is refused, because its choices would rest on runs that are not its own. A run that has failed stays failed,
because the choices after it were made without it.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra.core.utils import JobReturn
from hydra.plugins.launcher import Launcher

from fedlit.errors import BUG, InputError
from fedlit.plurals import counted
from fedlit.run_folder import blocks, clear_start, has_rounds, hold, is_unmarked
from fedlit.saved_run import SavedRun
from fedlit.settings.hydra_compat import Application, Ended, Launch, Planned
from fedlit.settings.overrides import key_of, parse, quoted
from fedlit.sweeps.job_returns import in_sequence, job_return
from fedlit.sweeps.objective import Objective
from fedlit.sweeps.run_names import run_names
from fedlit.sweeps.same_run import FIXED_IN_STUDY, Identity

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class TrialEnded(Ended):
    """How a run of a study ended. `float` gives its objective; TypeError without one, which the sweeper counts as a
    failure of this run."""

    value: float | None

    def __float__(self) -> float:
        if self.value is None:
            raise TypeError("the run has no result")
        return self.value


@dataclass(frozen=True)
class _Trial:
    """A run that the sweeper has chosen."""

    number: int
    planned: Planned
    folder: Path

    @property
    def words(self) -> list[str]:
        kept = ["hydra.output_subdir=null"] if has_rounds(self.folder) else []
        return [*self.planned.overrides, f"hydra.sweep.subdir={quoted(str(self.folder))}", *kept]


class Study:
    """The runs of a study.

    Args:
        application: Hydra's.
        config_name, overrides: of the sweep.
        folder: of the sweep, absolute.
        swept: the keys that are varied.
        objective: what is optimised.
        launch: launches runs.

    Attributes:
        values: the objective of each run so far, by its folder; None for a run without a result.
        ended: how each run has ended.
    """

    def __init__(
        self,
        application: Application,
        config_name: str,
        overrides: list[str],
        folder: Path,
        swept: Sequence[str],
        objective: Objective,
        launch: Launch,
    ):
        self._planned = lambda jobs, first: list(application.planned(config_name, overrides, jobs, first))
        self._folder, self._swept, self._objective, self._launch = folder, swept, objective, launch
        self.values: dict[Path, float | None] = {}
        self.ended: list[Ended] = []
        self._warned = False

    def launch(self, launcher: Launcher, jobs: Sequence[Sequence[str]], first: int) -> list[JobReturn]:
        """Run the jobs that are not finished; how each ended, with its objective.

        Raises:
            InputError: another run lies in the folder of a job, or no run has the objective.
        """
        trials = [self._trial(first + place, job) for place, job in enumerate(self._planned([*map(list, jobs)], first))]
        _refuse_shared(trials)
        codes = {trial.number: _code(trial) for trial in trials}
        waiting = {trial.number: trial for trial in trials if codes[trial.number] is None}
        for trial in waiting.values():
            self._clear_start(trial.folder)
        for numbers in in_sequence(list(waiting)):
            returned = self._launch(launcher, [waiting[number].words for number in numbers], numbers[0])
            codes.update({n: job.return_value.code for n, job in zip(numbers, returned, strict=True)})
        for trial in trials:
            self.values[trial.folder] = self._value(trial.folder) if codes[trial.number] == 0 else None
        ends = [TrialEnded(codes[trial.number] or 0, self.values[trial.folder]) for trial in trials]
        self.ended += ends
        return [job_return(end) for end in ends]

    def best(self) -> str | None:
        """A line with the best run and the metric that it was chosen by; None if none has a result."""
        results = {folder: value for folder, value in self.values.items() if value is not None}
        if not results:
            return None
        choose = max if self._objective.better == "higher" else min
        folder = choose(results, key=lambda folder: results[folder])
        metric = self._objective.metric(SavedRun(folder).rows)
        runs = f"best of {counted(len(self.values), 'run')} by {metric}, each in its best round"
        return f"{runs}: {folder.name}  {results[folder]:.6g}"

    def _trial(self, number: int, planned: Planned) -> _Trial:
        place = planned.subdir
        for path in [self._folder / place, *self._folder.glob(f"{number},*")]:
            self._clear_unmarked(path)
        if place == str(number):  # the default; a name that begins with the number says more
            [name] = run_names([[_rounded(word) for word in planned.overrides]], self._swept)
            place = f"{number},{name}"
            others = [path for path in self._folder.glob(f"{number},*") if path.name != place and blocks(path)]
            if others:
                raise _other_run(others[0].name, place)
        folder = self._folder / place
        if blocks(folder):
            identity = Identity([planned.config], FIXED_IN_STUDY)
            differences = identity.differences(SavedRun(folder).config, planned.config)
            if differences:
                raise _other_run(folder.name, "; ".join(differences[:6]))
        return _Trial(number, planned, folder)

    def _clear_unmarked(self, folder: Path) -> None:
        """Remove the files of a run that was killed before it was marked as one, while Hydra wrote its record."""
        if folder != self._folder and is_unmarked(folder):
            clear_start(folder)

    def _clear_start(self, folder: Path) -> None:
        """Remove what a run has left that begins once more; InputError if another process is in it."""
        if folder != self._folder and folder.exists():
            hold(folder).release()
            if not has_rounds(folder):
                clear_start(folder)

    def _value(self, folder: Path) -> float | None:
        rows = SavedRun(folder).rows
        value = self._objective.value(rows)
        if value is None and rows and self._objective.metric(rows) not in set().union(*rows):
            names = ", ".join(sorted(name for name in rows[-1] if name != "round"))
            raise InputError(
                f"objective={self._objective.name}: the runs have no metric of this name; write one of {names}."
            )
        if not self._warned and rows and self._objective.is_of_test_data(rows):
            self._warned = True
            log.warning(
                "the runs are chosen by %s, on test data, which makes the best one look better than it is; write "
                "evaluation.client_validation=0.2 to choose by validation data.",
                self._objective.metric(rows),
            )
        return value


def _refuse_shared(trials: Sequence[_Trial]) -> None:
    """InputError where two runs that are launched at once would have one folder."""
    places = [trial.folder for trial in trials]
    shared = next((place for place in places if places.count(place) > 1), None)
    if shared is not None:
        raise InputError(
            f"hydra.sweep.subdir: two runs that the sweeper has chosen would have the same folder, {shared.name}; "
            "write hydra.sweep.subdir='${hydra.job.num}'."
        )


def _code(trial: _Trial) -> int | None:
    """The exit code of a run that has come to its end; None if it has not."""
    if not trial.folder.exists():
        return None
    try:
        run = SavedRun(trial.folder)
    except InputError:
        return None
    return BUG if run.failure is not None else 0 if run.finished else None


def _rounded(word: str) -> str:
    """`optimizer.lr=0.0191865571805965` -> `optimizer.lr=0.01919`, for a name."""
    value: Any = parse([word])[0].value()
    return f"{key_of(parse([word])[0])}={value:.4g}" if isinstance(value, float) else word


def _other_run(name: str, chosen: str) -> InputError:
    return InputError(
        f"{name}: this run of the study differs from what the sweeper has chosen now ({chosen}), so that the study "
        "cannot go on: the sweeper, its settings or its package have changed; start it in a new folder."
    )
