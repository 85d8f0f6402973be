"""Personal models: parts that stay with their clients, refusals and warnings."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from fedlit import notices
from fedlit.aggregators import APFL, Aggregator, FedALA, FedBABU, FedBN, FedPer, FedRep, LgFedAvg, Local, PerFedAvg
from fedlit.aggregators.base import State
from fedlit.client import Client
from fedlit.errors import InputError
from fedlit.model_vectors import Model
from fedlit.models.optimizer import give_optimizer
from fedlit.training.lightning import LightningTrainer
from fedlit.training.stacked import VectorizedTrainer
from tests.aggregators.federations import CLASSES, Listed, Net, Running, numbers
from tests.oracles import averaging
from tests.slow import some_slow


def test_fedper_finds_the_last_layer_and_keeps_it_with_the_client(tmp_path: Path) -> None:
    run = Running(tmp_path, FedPer()).go(2)
    heads = [run.client_state(c)["private"].weights for c in range(4)]
    assert all(len(h) == CLASSES * 6 for h in heads)
    assert all(not torch.equal(heads[i], heads[j]) for i in range(4) for j in range(i))
    body = len(run.start.weights) - CLASSES * 6
    assert len(run.state.server["shared"].weights) == body
    assert [(r["comm/bytes_down"], r["comm/bytes_up"]) for r in run.rows] == [(4 * 8 * body, 4 * 8 * body)] * 2
    assert not any(name.startswith("global/") for row in run.rows for name in row)


@pytest.mark.parametrize(
    ("head", "sentence"),
    [
        ("classifier", "the pattern 'classifier' fits no name in the model; its names are body.weight"),
        (["body", "head"], "the head is the whole model and nothing would travel"),
    ],
)
def test_fedper_refuses_a_pattern_with_a_sentence(head: str | list[str], sentence: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=sentence):
        Running(tmp_path, FedPer(head=head))


def test_local_sends_nothing_and_trains_each_client_alone(tmp_path: Path) -> None:
    cohorts = [[0, 2], [2, 3]]
    run = Running(tmp_path, Local(), Listed(*cohorts))
    start, (x, y) = run.layout.named(run.start), numbers()
    models = dict.fromkeys((0, 2, 3), start)
    for number, cohort in enumerate(cohorts, 1):
        for c, batches in run.orders(number, cohort).items():
            models[c] = averaging.train(models[c], x, y, batches, lr=0.1)
    run.go(2)
    assert [(r["comm/bytes_down"], r["comm/bytes_up"]) for r in run.rows] == [(0, 0)] * 2
    for c, model in models.items():
        named = run.layout.named(run.client_state(c)["model"])
        for name, value in model.items():
            torch.testing.assert_close(named[name], value, rtol=0, atol=1e-9)
    assert run.state.clients.get([1]) == [None]  # never asked: its model has the initial weights
    assert run.rows[-1]["clients/personal/evaluated"] == 4


MOMENTUM = {"lr": 0.1, "momentum": 0.9, "weight_decay": 0.1}


def test_fedbabu_keeps_the_first_head_on_the_server(tmp_path: Path) -> None:
    run = Running(tmp_path, FedBABU(), optimizer=MOMENTUM, norm=True).go(2)
    start = run.layout.named(run.start)
    unmoved = {name for name, value in run.named().items() if torch.equal(value, start[name])}
    assert unmoved == {"head.weight", "head.bias"}
    assert run.rows[-1]["comm/bytes_up"] == run.rows[-1]["comm/bytes_down"] - 4 * 8 * CLASSES * 6


def test_fedbn_keeps_weights_and_statistics_of_normalisation_with_the_clients(tmp_path: Path) -> None:
    run = Running(tmp_path, FedBN(), norm=True).go(2)
    kept = [run.client_state(c)["private"] for c in range(4)]
    assert [len(k.weights) for k in kept] == [10] * 4 and [len(k.statistics) for k in kept] == [10] * 4
    assert not torch.equal(kept[0].statistics, kept[1].statistics)
    assert len(run.state.server["shared"].statistics) == 0
    assert not any(name.startswith("global/") for name in run.rows[-1])


@pytest.mark.parametrize(
    ("aggregator", "sentence"),
    [
        (FedRep(head=["body", "head"]), "nothing would travel; name a part of it, or write aggregator=local"),
        (LgFedAvg(head=["body", "head"]), "nothing would stay with a client; .* or write aggregator=fedavg"),
        (FedBABU(head=["body", "head"]), "nothing would be trained; .* or write aggregator=fedavg"),
        (FedBN(local=["body", "head"]), "nothing would travel; write aggregator=local"),
    ],
    ids=str,
)
def test_a_part_that_is_the_whole_model_is_refused(aggregator: Aggregator, sentence: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=sentence):
        Running(tmp_path, aggregator)


def test_a_model_without_normalisation_is_averaged_with_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    notices.begin_run()
    run = Running(tmp_path, FedBN()).go()
    assert "aggregator=fedbn: the model has no normalisation layer" in caplog.text
    assert run.rows[-1]["global/test/accuracy"] > 0


@pytest.mark.parametrize("kind", some_slow([LightningTrainer, VectorizedTrainer], [VectorizedTrainer]))
@pytest.mark.parametrize(
    ("optimizer", "names"),
    [({"lr": 0.1}, ""), ({"lr": 0.1, "momentum": 0.9}, "(momentum)"), (MOMENTUM, "(momentum, weight_decay)")],
)
def test_steps_by_the_learning_rate_alone_are_a_warning_under_more_than_plain_sgd(
    optimizer: dict[str, float], names: str, kind: type, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    notices.begin_run()
    Running(tmp_path, APFL(), optimizer=optimizer, kind=kind).go(2)
    assert caplog.text.count("steps tensors of its own by the learning rate alone") == bool(names)
    assert names in caplog.text


def test_adam_is_named_in_that_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    notices.begin_run()
    net = Net()
    give_optimizer(net, partial(torch.optim.Adam, lr=0.01))
    Running(tmp_path, APFL(), net=net).go()
    assert "(the scaling of Adam)" in caplog.text


@pytest.mark.parametrize("kind", some_slow([LightningTrainer, VectorizedTrainer], [VectorizedTrainer]))
@pytest.mark.parametrize("hessian", ["exact", "first_order"])
def test_parts_of_small_batches_can_be_normalised(hessian: Any, kind: type, tmp_path: Path) -> None:
    """A third of a batch of four would be one sample."""
    run = Running(tmp_path, PerFedAvg(hessian=hessian), norm=True, kind=kind).go()
    assert run.rows[-1]["cohort/arrived"] == 4


def test_steps_by_the_learning_rate_alone_are_refused_where_gradients_of_several_batches_are_one_step(
    tmp_path: Path,
) -> None:
    with pytest.raises(InputError, match="accumulate_grad_batches=2: .* write trainer.accumulate_grad_batches=1"):
        Running(tmp_path, APFL(), accumulate_grad_batches=2).go()
    assert Running(tmp_path, PerFedAvg(), accumulate_grad_batches=2).go().rows[-1]["cohort/arrived"] == 4


class HeadOnly(Net):
    """Its optimiser holds the head; the body is not frozen."""

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.head.parameters(), lr=0.1)


@pytest.mark.parametrize("kind", [LightningTrainer, VectorizedTrainer])
def test_carried_weights_that_no_optimiser_holds_do_not_step(kind: type, tmp_path: Path) -> None:
    run = Running(tmp_path, APFL(), net=HeadOnly(), kind=kind).go(2)
    start, v = run.layout.named(run.start), run.layout.pieces(run.client_state(0)["v"])
    assert {name for name in v if torch.equal(v[name], start[name])} == {"body.weight", "body.bias"}


def mixing(run: Running, client: int) -> Tensor:
    return run.client_state(client)["W"]


def test_fedala_trains_the_mixing_weights_on_a_share_of_the_batches(tmp_path: Path) -> None:
    """Each client has one batch: it is in the share or not."""

    def after_round_2(s: float) -> list[Tensor]:
        aggregator = FedALA(eta=9.0, s=s, start_epochs=1)
        run = Running(tmp_path, aggregator, batch_size=16, optimizer={"lr": 0.5}).go(2)
        return [mixing(run, client) for client in range(4)]

    everything, some, nothing = (after_round_2(s) for s in (1.0, 0.2, 1e-9))
    assert all(torch.equal(W, torch.ones_like(W)) for W in nothing)
    assert not any(torch.equal(W, torch.ones_like(W)) for W in everything)
    drawn = [torch.equal(W, full) for W, full in zip(some, everything, strict=True)]
    assert 0 < sum(drawn) < 4
    assert all(torch.equal(W, none) for W, none, is_drawn in zip(some, nothing, drawn, strict=True) if not is_drawn)


def test_the_personal_model_of_fedala_is_where_the_next_round_begins(tmp_path: Path) -> None:
    """Before it, W is trained as in the next round: longer after round 1, and not after round 2."""
    begun: list[Tensor] = []
    used: list[Tensor] = []

    class Noted(FedALA):
        def local_update(self, client: Client, received: State, state: State) -> Any:
            if int(client.number) == 2:
                begun.append(self._aggregated(client, received["model"], state)[0].weights[0])
            return super().local_update(client, received, state)

        def personal(self, client: Client, received: State, state: State) -> Model:
            model = super().personal(client, received, state)
            if int(client.number) == 2:
                used.append(model.weights[0])
            return model

    Running(tmp_path, Noted(eta=3.0, s=1.0, start_epochs=4), Listed([2, 0], [2], [2]), optimizer={"lr": 0.5}).go(3)
    for personal, start in zip(used[:2], begun[1:], strict=True):
        torch.testing.assert_close(personal, start, rtol=0, atol=1e-14)


def test_a_client_with_one_sample_has_the_gradient_of_that_sample(tmp_path: Path) -> None:
    personal: dict[int, Tensor] = {}

    class Noted(PerFedAvg):
        def personal(self, client: Client, received: State, state: State) -> Model:
            model = super().personal(client, received, state)
            personal[int(client.number)] = model.weights[0]
            return model

    x, y = numbers()
    run = Running(tmp_path, Noted(alpha=0.5), sizes=(1, 4, 9, 6), epochs=1).go()
    slope = averaging.gradient(run.named(), x[:1], y[:1])
    expected = torch.cat([(value - 0.5 * slope[name]).flatten() for name, value in run.named().items()])
    torch.testing.assert_close(personal[0], expected, rtol=0, atol=1e-12)

    ala = Running(tmp_path, FedALA(eta=2.0, s=1.0, start_epochs=1), sizes=(1, 4, 9, 6), epochs=1).go()
    received, kept = ala.named(), ala.layout.named(ala.client_state(0)["model"])
    slope = averaging.gradient(received, x[:1], y[:1])
    expected = torch.cat(
        [(1 - 2 * slope[n] * (received[n] - kept[n])).clamp(0, 1).flatten() for n in ("head.weight", "head.bias")]
    )
    torch.testing.assert_close(mixing(ala.go(), 0), expected, rtol=0, atol=1e-12)
