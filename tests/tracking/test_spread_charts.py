"""The charts of the CUSTOM SCALARS tab, of one run and of the runs of a sweep."""

from __future__ import annotations

import re
from typing import Any

from tensorboard.plugins.custom_scalar import layout_pb2

from fedlit.tracking.spread_charts import SpreadCharts
from fedlit.tracking.tensorboard_tags import tag

STATISTICS = ("mean", "std", "worst", "worst_decile")
ROW = {f"clients/{m}/accuracy/{s}": 0.5 for m in ("received", "used") for s in STATISTICS}


def layout(charts: SpreadCharts, row: dict[str, float]) -> Any:
    message = charts.new_layout(row)
    assert message is not None
    content = layout_pb2.Layout()
    content.ParseFromString(message.value[0].tensor.string_val[0])
    return content


def lines(chart: Any) -> set[str]:
    """The names of the row that a chart draws as lines."""
    return {name for name in ROW for pattern in chart.multiline.tag if re.search(pattern, tag(name))}


def test_a_run_has_a_band_and_lines_for_each_model() -> None:
    charts = SpreadCharts(are_bands=True)
    content = layout(charts, ROW)
    assert [category.title for category in content.category] == [
        "clients/received: mean and one standard deviation",
        "clients/received: mean, worst tenth, worst client",
        "clients/used: mean and one standard deviation",
        "clients/used: mean, worst tenth, worst client",
    ]
    edges = charts.edges(ROW)
    assert edges["spread/clients/used/accuracy/mean_minus_std"] == 0
    assert edges["spread/clients/used/accuracy/mean_plus_std"] == 1
    series = content.category[2].chart[0].margin.series[0]
    assert (series.value, series.lower, series.upper) == ("on clients: used/accuracy/mean", *list(edges)[2:])
    assert lines(content.category[3].chart[0]) == {
        f"clients/used/accuracy/{name}" for name in ("mean", "worst", "worst_decile")
    }


def test_the_runs_of_a_sweep_have_one_line_each_in_every_chart() -> None:
    charts = SpreadCharts(are_bands=False)
    [category] = layout(charts, ROW).category
    assert category.title == "clients/used: a line a run"
    assert [chart.title for chart in category.chart] == [
        "accuracy: mean",
        "accuracy: worst tenth",
        "accuracy: worst client",
    ]
    assert [lines(chart) for chart in category.chart] == [
        {f"clients/used/accuracy/{name}"} for name in ("mean", "worst_decile", "worst")
    ]
    assert charts.edges(ROW) == {}


def test_a_layout_is_written_where_something_is_new() -> None:
    charts = SpreadCharts(are_bands=True)
    assert charts.new_layout({"train/loss": 1.0}) is None
    assert charts.new_layout(ROW) is not None and charts.new_layout(ROW) is None
