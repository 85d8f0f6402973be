from __future__ import annotations

import sys
from dataclasses import replace

import numpy as np
import pytest

from fedlit.tracking import MetricsFile
from fedlit.tracking.canvas import pixels
from fedlit.tracking.confusion_figure import confusion_figure
from fedlit.tracking.curves_figure import curves_figure
from fedlit.tracking.figures import Figures
from fedlit.tracking.partition_figure import heatmap_figure, partition_figure
from tests.tracking.runs import about, row


def test_both_pictures_are_written_without_pyplot(tmp_path):
    sys.modules.pop("matplotlib.pyplot", None)
    metrics, figures = MetricsFile(), Figures()
    for logger in (metrics, figures):
        logger.start(about(tmp_path))
    assert (tmp_path / "partition.png").read_bytes()[:4] == b"\x89PNG"
    for number in (1, 2, 3):
        metrics.round(number, row(number), {})
    figures.finish({})
    assert (tmp_path / "curves.png").read_bytes()[:4] == b"\x89PNG"
    assert {path.name for path in tmp_path.iterdir()} == {"metrics.jsonl", "partition.png", "curves.png"}
    assert "matplotlib.pyplot" not in sys.modules


def test_bars_are_the_sizes_and_their_parts_the_classes(tmp_path):
    bars, heatmap, _ = partition_figure(about(tmp_path)).axes
    widths = np.array([[bar.get_width() for bar in label] for label in bars.containers])
    assert widths.T.tolist() == [[3, 4], [0, 9], [5, 0]]
    np.testing.assert_allclose(heatmap.collections[0].get_array(), [[3 / 7, 4 / 7], [0, 1], [1, 0]])
    assert heatmap.get_ylim() == (2.5, -0.5)  # the first client on top
    assert [text.get_text() for text in heatmap.texts] == ["3", "4", "9", "5"]


@pytest.mark.parametrize("sizes", [np.full(300, 60), np.arange(300) ** 3, np.arange(300)])
def test_many_clients_are_counted_by_size(tmp_path, sizes):
    many = replace(about(tmp_path), sizes=sizes, histogram=np.ones((100, 2), dtype=int))
    figure = partition_figure(many)
    assert sum(bar.get_height() for bar in figure.axes[0].patches) == 300
    assert "100 of 300 clients" in figure.axes[1].get_title()
    assert pixels(figure).ndim == 3


def test_without_classes_sizes_alone(tmp_path):
    plain = replace(about(tmp_path), histogram=None)
    for figure in (partition_figure(plain), heatmap_figure(plain)):
        assert [bar.get_width() for bar in figure.axes[0].patches] == [7, 9, 5]


def test_curves_have_each_metric_and_its_rounds():
    rows = [{"round": n, **row(n)} for n in (1, 2, 3, 4)]
    rows[3]["global/test/f1"] = 0.5
    figure = curves_figure(rows, "a run")
    assert [axes.get_ylabel() for axes in figure.axes if axes.axison] == ["accuracy", "f1"]
    lines = {line.get_label(): line for line in figure.axes[0].lines}
    assert lines["global, test"].get_xydata().tolist() == [[1, 0.125], [2, 0.25], [3, 0.375], [4, 0.5]]
    assert lines["clients, received: mean ± std"].get_xydata().tolist() == [[2, 0.5], [4, 0.5]]
    band = figure.axes[0].collections[0].get_paths()[0].vertices[:, 1]
    assert (band.min(), band.max()) == (0.25, 0.75)


def test_no_curves_where_nothing_was_evaluated():
    assert curves_figure([{"round": 1, "train/loss": 1.0, "clients/received/evaluated": 0}]) is None


def test_confusion_is_shown_by_true_class():
    figure = confusion_figure(np.array([[3, 1], [0, 0]]), ["cat", "dog"])
    assert figure.axes[0].images[0].get_array().tolist() == [[0.75, 0.25], [0, 0]]  # no cat of the second class: no NaN
    assert [text.get_text() for text in figure.axes[0].texts] == ["3", "1"]
    picture = pixels(figure)
    assert picture.dtype == np.uint8 and picture.shape[2] == 3


def test_the_received_model_is_drawn_only_without_a_global_one():
    rows = [{"round": n, **row(n)} for n in (1, 2)]
    rows[1]["clients/global/accuracy/mean"] = rows[1]["clients/global/accuracy/std"] = 0.25
    labels = [line.get_label() for line in curves_figure(rows).axes[0].lines]
    assert labels == ["global, test", "clients, global: mean ± std"]
