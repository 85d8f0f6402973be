from __future__ import annotations

import sys
import threading
from dataclasses import replace

import numpy as np
import pytest
from matplotlib.backends.backend_agg import RendererAgg

from fedlit.tracking import MetricsFile
from fedlit.tracking import figures as figures_module
from fedlit.tracking.canvas import png
from fedlit.tracking.confusion_figure import confusion_figure
from fedlit.tracking.curves_figure import curves_figure
from fedlit.tracking.figures import Figures
from fedlit.tracking.partition_figure import partition_figure, partition_png
from tests.tracking.runs import about, row


def test_both_pictures_are_written_without_pyplot(tmp_path):
    sys.modules.pop("matplotlib.pyplot", None)
    metrics, figures = MetricsFile(), Figures()
    for logger in (metrics, figures):
        logger.start(about(tmp_path))
    for number in (1, 2, 3):
        metrics.round(number, row(number), {})
        figures.round(number, row(number), {})
    figures.finish({})
    assert (tmp_path / "curves.png").read_bytes()[:4] == b"\x89PNG"
    figures.close()
    assert (tmp_path / "partition.png").read_bytes()[:4] == b"\x89PNG"
    assert {path.name for path in tmp_path.iterdir()} == {"metrics.jsonl", "partition.png", "curves.png"}
    assert "matplotlib.pyplot" not in sys.modules


def test_no_round_waits_for_a_figure(tmp_path, monkeypatch):
    may_draw = threading.Event()

    def slow(run):
        assert may_draw.wait(10)
        return b"drawn"

    monkeypatch.setattr(figures_module, "partition_png", slow)
    figures = Figures()
    figures.start(about(tmp_path))
    figures.client_done(1, 1)
    figures.round(1, row(1), {})
    assert list(tmp_path.iterdir()) == []
    may_draw.set()
    figures.close()
    assert (tmp_path / "partition.png").read_bytes() == b"drawn"


def test_a_figure_that_cannot_be_drawn_costs_a_warning(tmp_path, monkeypatch, caplog):
    def fail(*arguments):
        raise RuntimeError("no font")

    monkeypatch.setattr(figures_module, "partition_png", fail)
    monkeypatch.setattr(figures_module, "curves_figure", fail)
    (tmp_path / "metrics.jsonl").touch()
    figures = Figures()
    figures.start(about(tmp_path))
    figures.finish({})
    figures.close()
    assert sorted(caplog.messages) == [
        "curves.png could not be drawn: RuntimeError: no font",
        "partition.png could not be drawn: RuntimeError: no font",
    ]


def test_a_run_that_did_not_start_draws_nothing(tmp_path):
    Figures().close()


def test_the_run_folder_and_tensorboard_share_one_drawing(tmp_path):
    run = about(tmp_path)
    assert partition_png(run) is partition_png(run)
    assert partition_png(about(tmp_path)) is not partition_png(run)


@pytest.fixture
def drawn_texts(monkeypatch):
    """Every text that a figure draws."""
    texts = []
    draw_text = RendererAgg.draw_text

    def note(self, gc, x, y, s, *rest, **options):
        texts.append(s)
        return draw_text(self, gc, x, y, s, *rest, **options)

    monkeypatch.setattr(RendererAgg, "draw_text", note)
    return texts


def spans(axes):
    """(start, end) of each bar, for each collection of bars."""
    return [[(p.vertices[:, 0].min(), p.vertices[:, 0].max()) for p in bars.get_paths()] for bars in axes.collections]


def test_bars_are_the_sizes_and_their_parts_the_classes(tmp_path, drawn_texts):
    figure = partition_figure(about(tmp_path))
    bars, heatmap = figure.axes
    assert spans(bars) == [[(0, 3), (0, 0), (0, 5)], [(3, 7), (0, 9), (5, 5)]]
    np.testing.assert_allclose(heatmap.collections[0].get_array(), [[3 / 7, 4 / 7], [0, 1], [1, 0]])
    assert heatmap.get_ylim() == (2.5, -0.5)  # the first client on top
    png(figure)
    assert "3 4 9 5" in " ".join(drawn_texts)


@pytest.mark.parametrize("sizes", [np.full(300, 60), np.arange(300) ** 3, np.arange(300)])
def test_many_clients_are_counted_by_size(tmp_path, sizes):
    many = replace(about(tmp_path), sizes=sizes, histogram=np.ones((100, 2), dtype=int))
    figure = partition_figure(many)
    assert sum(bar.get_height() for bar in figure.axes[0].patches) == 300
    assert "100 of 300 clients" in figure.axes[1].get_title()
    assert png(figure)[:4] == b"\x89PNG"


def test_without_classes_sizes_alone(tmp_path):
    plain = replace(about(tmp_path), histogram=None)
    [axes] = partition_figure(plain).axes
    assert spans(axes) == [[(0, 7), (0, 9), (0, 5)]]


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


def test_axes_are_fitted_to_the_data_and_the_legend_stands_beside_the_panels(drawn_texts):
    rows = [{"round": n, "global/test/accuracy": 0.2 + n / 100, "clients/used/accuracy/std": 0.9} for n in range(5, 15)]
    for changed in rows:
        changed |= {"clients/trained/accuracy/mean": 0.3, "clients/trained/accuracy/std": 0.1, "train/loss": 1.0}
    figure = curves_figure(rows)
    (panel,) = (axes for axes in figure.axes if axes.axison)
    assert 0.18 < panel.get_ylim()[0] < 0.2 and 0.4 < panel.get_ylim()[1] < 0.42
    assert 4.5 < panel.get_xlim()[0] < 5 and 14 < panel.get_xlim()[1] < 14.5
    png(figure)
    (legend,) = figure.legends
    assert panel.get_legend() is None and legend.get_window_extent().x0 > panel.get_window_extent().x1
    assert {"global, test", "clients, trained: mean ± std"} <= set(drawn_texts)


def test_the_band_around_an_accuracy_ends_at_its_bounds():
    rows = [{"round": n, "clients/trained/accuracy/mean": 0.9, "clients/trained/accuracy/std": 0.3} for n in (1, 2)]
    band = curves_figure(rows).axes[0].collections[0].get_paths()[0].vertices[:, 1]
    assert (round(band.min(), 6), band.max()) == (0.6, 1.0)


def test_small_shares_have_a_scale_with_different_marks(tmp_path, drawn_texts):
    many = replace(
        about(tmp_path), histogram=np.arange(62 * 40).reshape(40, 62), sizes=np.full(40, 9), label_names=None
    )
    png(partition_figure(many))
    marks = [text for text in drawn_texts if text.endswith("%")]
    assert len(marks) > 3 and len(set(marks)) == len(marks)


def test_no_curves_where_fewer_than_two_rounds_were_evaluated():
    rows = [{"round": n, "train/loss": 1.0, "clients/received/evaluated": 0} for n in (1, 2)]
    assert curves_figure(rows) is None
    rows[1]["global/test/accuracy"] = 0.5
    assert curves_figure(rows) is None
    rows[0]["global/test/accuracy"] = 0.5
    assert curves_figure(rows) is not None


def test_confusion_is_shown_by_true_class(drawn_texts):
    figure = confusion_figure(np.array([[3, 1], [0, 0]]), ["cat", "dog"])
    assert figure.axes[0].images[0].get_array().tolist() == [[0.75, 0.25], [0, 0]]  # no cat of the second class: no NaN
    assert png(figure)[:4] == b"\x89PNG"
    assert "3 1" in " ".join(drawn_texts)


def test_the_received_model_is_drawn_only_without_a_global_one():
    rows = [{"round": n, **row(n)} for n in (1, 2)]
    rows[1]["clients/global/accuracy/mean"] = rows[1]["clients/global/accuracy/std"] = 0.25
    labels = [line.get_label() for line in curves_figure(rows).axes[0].lines]
    assert labels == ["global, test", "clients, global: mean ± std"]
