"""The picture of accuracy over bytes."""

from __future__ import annotations

import io

from benchmarks.figures.setting import Means
from fedlit.report.figures import new_figure, paper_style

DPI = 150
LAST, SENT = "after round 50", "kB a message"
NAMES = {  # case: its name, and where it stands from its point: (right, up), points
    "none": ("not compressed", (-6, -11)),
    "qsgd_7": ("QSGD, 7 levels", (0, 7)),
    "qsgd_1": ("QSGD, 1 level", (6, -3)),
    "sign": ("signs", (6, -3)),
    "topk_10": ("10%", (6, -3)),
    "topk_10_forgets": ("10%", (6, -3)),
    "topk_1": ("1%", (6, -3)),
    "topk_1_forgets": ("1%", (6, -3)),
    "topk_01": ("0.1%", (6, -3)),
    "topk_01_forgets": ("0.1%", (6, -3)),
    "randomk_1": ("random-k, 1%", (6, -3)),
    "powersgd": ("PowerSGD", (6, -3)),
}
TOPK = ("topk_01", "topk_1", "topk_10")


def picture(means: Means) -> bytes:
    """Accuracy after the last round against the size of a message, a point for each case, as a PNG file."""
    with paper_style():
        figure = new_figure(6.9, 4)
        axes = figure.subplots()
        for color, ending, fill, label in (
            ("C0", "", "full", "top-k with feedback"),
            ("C1", "_forgets", "none", "top-k without feedback"),
        ):
            line = [means[name + ending] for name in TOPK]
            x, y = [point[SENT] for point in line], [point[LAST] for point in line]
            axes.plot(x, y, marker="o", color=color, fillstyle=fill, label=label)
        for case, (name, offset) in NAMES.items():
            point = (means[case][SENT], means[case][LAST])
            if not case.startswith("topk"):
                axes.plot(*point, marker="s", color="C2", linestyle="none")
            axes.annotate(name, point, offset, textcoords="offset points", fontsize=8)
        axes.set(xscale="log", xlabel="kB that a client sends in a round", ylabel="accuracy after round 50, %")
        axes.legend(loc="lower right")
        content = io.BytesIO()
        figure.savefig(content, dpi=DPI, format="png")
    return content.getvalue()
