"""Samplers that see the sizes of shards, and that keep a state from round to round."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from fedlit.aggregators import Aggregator, FedAvg
from fedlit.checkpoint import Checkpoints
from fedlit.errors import InputError
from fedlit.sampler_trial import try_sampler
from fedlit.samplers import All, Poisson, Sampler, Uniform
from fedlit.stores import MemoryStore
from tests.aggregators.federations import SIZES, Listed, Running
from tests.samplers.by_utility import LastLosses, PowerOfChoice
from tests.small_runs import command, numbers, same_bits, saved
from tests.stores.test_runs import run_until_killed


def test_candidates_are_drawn_by_their_share_of_the_data() -> None:
    sampler, rng, sizes = PowerOfChoice(1, 1), np.random.default_rng(0), np.array([1, 5, 2, 12])
    sampler.setup(sizes)
    counts = np.bincount([sampler(1, rng, 4, np.zeros_like)[0] for _ in range(4000)], minlength=4)
    assert np.abs(counts / 4000 - sizes / 20).max() < 0.025


class NotedChoice(PowerOfChoice):
    """Notes the losses of all clients, and its choice."""

    def __call__(self, round_number, rng, clients, probe):
        self.losses, self.chosen = probe(range(clients)), super().__call__(round_number, rng, clients, probe)
        return self.chosen


def test_the_candidates_with_the_largest_losses_are_asked(tmp_path: Path) -> None:
    sampler = NotedChoice(len(SIZES), 2)
    row = Running(tmp_path, FedAvg(), sampler).go().rows[0]
    assert sampler.chosen == np.argsort(-sampler.losses)[:2].tolist() and row["cohort/arrived"] == 2


class Losses(LastLosses):
    """Notes what it observes."""

    def observe(self, state, losses):
        self.seen = [*getattr(self, "seen", []), dict(losses)]
        return super().observe(state, losses)


def test_losses_of_training_reach_the_state_and_choose_the_next_clients(tmp_path: Path) -> None:
    run = Running(tmp_path, FedAvg(), Losses()).go(3)
    first, second, third = run.federation.sampler.seen
    assert first.keys() | second.keys() == {0, 1, 2, 3} and len(first) == len(second) == len(third) == 2
    for number, seen in enumerate((first, second, third), 1):
        train_loss = sum(SIZES[c] * loss for c, loss in seen.items()) / sum(SIZES[c] for c in seen)
        assert run.rows[number - 1]["train/loss"] == pytest.approx(train_loss)
    utility = {c: SIZES[c] * loss for c, loss in (first | second).items()}
    largest = max(utility.values())
    score = {c: u + largest * np.sqrt(0.1 * np.log(3) / (1 if c in first else 2)) for c, u in utility.items()}
    assert set(third) == set(sorted(score, key=lambda c: -score[c])[:2])
    assert run.state.sampler["last"].tolist() == [3 if c in third else 1 if c in first else 2 for c in range(4)]


def test_clients_that_do_not_arrive_or_do_not_train_are_not_observed(tmp_path: Path) -> None:
    class Silent(Aggregator):
        def local_update(self, client, received, state):
            return {"delta": 0 * received["model"]}, state

    run = Running(tmp_path, Silent(), Losses()).go()
    assert run.federation.sampler.seen == [{}]
    run = Running(tmp_path, FedAvg(), Losses(4), sizes=(13, 0, 9, 6)).go()
    assert run.federation.sampler.seen[0].keys() == {0, 2, 3}


class InPlace(LastLosses):
    """Changes the state that it gets."""

    def choose(self, round_number, rng, clients, probe, state):
        state["loss"] += 1
        return super().choose(round_number, rng, clients, probe, state)


def test_a_round_that_does_not_end_leaves_the_state_as_it_was(tmp_path: Path) -> None:
    class Failing(FedAvg):
        def server_update(self, server, reduced, round):
            if round.number == 2:
                raise InputError("no")
            return super().server_update(server, reduced, round)

    run = Running(tmp_path, Failing(), InPlace()).go()
    before = {key: torch.as_tensor(value).clone() for key, value in run.state.sampler.items()}
    with pytest.raises(InputError):
        run.go()
    assert run.state.round == 1 and all(
        torch.equal(torch.as_tensor(run.state.sampler[k]), v) for k, v in before.items()
    )


WORDS = "data=digits clients=12 threads=1 progress=none logger=none device=cpu checkpoint.every=0 checkpoint.keep=99"
WORDS += " sampler._target_=tests.samplers.by_utility.LastLosses sampler.number=3"
ROUNDS = 6


def resumed(run: Path, whole: Path) -> None:
    assert command(f"resume={run}", f"rounds={ROUNDS}") == 0
    assert saved(whole, ROUNDS)["sampler"]["round"] == ROUNDS
    assert same_bits(saved(run, ROUNDS), saved(whole, ROUNDS)) and numbers(run) == numbers(whole)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("whole") / "run"
    assert command(*WORDS.split(), f"rounds={ROUNDS}", f"hydra.run.dir={folder}") == 0
    return folder


def test_a_resumed_run_chooses_the_same_clients(whole: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    assert command(*WORDS.split(), "rounds=3", f"hydra.run.dir={run}") == 0
    resumed(run, whole)


@pytest.mark.slow
def test_a_killed_and_resumed_run_chooses_the_same_clients(whole: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    run_until_killed(run, [*WORDS.split(), f"rounds={ROUNDS}", f"hydra.run.dir={run}"], 4)
    resumed(run, whole)


def test_a_checkpoint_without_a_state_of_the_sampler_is_read(tmp_path: Path) -> None:
    run = Running(tmp_path, FedAvg(), Uniform(0.5)).go()
    run.checkpoints.save(run.state)
    contents = run.checkpoints._contents(run.state, {})
    del contents["sampler"]
    run.checkpoints._write(run.checkpoints.folder / "round_0001", contents)
    state = Checkpoints(tmp_path, {}, 0, 1, {}).load(MemoryStore())
    assert state is not None and state.sampler == {} and state.round == 1


class Kept(Sampler):
    """Chooses by what it keeps on self."""

    def __init__(self) -> None:
        self.next = 0

    def __call__(self, round_number, rng, clients, probe):
        self.next = (self.next + 1) % clients
        return [self.next]

    def expected(self, clients):
        return 1.0


class KeptLosses(Kept):
    def __call__(self, round_number, rng, clients, probe):
        chosen = int(np.argmax(self.losses)) if self.next else 0
        self.next, self.losses = 1, probe(range(clients)) * np.cos(round_number + np.arange(clients))
        return [chosen]


class OwnGenerator(Kept):
    def __call__(self, round_number, rng, clients, probe):
        return [int(np.random.default_rng().integers(2**40)) % clients]


class Array(Kept):
    def initial_state(self):
        return {"loss": np.zeros(3)}


class LaterArray(Kept):
    def choose(self, round_number, rng, clients, probe, state):
        return [0], {"loss": np.zeros(3)}


class NoState(Kept):
    def choose(self, round_number, rng, clients, probe, state):
        return [0, 1]


class ClientsAlone(Kept):
    def choose(self, round_number, rng, clients, probe, state):
        return [0, 1, 2]


class ObservesNothing(Kept):
    def choose(self, round_number, rng, clients, probe, state):
        return [0], state

    def observe(self, state, losses):
        pass


class Nothing(Sampler):
    def expected(self, clients):
        return 1.0


@pytest.mark.parametrize(
    ("sampler", "sentence"),
    [
        (
            Kept,
            "chooses other clients than a run that is resumed before round 2 would, because it keeps values outside",
        ),
        (KeptLosses, "chooses other clients than a run that is resumed before round"),
        (OwnGenerator, "or draws from a generator of its own; .* and draw from rng"),
        (Array, "initial_state keeps loss, a numpy.ndarray, which a resumed run cannot read .* torch.from_numpy"),
        (LaterArray, "choose keeps loss, a numpy.ndarray"),
        (NoState, r"choose returns \[0, 1\]; return the clients and the new state"),
        (ClientsAlone, r"choose returns \[0, 1, 2\]; return the clients and the new state"),
        (ObservesNothing, "observe returns None as the state; return a dict"),
        (Nothing, "has no method that chooses clients; write __call__, or choose if it has a state"),
    ],
)
def test_a_sampler_that_a_resumed_run_would_not_follow_is_refused(sampler: type[Sampler], sentence: str) -> None:
    with pytest.raises(InputError, match=sentence) as caught:
        try_sampler(sampler(), 1000, 0)
    assert sampler.__name__ in str(caught.value)


class Cached(Kept):
    """A cache on self, and losses that are only noted, change no choice."""

    def __init__(self) -> None:
        self.cache: dict[int, Any] = {}

    def __call__(self, round_number, rng, clients, probe):
        self.cache.setdefault(clients, np.arange(clients))
        self.losses = probe([0, 1])
        return rng.permutation(self.cache[clients])[:2]


class Failing(Kept):
    def __call__(self, round_number, rng, clients, probe):
        raise KeyError("no losses yet")


@pytest.mark.parametrize(
    "sampler",
    [Cached(), Failing(), All(), Uniform(0.1), Poisson(0.1), Listed([0], [1]), LastLosses(), PowerOfChoice(6, 2)],
    ids=lambda sampler: type(sampler).__name__,
)
def test_other_samplers_are_not(sampler: Sampler) -> None:
    sampler.setup(np.arange(1, 1001))
    try_sampler(sampler, 1000, 0)


def test_a_sampler_of_the_command_is_refused_before_the_run(
    in_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command("data=digits", "clients=5", "rounds=2", "sampler._target_=tests.samplers.test_states.Kept") == 2
    assert "Kept chooses other clients than a run that is resumed before round 2 would" in capsys.readouterr().err
