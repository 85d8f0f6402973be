"""The charts of TensorBoard's CUSTOM SCALARS tab: the spread of a metric over clients.

A single run has for each model the mean with a band of one standard deviation to both sides, and mean, worst client and
worst tenth as lines (smallest and largest, where the direction of the metric is not known). TensorBoard draws a band
between scalars only, so its edges are written under `spread/`. The runs of a sweep share one page, on which bands cover
each other. They have one chart for each statistic of the models that clients use, and one line a run in it.
"""

from __future__ import annotations

import re
from typing import Any

from fedlit.metric_names import ENDS, USED, Row, client_families, client_group, client_metric, spread_band
from fedlit.tracking.tensorboard_tags import tag

_NAMES = {"mean": "mean", "worst_decile": "worst tenth", "worst": "worst client", "min": "smallest", "max": "largest"}
_Family = tuple[str, str, tuple[str, ...]]  # model, metric, statistics


class SpreadCharts:
    """The charts for the numbers that have come so far."""

    def __init__(self, are_bands: bool):
        """
        Args:
            are_bands: bands and lines for every model; else a chart for each statistic of the models that are used.
        """
        self.are_bands = are_bands
        self._families: set[_Family] = set()

    def edges(self, row: Row) -> Row:
        """The edges of the bands, by name."""
        edges: Row = {}
        for model, metric in client_families(row) if self.are_bands else ():
            mean, std = (row[client_metric(model, metric, statistic)] for statistic in ("mean", "std"))
            edges |= dict(zip(spread_band(model, metric), (mean - std, mean + std), strict=True))
        return edges

    def new_layout(self, row: Row) -> Any | None:
        """The layout, if the row has a number that the layout before it lacks: TensorBoard uses the newest."""
        families = {(*family, _statistics(row, *family)) for family in client_families(row)}
        if self._families.issuperset(families):
            return None
        self._families |= families
        ordered = sorted(self._families)
        return _bands_and_lines(ordered) if self.are_bands else _lines_of_runs(ordered)


def _statistics(row: Row, model: str, metric: str) -> tuple[str, ...]:
    present = [name for name in ("mean", "worst_decile", "worst", *ENDS) if client_metric(model, metric, name) in row]
    return tuple(present)


def _bands_and_lines(families: list[_Family]) -> Any:
    from torch.utils.tensorboard.summary import custom_scalars

    charts: dict[str, dict[str, list[Any]]] = {}
    for model, metric, statistics in families:
        group = client_group(model)
        band = [tag(client_metric(model, metric, "mean")), *spread_band(model, metric)]
        charts.setdefault(f"{group}: mean and one standard deviation", {})[metric] = ["Margin", band]
        title = ", ".join(_NAMES[name] for name in statistics)
        charts.setdefault(f"{group}: {title}", {})[metric] = ["Multiline", [_pattern(model, metric, *statistics)]]
    return custom_scalars(charts)


def _lines_of_runs(families: list[_Family]) -> Any:
    from torch.utils.tensorboard.summary import custom_scalars

    charts: dict[str, dict[str, list[Any]]] = {}
    for model, metric, statistics in families:
        if model == USED:
            for name in statistics:
                page = charts.setdefault(f"{client_group(model)}: a line a run", {})
                page[f"{metric}: {_NAMES[name]}"] = ["Multiline", [_pattern(model, metric, name)]]
    return custom_scalars(charts)


def _pattern(model: str, metric: str, *statistics: str) -> str:
    family = client_metric(model, metric, "")
    return f"^{re.escape(tag(family))}({'|'.join(statistics)})$"
