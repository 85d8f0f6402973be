"""engine=ray: the results of engine=serial, in its order, whatever happens to an actor."""

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
from tests.engines.test_processes import Moody, Pairs, federated, same

pytestmark = pytest.mark.skipif(find_spec("ray") is None, reason="Ray is not installed: pip install 'fedlit[ray]'")


def pids(run) -> list[int]:
    ray = run.engine.session.ray
    on_each = [actor.handle.__ray_call__.remote(lambda worker: os.getpid()) for actor in run.engine.actors.all]
    return ray.get(on_each)


def test_the_same_bits_in_the_same_order_also_when_an_idle_actor_is_gone():
    with federated(None) as run:
        expected = run.round()
    with federated(2, kind=Ray) as run:
        assert same(run.round(), expected)
        first = pids(run)
        assert len(set(first)) == 2
        os.kill(first[0], signal.SIGKILL)
        assert same(run.round(), expected)
        assert same(run.round(), expected), "what a client left behind reached another"


@pytest.mark.parametrize("deaths", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_a_chunk_of_two_whose_actor_is_killed(tmp_path, deaths):
    """Once: it runs again. Twice: its clients run by themselves."""
    for name in range(deaths):
        (tmp_path / str(name)).touch()
    with federated(None, 66, trainer=Pairs) as run:
        expected = run.round()
    with federated(2, 66, once=tmp_path, trainer=Pairs, kind=Ray) as run:
        back = run.round()
    assert list(tmp_path.iterdir()) == []
    assert same(back, expected)
    assert [one.clients for one in back] == ([[0, 1], [2, 3]] if deaths == 1 else [[0], [1], [2, 3]])


@pytest.mark.slow
def test_a_client_that_kills_its_actor_each_time_is_named():
    with federated(2, 66, "drop", kind=Ray) as run:
        back = run.round()
        assert [one.clients for one in back] == [[0], [], [2], [3]]
        assert back[1].failures[0].startswith("client 1, round 1: its worker process was gone (Actor")
        with pytest.raises(ClientFailed, match="client 1, round 3: its worker process was gone"):
            run.engine.failures.on_failure = "raise"
            run.round(number=3)


def test_a_gpu_cannot_be_named(monkeypatch):
    monkeypatch.setattr(RaySession, "has", lambda self, what: 4)
    with Ray(1) as engine, pytest.raises(InputError, match=r"^trainer.devices=\[2\]: Ray itself gives each worker"):
        engine.start(LightningTrainer(accelerator="gpu", devices=[2]), Moody(), None, None)


def test_an_exception_comes_with_client_round_and_the_actors_traceback():
    with federated(2, 77, kind=Ray) as run:
        with pytest.raises(ClientFailed, match="client 1, round 3: ZeroDivisionError: a sample this") as caught:
            run.round(number=3)
        assert "in training_step" in str(caught.value.__cause__)


def test_a_sentence_for_the_user_stays_one():
    with federated(2, 44, "drop", kind=Ray) as run, pytest.raises(InputError, match="^write something else$"):
        run.round()


def test_what_a_client_logs_reaches_the_main_process_and_ray_goes_with_the_engine(caplog):
    with federated(2, 55, kind=Ray) as run:
        run.round()
        ray, folder = run.engine.session.ray, run.engine.session._folder
        assert os.path.isdir(folder)
    assert [r.getMessage() for r in caplog.records if r.name == "moody"] == ["a sample of 55"]
    assert not ray.is_initialized() and not os.path.exists(folder)
    assert logging.getLogger("ray").level == logging.ERROR
