"""A sweep by Hydra's launchers for submitit (pip install "fedlit[submitit]"): a job of submitit for each run.

SLURM is played by scripts: `sbatch` starts the submission script once for each element of the array, `srun` runs its
command, and `scontrol requeue` starts the script once more.
"""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from tests.launched_sweeps import MINE, WORDS, end, is_installed, rounds_in, start, wait_until
from tests.small_runs import rows

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not is_installed("hydra_submitit_launcher"), reason="hydra-submitit-launcher is not installed"),
]
SBATCH = """#!/bin/bash
cp "$1" "$PLAYED/script"
last=$(sed -n 's/^#SBATCH --array=0-\\([0-9]*\\)%.*/\\1/p' "$1")
for task in $(seq 0 "$last"); do "$PLAYED/bin/start" "$task" & done
echo "Submitted batch job 100"
"""
START = """#!/bin/bash
export SLURM_JOB_ID=$((100 + $1)) SLURM_ARRAY_JOB_ID=100 SLURM_ARRAY_TASK_ID=$1 SLURM_JOB_NAME=run SLURM_NTASKS=1
export SLURM_JOB_NUM_NODES=1 SLURM_NNODES=1 SLURM_NODEID=0 SLURM_PROCID=0 SLURM_LOCALID=0 SLURM_NODELIST=here
exec bash "$PLAYED/script" > "$PLAYED/output_$1" 2>&1 < /dev/null
"""
SRUN = """#!/bin/bash
while [ "${1#--}" != "$1" ]; do case "$1" in --output|--error) shift;; esac; shift; done
echo $$ >> "$PLAYED/pids_$SLURM_ARRAY_TASK_ID"
exec "$@"
"""
SCONTROL = """#!/bin/bash
task=${2##*_}
(sleep 1; exec "$PLAYED/bin/start" "$task") > /dev/null 2>&1 &
"""
SACCT = """#!/bin/bash
echo 'JobID|State|NodeList'
"""


@pytest.fixture
def slurm(tmp_path: Path) -> dict[str, str]:
    """The environment of a machine with these commands."""
    played = tmp_path / "played"
    (played / "bin").mkdir(parents=True)
    scripts = {"sbatch": SBATCH, "start": START, "srun": SRUN, "scontrol": SCONTROL, "sacct": SACCT}
    for name, text in scripts.items():
        (played / "bin" / name).write_text(text)
        (played / "bin" / name).chmod(0o755)
    return {**os.environ, "PLAYED": str(played), "PATH": f"{played / 'bin'}{os.pathsep}{os.environ['PATH']}"}


def test_a_sweep_on_slurm_and_a_job_near_the_end_of_its_time(tmp_path: Path, slurm: dict[str, str]) -> None:
    words = ["-m", "hydra/launcher=submitit_slurm", "hydra.launcher.cpus_per_task=8", "hydra.launcher.timeout_min=240"]
    words += ["threads=1", *WORDS, MINE, "hydra.sweep.dir=sweep", "clients=3", "seed=1,2", "rounds=300"]
    process = start(tmp_path, *words, "model.seconds=0.001", "checkpoint.every=1000", environment=slurm)
    wait_until(lambda: rounds_in(tmp_path / "sweep", "seed=1") > 1, process)
    pids = tmp_path / "played" / "pids_0"
    os.kill(int(pids.read_text()), signal.SIGUSR2)
    done = end(process)
    assert done.returncode == 0, (done.stderr, (tmp_path / "played" / "output_0").read_text())
    assert [line.split()[1] for line in done.stdout.splitlines() if line.startswith("run ")] == ["1/2", "2/2"]
    assert len(pids.read_text().split()) == 2  # the job was submitted once more
    assert [row["round"] for row in rows(tmp_path / "sweep" / "seed=1")] == list(range(1, 301))
    assert "stopped after round" in (tmp_path / "sweep" / "seed=1" / "run.log").read_text()
    script = (tmp_path / "played" / "script").read_text().splitlines()
    expected = ["array=0-1%2", "cpus-per-task=8", "time=240", "signal=USR2@120", "ntasks-per-node=1", "nodes=1"]
    assert {f"#SBATCH --{flag}" for flag in expected} <= set(script)


def test_a_job_that_is_lost_has_failed_and_the_others_finish(tmp_path: Path) -> None:
    words = ["-m", "hydra/launcher=submitit_local", "threads=1", *WORDS, MINE, "hydra.sweep.dir=sweep", "clients=3"]
    done = end(start(tmp_path, *words, "model.dies=true,false"))
    assert done.returncode == 1 and "Traceback" not in done.stderr, done.stderr
    failed = (tmp_path / "sweep" / "dies=true" / "failure.txt").read_text()
    assert failed.startswith("its job ended without a result; what it wrote last is in ")
    assert len(rows(tmp_path / "sweep" / "dies=false")) == 1


def test_without_slurm_the_sweep_ends_in_a_sentence(tmp_path: Path) -> None:
    words = ["-m", "hydra/launcher=submitit_slurm", *WORDS, "clients=3", "seed=1,2"]
    done = end(start(tmp_path, *words))
    assert done.returncode == 2 and done.stderr.startswith("submitit cannot start the jobs: ")
    assert done.stderr.count("\n") == 1


def test_a_run_of_several_tasks_is_refused(tmp_path: Path) -> None:
    words = ["-m", "hydra/launcher=submitit_local", "hydra.launcher.tasks_per_node=2", *WORDS, "clients=3", "seed=1,2"]
    done = end(start(tmp_path, *words))
    assert done.returncode == 2 and done.stderr.startswith("hydra.launcher.tasks_per_node=2: each task would do")
