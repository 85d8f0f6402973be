"""`data.public`: samples that all clients and the server see, and that nobody trains on as its own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from fedlit.aggregators import FedAvg
from fedlit.clients import Clients, share_out
from fedlit.data import DataSource, TensorSamples
from fedlit.errors import REFUSED, InputError
from fedlit.evaluation import Evaluation
from fedlit.experiment_data import public_samples
from fedlit.experiment_refusals import check_server
from fedlit.partitions import Iid
from fedlit.run import main as command_line
from fedlit.training.lightning import LightningTrainer
from fedlit.training.stacked import VectorizedTrainer
from tests.aggregators.federations import SIZES, Running, numbers, shards
from tests.oracles import averaging
from tests.small_runs import go, small

TRAINERS: dict[str, dict[str, Any]] = {
    "lightning": {"kind": LightningTrainer},
    "stack": {"kind": VectorizedTrainer, "stack": "always"},
}
PUBLIC = np.array([1, 5, 6, 20, 31])


def divided(seed: int = 3, **options: Any) -> Clients:
    data = DataSource(
        "forty",
        TensorSamples(torch.randn(40, 2), torch.arange(40) % 4),
        TensorSamples(torch.randn(8, 2), torch.arange(8) % 4),
        4,
    )
    return share_out(data, Iid(), 3, seed, Evaluation(), 4, 1, **options)


def test_public_samples_are_cut_from_the_training_set_before_the_partition() -> None:
    clients = divided(server_samples=6, public_samples=9)
    assert (len(clients.server_samples), len(clients.public), len(clients.train.indices)) == (6, 9, 25)
    together = np.concatenate([clients.server_samples, clients.public, clients.train.indices])
    assert sorted(together.tolist()) == list(range(40))
    assert sorted(clients.public.tolist()) == clients.public.tolist()


def test_the_seed_alone_chooses_them() -> None:
    first = divided(public_samples=9)
    assert first.public.tolist() == divided(public_samples=9).public.tolist()
    assert first.public.tolist() != divided(seed=4, public_samples=9).public.tolist()
    assert (
        divided(server_samples=6).server_samples.tolist()
        == divided(server_samples=6, public_samples=9).server_samples.tolist()
    )
    assert divided(public_samples=0).train.indices.tolist() == divided().train.indices.tolist()


@pytest.mark.parametrize(("public", "server", "remedy"), [(40, 0, "39"), (34, 6, "33"), (100, 6, "33")])
def test_more_than_there_are_is_refused(public: int, server: int, remedy: str) -> None:
    with pytest.raises(
        InputError, match=f"^data.public={public}: the training set has 40 samples.* write data.public={remedy} or less"
    ):
        divided(public_samples=public, server_samples=server)


def test_a_class_with_an_argument_of_the_name_has_the_key_for_itself() -> None:
    own: Any = {"_target_": f"{__name__}.Own", "public": 5}
    assert public_samples(own) == 0
    assert public_samples({"_target_": "fedlit.data.digits.digits", "public": 5}) == 5  # type: ignore[arg-type]
    assert public_samples({"_target_": "fedlit.data.digits.digits"}) == 0  # type: ignore[arg-type]


class Own:
    def __init__(self, public: int = 8):
        self.public = public


class Asking(FedAvg):
    """FedAvg that notes what clients and server compute on a part of the data."""

    def __init__(self, on: Any = "public", server: str = "loss"):
        super().__init__()
        self.on, self.server = on, server
        self.losses: list[Tensor] = []
        self.sums: list[dict[str, Tensor]] = []
        self.of_server: Any = None

    def local_update(self, client: Any, received: Any, state: Any) -> Any:
        self.losses.append(client.loss(received["model"], on=self.on))
        self.sums.append(client.collect(received["model"], summed, on=self.on))
        return super().local_update(client, received, state)

    def server_update(self, server: Any, reduced: Any, round: Any) -> Any:
        asked = round.server_client
        if self.server == "loss":
            self.of_server = (
                asked.loss(server["model"], on="public"),
                asked.collect(server["model"], summed, on="public"),
            )
        else:
            getattr(asked, self.server)(server["model"], *[summed] * (self.server == "collect"))
        return super().server_update(server, reduced, round)


def summed(step: Any, weights: Tensor) -> dict[str, Tensor]:
    (gradient,) = torch.autograd.grad(step.loss(weights).sum(), weights)
    classes = torch.stack([(step.targets == c).sum(-1) for c in range(3)], -1)
    return {"gradient": step.examples * gradient, "classes": classes, "examples": step.examples}


def public_run(
    folder: Path, aggregator: FedAvg, change: Callable[[Running], None] = lambda run: None, **options: Any
) -> Running:
    run = Running(folder, aggregator, **options)
    run.federation.clients = replace(run.federation.clients, public=PUBLIC)
    change(run)
    return run.go()


@pytest.mark.parametrize("trainer", TRAINERS)
def test_all_clients_and_the_server_get_the_same_sums_and_losses(trainer: str, tmp_path: Path) -> None:
    asking = Asking()
    run = public_run(tmp_path, asking, norm=False, **TRAINERS[trainer])
    (x, y), start = numbers(), run.layout.named(run.start)
    x, y = x[PUBLIC], y[PUBLIC]
    gradient = averaging.gradient(start, x, y)
    flat = len(PUBLIC) * torch.cat([gradient[n].flatten() for n in start])
    losses = torch.cat(asking.losses)
    sums = {n: torch.cat([s[n] for s in asking.sums]) for n in ("gradient", "classes", "examples")}
    assert losses.shape == (4, 1) and sums["gradient"].shape == (4, len(flat))
    of_server_loss, of_server = asking.of_server
    for row in range(4):
        assert float(losses[row]) == pytest.approx(float(averaging.loss_of(start, x, y)), abs=1e-12)
        torch.testing.assert_close(sums["gradient"][row], flat, rtol=0, atol=1e-12)
        assert sums["classes"][row].tolist() == torch.bincount(y, minlength=3).tolist()
        assert sums["examples"][row].tolist() == [len(PUBLIC)]
    assert float(of_server_loss) == pytest.approx(float(losses[0]), abs=1e-12)
    torch.testing.assert_close(of_server["gradient"], flat, rtol=0, atol=1e-12)


@pytest.mark.parametrize("trainer", TRAINERS)
def test_looking_at_public_samples_changes_no_bit_of_training(trainer: str, tmp_path: Path) -> None:
    options = {"norm": True, "dropout": 0.3, **TRAINERS[trainer]}
    plain = Running(tmp_path, FedAvg(), **options).go()
    assert torch.equal(plain.weights, public_run(tmp_path, Asking(), **options).weights)


def test_no_client_shifts_public_samples(tmp_path: Path) -> None:
    """A transform that depends on the client, as that of partition=feature."""

    def shift(run: Running) -> None:
        def moved(batch: Any, index: Tensor, client: Tensor, split: str, key: Tensor) -> Any:
            factor = 1.0 + (client + 1).double()  # 1 for client -1
            return [batch[0] * factor.expand(index.shape)[..., None], *batch[1:]]

        run.engine.local_worker.host.data = replace(run.engine.local_worker.host.data, transform=moved)

    for options in TRAINERS.values():
        asking = Asking()
        run = public_run(tmp_path, asking, shift, **options)
        x, y = numbers()
        loss = float(averaging.loss_of(run.layout.named(run.start), x[PUBLIC], y[PUBLIC]))
        for value in [*torch.cat(asking.losses), asking.of_server[0]]:
            assert float(value) == pytest.approx(loss, abs=1e-12)
        expected = asking.of_server[1]["gradient"]
        for sums in asking.sums:
            for gradient in sums["gradient"]:
                torch.testing.assert_close(gradient, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("method", ["loss", "collect"])
def test_without_public_samples_a_client_that_asks_for_them_is_refused(method: str, tmp_path: Path) -> None:
    class Asks(FedAvg):
        def local_update(self, client: Any, received: Any, state: Any) -> Any:
            getattr(client, method)(received["model"], *[summed] * (method == "collect"), on="public")
            raise AssertionError

    with pytest.raises(
        InputError, match=f"^client.{method}: on='public': there are no public samples; write .*data.public=100"
    ):
        Running(tmp_path, Asks()).go()


def test_a_part_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="^client.loss: on='test' is no part of a client's samples; write train or"):
        public_run(tmp_path, Asking(on="test"))


@pytest.mark.parametrize("method", ["fit", "collect"])
def test_a_server_with_public_samples_only_has_none_to_train_on(method: str, tmp_path: Path) -> None:
    sentence = f"^round.server_client.{method}: the server has no samples of its own; write server_samples=<number>"
    with pytest.raises(InputError, match=sentence):
        public_run(tmp_path, Asking(server=method))

    def with_samples(run: Running) -> None:
        run.federation.clients = replace(run.federation.clients, server_samples=np.arange(3), train=shards(*SIZES))

    public_run(tmp_path, Asking(server=method), with_samples)


def test_an_algorithm_that_needs_public_samples_is_refused_without_them() -> None:
    class Distilled(FedAvg):
        needs_public = True

    with pytest.raises(
        InputError, match="^Distilled needs samples that all clients see; write for example data.public=100.$"
    ):
        check_server(Distilled(), 100, 0)
    check_server(Distilled(), 0, 1)
    check_server(FedAvg(), 0, 0)


class Distilling(FedAvg):
    """Needs public samples, on clients and on the server."""

    needs_public = True

    def local_update(self, client: Any, received: Any, state: Any) -> Any:
        message, state = super().local_update(client, received, state)
        loss = client.loss(received["model"], on="public")
        return {**message, "loss": loss, "sum": client.collect(received["model"], counted, on="public")["n"]}, state

    def server_state(self, model: Any, rng: Any) -> Any:
        return {"model": model, "losses": torch.zeros(3)}

    def server_update(self, server: Any, reduced: Any, round: Any) -> Any:
        own = round.server_client.loss(server["model"], on="public")
        losses = torch.cat([own, reduced["loss"], reduced["sum"]])
        return {**super().server_update({"model": server["model"]}, reduced, round), "losses": losses}


def counted(step: Any, weights: Tensor) -> dict[str, Tensor]:
    return {"n": step.examples}


def test_the_command_runs_an_algorithm_on_public_samples(in_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = [
        f"aggregator._target_={__name__}.Distilling", "rounds=1", "clients=3", "threads=1", "logger=none", "device=cpu",
        "model.hidden=[4]", "hydra.run.dir=run", "progress=plain",
    ]  # fmt: skip
    assert command_line(words) == REFUSED
    assert (
        "Distilling needs samples that all clients see; write for example data.public=100." in capsys.readouterr().err
    )
    assert command_line([*words, "data.public=37"]) == 0
    assert "37 of the training samples public" in capsys.readouterr().out
    state = torch.load(in_folder / "run" / "checkpoints" / "round_0001" / "state.pt", weights_only=True)
    losses = find_losses(state)
    assert float(losses[0]) == pytest.approx(float(losses[1]), rel=1e-5) and float(losses[2]) == 37


@pytest.mark.slow
def test_a_run_goes_on_with_its_public_samples_only(in_folder: Path) -> None:
    words = ["rounds=1", "clients=3", "threads=1", "logger=none", "device=cpu", "hydra.run.dir=run", "data.public=37"]
    assert command_line([*words, f"aggregator._target_={__name__}.Distilling"]) == 0
    assert command_line(["resume=run", "rounds=2"]) == 0
    assert command_line(["resume=run", "rounds=3", "data.public=36"]) == REFUSED


def find_losses(state: Any) -> Tensor:
    if isinstance(state, dict):
        for key, value in state.items():
            if key == "losses":
                return value
            if (inner := find_losses(value)) is not None:
                return inner
    return None  # type: ignore[return-value]


@pytest.mark.slow
def test_worker_processes_have_the_same_public_samples(tmp_path: Path) -> None:
    rows = []
    for engine in ("serial", "processes"):
        changes = {
            "clients": 3, "rounds": 1, "data.public": 37, "aggregator": {"_target_": f"{__name__}.Distilling"},
        }  # fmt: skip
        row = go(small(("logger=none", f"engine={engine}"), changes), tmp_path / engine)[-1]
        rows.append({name: value for name, value in row.items() if not name.startswith("time/")})
    assert rows[0] == rows[1]
