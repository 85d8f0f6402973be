"""What cannot work is refused before the first client trains, and not after a round."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from fedlit.aggregators import Aggregator, FedAvg, FedFomo, FedPer, Local, Scaffold
from fedlit.aggregators.base import State
from fedlit.aggregators.server_step import check_server_optimizer
from fedlit.errors import REFUSED, InputError
from fedlit.experiment_refusals import check_server
from fedlit.method_signatures import check_methods
from fedlit.models.optimizer import make_optimizer
from fedlit.probe import refuse_missing_model
from fedlit.run import main as command_line
from fedlit.samplers import All, Sampler
from fedlit.server_round import ServerRound
from tests.aggregators.federations import Running
from tests.aggregators.written import Modelless

ROUNDS = 5


class Probing(Sampler):
    """Asks for losses from a round on, and fails without them before `fails`."""

    def __init__(self, first: int, fails: int = 0):
        self.first, self.fails, self.seen = first, fails, []

    def __call__(self, round_number: int, rng: np.random.Generator, clients: int, probe: Any) -> list[int]:
        self.seen.append(round_number)
        if round_number < self.fails:
            raise KeyError("no losses yet")
        return [int(np.argmax(probe(range(clients))))] if round_number >= self.first else [0]

    def expected(self, clients: int) -> float:
        return 1.0


def check(folder: Path, aggregator: Any, sampler: Sampler) -> None:
    run = Running(folder, aggregator, sampler)
    run.federation.rounds = ROUNDS
    refuse_missing_model(run.federation, run.state)


@pytest.mark.parametrize(("first", "fails"), [(1, 0), (2, 0), (ROUNDS, 0), (3, 2)])
def test_a_sampler_that_asks_for_losses_in_a_later_round_is_refused(tmp_path: Path, first: int, fails: int) -> None:
    sampler = Probing(first, fails)
    with pytest.raises(
        InputError, match="Probing chooses clients by the loss .* under Modelless they have none; write sampler=uniform"
    ):
        check(tmp_path, Modelless(), sampler)
    assert sampler.seen == []


@pytest.mark.parametrize(("aggregator", "first"), [(FedAvg, 1), (Local, 1), (FedPer, 1), (Modelless, ROUNDS + 1)])
def test_a_sampler_whose_losses_are_known_or_not_asked_for_is_not(tmp_path: Path, aggregator: Any, first: int) -> None:
    check(tmp_path, aggregator(), Probing(first))


def test_an_algorithm_that_needs_samples_of_the_server_is_refused_without_them() -> None:
    class Tuned(FedAvg):
        needs_server = True

    with pytest.raises(InputError, match="^Tuned needs samples of the server; write for example server_samples=100.$"):
        check_server(Tuned(), 0, 0)
    check_server(Tuned(), 1, 0)
    check_server(FedAvg(), 0, 0)


def test_methods_with_other_arguments_than_those_of_the_contract_are_refused() -> None:
    class OldDownload(FedAvg):
        def download(self, server, client):
            return {}

    class OldUnpack(FedAvg):
        def unpack(self, message):
            return message

    class OneMore(FedAvg):
        def personal(self, client, received, state, further):
            return received["model"]

    class OldName(FedAvg):
        needs_server_data = True

    class Other(FedAvg):
        def __init__(self):
            self.global_model = lambda server: None

        def download(self, *arguments, **more):
            return {}

        @staticmethod
        def unpack(message, round=None):
            return message

    for aggregator, sentence in (
        (
            OldDownload(),
            "takes (server, client), and it is called with (server, clients, round); write: def "
            "download(self, server, clients, round).",
        ),
        (
            OldUnpack(),
            "takes (message), and it is called with (message, round); write: def unpack(self, message, round).",
        ),
        (
            OneMore(),
            "takes (client, received, state, further), and it is called with (client, received, state); write: "
            "def personal(self, client, received, state).",
        ),
        (OldName(), "needs_server_data is not read; write needs_server = True."),
    ):
        with pytest.raises(InputError, match=f"{type(aggregator).__name__}.*{re.escape(sentence)}$"):
            check_server(aggregator, 1, 0)
    check_server(Other(), 0, 0)


class OfClass(FedAvg):
    weighting = {"delta": "uniform"}  # noqa: RUF012


class NeedsNone(FedFomo):
    needs_validation = False


class SetsAgain(FedAvg):
    weighting = {"delta": "uniform"}  # noqa: RUF012

    def __init__(self):
        super().__init__()
        self.weighting = {"delta": "examples"}


@pytest.mark.parametrize("aggregator", [OfClass(), NeedsNone()], ids=lambda aggregator: type(aggregator).__name__)
def test_an_attribute_that_an_inherited_init_replaces_is_refused(aggregator: Aggregator) -> None:
    with pytest.raises(InputError, match=f"^{type(aggregator).__name__}.* is not read, because the __init__ .*; write"):
        check_server(aggregator, 0, 0)


def test_an_attribute_that_is_read_is_not_refused() -> None:
    assert OfClass("uniform").weighting == OfClass.weighting
    for aggregator in (OfClass("uniform"), SetsAgain(), Local(), FedFomo(), Scaffold()):
        check_server(aggregator, 0, 0)


def test_methods_of_a_sampler_with_other_arguments_are_refused() -> None:
    class Sizes(All):
        def setup(self):
            pass

    with pytest.raises(
        InputError, match=re.escape("Sizes.setup takes (), and it is called with (sizes); write: def s")
    ):
        check_methods(Sizes(), Sampler)
    check_methods(All(), Sampler)


class Nothing:
    def __init__(self, parameters: Any):
        pass


@pytest.mark.parametrize(
    ("factory", "reason"),
    [
        (torch.optim.LBFGS, "closure"),
        (torch.optim.SparseAdam, "dense gradients"),
        (partial(torch.optim.SGD, lr=1.0, nesterov=True), "Nesterov"),
        (Nothing, "no attribute 'step'"),
    ],
)
def test_a_server_optimizer_that_cannot_step_a_vector_is_refused(factory: Any, reason: str) -> None:
    with pytest.raises(InputError, match=f"^aggregator.server_optimizer cannot step a vector .*{reason}"):
        check_server_optimizer(factory)


@pytest.mark.parametrize(
    "factory",
    [None, torch.optim.Adam, torch.optim.Adagrad, torch.optim.RMSprop, partial(torch.optim.SGD, lr=1.0, momentum=0.9)],
)
def test_other_server_optimizers_are_not(factory: Any) -> None:
    check_server_optimizer(factory)


def test_an_optimizer_that_is_none_is_refused() -> None:
    with pytest.raises(InputError, match="makes an object of type Nothing, which is not an optimiser"):
        make_optimizer(nn.Linear(1, 1), Nothing)  # type: ignore[arg-type]


def test_a_sampler_of_more_clients_than_there_are_is_refused_before_the_trial(
    in_folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    tried: list[Any] = []
    monkeypatch.setattr("fedlit.experiment.try_algorithm", lambda *arguments: tried.append(arguments))
    words = ["clients=4", "sampler.number=5", "rounds=1", "threads=1", "device=cpu", "logger=none"]
    assert command_line(words) == REFUSED
    assert "sampler.number=5 is more than the 4 clients; write sampler.number=4 or less." in capsys.readouterr().err
    assert not tried


class FromRound3(FedAvg):
    """Fails in its third round, which the trial does not see."""

    def __init__(self, fail: Callable[[ServerRound], Any]):
        super().__init__()
        self.fail = fail

    def server_update(self, server: State, reduced: State, round: ServerRound) -> State:
        if round.number == 3:
            self.fail(round)
        return super().server_update(server, reduced, round)


def test_an_algorithm_that_uses_data_of_the_server_in_a_later_round_is_refused_then(tmp_path: Path) -> None:
    run = Running(tmp_path, FromRound3(lambda round: round.server_client.fit(None)))
    with pytest.raises(
        InputError,
        match="^FromRound3.server_update uses round.server_client.fit, and the server has no data; "
        "write server_samples=<number>.$",
    ):
        run.go(3)


def test_another_missing_attribute_keeps_its_trace(tmp_path: Path) -> None:
    run = Running(tmp_path, FromRound3(lambda round: round.server_clients))
    with pytest.raises(AttributeError, match="server_clients"):
        run.go(3)
