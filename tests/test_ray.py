"""Whole runs of engine=ray: the bits of engine=serial, also if an actor or a machine is lost during a round."""

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
from tests.test_processes import CHECKOUT, ROUNDS, fragile, run, same, start, wait_for_rounds

needs_ray = pytest.mark.skipif(find_spec("ray") is None, reason="Ray is not installed: pip install 'fedlit[ray]'")


def test_without_ray_the_run_names_the_package_to_install(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: Any
) -> None:
    real_import = builtins.__import__

    def import_without_ray(name: str, *rest: Any, **more: Any) -> Any:
        if name.partition(".")[0] == "ray":
            raise ImportError("No module named 'ray'")
        return real_import(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", import_without_ray)
    monkeypatch.chdir(tmp_path)
    assert command("engine=ray", "clients=3", "progress=none", "logger=none", "hydra.run.dir=run") == 2
    assert 'pip install "fedlit[ray]"' in capsys.readouterr().err


@needs_ray
@pytest.mark.parametrize("aggregator", ["fedavg", "fedper"])
def test_a_run_has_the_bits_of_the_serial_engine(tmp_path: Path, aggregator: str) -> None:
    run(tmp_path / "serial", "serial", aggregator, threads=1)
    run(tmp_path / "ray", "ray", aggregator, engine__workers=2, threads=1)
    assert same(tmp_path / "ray", tmp_path / "serial")


@needs_ray
def test_a_run_whose_actor_is_killed_between_two_steps_has_the_same_bits(tmp_path: Path) -> None:
    run(tmp_path / "serial", "serial", threads=1, **fragile())
    (tmp_path / "kill").touch()
    run(tmp_path / "run", "ray", engine__workers=2, threads=1, **fragile(kill_file=str(tmp_path / "kill")))
    assert not (tmp_path / "kill").exists()
    assert same(tmp_path / "run", tmp_path / "serial")


@needs_ray
def test_both_engines_leave_out_the_same_failed_clients(tmp_path: Path) -> None:
    for engine in ("serial", "ray"):
        rows = run(tmp_path / engine, engine, engine__on_failure="drop", threads=1, **fragile(raises=True))
        assert 0 < rows[1]["cohort/lost"] < rows[1]["cohort/asked"]
    assert same(tmp_path / "ray", tmp_path / "serial")


@needs_ray
def test_an_address_without_a_cluster_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    monkeypatch.chdir(tmp_path)
    words = ["clients=3", "progress=none", "logger=none", "hydra.run.dir=run"]
    assert command("engine=ray", "engine.address=127.0.0.1:1", *words) == 2
    assert "engine.address=127.0.0.1:1: no Ray cluster answers there" in capsys.readouterr().err


@needs_ray
@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="reads /proc")
@pytest.mark.slow
@pytest.mark.parametrize("sign", [signal.SIGINT, signal.SIGTERM])
def test_a_run_that_is_stopped_saves_and_leaves_no_process_or_file(tmp_path: Path, sign: signal.Signals) -> None:
    """With a user's module in the current folder. SLURM sends SIGTERM."""
    with tempfile.TemporaryDirectory(dir="/tmp") as ray_files:
        process = start(tmp_path, "engine=ray", "engine.workers=2", TMPDIR=ray_files)
        wait_for_rounds(process, tmp_path / "run", 2)
        assert processes_with(ray_files) != []
        begin = time.monotonic()
        if sign == signal.SIGINT:
            os.killpg(process.pid, sign)  # to all processes, as a terminal does
        else:
            process.send_signal(sign)
        printed, errors = process.communicate(timeout=100)
        assert process.returncode == 130, errors
        assert time.monotonic() - begin < 30
        assert errors == "" and printed.startswith("stopped after round ") and printed.count("\n") == 1
        wait_until(lambda: processes_with(ray_files) == [])
        assert os.listdir(ray_files) == []
    rounds_done = len((tmp_path / "run" / "metrics.jsonl").read_text().splitlines())
    assert saved(tmp_path / "run", rounds_done)["round"] == rounds_done


def processes_with(folder: str) -> list[str]:
    """The command lines that name a folder: each process of Ray has a session of its own."""
    commands = []
    for path in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            commands.append((path / "cmdline").read_text().replace("\0", " "))
    return [command for command in commands if folder in command]


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.2)


# --- a cluster of two nodes on this machine, each started by `ray start`

DYING = """
import os
import signal
import time
from tests.test_processes import F, Mlp

class Net(Mlp):
    # Trained on the second node, kills that node between two steps of the second round. The first node waits for it:
    # else it might train all clients before the second node is ready.

    def __init__(self, input_shape, classes):
        super().__init__(input_shape, classes, hidden=[16])

    def training_step(self, batch, batch_idx):
        if batch_idx == 1 and self.round == 2 and "SECOND_NODE" in os.environ:
            open(os.environ["SECOND_NODE"], "w").close()
            os.killpg(os.getpgid(os.getppid()), signal.SIGKILL)
            os.kill(os.getpid(), signal.SIGKILL)
        deadline = time.monotonic() + 60
        while self.round == 2 and not os.path.exists(os.environ.get("FIRST_NODE", "/")) and time.monotonic() < deadline:
            time.sleep(0.05)
        return F.cross_entropy(self(batch[0]), batch[1])
"""


def environment(**more: str) -> dict[str, str]:
    """Sets a token for all nodes of the cluster, so that none reads the user's."""
    ray = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "a" * 64, "RAY_USAGE_STATS_ENABLED": "0"}
    return {**os.environ, **ray, "PYTHONPATH": str(CHECKOUT), **more}


def start_node(*words: str, **more: str) -> subprocess.Popen[bytes]:
    """A node in the foreground, in a session of its own."""
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
    """The address of a cluster of two nodes, and its second node."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    address = f"127.0.0.1:{port}"
    killed, loopback = str(tmp_path / "killed"), "--node-ip-address=127.0.0.1"
    nodes = [start_node("--head", f"--port={port}", loopback, "--include-dashboard=false", FIRST_NODE=killed)]
    try:
        wait_until(lambda: free_cpus(address) == 1)
        nodes.append(start_node(f"--address={address}", loopback, SECOND_NODE=killed))
        wait_until(lambda: free_cpus(address) == 2)
        yield address, nodes[1]
    finally:
        for node in nodes:
            with suppress(ProcessLookupError):
                os.killpg(node.pid, signal.SIGKILL)
            node.wait()


def free_cpus(address: str) -> float:
    """The CPUs of a cluster that no actor occupies."""
    script = f"import ray; ray.init('{address}', log_to_driver=False); print(ray.available_resources().get('CPU', 0))"
    finished = subprocess.run([sys.executable, "-c", script], env=environment(), capture_output=True, text=True)
    return float(finished.stdout.split()[-1]) if finished.returncode == 0 else 0


@needs_ray
@pytest.mark.slow
def test_a_run_that_loses_a_node_during_a_round_has_the_same_bits(
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
        finished = subprocess.run(command, cwd=tmp_path, env=environment(), capture_output=True, text=True, timeout=300)
        assert finished.returncode == 0, finished.stderr
    assert "its worker process died" in (tmp_path / "ray" / "run.log").read_text()
    assert (tmp_path / "killed").exists() and second.wait(timeout=10) == -signal.SIGKILL
    assert same(tmp_path / "ray", tmp_path / "serial")
    wait_until(lambda: free_cpus(address) == 1)  # the first node still runs, without actors of the run
