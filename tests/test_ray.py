"""Whole runs of engine=ray: the bits of engine=serial, also when an actor or a machine is gone in mid-round."""

from __future__ import annotations

import builtins
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from tests.small_runs import command, saved
from tests.test_processes import CHECKOUT, ROUNDS, own, run, same, start, wait_for_rounds

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
        assert 0 < rows[1]["cohort/lost"] < rows[1]["cohort/asked"]
    assert same(tmp_path / "ray", tmp_path / "serial")


@needs_ray
def test_a_cluster_that_does_not_answer_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    monkeypatch.chdir(tmp_path)
    words = ["clients=3", "progress=none", "logger=none", "hydra.run.dir=run"]
    assert command("engine=ray", "engine.address=127.0.0.1:1", *words) == 2
    assert "engine.address=127.0.0.1:1: no Ray cluster answers there" in capsys.readouterr().err


@needs_ray
@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="reads /proc")
@pytest.mark.slow
@pytest.mark.parametrize("sign", [signal.SIGINT, signal.SIGTERM])
def test_a_run_that_is_stopped_saves_and_leaves_nothing(tmp_path: Path, sign: signal.Signals) -> None:
    """With a module of the user's in the current folder; SIGTERM is what SLURM sends."""
    with tempfile.TemporaryDirectory(dir="/tmp") as ray_files:
        process = start(tmp_path, "engine=ray", "engine.workers=2", TMPDIR=ray_files)
        wait_for_rounds(process, tmp_path / "run", 2)
        assert of_this_run(ray_files) != []
        begin = time.monotonic()
        if sign == signal.SIGINT:
            os.killpg(process.pid, sign)  # to all of them, as a terminal does
        else:
            process.send_signal(sign)
        printed, errors = process.communicate(timeout=100)
        assert process.returncode == 130, errors
        assert time.monotonic() - begin < 30
        assert errors == "" and printed.startswith("stopped after round ") and printed.count("\n") == 1
        _wait(lambda: of_this_run(ray_files) == [])
        assert os.listdir(ray_files) == []
    done = len((tmp_path / "run" / "metrics.jsonl").read_text().splitlines())
    assert saved(tmp_path / "run", done)["round"] == done


def of_this_run(folder: str) -> list[str]:
    """The command lines that name a folder: Ray's processes have sessions of their own."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            found.append((path / "cmdline").read_text().replace("\0", " "))
    return [line for line in found if folder in line]


def _wait(there: Callable[[], bool]) -> None:
    until = time.monotonic() + 60
    while not there():
        assert time.monotonic() < until
        time.sleep(0.2)


# --- a cluster of two nodes on this machine, each of them as `ray start` makes it

DYING = """
import os
import signal
import time
from tests.test_processes import F, Mlp

class Net(Mlp):
    # Kills the node that it is trained on, if that is the second, in the middle of a client of the second round. The
    # first node waits for that, or it might have done everything before the second is ready.

    def __init__(self, input_shape, classes):
        super().__init__(input_shape, classes, hidden=[16])

    def training_step(self, batch, batch_idx):
        if batch_idx == 1 and self.round == 2 and "SECOND_NODE" in os.environ:
            open(os.environ["SECOND_NODE"], "w").close()
            os.killpg(os.getpgid(os.getppid()), signal.SIGKILL)
            os.kill(os.getpid(), signal.SIGKILL)
        until = time.monotonic() + 60
        while self.round == 2 and not os.path.exists(os.environ.get("FIRST_NODE", "/")) and time.monotonic() < until:
            time.sleep(0.05)
        return F.cross_entropy(self(batch[0]), batch[1])
"""


def environment(**more: str) -> dict[str, str]:
    """With a token of the test's own: all of a cluster have to have the same, and none reads the user's."""
    own = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "a" * 64, "RAY_USAGE_STATS_ENABLED": "0"}
    return {**os.environ, **own, "PYTHONPATH": str(CHECKOUT), **more}


def _node(*words: str, **more: str) -> subprocess.Popen[bytes]:
    """In the foreground, in a session of its own."""
    ray = str(Path(sys.executable).with_name("ray"))
    return subprocess.Popen(
        [ray, "start", "--block", "--num-cpus=1", *words],
        env=environment(**more),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


@pytest.fixture
def two_nodes(tmp_path: Path) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """The address of a cluster of two nodes, and the second of them."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    killed, here = str(tmp_path / "killed"), "--node-ip-address=127.0.0.1"
    nodes = [_node("--head", f"--port={address[10:]}", here, "--include-dashboard=false", FIRST_NODE=killed)]
    try:
        _wait(lambda: free_cpus(address) == 1)
        nodes.append(_node(f"--address={address}", here, SECOND_NODE=killed))
        _wait(lambda: free_cpus(address) == 2)
        yield address, nodes[1]
    finally:
        for node in nodes:
            with suppress(ProcessLookupError):
                os.killpg(node.pid, signal.SIGKILL)
            node.wait()


def free_cpus(address: str) -> float:
    """Of a cluster: as many as it has, if no actor is left there."""
    asked = f"import ray; ray.init('{address}', log_to_driver=False); print(ray.available_resources().get('CPU', 0))"
    given = subprocess.run([sys.executable, "-c", asked], env=environment(), capture_output=True, text=True)
    return float(given.stdout.split()[-1]) if given.returncode == 0 else 0


@needs_ray
@pytest.mark.slow
def test_a_node_that_is_gone_in_mid_round_costs_no_bit(
    tmp_path: Path, two_nodes: tuple[str, subprocess.Popen[bytes]]
) -> None:
    address, second = two_nodes
    (tmp_path / "mine.py").write_text(DYING)
    words = [
        "model._target_=mine.Net",
        "clients=5",
        "participation=0.8",
        "batch_size=16",
        f"rounds={ROUNDS}",
        "threads=1",
    ]
    words += ["aggregator=fedper", "aggregator.head=net.3", "progress=none", "logger=none", "checkpoint.every=0"]
    for folder, engine in (("serial", ["engine=serial"]), ("ray", ["engine=ray", f"engine.address={address}"])):
        command = [sys.executable, "-m", "fedlit.run", *words, *engine, f"hydra.run.dir={folder}"]
        ended = subprocess.run(command, cwd=tmp_path, env=environment(), capture_output=True, text=True, timeout=300)
        assert ended.returncode == 0, ended.stderr
    assert "its worker process was gone" in (tmp_path / "ray" / "run.log").read_text()
    assert (tmp_path / "killed").exists() and second.wait(timeout=10) == -signal.SIGKILL
    assert same(tmp_path / "ray", tmp_path / "serial")
    _wait(lambda: free_cpus(address) == 1)  # the cluster goes on, without the run's actors
