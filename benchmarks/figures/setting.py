"""What is measured: a setting is one claim of a paper, its cases are command lines, each run with several seeds."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

QUIET = ("threads=1", "logger=none", "progress=none")
"""Added to each command; none of them changes a number except `threads`, by rounding."""

Measure = str | Callable[[Path], float | None]
"""The name of a metric in the last row of summary.json, or a function of the run folder. None: the run has no value."""

Means = Mapping[str, Mapping[str, float]]
"""Case: column: the mean over seeds, as it is printed; a column without a value is left out."""


@dataclass(frozen=True)
class Case:
    """A row of a setting's table: one command."""

    overrides: tuple[str, ...] = ()  # in addition to those of the setting
    paper: str = ""  # what the paper has for this row


@dataclass(frozen=True)
class Setting:
    """One claim."""

    title: str
    claim: str  # of the paper, with the place where it stands, and whether that was confirmed
    notes: str  # what differs from the paper
    overrides: tuple[str, ...]  # of all cases
    cases: Mapping[str, Case]
    measures: Mapping[str, Measure]  # column: what it shows; a share, printed in percent, or see `decimals`
    reached: str  # the result in a sentence: {case[column]} is a mean over seeds
    seeds: tuple[int, ...] = (0, 1, 2)
    paper: str = ""  # the result in the paper in a sentence; empty: no claim
    labels: Mapping[str, str] = field(default_factory=dict)  # case: its name in the table, if it is another
    decimals: Mapping[str, int] = field(default_factory=dict)  # column that is no share: its decimals
    sweeps: tuple[tuple[str, ...], ...] = ()  # overrides with commas: these commands run all cases, in one folder
    drawn: Callable[[Means], bytes] | None = None  # a figure of all cases, as a PNG file
    compared: Mapping[str, Callable[[str, Means], str]] = field(
        default_factory=dict
    )  # column: cell of a case, from all

    def words(self, case: str, seed: int) -> list[str]:
        """The overrides of one run."""
        return [*self.overrides, *self.cases[case].overrides, f"seed={seed}", *QUIET]

    def sweep_words(self, seed: int) -> list[list[str]]:
        """The overrides of the commands that run all cases."""
        return [[*self.overrides, *sweep, f"seed={seed}", *QUIET] for sweep in self.sweeps]
