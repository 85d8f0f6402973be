"""Whole runs of engine=ray: the bits of engine=serial, also when an actor or a machine is gone in mid-round."""

from __future__ import annotations

import builtins
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from tests.small_runs import command
from tests.test_processes import ROUNDS, own, run, same

needs_ray = pytest.mark.skipif(find_spec("ray") is None, reason="Ray is not installed: pip install 'fedlit[ray]'")


def test_without_ray_there_is_one_sentence(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: Any) -> None:
    real = builtins.__import__

    def missing(name: str, *rest: Any, **more: Any) -> Any:
        if name.partition(".")[0] == "ray":
            raise ImportError("No module named 'ray'")
        return real(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", missing)
    monkeypatch.chdir(tmp_path)
    assert command("engine=ray", "clients=3", "progress=none", "logger=none", "hydra.run.dir=run") == 2
    assert 'pip install "fedlit[ray]"' in capsys.readouterr().err


@needs_ray
@pytest.mark.parametrize("aggregator", ["fedavg", "fedper"])
def test_the_bits_are_those_of_one_process(tmp_path: Path, aggregator: str) -> None:
    run(tmp_path / "serial", "serial", aggregator, threads=1)
    run(tmp_path / "ray", "ray", aggregator, engine__workers=2, threads=1)
    assert same(tmp_path / "ray", tmp_path / "serial")


@needs_ray
def test_an_actor_that_is_killed_in_mid_client_costs_no_bit(tmp_path: Path) -> None:
    run(tmp_path / "alone", "serial", threads=1, **own())
    (tmp_path / "once").touch()
    run(tmp_path / "run", "ray", engine__workers=2, threads=1, **own(once=str(tmp_path / "once")))
    assert not (tmp_path / "once").exists()
    assert same(tmp_path / "run", tmp_path / "alone")


@needs_ray
def test_clients_that_fail_are_left_out_alike(tmp_path: Path) -> None:
    for engine in ("serial", "ray"):
        rows = run(tmp_path / engine, engine, engine__on_failure="drop", threads=1, **own(fails=True))
        assert 0 < rows[1]["cohort/failed"] < rows[1]["cohort/asked"]
    assert same(tmp_path / "ray", tmp_path / "serial")


@needs_ray
def test_a_cluster_that_does_not_answer_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    monkeypatch.chdir(tmp_path)
    words = ["clients=3", "progress=none", "logger=none", "hydra.run.dir=run"]
    assert command("engine=ray", "engine.address=127.0.0.1:1", *words) == 2
    assert "engine.address=127.0.0.1:1: no Ray cluster answers there" in capsys.readouterr().err


def _ray(*words: str) -> subprocess.Popen[bytes]:
    """A node in the foreground, in a session of its own."""
    environment = {**os.environ, "RAY_USAGE_STATS_ENABLED": "0", "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "1"}
    ray = str(Path(sys.executable).with_name("ray"))
    return subprocess.Popen(
        [ray, "start", "--block", "--node-ip-address=127.0.0.1", "--num-cpus=1", *words],
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


@pytest.fixture
def two_nodes() -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """The address of a cluster of two nodes, and the second of them."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    head = _ray("--head", f"--port={port}", "--include-dashboard=false")
    time.sleep(10)
    second = _ray(f"--address=127.0.0.1:{port}")
    time.sleep(10)
    yield f"127.0.0.1:{port}", second
    for node in (second, head):
        if node.poll() is None:
            os.killpg(node.pid, signal.SIGKILL)
        node.wait()


@needs_ray
@pytest.mark.slow
def test_a_node_that_is_gone_in_mid_round_costs_no_bit(
    tmp_path: Path, two_nodes: tuple[str, subprocess.Popen[bytes]]
) -> None:
    address, second = two_nodes
    run(tmp_path / "serial", "serial", "fedper", threads=1, rounds=ROUNDS)
    metrics = tmp_path / "ray" / "metrics.jsonl"

    def kill() -> None:
        while not metrics.exists() or not metrics.read_bytes().count(b"\n"):
            time.sleep(0.01)
        os.killpg(second.pid, signal.SIGKILL)

    killer = threading.Thread(target=kill)
    killer.start()
    run(tmp_path / "ray", "ray", "fedper", engine__address=address, engine__workers=2, threads=1, rounds=ROUNDS)
    killer.join()
    assert second.wait(timeout=10) == -signal.SIGKILL
    assert same(tmp_path / "ray", tmp_path / "serial")
