"""Fine-tuned models against plain torch, and the one column of metrics that all algorithms share."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from fedlit.aggregators import APFL, Aggregator, Centralized, FedAvg, FedPer, FedProx, Local
from fedlit.errors import InputError
from fedlit.evaluation import Evaluation
from fedlit.evaluation.evaluator import Evaluator
from fedlit.round import Round
from fedlit.training import Trainer
from fedlit.training.lightning import LightningTrainer
from fedlit.training.stacked import VectorizedTrainer
from fedlit.used_models import FineTuning
from tests.aggregators.federations import SIZES, TEST_SIZES, Listed, Running, kept, numbers, shards
from tests.aggregators.posed import SIZES as POSED_SIZES
from tests.aggregators.posed import TEST_SIZES as FIVE_TEST_SIZES
from tests.aggregators.posed import VALIDATION_SIZES, algorithm
from tests.aggregators.written import Modelless
from tests.oracles import averaging
from tests.slow import some_slow
from tests.small_runs import OPTIONS, go, small

COHORTS = [[0, 2], [3, 1, 2]]
EPOCHS, LR = 3, 0.1
MODELS = {"personal", "used"}
TRAINERS: list[type[Trainer]] = [LightningTrainer, VectorizedTrainer]


def tuned(folder: Path, aggregator: Aggregator, only: Any = None, epochs: int = EPOCHS, **options: Any) -> Running:
    run = Running(folder, aggregator, Listed(*COHORTS), **options)
    run.evaluator.finetuning = FineTuning.of(epochs, only, run.layout)
    return run


def evaluation_orders(run: Running, number: int, epochs: int = EPOCHS) -> dict[int, list[list[int]]]:
    """client -> the batches of its first fit in the evaluation after a round."""
    clients = run.federation.apart().clients
    jobs = clients.jobs(Round(number, 0, list(range(4)), 4, "evaluate"))
    return {job.client: [b.tolist() for e in range(epochs) for b in job.batches(0, e, False)] for job in jobs}


def measured(models: dict[int, dict[str, Tensor]]) -> dict[str, list[float]]:
    """The loss and the accuracy of each client's model on its five test samples."""
    x, y = numbers()
    values: dict[str, list[float]] = {"loss": [], "accuracy": []}
    for client, w in models.items():
        index = slice(sum(SIZES) + 5 * client, sum(SIZES) + 5 * client + 5)
        scores = (x[index] @ w["body.weight"].T + w["body.bias"]).clamp(min=0) @ w["head.weight"].T + w["head.bias"]
        values["loss"].append(float(averaging.loss_of(w, x[index], y[index])))
        values["accuracy"].append(float((scores.argmax(1) == y[index]).double().mean()))
    return values


def check(row: dict[str, Any], models: dict[int, dict[str, Tensor]]) -> None:
    values = measured(models)
    for model in MODELS:
        for metric, of_clients in values.items():
            statistics = {
                "mean": np.mean(of_clients),
                "weighted": np.mean(of_clients),  # all clients have five test samples
                "std": np.sqrt(np.mean(np.square(of_clients)) - np.mean(of_clients) ** 2),
                "worst": max(of_clients) if metric == "loss" else min(of_clients),
                "worst_decile": max(of_clients) if metric == "loss" else min(of_clients),
            }
            for statistic, value in statistics.items():
                assert row[f"clients/{model}/{metric}/{statistic}"] == pytest.approx(value, abs=1e-9), statistic
        assert row[f"clients/{model}/evaluated"] == 4


@pytest.mark.parametrize("kind", TRAINERS)
@pytest.mark.parametrize("only", [None, "head"])
def test_each_client_goes_on_from_the_global_model_for_some_epochs(
    only: str | None, kind: type[Trainer], tmp_path: Path
) -> None:
    run, (x, y) = tuned(tmp_path, FedAvg(), only, kind=kind), numbers()
    for number in (1, 2):
        run.go()
        received = run.named()
        models = {}
        for client, batches in evaluation_orders(run, number).items():
            model = dict(received)
            for batch in batches:
                gradient = averaging.gradient(model, x[batch], y[batch])
                stepped = {n for n in model if only is None or n.startswith("head")}
                model = {n: w - LR * gradient[n] if n in stepped else w for n, w in model.items()}
            models[client] = model
        check(run.rows[-1], models)
    assert run.rows[-1]["global/test/loss"] != pytest.approx(run.rows[-1]["clients/used/loss/mean"])


def test_an_algorithm_with_personal_models_too_is_fine_tuned_from_the_received_one(tmp_path: Path) -> None:
    run, (x, y) = tuned(tmp_path, APFL()).go(2), numbers()
    orders = evaluation_orders(run, 2)
    check(run.rows[-1], {c: averaging.train(run.named(), x, y, batches, lr=LR) for c, batches in orders.items()})


def test_without_a_received_model_the_epochs_begin_at_the_personal_one(tmp_path: Path) -> None:
    """FedPer's body of the server with the client's head; the model of a client that trains alone."""
    x, y = numbers()
    for aggregator in (FedPer(head="head"), Local()):
        run = tuned(tmp_path, aggregator).go(2)
        models = {}
        for client, batches in evaluation_orders(run, 2).items():
            [state] = run.state.clients.get([client])
            client_state = run.federation.aggregator.client_state(run.start) if state is None else state["algorithm"]
            if isinstance(aggregator, Local):
                personal = run.layout.named(client_state["model"])
            else:
                body = len(run.state.server["shared"].weights)  # comes first in the vector
                personal = {n: w.clone() for n, w in run.layout.named(run.start).items()}
                flat = torch.cat([run.state.server["shared"].weights[:body], client_state["private"].weights])
                for name, piece in zip(personal, flat.split([w.numel() for w in personal.values()]), strict=True):
                    personal[name] = piece.reshape(personal[name].shape)
            models[client] = averaging.train(personal, x, y, batches, lr=LR)
        check(run.rows[-1], models)


def test_after_central_training_each_client_has_its_own_shard_again(tmp_path: Path) -> None:
    run, (x, y) = tuned(tmp_path, Centralized()), numbers()
    clients = run.federation.clients
    run.federation.clients = replace(clients, train=shards(sum(SIZES)), apart=clients)
    run.federation.sampler = Listed([0], [0])
    run.go(1)
    orders = evaluation_orders(run, 1)
    assert {client: len({i for batch in batches for i in batch}) for client, batches in orders.items()} == dict(
        enumerate(SIZES)
    )
    models = {c: averaging.train(run.named(), x, y, batches, lr=LR) for c, batches in orders.items()}
    check(run.rows[-1], models)


def bits(run: Running) -> dict[str, bytes]:
    """All that server and clients keep."""
    everything = kept(run, clients=len(run.federation.apart().clients))
    return {name: value.numpy().tobytes() for name, value in everything.items() if not name.startswith("round ")}


@pytest.mark.parametrize(
    ("aggregator", "kind"), some_slow(product([FedAvg, FedPer, APFL], TRAINERS), [(FedAvg, TRAINERS[0])])
)
def test_fine_tuning_changes_no_bit_of_training(
    aggregator: type[Aggregator], kind: type[Trainer], tmp_path: Path
) -> None:
    options: dict[str, Any] = {
        "kind": kind,
        "optimizer": {"lr": LR, "momentum": 0.9},
        "norm": True,
        "dropout": 0.2,
        "keep_optimizer_state": aggregator is FedAvg,
    }
    plain, with_tuning = (tuned(tmp_path, aggregator(), epochs=epochs, **options).go(2) for epochs in (0, EPOCHS))
    assert bits(plain) == bits(with_tuning)
    for before, after in zip(plain.rows, with_tuning.rows, strict=True):
        same = {n for n in before if not n.startswith(("time/", "clients/personal/", "clients/used/"))}
        assert {n: before[n] for n in same} == {n: after[n] for n in same}
        assert before["clients/used/loss/mean"] != after["clients/used/loss/mean"]


@pytest.mark.slow
@pytest.mark.parametrize("option", OPTIONS["aggregator"])
def test_every_algorithm_has_used_models_and_is_fine_tuned_without_a_trace(option: str, tmp_path: Path) -> None:
    changed: dict[int, Running] = {}
    for epochs in (0, 2):
        aggregator = algorithm(option, {})
        sizes = [sum(POSED_SIZES)] if aggregator.pooled else POSED_SIZES
        parts: dict[str, Any] = {"sizes": sizes, "validation_sizes": VALIDATION_SIZES, "test_sizes": FIVE_TEST_SIZES}
        run = Running(tmp_path, aggregator, norm=True, optimizer={"lr": LR, "momentum": 0.9}, **parts)
        if aggregator.pooled:
            run.federation.clients.apart = replace(run.federation.clients, train=shards(*POSED_SIZES))
        run.evaluator.finetuning = FineTuning.of(epochs, None, run.layout)
        changed[epochs] = run.go(2)
    assert bits(changed[0]) == bits(changed[2])
    rows = [changed[epochs].rows[-1] for epochs in (0, 2)]
    assert [row["clients/used/evaluated"] for row in rows] == [5, 5]
    assert rows[0]["clients/used/loss/mean"] != rows[1]["clients/used/loss/mean"]


def test_both_trainers_fine_tune_to_the_same_numbers(tmp_path: Path) -> None:
    """With momentum, batch normalisation, a client with one sample and one without any."""
    rows = [
        tuned(
            tmp_path, FedProx(mu=0.1), kind=kind, norm=True, sizes=(13, 1, 9, 0), optimizer={"lr": LR, "momentum": 0.9}
        )
        .go(2)
        .rows[-1]
        for kind in TRAINERS
    ]
    names = [name for name in rows[0] if name.startswith("clients/used")]
    assert len(names) == 11
    for name in names:
        assert rows[0][name] == pytest.approx(rows[1][name], abs=1e-9), name


def test_clients_without_a_step_use_the_received_model(tmp_path: Path) -> None:
    """Client 1 has one sample, on which batch normalisation cannot train, and the others have none."""
    run = tuned(tmp_path, FedAvg(), norm=True, sizes=(0, 1, 0, 0)).go(1)
    row = run.rows[-1]
    for statistic in ("mean", "std", "worst"):
        assert row[f"clients/used/loss/{statistic}"] == pytest.approx(row[f"clients/global/loss/{statistic}"])


@pytest.mark.parametrize(
    ("aggregator", "same_as"), [(FedAvg(), "global"), (FedPer(head="head"), "personal"), (Local(), "personal")]
)
def test_every_algorithm_has_the_metrics_of_the_models_that_clients_use(
    aggregator: Aggregator, same_as: str, tmp_path: Path
) -> None:
    run = Running(tmp_path, aggregator)
    clients = run.federation.clients
    held_out = shards(0, 4, 0, 3)  # validation samples of two clients, which are training samples too
    run.federation.clients = replace(clients, validation=held_out)
    run.evaluator = Evaluator(Evaluation(), run.evaluator.data, 1, 0)
    row = run.go(1).rows[-1]
    used = {n.removeprefix("clients/used/"): v for n, v in row.items() if n.startswith("clients/used/")}
    other = {n.removeprefix(f"clients/{same_as}/"): v for n, v in row.items() if n.startswith(f"clients/{same_as}/")}
    assert len(used) == 21 and {n: used[n] for n in other} == other
    if same_as == "global":
        assert used["validation_loss/weighted"] == pytest.approx(row["global/validation/loss"], abs=1e-12)
        model, (x, y) = run.named(), numbers()
        losses = [float(averaging.loss_of(model, x[i], y[i])) for i in (slice(0, 4), slice(4, 7))]
        assert used["validation_loss/mean"] == pytest.approx(sum(losses) / 2, abs=1e-9)
        assert used["validation_loss/weighted"] == pytest.approx((4 * losses[0] + 3 * losses[1]) / 7, abs=1e-9)
    assert used["evaluated"] == len(TEST_SIZES)


def test_an_algorithm_without_a_model_to_begin_at_is_refused(tmp_path: Path) -> None:
    run = Running(tmp_path, Modelless())
    sentence = "^evaluation.finetune=2: Modelless gives a client no model to begin at; write evaluation.finetune=0"
    with pytest.raises(InputError, match=sentence):
        FineTuning(2).check(run.federation, run.state)


def test_own_personal_models_that_are_not_measured_are_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for aggregator, lines in ((FedAvg(), 0), (Local(), 0), (APFL(), 1)):
        caplog.clear()
        run = Running(tmp_path, aggregator)
        FineTuning(2).check(run.federation, run.state)
        assert len(caplog.messages) == lines
    assert "evaluation.finetune=2: the received model is fine-tuned and measured, and not APFL's own" in caplog.text


@pytest.mark.parametrize(
    ("only", "sentence"),
    [
        ("neck", "^evaluation.finetune_only=neck: the pattern 'neck' fits no name in the model"),
        ([], r"^evaluation.finetune_only=\[\]: it holds no trained parameter"),
    ],
)
def test_a_pattern_without_a_trained_parameter_is_refused(only: Any, sentence: str, tmp_path: Path) -> None:
    layout = Running(tmp_path, FedAvg()).layout
    with pytest.raises(InputError, match=sentence):
        FineTuning.of(2, only, layout)


def test_a_pattern_without_epochs_is_refused() -> None:
    with pytest.raises(InputError, match=r"^evaluation.finetune_only=head: .* write evaluation.finetune=1 or more"):
        Evaluation(finetune_only="head")


@pytest.mark.slow
def test_the_command_fine_tunes_in_worker_processes_as_in_one(tmp_path: Path) -> None:
    changes = {"clients": 3, "evaluation.finetune": 2, "evaluation.finetune_only": "net.3", "rounds": 1}
    rows = [
        go(small(("logger=none", f"engine={engine}"), changes), tmp_path / engine)[-1]
        for engine in ("serial", "processes")
    ]
    used = [{n: v for n, v in row.items() if n.startswith("clients/used/")} for row in rows]
    assert used[0] == used[1] and used[0]["clients/used/evaluated"] == 3
    assert rows[0]["clients/personal/loss/mean"] != rows[0]["clients/global/loss/mean"]
