"""`server_lr_schedule` under algorithms whose server takes a step of its own, or none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from fedlit.aggregators import CFL, IFCA, FedAMP, FedAvg, FedDyn, FedFomo, Local
from fedlit.aggregators.base import Message, State
from fedlit.errors import InputError
from fedlit.schedules import Constant, Exponential, Step
from fedlit.server_round import ServerRound
from tests.aggregators.federations import Listed, Running
from tests.aggregators.posed import algorithm
from tests.algorithm_trial.trials import federation, tried


class OwnStep(FedAvg):
    """A server step that does not read the factor."""

    def server_update(self, server: State, reduced: Message, round: ServerRound) -> State:
        return {"model": server["model"] + reduced["delta"]}


def test_a_server_step_that_does_not_read_the_factor_is_refused(tmp_path: Path) -> None:
    run = Running(tmp_path, OwnStep(), Listed([0], [0]))
    run.federation.server_lr_schedule = Step(interval=1)
    run.go()  # the factor of the first round is 1
    with pytest.raises(InputError, match=r"server_lr_schedule: OwnStep does not read round.server_lr_factor"):
        run.go()


@pytest.mark.parametrize("option", ["qfedavg", "pfedme", "apfl", "fedala"])
def test_the_servers_first_step_is_the_factor_times_what_it_would_be(tmp_path: Path, option: str) -> None:
    models = []
    for schedule in (Constant(), Exponential(warmup=1)):
        run = Running(tmp_path / type(schedule).__name__, algorithm(option, {}), norm=True)
        run.federation.server_lr_schedule = schedule
        models.append(run.go().state.server["model"])
    step, half = (model.weights - run.start.weights for model in models)
    torch.testing.assert_close(half, step / 2, rtol=0, atol=1e-14)
    assert step.abs().max() > 1e-3 and torch.equal(*(model.statistics for model in models))


@pytest.mark.parametrize("kind", [OwnStep, Local, FedFomo])
def test_it_is_refused_before_the_run(tmp_path: Path, kind: Any) -> None:
    run = federation(tmp_path, "lightning")
    tried(kind(), run)
    with pytest.raises(InputError, match=f"server_lr_schedule: {kind.__name__} does not read"):
        tried(kind(), run, server_schedule=True)
    tried(FedAvg(), run, server_schedule=True)


@pytest.mark.parametrize("kind", [CFL, FedAMP, FedDyn, IFCA])
def test_server_steps_of_their_own_follow_it(tmp_path: Path, kind: Any) -> None:
    tried(kind(), federation(tmp_path, "lightning"), server_schedule=True)  # the oracles have the numbers
