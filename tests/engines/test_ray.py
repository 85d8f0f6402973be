"""engine=ray: the results of engine=serial, in the same order, also if an actor dies."""

from __future__ import annotations

import logging
import os
import signal
from importlib.util import find_spec

import pytest

from fedlit.engines import Ray
from fedlit.engines.failures import ClientFailed
from fedlit.engines.ray_session import RaySession
from fedlit.errors import InputError
from fedlit.training.lightning import LightningTrainer
from tests.engines.test_processes import Fragile, PairTrainer, clients, federated, same

pytestmark = pytest.mark.skipif(find_spec("ray") is None, reason="Ray is not installed: pip install 'fedlit[ray]'")


def pids(run) -> list[int]:
    """The process of each actor."""
    references = [actor.handle.__ray_call__.remote(lambda worker: os.getpid()) for actor in run.engine.pool.actors]
    return run.engine.session.ray.get(references)


def test_every_round_has_the_bits_of_the_serial_engine_also_after_an_idle_actor_died():
    with federated(None) as run:
        expected = run.round()
    with federated(2, engine_class=Ray) as run:
        assert same(run.round(), expected)
        first = pids(run)
        assert len(set(first)) == 2
        os.kill(first[0], signal.SIGKILL)
        assert same(run.round(), expected)
        assert same(run.round(), expected), "one client changed another"


@pytest.mark.slow  # a session of Ray takes seconds
@pytest.mark.parametrize("kills", [1, 2])
def test_a_chunk_of_two_runs_again_after_one_kill_and_client_by_client_after_two(tmp_path, kills):
    for name in range(kills):
        (tmp_path / str(name)).touch()
    with federated(None, 66, trainer=PairTrainer) as run:
        expected = run.round()
    with federated(2, 66, kill_folder=tmp_path, trainer=PairTrainer, engine_class=Ray) as run:
        results = run.round()
    assert list(tmp_path.iterdir()) == []
    assert same(results, expected)
    assert clients(results) == ([[0, 1], [2, 3]] if kills == 1 else [[0], [1], [2, 3]])


@pytest.mark.slow
def test_a_client_that_kills_its_actor_each_time_is_named():
    with federated(2, 66, "drop", engine_class=Ray) as run:
        results = run.round()
        assert clients(results) == [[0], [], [2], [3]]
        assert results[1].failures[0].startswith("client 1, round 1: its worker process died (Actor")
        with pytest.raises(ClientFailed, match="client 1, round 3: its worker process died"):
            run.engine.failures.on_failure = "raise"
            run.round(number=3)


def test_a_trainer_that_names_a_gpu_is_refused(monkeypatch):
    monkeypatch.setattr(RaySession, "count", lambda self, resource: 4)
    with Ray(1) as engine, pytest.raises(InputError, match=r"^trainer.devices=\[2\]: Ray itself gives each worker"):
        engine.start(LightningTrainer(accelerator="gpu", devices=[2]), Fragile(), None, None)


@pytest.mark.slow
def test_an_exception_carries_client_round_and_the_actors_traceback():
    with federated(2, 77, engine_class=Ray) as run:
        with pytest.raises(ClientFailed, match="client 1, round 3: ZeroDivisionError: this module refuses") as caught:
            run.round(number=3)
        assert "in training_step" in str(caught.value.__cause__)


@pytest.mark.slow
def test_an_input_error_ends_the_run_with_its_own_sentence():
    refused = pytest.raises(InputError, match="^write something else$")
    with federated(2, 44, "drop", engine_class=Ray) as run, refused:
        run.round()


def test_log_messages_reach_the_main_process_and_ray_stops_with_the_engine(caplog):
    with federated(2, 55, engine_class=Ray) as run:
        run.round()
        ray, folder = run.engine.session.ray, run.engine.session._folder
        assert os.path.isdir(folder)
    assert [r.getMessage() for r in caplog.records if r.name == "fragile"] == ["a sample of 55"]
    assert not ray.is_initialized() and not os.path.exists(folder)
    assert logging.getLogger("ray").level == logging.ERROR
