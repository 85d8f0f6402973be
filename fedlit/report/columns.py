"""Which metrics are columns of the table, and which direction of each is better."""

from __future__ import annotations

import difflib
import importlib
import math
from collections.abc import Sequence
from dataclasses import dataclass

from omegaconf import OmegaConf

from fedlit.errors import InputError
from fedlit.evaluation.direction import Directions
from fedlit.evaluation.headline import headline
from fedlit.metric_names import (
    TRAIN_LOSS,
    USED,
    Direction,
    base_metric,
    client_group,
    client_metric,
    global_metric,
    is_global,
    is_of_parties,
)
from fedlit.saved_run import SavedRun

_ROUNDING = 1e-6  # a mean over clients and one over all samples are added in another order
_STATISTICS = ("weighted", "worst_decile", "std")


@dataclass(frozen=True)
class Column:
    """A metric of the table.

    Attributes:
        equals: an earlier column with the same values in all rounds of all runs, such as that of the models that
            clients use where all of them use the global one. table.csv alone has both.
    """

    metric: str
    better: Direction
    equals: str | None = None

    @property
    def sign(self) -> int:
        """1 if higher is better, -1 if lower is, 0 if neither is."""
        return {"higher": 1, "lower": -1, "neither": 0}[self.better]

    @property
    def title(self) -> str:
        arrow = {"higher": " ↑", "lower": " ↓", "neither": ""}[self.better]
        return f"{self.metric}{arrow}"


def columns(runs: Sequence[SavedRun], wanted: Sequence[str] = ()) -> list[Column]:
    """The columns: the wanted ones, or those of `clients/used`, then of `global/test`, accuracy first and loss last.
    Runs of parties have their headlines before the others.

    Raises:
        InputError: no run has a wanted metric.
    """
    names = list(dict.fromkeys(name for run in runs for row in run.rows for name in row if name != "round"))
    for name in wanted:
        if name not in names:
            meant = ",".join(_meant(name, names))
            raise InputError(f"metrics={name}: no run has this metric; write for example metrics={meant}.")
    directions = _directions(runs)
    if wanted:
        return [Column(name, directions.of(name)) for name in wanted]
    chosen = _headlines_first(_chosen(names), runs)
    equal = _equal(runs, chosen)
    return [Column(name, directions.of(name), equal.get(name)) for name in chosen]


def different(columns: Sequence[Column]) -> list[Column]:
    """The columns whose values no earlier column has."""
    return [column for column in columns if column.equals is None]


def equality_text(columns: Sequence[Column]) -> str:
    """The sentence on columns that are not shown twice; empty without one."""
    equal = [(column.metric, column.equals) for column in columns if column.equals is not None]
    if not equal:
        return ""
    pairs = ", ".join(f"{metric} = {other}" for metric, other in equal)
    return f"Equal in all rounds up to rounding, so they are shown once: {pairs}."


def _equal(runs: Sequence[SavedRun], metrics: Sequence[str]) -> dict[str, str]:
    """Metric -> the first metric before it that has the same values, up to rounding, in all rounds of all runs."""
    equal: dict[str, str] = {}
    for place, metric in enumerate(metrics):
        others = [
            other for other in metrics[:place] if other not in equal and base_metric(other) == base_metric(metric)
        ]
        for other in others:
            if all(_same(row.get(metric), row.get(other)) for run in runs for row in run.rows):
                equal[metric] = other
                break
    return equal


def _same(first: float | None, second: float | None) -> bool:
    if first is None or second is None:
        return first is second
    return math.isclose(first, second, rel_tol=_ROUNDING) or (math.isnan(first) and math.isnan(second))


def _meant(word: str, names: Sequence[str]) -> list[str]:
    """The metrics that a word may mean which is the name of none: those with this part, else those with a similar name.
    Those that the table has by default come first."""
    best_first = list(dict.fromkeys([*_chosen(names), *names]))
    first = (client_metric(USED, word, _STATISTICS[0]), global_metric("test", word))
    parts = sorted((n for n in best_first if f"/{word.strip('/')}/" in f"/{n}/"), key=lambda n: n not in first)
    return parts[:3] or difflib.get_close_matches(word, best_first, 3) or best_first[:3]


def _chosen(names: Sequence[str]) -> list[str]:
    models = [client_group(USED)] if any(name.startswith(client_group(USED)) for name in names) else []
    of_clients = [name for model in models for name in names if name.startswith(f"{model}/") and base_metric(name)]
    of_server = [name for name in names if name.startswith(global_metric("test", ""))]
    metrics = list(dict.fromkeys(str(base_metric(name)) for name in [*of_clients, *of_server]))
    metrics.sort(key=lambda metric: (metric.startswith("validation_"), metric != "accuracy", metric == "loss"))
    candidates = [client_metric(USED, metrics[0], statistic) for statistic in _STATISTICS] if metrics else []
    candidates += [client_metric(USED, metric, "weighted") for metric in metrics[1:]]
    candidates += [global_metric("test", metric) for metric in metrics]
    chosen = [name for name in candidates if name in names and "/validation_" not in name]
    return chosen or [name for name in names if is_global(name) or name == TRAIN_LOSS] or list(names)[:1]


def _headlines_first(chosen: Sequence[str], runs: Sequence[SavedRun]) -> list[str]:
    """A protocol of parties names its headline first. Beside runs of clients it follows their first column, because a
    narrow table shows the first columns alone."""
    of_parties = [next((row for row in run.rows if is_of_parties(row) and headline(row)), None) for run in runs]
    headlines = [str(headline(row)) for row in of_parties if row is not None]
    first = chosen[:1] if None in of_parties else []
    return list(dict.fromkeys([*first, *(name for name in headlines if name in chosen), *chosen]))


def _directions(runs: Sequence[SavedRun]) -> Directions:
    """The directions that the runs' `evaluation=` declares, also through the classes of its torchmetrics."""
    higher: list[str] = []
    lower: list[str] = []
    declared: dict[str, bool] = {}
    for run in runs:
        higher += OmegaConf.select(run.config, "evaluation.higher_is_better", default=None) or []
        lower += OmegaConf.select(run.config, "evaluation.lower_is_better", default=None) or []
        for name in OmegaConf.select(run.config, "evaluation.metrics", default=None) or {}:
            target = OmegaConf.select(run.config, f"evaluation.metrics.{name}._target_", default=None)
            if target and name not in declared:
                value = _class_attribute(str(target), "higher_is_better")
                declared |= {} if value is None else {str(name): bool(value)}
    return Directions(higher, lower, declared)


def _class_attribute(target: str, attribute: str) -> object:
    """None if the class cannot be imported, such as that of a package that is not installed now."""
    module, _, name = target.rpartition(".")
    try:
        return getattr(getattr(importlib.import_module(module), name), attribute, None)
    except (ImportError, AttributeError, ValueError):
        return None
