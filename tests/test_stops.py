"""A run ends at its last complete round by a `Stop` of whatever takes part in it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import fedlit
from fedlit.models import Mlp
from fedlit.samplers import All
from fedlit.tracking import Loggers
from tests.slow import some_slow
from tests.small_runs import command, rows, saved

WORDS = ("clients=3", "threads=1", "device=cpu", "logger=none", "progress=none", "checkpoint.every=0")


def summary(folder: str) -> dict[str, Any]:
    return json.loads(Path(folder, "summary.json").read_text())


class Budget(fedlit.Logger):
    """Ends the run after round 2."""

    def round(self, number: int, row: Mapping[str, float], pictures: Mapping[str, np.ndarray]) -> None:
        if number == 2:
            raise fedlit.Stop("the budget is spent")


class AtStart(Budget):
    def start(self, about: fedlit.About) -> None:
        raise fedlit.Stop("the budget is spent")


class Asking(All):
    """Ends the run before round 3."""

    def __call__(self, round_number: int, rng: np.random.Generator, clients: int, probe: fedlit.Probe) -> list[int]:
        if round_number == 3:
            raise fedlit.Stop("the budget is spent")
        return list(range(clients))


class Sending(fedlit.FedAvg):
    """Ends the run in round 3, on a client."""

    def local_update(self, client: Any, received: Any, state: Any) -> Any:
        if client.round.number == 3:
            raise fedlit.Stop("the budget is spent")
        return super().local_update(client, received, state)


class Stepping(fedlit.FedAvg):
    def server_update(self, server: Any, reduced: Any, round: Any) -> Any:
        if round.number == 3:
            raise fedlit.Stop("the budget is spent")
        return super().server_update(server, reduced, round)


class Training(Mlp):
    """Ends the run in a training step of round 3, also under vmap."""

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        if self.round == 3:
            raise fedlit.Stop("the budget is spent")
        return super().training_step(batch, batch_idx)


class Measuring(fedlit.FedAvg):
    """Ends the run in the evaluation of round 2."""

    def global_model(self, server: Any) -> Any:
        if int(server["rounds"]) == 2:
            raise fedlit.Stop("the budget is spent")
        return server["model"]

    def server_state(self, model: Any, rng: torch.Generator) -> Any:
        return {"model": model, "rounds": torch.zeros(())}

    def server_update(self, server: Any, reduced: Any, round: Any) -> Any:
        after = super().server_update(server, reduced, round)
        return {**after, "rounds": torch.tensor(float(round.number))}


MINE = "_target_=tests.test_stops"


STOPS = [
    f"logger.mine.{MINE}.Budget",
    f"logger.mine.{MINE}.AtStart",
    f"sampler.{MINE}.Asking",
    f"aggregator.{MINE}.Sending",
    f"aggregator.{MINE}.Sending engine.on_failure=drop",
    f"aggregator.{MINE}.Sending engine=processes",
    f"aggregator.{MINE}.Stepping",
    f"aggregator.{MINE}.Measuring",
    f"model.{MINE}.Training",
    f"model.{MINE}.Training trainer=vectorized",
]


@pytest.mark.parametrize("stop", some_slow(STOPS, quick=[STOPS[7]]))
def test_a_stop_ends_the_run_at_its_last_complete_round(
    stop: str, in_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words, last = stop.split(), 0 if "AtStart" in stop else 2
    assert command(*WORDS, "rounds=4", *words, "hydra.run.dir=run", "progress=plain") == 0
    assert f"stopped after round {last} of 4 (the budget is spent)" in capsys.readouterr().out
    assert (summary("run")["stopped"], summary("run")["rounds"]) == ("the budget is spent", last)
    assert [row["round"] for row in rows(Path("run"))] == list(range(1, last + 1))
    assert saved(Path("run"), last)["stopped"] == "the budget is spent"
    assert command("resume=run") == 0
    stopped_again = "this run has stopped: the budget is spent" in capsys.readouterr().err
    assert stopped_again == bool(last)  # without a round it begins again
    assert len(rows(Path("run"))) == last
    assert command("resume=run", "rounds=5") == 0
    stops_again = not stop.endswith(("Budget", "Measuring"))
    assert (summary("run")["rounds"], summary("run")["stopped"] is not None) == (
        last if stops_again else 5,
        stops_again,
    )


def test_a_stop_does_not_keep_later_loggers_from_the_round() -> None:
    seen: list[int] = []

    class Seen(fedlit.Logger):
        def round(self, number: int, row: Mapping[str, float], pictures: Mapping[str, np.ndarray]) -> None:
            seen.append(number)

    with pytest.raises(fedlit.Stop, match="the budget"):
        Loggers([Budget(), Seen()]).round(2, {}, {})
    assert seen == [2]
