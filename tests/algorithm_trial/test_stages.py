"""Stages and reductions in the trial: mistakes of a stage are named, right ones run without a word."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from fedlit.errors import InputError
from fedlit.messages.reductions import All, Mean, Reduced
from fedlit.messages.stages import Stage
from fedlit.model_vectors import Model
from tests.slow import some_slow
from tests.small_runs import command

D = "delta.weights"
TINY = ["debug=tiny", "rounds=1", "threads=1", "device=cpu", "logger=none", "hydra.run.dir=run"]
TRAINERS = {"stack": ["trainer=vectorized", "trainer.stack=always"], "alone": ["trainer=lightning"]}


class MixesNorms(Stage):
    def encode(self, client, wire, state):
        return wire | {D: wire[D] / (1 + wire[D].norm())}, state


class MixesStates(Stage):
    def state(self, client, wire):
        return {"mean": torch.zeros_like(wire[D])}

    def encode(self, client, wire, state):
        return wire | {D: wire[D] + state["mean"]}, {"mean": state["mean"] + wire[D].mean(0, keepdim=True)}


class MixesDecoded(Stage):
    decodes = True

    def decode(self, wire, sent):
        return wire | {D: wire[D] - wire[D].mean(0)}


class Draws(Stage):
    def encode(self, client, wire, state):
        return wire | {D: wire[D] + torch.randn_like(wire[D])}, state


class KeyedDraws(Stage):
    def encode(self, client, wire, state):
        return wire | {D: wire[D] + 1e-3 * client.draw("normal", "noise", wire[D])}, state


class Nonce(Stage):
    """The wire differs from call to call, and what the server reads in it does not."""

    decodes = True

    def encode(self, client, wire, state):
        return wire | {"nonce": torch.rand(len(client.number), 3)}, state

    def decode(self, wire, sent):
        return {key: value for key, value in wire.items() if key != "nonce"}


class InPlace(Stage):
    def encode(self, client, wire, state):
        wire[D].mul_(0.5)
        return wire, state


class Largest(Stage):
    """The largest tenth of the entries, as a list of rows, with what is left over kept."""

    decodes = True

    def state(self, client, wire):
        return {"left": torch.zeros_like(wire[D])}

    def encode(self, client, wire, state):
        full = wire[D] + state["left"]
        index = [row.abs().topk(len(row) // 10).indices for row in full]
        values = [row[i] for row, i in zip(full, index, strict=True)]
        left = torch.stack([row.index_fill(0, i, 0.0) for row, i in zip(full, index, strict=True)])
        size = torch.full((len(full), 1), full.shape[1])
        return {"values": values, "index": index, "size": size, "delta.statistics": wire["delta.statistics"]}, {
            "left": left
        }

    def decode(self, wire, sent):
        rows = [
            v.new_zeros(int(n)).index_copy(0, i, v)
            for v, i, n in zip(wire["values"], wire["index"], wire["size"], strict=True)
        ]
        return {D: torch.stack(rows), "delta.statistics": wire["delta.statistics"]}


class TrimmedMean(All):
    """Without the smallest and the largest value of each entry: it needs three messages."""

    def finish(self) -> Reduced:
        every = super().finish().message
        if len(self.round.arrived) < 3:
            raise InputError("TrimmedMean needs three messages")
        trimmed = every["delta"].weights.sort(0).values[1:-1].mean(0)
        return Reduced({"delta": Model(trimmed, every["delta"].statistics.mean(0))})


class Rooted(Mean):
    """The server's own data are used when the messages are reduced, as FLTrust does."""

    def finish(self) -> Reduced:
        trained = self.round.server_client.fit(self.round.broadcast["model"]).model
        assert bool(trained.weights.isfinite().all())
        return super().finish()


@pytest.mark.parametrize("stage", ["MixesNorms", "MixesStates", "MixesDecoded"])
def test_a_stage_that_mixes_clients_is_refused_before_the_run(
    stage: str, in_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command(*TINY, *TRAINERS["stack"], f"uplink.mine._target_={__name__}.{stage}") == 2
    said = capsys.readouterr().err
    assert said.startswith("uplink.mine: delta.weights") and "together with other clients than alone" in said
    assert not (in_folder / "run" / "metrics.jsonl").exists()


@pytest.mark.parametrize("trainer", some_slow(TRAINERS, ["stack"]))
def test_draws_that_have_no_key_are_said(trainer: str, in_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command(*TINY, *TRAINERS[trainer], f"uplink.mine._target_={__name__}.Draws") == 0
    assert capsys.readouterr().err.count("uplink.mine: a client's message has other numbers when it is sent again") == 1


@pytest.mark.parametrize("trainer", some_slow(TRAINERS, ["stack"]))
@pytest.mark.parametrize("stage", ["KeyedDraws", "Nonce", "InPlace", "Largest"])
def test_a_right_stage_runs_without_a_word(
    stage: str, trainer: str, in_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command(*TINY, *TRAINERS[trainer], f"uplink.mine._target_={__name__}.{stage}") == 0
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("trainer", some_slow(TRAINERS, ["stack"]))
@pytest.mark.parametrize("reduction", ["TrimmedMean", "Rooted"])
def test_a_reduction_that_needs_more_than_the_two_clients_of_the_trial_runs(
    reduction: str, trainer: str, in_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [*TINY, *TRAINERS[trainer], f"reduction._target_={__name__}.{reduction}", "server_samples=20"]
    assert command(*words) == 0
    assert capsys.readouterr().err == ""


class EqualWeights(Stage):
    uniform = True


def test_a_stage_that_changes_the_weighting_is_said_once(in_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command(*TINY, *TRAINERS["stack"], f"uplink.mine._target_={__name__}.EqualWeights") == 0
    assert capsys.readouterr().err.count("all clients count the same, because uplink.mine needs it") == 1
