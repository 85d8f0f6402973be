"""The names of all metrics, declared in one place, each with its unit, its direction and a sentence.

Code that writes a metric builds the name with this file's constants and functions. A part of fedlit that writes a new
metric adds a `Metric` to `METRICS`. TensorBoard groups names by the part before the first slash.

`python -m fedlit.metric_names` prints the table of README.md.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

Row = dict[str, float | int]
"""The metrics of one round by name, such as `global/test/accuracy`. Rounds may differ in which names they have."""

Direction = Literal["higher", "lower", "neither"]


@dataclass(frozen=True)
class Metric:
    """One declared name, or a family of names.

    Attributes:
        name: may have placeholders in angle brackets, such as `global/<split>/<metric>`.
        unit: the unit of its values.
        better: the direction that is better; "neither" if the values are no measure of quality; "by metric": see
            `fedlit.evaluation.direction`.
        meaning: a sentence.
    """

    name: str
    unit: str
    better: Direction | Literal["by metric"]
    meaning: str

    def matches(self, name: str) -> bool:
        """Whether `name` is this name or belongs to this family.

        >>> Metric("time/<part>", "seconds", "lower", "").matches("time/fit")
        True
        """
        pattern = "".join(".+" if part.startswith("<") else re.escape(part) for part in _PLACEHOLDER.split(self.name))
        return re.fullmatch(pattern, name) is not None


_PLACEHOLDER = re.compile(r"(<\w+>)")

COHORT_ASKED, COHORT_ARRIVED = "cohort/asked", "cohort/arrived"
COHORT_LOST, COHORT_IDLE, COHORT_REFUSED = "cohort/lost", "cohort/idle", "cohort/refused"
BYTES_DOWN, BYTES_UP = "comm/bytes_down", "comm/bytes_up"
COMM_BYTES = "comm/bytes"  # of messages between parties; every row of parties has it, and no other
TRAIN_LOSS, SKIPPED_SAMPLES = "train/loss", "train/skipped_samples"
ATTACK_DRAWN, ATTACK_ARRIVED, ATTACK_SUCCESS = "attack/drawn", "attack/arrived", "attack/success"
ATTACK_PRECISION, ATTACK_RECALL = "attack/precision", "attack/recall"
CLIENT_LR, SERVER_LR = "schedule/lr_factor", "schedule/server_lr_factor"
UPDATE_NORM, UPDATE_COSINE = "update/norm", "update/cosine"
RECEIVED, TRAINED, GLOBAL, PERSONAL, USED = "received", "trained", "global", "personal", "used"  # models of clients

STATISTICS = ("mean", "weighted", "std", "worst", "worst_decile")  # of one value per client, over clients
ENDS = ("min", "max")  # in place of the last two, where the better direction of a metric is not known

METRICS = (
    Metric("global/test/auc", "0 to 1", "higher", "Area under the ROC curve on the test people that all parties share: "
           "the guest's measure of a binary task."),
    Metric("global/test/r2", "at most 1", "higher", "Coefficient of determination on these people, of a regression."),
    Metric("global/<split>/<metric>", "of the metric", "by metric", "The global model on pooled samples: test, "
           "validation, or `test_<name>`, the changed test samples of `evaluation.extra`."),
    Metric("clients/<model>/<metric>/mean", "of the metric", "by metric", "Mean over clients; each client counts "
           "once."),
    Metric("clients/<model>/<metric>/weighted", "of the metric", "by metric", "Mean over clients, weighted by their "
           "numbers of evaluated samples."),
    Metric("clients/<model>/<metric>/std", "of the metric", "neither", "Standard deviation over clients, of the "
           "population: the squares are divided by the number of clients (ddof 0)."),
    Metric("clients/<model>/<metric>/worst", "of the metric", "by metric", "The value of the worst client; NaN if a "
           "client's value is NaN."),
    Metric("clients/<model>/<metric>/worst_decile", "of the metric", "by metric", "Mean over the worst tenth of the "
           "clients, at least one client."),
    Metric("clients/<model>/<metric>/min", "of the metric", "neither", "The smallest value of a client, in place of "
           "worst and worst_decile where the better direction of the metric is not known."),
    Metric("clients/<model>/<metric>/max", "of the metric", "neither", "The largest value of a client, likewise."),
    Metric("clients/<model>/evaluated", "clients", "neither", "Clients that were evaluated; at most "
           "`evaluation.clients`."),
    Metric(TRAIN_LOSS, "of the loss", "lower", "Mean training loss of the clients' fits of the model that is sent, "
           "weighted by their numbers of training samples."),
    Metric("train/loss/<fit>", "of the loss", "lower", "The same of another fit of the round, such as Ditto's of the "
           "personal model; `fit_2` is the second fit in `local_update`."),
    Metric(SKIPPED_SAMPLES, "samples", "neither", "Training samples that no step used: a last batch of one sample "
           "under batch normalisation, or batches past `trainer.limit_train_batches`. Absent if zero."),
    Metric("train/log/<name>", "of the value", "by metric", "Mean of a value that the training step logs, weighted by "
           "the clients' numbers of training samples."),
    Metric(CLIENT_LR, "factor", "neither", "Factor of the clients' learning rates by `lr_schedule`. Absent if it is "
           "constant."),
    Metric(SERVER_LR, "factor", "neither", "Factor of the server's learning rate by `server_lr_schedule`. Absent if it "
           "is constant."),
    Metric(UPDATE_NORM, "of the weights", "neither", "Mean Euclidean norm of the clients' updates."),
    Metric(UPDATE_COSINE, "-1 to 1", "neither", "Mean cosine between a client's update and the weighted mean update."),
    Metric(COHORT_ASKED, "clients", "neither", "Clients that were asked: the sum of arrived, lost and idle."),
    Metric(COHORT_ARRIVED, "clients", "neither", "Clients that returned with a step in each of their fits; their "
           "messages are reduced."),
    Metric(COHORT_LOST, "clients", "lower", "Clients that raised an error or returned values that are not finite, "
           "under `engine.on_failure=drop`, and clients whose messages were refused."),
    Metric(COHORT_REFUSED, "clients", "lower", "Lost clients whose messages were refused: not finite after the stages, "
           "or refused by a stage."),
    Metric(COHORT_IDLE, "clients", "neither", "Clients that made no optimiser step in one of their fits."),
    Metric(BYTES_DOWN, "bytes", "lower", "Size of the broadcast and the downloads to all clients that were asked."),
    Metric(BYTES_UP, "bytes", "lower", "Size of the messages that were sent, as they travel, refused ones too."),
    Metric(COMM_BYTES, "bytes", "lower", "Size of all messages between parties in the phases `round` and `predict`; "
           "messages.jsonl has them one by one."),
    Metric("comm/<from>_to_<to>/bytes", "bytes", "lower", "The same from one party to another."),
    Metric("party/<party>/<fact>", "of the value", "neither", "What a party reports of a round, such as its number of "
           "splits; in the first row also of alignment and setup."),
    Metric("uplink/<stage>/<name>", "of the value", "neither", "What a stage of `uplink` reports, such as the norm of "
           "`clip`; values of clients are the mean over those that arrived."),
    Metric("reduction/<name>", "of the value", "neither", "What the reduction reports, such as the number of messages "
           "that Multi-Krum selects."),
    Metric("algorithm/<name>", "of the value", "neither", "What the algorithm reports by `round.report(name, value)`."),
    Metric(ATTACK_DRAWN, "clients", "neither", "Malicious clients that the round asked; 0 in a round without an "
           "attack."),
    Metric(ATTACK_ARRIVED, "clients", "neither", "Malicious clients whose messages were reduced; 0 in a round without "
           "an attack."),
    Metric(ATTACK_SUCCESS, "0 to 1", "lower", "Share of the test samples of other classes that the global model takes "
           "for the class that the attack wants: with the trigger of `attack=backdoor`, or for the flipped class of "
           "`attack=label_flip`."),
    Metric(ATTACK_PRECISION, "0 to 1", "higher", "Share of malicious clients among those that the reduction excludes; "
           "absent where it excludes nobody."),
    Metric(ATTACK_RECALL, "0 to 1", "higher", "Share of the malicious clients that arrived which the reduction "
           "excludes; absent where none arrived, or the reduction does not exclude."),
    Metric("time/<part>", "seconds", "lower", "Time of a part of the round: fit, aggregate, evaluate."),
    Metric("spread/<name>/mean_minus_std", "of the metric", "neither", "TensorBoard only: lower edge of the band of "
           "one standard deviation around `<name>/mean`."),
    Metric("spread/<name>/mean_plus_std", "of the metric", "neither", "TensorBoard only: upper edge of that band."),
)  # fmt: skip


def global_metric(split: str, metric: str) -> str:
    """
    >>> global_metric("test", "accuracy")
    'global/test/accuracy'
    """
    return f"global/{split}/{metric}"


def pair_bytes(sender: str, receiver: str) -> str:
    """
    >>> pair_bytes("guest", "host")
    'comm/guest_to_host/bytes'
    """
    return f"comm/{sender}_to_{receiver}/bytes"


def party_fact(party: str, name: str) -> str:
    """
    >>> party_fact("host", "splits")
    'party/host/splits'
    """
    return f"party/{party}/{name}"


def is_of_parties(row: Iterable[str]) -> bool:
    """Whether a row is of parties with columns, and not of clients with rows."""
    return COMM_BYTES in row


def client_metric(model: str, metric: str, statistic: str) -> str:
    """
    Args:
        model: "received", "trained", "global", "personal" or "used".
        statistic: one of `STATISTICS` or `ENDS`.

    >>> client_metric("received", "accuracy", "mean")
    'clients/received/accuracy/mean'
    """
    return f"clients/{model}/{metric}/{statistic}"


def clients_evaluated(model: str) -> str:
    """The name of the number of clients on which `model` was evaluated."""
    return f"clients/{model}/evaluated"


def validation_metric(metric: str) -> str:
    """The metric of a client's model on its validation data; the plain metric is that on its test data."""
    return f"validation_{metric}"


def is_validation_metric(metric: str) -> bool:
    """Whether the metric of a client's model is one on its validation data.

    >>> is_validation_metric(validation_metric("loss")), is_validation_metric(personal_test_metric("validation_loss"))
    (True, False)
    """
    return metric.startswith("validation_")


def personal_test_metric(metric: str) -> str:
    """The metric of a client's model on its test data: `logged_validation_x` for a logged value `validation_x`, whose
    name would be that of x on validation data."""
    return f"logged_{metric}" if is_validation_metric(metric) else metric


def on_test(name: str) -> str:
    """The name of the same metric on test data.

    >>> on_test("global/validation/loss"), on_test("clients/personal/validation_loss/mean")
    ('global/test/loss', 'clients/personal/loss/mean')
    """
    return name.replace("/validation/", "/test/").replace("/validation_", "/")


def train_log(name: str) -> str:
    """The name of a value that the training step logs."""
    return f"train/log/{name}"


def uplink_metric(stage: str, name: str) -> str:
    """
    >>> uplink_metric("clip", "norm")
    'uplink/clip/norm'
    """
    return f"uplink/{stage}/{name}"


def reduction_metric(name: str) -> str:
    """The name of a number that the reduction reports."""
    return f"reduction/{name}"


def algorithm_metric(name: str) -> str:
    """The name of a number that the algorithm reports."""
    return f"algorithm/{name}"


def fit_loss(fit: str) -> str:
    """The name of the training loss of another fit than the one of the model that is sent."""
    return f"{TRAIN_LOSS}/{fit}"


def epoch_metric(metric: str) -> str:
    """The key in clients.jsonl of a metric on a client's test data after a local epoch."""
    return f"test/{metric}"


def client_group(model: str) -> str:
    """What the names of all metrics of one model on clients begin with."""
    return f"clients/{model}"


def spread_band(model: str, metric: str) -> tuple[str, str]:
    """The lower and upper edge of the band around the mean over clients.

    >>> spread_band("received", "loss")
    ('spread/clients/received/loss/mean_minus_std', 'spread/clients/received/loss/mean_plus_std')
    """
    family = f"spread/{client_group(model)}/{metric}"
    return f"{family}/mean_minus_std", f"{family}/mean_plus_std"


def client_families(names: Iterable[str]) -> list[tuple[str, str]]:
    """(model, metric) of each number in a row that has a mean and a standard deviation over clients.

    >>> client_families(["clients/received/loss/std", "train/loss"])
    [('received', 'loss')]
    """
    families = []
    for name in names:
        group, _, rest = name.partition("/")
        if group == "clients" and rest.endswith("/std"):
            model, _, metric = rest.removesuffix("/std").partition("/")
            families.append((model, metric))
    return families


def client_model(name: str) -> str | None:
    """The model that a metric on clients is of; None for other metrics.

    >>> client_model("clients/used/accuracy/mean"), client_model("global/test/accuracy")
    ('used', None)
    """
    group, _, rest = name.partition("/")
    return rest.partition("/")[0] if group == "clients" else None


def is_global(name: str) -> bool:
    """Whether a metric is that of the global model on the whole of a data set."""
    return name.startswith("global/")


def is_of_training(name: str) -> bool:
    """Whether a metric is of the clients' training steps, such as their loss or what they log."""
    return name.startswith("train/")


def lap_time(part: str) -> str:
    """The name of the seconds that a part of a round took."""
    return f"time/{part}"


def is_time(name: str) -> bool:
    """Whether a metric is a duration, which differs between any two runs."""
    return name.startswith("time/")


def base_metric(name: str) -> str | None:
    """The metric in a name: `accuracy` in `global/test/accuracy` and in `clients/received/accuracy/mean`.

    None if the name has none, such as `train/loss`.
    """
    group, _, rest = name.partition("/")
    metric = rest.partition("/")[2]
    if group == "global":
        return metric or None
    statistic = metric.rpartition("/")[2]
    return metric[: -len(statistic) - 1] or None if group == "clients" and statistic in (*STATISTICS, *ENDS) else None


def table() -> str:
    """The declared names as a markdown table."""
    rows = [f"| `{m.name}` | {m.unit} | {m.better} | {m.meaning} |" for m in METRICS]
    return "\n".join(["| name | unit | better | meaning |", "|---|---|---|---|", *rows])


if __name__ == "__main__":
    print(table())
