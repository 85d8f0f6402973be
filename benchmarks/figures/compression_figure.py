"""The picture of accuracy over bytes."""

from __future__ import annotations

import io

from benchmarks.figures.setting import Means
from fedlit.report.figures import new_figure, paper_style

DPI = 150
LAST, SENT = "after round 50", "kB a message"
RIGHT, LEFT, ABOVE, BELOW = ("left", (6, -3)), ("right", (-6, -3)), ("center", (0, 7)), ("center", (0, -13))
NAMES = {  # case: its name, the alignment of it, and where it stands from its point: (right, up), points
    "none": ("not compressed", *BELOW),
    "qsgd_7": ("QSGD, 7 levels", *ABOVE),
    "qsgd_1": ("QSGD, 1 level", *LEFT),
    "sign": ("signs", *LEFT),
    "topk_10": ("10%", *RIGHT),
    "topk_10_forgets": ("10%", *BELOW),
    "topk_1": ("1%", *ABOVE),
    "topk_1_forgets": ("1%", *BELOW),
    "topk_01": ("0.1%", *ABOVE),
    "topk_01_forgets": ("0.1%", *BELOW),
    "randomk_1": ("random-k, 1%", *RIGHT),
    "powersgd": ("PowerSGD", *RIGHT),
    "powersgd_forgets": ("PowerSGD without feedback", *RIGHT),
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
        for case, (name, alignment, offset) in NAMES.items():
            point = (means[case][SENT], means[case][LAST])
            if not case.startswith("topk"):
                axes.plot(*point, marker="s", color="C2", linestyle="none")
            axes.annotate(name, point, offset, textcoords="offset points", ha=alignment, fontsize=8)
        axes.set(xscale="log", xlabel="kB that a client sends in a round", ylabel="accuracy after round 50, %")
        axes.margins(x=0.1, y=0.08)
        axes.xaxis.set_major_formatter("{x:g}")
        axes.legend(loc="lower right")
        content = io.BytesIO()
        figure.savefig(content, dpi=DPI, format="png")
    return content.getvalue()
