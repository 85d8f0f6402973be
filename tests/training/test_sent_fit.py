"""`train/loss` is the loss of the fit of the model that is sent; other fits have names of their own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from fedlit.aggregators import Aggregator, FedAvg
from fedlit.model_vectors import Model, merge, select, tree_map
from fedlit.training.lightning import LightningTrainer
from fedlit.training.sent_fit import FitRecord, sent_fit
from fedlit.training.stacked import VectorizedTrainer
from tests.aggregators.federations import SIZES, Listed, Running
from tests.slow import some_slow

COHORTS = [[0, 2, 3], [3, 1, 2]]


class Recording(FedAvg):
    """An algorithm with several fits. `sent` gets (examples, loss) of each client's fit of the model that is sent."""

    def __init__(self, sent: list[tuple[float, float]], others: dict[str, list[tuple[float, float]]]):
        super().__init__()
        self.sent, self.others = sent, others

    def note(self, client: Any, fitted: Any, other: str = "") -> Model:
        losses = zip(client.examples[:, 0].tolist(), fitted.loss[:, 0].tolist(), strict=True)
        (self.others.setdefault(other, []) if other else self.sent).extend(losses)
        return fitted.model

    def client_state(self, model: Model) -> dict[str, Any]:
        return {"v": 0.5 * model}


def toward(g: Tensor, w: Tensor, x: Tensor) -> Tensor:
    return g + 0.3 * (w - x)


class PersonalLast(Recording):
    """Ditto (Li et al. 2021): the global model, then the personal one, which is pulled towards it."""

    def local_update(self, client, received, state):
        x = received["model"]
        y = self.note(client, client.fit(x))
        v = client.fit(state["v"], epochs=3, adjust_gradient=toward, extras=(x.weights,))
        return {"delta": y - x}, {"v": self.note(client, v, "fit_2")}


class PersonalFirst(Recording):
    def local_update(self, client, received, state):
        x = received["model"]
        v = client.fit(state["v"], epochs=3, adjust_gradient=toward, extras=(x.weights,))
        v = self.note(client, v, "fit_1")
        return {"delta": self.note(client, client.fit(x)) - x}, {"v": v}


class PersonalFromTheSameStart(Recording):
    """Both fits begin at the received model and differ little."""

    def local_update(self, client, received, state):
        x = received["model"]
        y = self.note(client, client.fit(x))
        v = client.fit(x, adjust_gradient=toward, extras=(x.weights,))
        return {"delta": y - x}, {"v": self.note(client, v, "fit_2")}


class Noisy(Recording):
    def local_update(self, client, received, state):
        x = received["model"]
        delta = self.note(client, client.fit(x)) - x
        v = self.note(client, client.fit(state["v"], epochs=3), "fit_2")
        noise = 0.02 * client.draw("normal", "noise", like=delta.weights)
        return {"delta": Model(0.1 * delta.weights + noise, delta.statistics)}, {"v": v}


class SendsTheModel(Recording):
    """The message is the trained model itself, and the gradient-like x - y is sent under another key."""

    def local_update(self, client, received, state):
        x = received["model"]
        y = self.note(client, client.fit(x))
        v = self.note(client, client.fit(state["v"]), "fit_2")
        return {"model": y, "back": (x - y).weights}, {"v": v}

    def server_update(self, server, reduced, round):
        return {"model": reduced["model"]}


class TwoPhases(Recording):
    """The second fit goes on from the first, and their common change is sent."""

    def local_update(self, client, received, state):
        x = received["model"]
        y = client.fit(x, epochs=1)
        self.note(client, y, "fit_1")
        return {"delta": self.note(client, client.fit(y.model)) - x}, state


class HeadThenBody(Recording):
    """FedRep (Collins et al. 2021): the head, which stays, and then the body, which is sent."""

    def setup(self, layout, clients):
        self.head = layout.where("head")
        self.body = tree_map(torch.logical_not, self.head)

    def server_state(self, model, rng):
        return {"body": select(model, self.body)}

    def client_state(self, model):
        return {"head": select(model, self.head)}

    def broadcast(self, server):
        return {"body": server["body"]}

    def local_update(self, client, received, state):
        start = merge(self.head, state["head"], received["body"])
        first = client.fit(start, epochs=3, trainable=self.head)
        middle = self.note(client, first, "fit_1")
        end = self.note(client, client.fit(middle, trainable=self.body))
        return {"delta": select(end, self.body) - received["body"]}, {"head": select(end, self.head)}

    def server_update(self, server, reduced, round):
        return {"body": server["body"] + reduced["delta"]}


class BodyThenHead(HeadThenBody):
    """The body first; the head's fit keeps it."""

    factor = 1.0

    def local_update(self, client, received, state):
        start = merge(self.head, state["head"], received["body"])
        middle = self.note(client, client.fit(start, trainable=self.body))
        end = self.note(client, client.fit(middle, epochs=3, trainable=self.head), "fit_2")
        delta = select(end, self.body) - received["body"]
        return {"delta": self.factor * delta}, {"head": select(end, self.head)}


class ScaledBody(BodyThenHead):
    factor = 0.3


class Clipped(PersonalFromTheSameStart):
    """Each client's update is scaled by a factor of its own."""

    def changed(self, delta: Tensor) -> Tensor:
        return delta * (0.01 / delta.norm(dim=-1, keepdim=True)).clamp(max=1)

    def local_update(self, client, received, state):
        message, state = super().local_update(client, received, state)
        delta = message["delta"]
        return {"delta": Model(self.changed(delta.weights), delta.statistics)}, state


class Sparse(Clipped):
    """The largest tenth of each update, and zeros."""

    def changed(self, delta: Tensor) -> Tensor:
        least = delta.abs().topk(delta.shape[1] // 10, dim=1).values[:, -1:]
        return 0.5 * torch.where(delta.abs() >= least, delta, 0)


class NoisyPersonalLast(PersonalLast):
    """Far more noise than update: the fit that began at the received model."""

    def local_update(self, client, received, state):
        message, state = super().local_update(client, received, state)
        delta = message["delta"]
        return {"delta": Model(client.draw("normal", "n", like=delta.weights), delta.statistics)}, state


class ScaledModel(Recording):
    """The trained model times the number of samples; the two fits differ little."""

    def local_update(self, client, received, state):
        x = received["model"]
        y = self.note(client, client.fit(x))
        v = client.fit(x, adjust_gradient=toward, extras=(x.weights,))
        return {"model": client.examples * y}, {"v": self.note(client, v, "fit_2")}

    def server_update(self, server, reduced, round):
        return server


class BodyOfFullFits(HeadThenBody):
    """The shared part of a fit of all weights is sent; a second fit stays."""

    def local_update(self, client, received, state):
        start = merge(self.head, state["head"], received["body"])
        end = self.note(client, client.fit(start))
        self.note(client, client.fit(0.5 * start), "fit_2")
        return {"delta": select(end, self.body) - received["body"]}, {"head": select(end, self.head)}


class OneFit(Recording):
    def local_update(self, client, received, state):
        x = received["model"]
        return {"delta": self.note(client, client.fit(x)) - x}, state


KINDS: list[type[Recording]] = [
    *(PersonalLast, PersonalFirst, PersonalFromTheSameStart, Noisy, SendsTheModel, TwoPhases, HeadThenBody),
    *(BodyOfFullFits, OneFit, BodyThenHead, ScaledBody, Clipped, Sparse, NoisyPersonalLast, ScaledModel),
]


def mean(pairs: list[tuple[float, float]]) -> float:
    return sum(n * loss for n, loss in pairs) / sum(n for n, _ in pairs)


@pytest.mark.parametrize("trainer", some_slow([LightningTrainer, VectorizedTrainer], [VectorizedTrainer]))
@pytest.mark.parametrize("kind", KINDS)
def test_train_loss_is_that_of_the_model_that_is_sent(kind: type[Recording], trainer: Any, tmp_path: Path) -> None:
    sent: list[tuple[float, float]] = []
    others: dict[str, list[tuple[float, float]]] = {}
    options = {"stack": "always", "chunk": 2} if trainer is VectorizedTrainer else {}
    run = Running(tmp_path, kind(sent, others), Listed(*COHORTS), kind=trainer, **options)
    for number in range(len(COHORTS)):
        sent.clear()
        others.clear()
        run.go()
        row = run.rows[number]
        assert row["train/loss"] == pytest.approx(mean(sent), rel=1e-9)
        expected = {f"train/loss/{name}": mean(pairs) for name, pairs in others.items()}
        assert {n: v for n, v in row.items() if n.startswith("train/loss/")} == pytest.approx(expected, rel=1e-9)


def test_trained_is_the_model_that_is_sent(tmp_path: Path) -> None:
    """Its metrics are those of a run without the personal fit."""
    with_personal = Running(tmp_path, PersonalLast([], {}), Listed(*COHORTS)).go(2)
    without = Running(tmp_path, OneFit([], {}), Listed(*COHORTS)).go(2)
    for row, expected in zip(with_personal.rows, without.rows, strict=True):
        names = [name for name in expected if name.startswith(("clients/trained", "train/", "update/", "global/"))]
        assert len(names) > 10
        assert {name: row[name] for name in names} == {name: expected[name] for name in names}


class FromTheServer(Aggregator):
    """Each client's model comes by `download`; `personal` is the default."""

    def setup(self, layout, clients):
        self.clients = clients

    def server_state(self, model, rng):
        return {"models": tree_map(lambda t: t.repeat(self.clients, 1), model)}

    def broadcast(self, server):
        return {}

    def download(self, server, clients, round):
        return {"model": server["models"][clients]}

    def local_update(self, client, received, state):
        return {"delta": client.fit(received["model"]).model - received["model"]}, state

    def server_update(self, server, reduced, round):
        scale = 1 + torch.arange(self.clients, dtype=torch.float64)[:, None]
        return {"models": tree_map(lambda t, d: t + scale * d, server["models"], reduced["delta"])}


class ExtraDownload(FedAvg):
    """Something else comes by `download`: all clients use the broadcast model."""

    def download(self, server, clients, round):
        return {"number": clients[:, None].double()}


@pytest.mark.parametrize("trainer", [LightningTrainer, VectorizedTrainer])
def test_models_that_come_by_download_are_measured(trainer: Any, tmp_path: Path) -> None:
    run = Running(tmp_path, FromTheServer(), Listed(range(len(SIZES))), kind=trainer).go()
    row = run.rows[0]
    host = run.engine.local_worker.host
    accuracies = []
    for client in range(len(SIZES)):
        host.layout.write(host.module, run.state.server["models"][client])
        with torch.no_grad():
            x, y = host.data.test.batch(run.federation.clients.test[client])
            accuracies.append(float((host.module.eval()(x).argmax(1) == y).double().mean()))
    assert row["clients/personal/accuracy/mean"] == pytest.approx(sum(accuracies) / len(SIZES))
    assert row["clients/personal/evaluated"] == len(SIZES) and "clients/received/accuracy/mean" in row


def test_the_broadcast_model_is_no_personal_model(tmp_path: Path) -> None:
    run = Running(tmp_path, ExtraDownload(), Listed([0, 1])).go()
    assert not [name for name in run.rows[0] if name.startswith("clients/personal")]


@pytest.mark.parametrize(("factor", "part"), [(1.0, slice(None)), (-0.25, slice(None)), (1.0, slice(3, 15))])
def test_a_client_without_a_step_hides_no_fit(factor: float, part: slice) -> None:
    """Its row of the message is zero; the second fit is another model's, from the received one."""
    x = Model(torch.randn(1, 20).expand(3, -1), torch.zeros(3, 0))
    fits = [FitRecord(x, Model(torch.randn(3, 20), x.statistics), None, [0.0] * 3, [{}] * 3) for _ in range(2)]
    delta = factor * (fits[0].model.weights - x.weights)[:, part]
    delta[0] = 0
    assert sent_fit({"delta": Model(delta, x.statistics)}, {"model": x}, fits) == 0
