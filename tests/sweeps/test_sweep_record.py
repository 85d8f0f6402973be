"""Which sweep a run belongs to."""

from __future__ import annotations

from pathlib import Path

import pytest

from fedlit.sweeps.sweep_record import SweepRecord, readable_record, sweep_of
from fedlit.tracking.service import sweep_name
from tests.tracking.runs import write_sweep


def test_a_run_below_the_folder_of_a_sweep_that_is_not_its_job_is_a_single_run(tmp_path: Path) -> None:
    write_sweep(tmp_path, {"seed": ["7"]}, ["seed=7"])
    assert sweep_of(tmp_path / "seed=7") == (tmp_path, readable_record(tmp_path))
    assert sweep_of(tmp_path / "other") is None and sweep_of(tmp_path) is None
    assert sweep_name(tmp_path / "other") is None


@pytest.mark.parametrize("job", ["seed=7", "x/7", "x/y/7"])
def test_a_run_has_the_name_of_its_sweep_at_any_depth_of_folders(tmp_path: Path, job: str) -> None:
    sweep = tmp_path / "2026-01-31" / "12-00-00"
    sweep.mkdir(parents=True)
    write_sweep(sweep, {"seed": ["7"]}, [job])
    assert sweep_name(sweep / job) == "2026-01-31 12-00-00"


def test_every_run_below_a_study_is_one_of_its_runs(tmp_path: Path) -> None:
    sweep = tmp_path / "day" / "study"
    sweep.mkdir(parents=True)
    SweepRecord(["tune=lr"], "config", None, str(tmp_path), {}, None).write(sweep)
    assert sweep_name(sweep / "a" / "0") == "day study"


def test_a_damaged_record_of_a_sweep_ends_no_run(tmp_path: Path) -> None:
    (tmp_path / "sweep.json").write_text("{")
    assert readable_record(tmp_path) is None and sweep_of(tmp_path / "seed=7") is None
