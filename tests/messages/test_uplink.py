"""Stages of a user's own, chosen by the key `uplink`."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch

from fedlit.client import Client
from fedlit.messages.sent import Sent
from fedlit.messages.stages import Stage
from fedlit.messages.wire import Wire
from tests import small_runs
from tests.slow import some_slow
from tests.small_runs import numbers, rows, same_bits, saved
from tests.test_command import command

TINY = ["data=digits", "clients=3", "threads=1", "progress=none", "logger=none", "checkpoint.every=0"]
MINE = """
from fedlit.messages.stages import Stage

class Half(Stage):
    decodes = True

    def encode(self, client, wire, state):
        return {key: value.half() for key, value in wire.items()}, state

    def decode(self, wire, sent):
        return {key: value.float() for key, value in wire.items()}
"""


class Half(Stage):
    """Half precision, as in `MINE`."""

    decodes: ClassVar[bool] = True

    def encode(self, client: Client, wire: Wire, state: dict[str, Any]) -> tuple[Wire, dict[str, Any]]:
        return {key: value.half() for key, value in wire.items()}, state

    def decode(self, wire: Wire, sent: Sent) -> Wire:
        return {key: value.float() for key, value in wire.items()}


class Residual(Stage):
    """Adds a share of what half precision lost in the client's last round."""

    def __init__(self, share: float = 1.0):
        self.share = share

    def state(self, client: Client, wire: Wire) -> dict[str, Any]:
        return {"lost": torch.zeros_like(wire["delta.weights"])}

    def encode(self, client: Client, wire: Wire, state: dict[str, Any]) -> tuple[Wire, dict[str, Any]]:
        full = wire["delta.weights"] + self.share * state["lost"]
        return wire | {"delta.weights": full}, {"lost": full - full.half().float()}


def test_a_stage_from_a_file_in_the_current_folder_changes_the_messages(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(MINE)
    done = command(tmp_path, *TINY, "rounds=1", "hydra.run.dir=run", "uplink.half._target_=mine.Half")
    assert done.returncode == 0, done.stderr
    (row,) = rows(tmp_path / "run")
    assert row["comm/bytes_up"] == row["comm/bytes_down"] / 2 > 0
    assert row["global/test/accuracy"] > 0.2


def test_two_stages_run_in_order_and_keep_their_states_over_a_resume(in_folder: Path) -> None:
    stages = [f"uplink.{name.lower()}._target_={__name__}.{name}" for name in ("Residual", "Half")]
    words = [*TINY, "checkpoint.keep=9", *stages, "uplink.residual.share=0.5"]
    assert small_runs.command(*words, "rounds=3", "hydra.run.dir=uninterrupted") == 0
    assert small_runs.command(*words, "rounds=1", "hydra.run.dir=resumed") == 0
    assert small_runs.command("resume=resumed", "rounds=3") == 0
    assert numbers(Path("resumed")) == numbers(Path("uninterrupted"))
    state = saved(Path("resumed"), 3)
    assert same_bits(state, saved(Path("uninterrupted"), 3))
    for client in range(3):
        lost = state["clients"][client]["stages"]["residual"]["lost"]
        assert lost.dtype == torch.float32  # the stage ran before half precision
        assert bool(lost.any())


@pytest.mark.parametrize(
    ("name", "store"),
    some_slow([("algorithm", "memory"), ("optimizer", "disk"), ("stages", "memory")], [("optimizer", "disk")]),
)
def test_a_stage_may_have_any_name_beside_an_algorithm_and_an_optimiser_with_states(
    name: str, store: str, in_folder: Path
) -> None:
    """Every client keeps three states: its head, its momentum and what half precision lost."""
    words = [*TINY, "checkpoint.keep=9", f"store={store}", "aggregator=fedper", "trainer.keep_optimizer_state=true"]
    words += ["optimizer.momentum=0.9"]
    for folder, stage in (("plain", "residual"), ("named", name)):
        stages = [f"uplink={{{stage}: {{_target_: {__name__}.Residual}}, half: {{_target_: {__name__}.Half}}}}"]
        assert small_runs.command(*words, *stages, "rounds=1", f"hydra.run.dir={folder}") == 0
        assert small_runs.command(f"resume={folder}", "rounds=3") == 0
    plain, named = (saved(Path(folder), 3) for folder in ("plain", "named"))
    for client, state in named["clients"].items():
        assert set(state) == {"algorithm", "optimizer", "stages"} and bool(state["stages"][name]["lost"].any())
        state["stages"] = {"residual": state["stages"][name]}
        assert client in plain["clients"]
    assert same_bits(plain, named)


NO_CLASS = "this names no class; write uplink.half._target_=mine.Half for a class of your own."


@pytest.mark.parametrize(
    ("word", "sentence"),
    [
        (
            "uplink.mean._target_=fedlit.messages.reductions.Mean",
            "uplink.mean._target_=fedlit.messages.reductions.Mean: it makes an object of type Mean, which is not a "
            "Stage; give a class that inherits from fedlit.messages.stages.Stage.",
        ),
        (
            "uplink.half=mine.Half",
            "uplink.half=mine.Half: half is a stage; write 'uplink=[half]'.",
        ),
        (
            "uplink.half.bits=8",
            "uplink.half.bits=8: half is not chosen; write 'uplink=[half]', and its keys as uplink.half.<key>=<value>.",
        ),
        (
            "reduction._target_=fedlit.messages.stages.Stage",
            "reduction._target_=fedlit.messages.stages.Stage: it makes an object of type Stage, which is not a "
            "Reduction; give a class that inherits from fedlit.messages.reductions.Reduction.",
        ),
        (
            "reduction._target_=fedlit.messages.reductions.All",
            "FedAvg takes one reduced message, and All does not reduce; write reduction=null, or set needs_all = True "
            "in the algorithm's class",
        ),
    ],
    ids=["no stage", "no mapping", "no class", "no reduction", "does not reduce"],
)
def test_a_class_that_does_not_fit_is_refused_in_one_sentence(
    word: str, sentence: str, in_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert small_runs.command(*TINY, word) == 2
    assert capsys.readouterr() == ("", f"{sentence}\n")
