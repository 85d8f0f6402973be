"""Names of the numbers in a round's row, declared once: with unit, direction and a sentence.

Whatever writes a number builds its name here; README's table and TensorBoard's groups come from here, and so does the
direction in which a number is better. A part of fedlit that writes a new number adds a `Metric` to `METRICS`.

`python -m fedlit.metric_names` prints the table of README.md.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

Row = dict[str, float | int]
"""The numbers of one round by name, such as `global/test/accuracy`; names may come and go from round to round."""

Direction = Literal["higher", "lower", "neither"]


@dataclass(frozen=True)
class Metric:
    """One declared name, or a family of names.

    Attributes:
        name: with placeholders in angle brackets, such as `global/<split>/<metric>`.
        unit: of the number.
        better: the direction in which it is better; "neither" where it is no quality. "by metric": see
            `lower_is_better`.
        meaning: a sentence.
    """

    name: str
    unit: str
    better: Direction | Literal["by metric"]
    meaning: str

    @property
    def group(self) -> str:
        """The heading under which TensorBoard shows it."""
        return self.name.partition("/")[0]

    def matches(self, name: str) -> bool:
        """Whether a name in a row is this one, or of this family."""
        pattern = "".join(".+" if part.startswith("<") else re.escape(part) for part in _PLACEHOLDER.split(self.name))
        return re.fullmatch(pattern, name) is not None


_PLACEHOLDER = re.compile(r"(<\w+>)")

COHORT_ASKED, COHORT_ARRIVED = "cohort/asked", "cohort/arrived"
COHORT_LOST, COHORT_IDLE = "cohort/lost", "cohort/idle"
BYTES_DOWN, BYTES_UP = "comm/bytes_down", "comm/bytes_up"
TRAIN_LOSS, SKIPPED_SAMPLES = "train/loss", "train/skipped_samples"
UPDATE_NORM, UPDATE_COSINE = "update/norm", "update/cosine"

STATISTICS = ("mean", "weighted", "std", "worst", "worst_decile")  # of one number a client, over clients

METRICS = (
    Metric("global/<split>/<metric>", "of the metric", "by metric", "The global model on pooled samples (test or "
           "validation)."),
    Metric("clients/<model>/<metric>/mean", "of the metric", "by metric", "Mean over clients, each counts once; the "
           "models are received, trained, personal, or global."),
    Metric("clients/<model>/<metric>/weighted", "of the metric", "by metric", "Mean over clients, weighted by their "
           "numbers of samples."),
    Metric("clients/<model>/<metric>/std", "of the metric", "neither", "Standard deviation over clients."),
    Metric("clients/<model>/<metric>/worst", "of the metric", "by metric", "The worst client."),
    Metric("clients/<model>/<metric>/worst_decile", "of the metric", "by metric", "Mean over the worst tenth of the "
           "clients, at least one."),
    Metric("clients/<model>/evaluated", "clients", "neither", "Clients that were measured."),
    Metric(TRAIN_LOSS, "of the loss", "lower", "Training loss in the clients' last fits, weighted by their numbers of "
           "samples."),
    Metric(SKIPPED_SAMPLES, "samples", "neither", "Training samples that no step used: a last batch of one sample "
           "under batch normalisation, or past `trainer.limit_train_batches`."),
    Metric("train/log/<name>", "of the value", "by metric", "A value that the training step logs, weighted by the "
           "clients' numbers of samples."),
    Metric(UPDATE_NORM, "of the weights", "neither", "Mean Euclidean norm of the clients' updates."),
    Metric(UPDATE_COSINE, "-1 to 1", "neither", "Mean cosine between a client's update and the weighted mean update."),
    Metric(COHORT_ASKED, "clients", "neither", "Clients that were asked: the sum of arrived, lost and idle."),
    Metric(COHORT_ARRIVED, "clients", "neither", "Clients whose messages were aggregated."),
    Metric(COHORT_LOST, "clients", "lower", "Clients that raised or returned numbers that are not finite, under "
           "`engine.on_failure=drop`."),
    Metric(COHORT_IDLE, "clients", "neither", "Clients that made no optimiser step."),
    Metric(BYTES_DOWN, "bytes", "lower", "Sent to the clients in the round."),
    Metric(BYTES_UP, "bytes", "lower", "Sent by the clients that arrived."),
    Metric("time/<part>", "seconds", "lower", "Spent in a part of the round: fit, aggregate, evaluate."),
)  # fmt: skip


def global_metric(split: str, metric: str) -> str:
    return f"global/{split}/{metric}"


def client_metric(model: str, metric: str, statistic: str) -> str:
    """`statistic`: one of `STATISTICS`."""
    return f"clients/{model}/{metric}/{statistic}"


def clients_evaluated(model: str) -> str:
    return f"clients/{model}/evaluated"


def train_log(name: str) -> str:
    return f"train/log/{name}"


def lap_time(part: str) -> str:
    return f"time/{part}"


def is_time(name: str) -> bool:
    """Whether a number says how long something took, which no two runs share."""
    return name.startswith("time/")


def base_metric(name: str) -> str | None:
    """The measured metric in a name: `accuracy` in `global/test/accuracy` and in `clients/received/accuracy/mean`; None
    where the name has none."""
    group, _, rest = name.partition("/")
    metric = rest.partition("/")[2]
    if group == "global":
        return metric or None
    statistic = metric.rpartition("/")[2]
    return metric[: -len(statistic) - 1] or None if group == "clients" and statistic in STATISTICS else None


def lower_is_better(name: str) -> bool:
    """Whether a smaller number is better: a declared direction, else metrics whose name ends in loss or error."""
    for metric in METRICS:
        if metric.better != "by metric" and metric.matches(name):
            return metric.better == "lower"
    return (base_metric(name) or name).endswith(("loss", "error"))


def table() -> str:
    """The declared names as a markdown table."""
    rows = [f"| `{m.name}` | {m.unit} | {m.better} | {m.meaning} |" for m in METRICS]
    return "\n".join(["| name | unit | better | meaning |", "|---|---|---|---|", *rows])


if __name__ == "__main__":
    print(table())
