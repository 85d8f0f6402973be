"""The benchmark's harness on a small workload: the plain loop and fedlit do the same work, round by round."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import date
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks import on_gpu, ours, scaling, table
from benchmarks.bare import Bare
from benchmarks.combinations import Entry, entries
from benchmarks.contender_process import Contender, python
from benchmarks.interleaved import Result, bare, compete, tournament
from benchmarks.run import Report
from benchmarks.stacked_by_hand import StackedByHand
from benchmarks.trainer_by_hand import TrainerByHand
from benchmarks.workloads import CIFAR10, NETWORKS, WORKLOADS, Workload, load, save
from fedlit.round import Round
from fedlit.training.job import Job, sample_order

ROUNDS = 3
SMALL = replace(WORKLOADS["W3a"], name="small", clients=12, samples=9, per_round=5, batch_size=4, epochs=2, lr=0.01)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "workload.npz"
    save(SMALL, path, ours.first_weights(SMALL), ours.cohorts(SMALL, ROUNDS))
    return path


def fedlit_order(number: int, client: int, epoch: int) -> torch.Tensor:
    """The order in which fedlit goes through a client's samples."""
    ends = np.cumsum(SMALL.sizes())
    shard = np.arange(ends[client] - SMALL.sizes()[client], ends[client])
    return torch.from_numpy(sample_order([Job(client, Round(number, ours.SEED, [], 0), 4, 2, shard)], 0, epoch).samples)


def test_bare_and_fedlit_make_the_same_steps_and_losses(file, tmp_path):
    words = [*ours.words(SMALL, file, tmp_path / "run"), "trainer=vectorized", "trainer.chunk=3", "threads=1"]
    fedlit = Contender("fedlit", python("-m", "benchmarks.ours", *words), tmp_path / "log")
    plain = Bare(load(file), fedlit_order)
    try:
        fedlit.ready()
        for number in range(1, ROUNDS + 1):
            told, wanted = fedlit.round(), plain.round(number)
            assert told["steps"] == wanted["steps"] == SMALL.steps(ours.cohorts(SMALL, ROUNDS)[number - 1])
            assert told["loss"] == pytest.approx(wanted["loss"], rel=1e-5)
            assert told["fit"] > 0 and 0 < told["seconds"] < 60
            assert number == 1 or told["fit"] < told["seconds"]  # the first fit includes the wait at the gate
    finally:
        fedlit.stop()
    assert fedlit.process.returncode == 130, fedlit.log.read_text()  # as after Ctrl-C


@pytest.mark.parametrize("optimizer, lr", [("sgd", 0.1), ("adam", 0.01)])
@pytest.mark.parametrize("by_hand", [StackedByHand, TrainerByHand])
def test_what_is_written_by_hand_does_the_same_work(by_hand, optimizer, lr, tmp_path):
    path, w = tmp_path / "workload.npz", replace(SMALL, optimizer=optimizer, lr=lr)
    save(w, path, ours.first_weights(w), ours.cohorts(w, ROUNDS))
    plain, other = Bare(load(path), fedlit_order), by_hand(load(path), fedlit_order)
    for number in range(1, ROUNDS + 1):
        wanted = plain.round(number)
        with torch.set_grad_enabled(by_hand is TrainerByHand):
            found = other.round(number)
        assert found["steps"] == wanted["steps"]
        assert found["loss"] == pytest.approx(wanted["loss"], rel=1e-5)


@pytest.mark.slow
def test_two_processes_of_the_plain_loop_do_the_work_of_one(tmp_path):
    path, w = tmp_path / "workload.npz", replace(SMALL, batch_size=100)  # one batch: no order to differ in
    save(w, path, ours.first_weights(w), ours.cohorts(w, ROUNDS))
    plain, pair = Bare(load(path)), Contender("pair", python("-m", "benchmarks.bare_pair", str(path)), tmp_path / "log")
    try:
        pair.ready()
        for number in range(1, ROUNDS + 1):
            found, wanted = pair.round(), plain.round(number)
            assert (found["steps"], found["loss"]) == (wanted["steps"], pytest.approx(wanted["loss"], rel=1e-5))
    finally:
        pair.stop()


def test_contenders_play_in_turn_and_one_that_ends_is_left_out(file, tmp_path):
    script = (
        "from benchmarks.contender_process import serve; serve(lambda n: dict(seconds=1.0 * n, loss=2.0, steps={}[n]))"
    )
    steps = {n + 1: SMALL.steps(c) for n, c in enumerate(ours.cohorts(SMALL, ROUNDS))}
    good, ends = (python("-c", script.format(s)) for s in (steps, {1: steps[1]}))
    asked = [Entry("plain", "bare", good), Entry("ends", "fedlit", ends), Entry("not there", "peer", python("-c", ""))]
    plain, ended, absent = compete(SMALL, asked, ours.cohorts(SMALL, ROUNDS), 1, ROUNDS - 1, tmp_path)
    assert plain.seconds == [2.0, 3.0] and plain.median == 2.5 and not plain.failed
    assert "KeyError: 2" in ended.failed and not ended.seconds
    assert "it printed nothing" in absent.failed


def test_heats_compare_each_with_the_plain_loop_of_its_own_heat(file, tmp_path, monkeypatch):
    monkeypatch.setattr("benchmarks.interleaved.HEAT", 1)
    steps = {n + 1: SMALL.steps(c) for n, c in enumerate(ours.cohorts(SMALL, ROUNDS))}
    script = "from benchmarks.contender_process import serve; serve(lambda n: dict(seconds={}, loss=2.0, steps={}[n]))"
    asked = [
        Entry(name, kind, python("-c", script.format(s, steps)))
        for name, kind, s in (("plain", "bare", 2.0), ("a", "fedlit", 1.0), ("Flower", "peer", 4.0))
    ]
    plain, a, b = tournament(SMALL, asked, ours.cohorts(SMALL, ROUNDS), 1, ROUNDS - 1, tmp_path)
    assert len(plain.seconds) == 2 * (ROUNDS - 1) and plain.ratio == 1
    assert (a.ratio, b.ratio) == (0.5, 2.0)
    assert table.short({"W3": [plain, a, b]}).endswith("| W3 | 2.00 s |  | 0.500 (a) | 2.000 (Flower) |")


def test_a_long_and_slow_combination_is_not_measured_after_its_warm_up(file, tmp_path):
    steps = {n + 1: SMALL.steps(c) for n, c in enumerate(ours.cohorts(SMALL, ROUNDS))}
    script = "from benchmarks.contender_process import serve; serve(lambda n: dict(seconds={}, loss=2.0, steps={}[n]))"
    asked = [
        Entry(name, kind, python("-c", script.format(s, steps)))
        for name, kind, s in (("plain", "bare", 4.0), ("slow", "fedlit", 7.0), ("lightning serial", "fedlit", 9.0))
    ]
    plain, slow, serial = compete(SMALL, asked, ours.cohorts(SMALL, ROUNDS), 1, ROUNDS - 1, tmp_path)
    assert plain.seconds and serial.seconds and not slow.seconds and not slow.failed
    assert "- slow: not measured" in table.workload(SMALL, [plain, slow, serial], 1)


def test_another_number_of_steps_is_no_result(tmp_path):
    command = python(
        "-c",
        "from benchmarks.contender_process import serve; serve(lambda n: {'seconds': 1.0, 'loss': 2.0, 'steps': 1})",
    )
    with pytest.raises(AssertionError, match="1 steps, not"):
        compete(SMALL, [Entry("lazy", "bare", command)], ours.cohorts(SMALL, 1), 0, 1, tmp_path)


@pytest.mark.parametrize("w", on_gpu.ORDER, ids=lambda w: w.name)
def test_the_contenders_on_a_gpu_are_the_plain_loop_and_fedlit_on_it(w: Workload, tmp_path: Path) -> None:
    plain, *fedlit = on_gpu.entries(w, tmp_path / "w.npz", tmp_path, "cuda")
    assert plain.kind == "bare" and plain.command[-1] == "cuda"
    assert all("device=gpu" in entry.command for entry in fedlit)
    assert all(f"clients={w.clients}" in entry.command for entry in fedlit)
    compiled = [entry for entry in fedlit if "trainer.compile=reduce-overhead" in entry.command]
    assert len(compiled) == (w.name == "W3")
    assert len({entry.command[-1] for entry in fedlit}) == len(fedlit)  # each in a folder of its own


def test_the_report_on_a_gpu_names_device_versions_date_and_what_is_absent(tmp_path, monkeypatch):
    monkeypatch.setattr(on_gpu, "device_name", lambda device: f"A device, {device}")
    report = on_gpu.Report(tmp_path, "the command", "cuda")
    w = WORKLOADS["W3"]
    played = ("bare", "bare", 2.0), ("x", "fedlit", 0.5)
    report.add(w, [Result(name, kind, "float32", True, [seconds], 2.0) for name, kind, seconds in played])
    report.leave_out(WORKLOADS["W1"])
    page, facts = (tmp_path / "on_gpu.md").read_text(), json.loads((tmp_path / "on_gpu.json").read_text())
    assert facts["device"] == "A device, cuda" and facts["date"] == date.today().isoformat()
    for text in ("the command", "A device, cuda", facts["date"], torch.__version__.partition("+")[0]):
        assert text in page
    assert "| x | 500.0 ms | 500.0 ms, 500.0 ms | 0.250 |" in page
    assert facts["not_measured"] == ["W1, cross-silo: not measured, too little time was left."] and "W1" in page
    assert list(facts["workloads"]) == ["W3"]


@pytest.mark.parametrize("w", [*WORKLOADS.values(), CIFAR10], ids=lambda w: w.name)
def test_fedlit_and_the_plain_network_have_the_same_parameters(w: Workload):
    plain = NETWORKS[w.network](w.shape)
    assert [p.shape for p in plain.parameters()] == [p.shape for p in ours.first_weights(w)]
    assert w.sizes().min() >= 2 and len(w.sizes()) == w.clients


def test_combinations_and_the_table(tmp_path):
    w = WORKLOADS["W2"]
    found = entries(w, tmp_path / "w.npz", tmp_path, peers=False)
    names = [e.name for e in found]
    assert names[:3] == ["bare, 2 threads", "bare, 1 thread", "bare, 2 threads, channels_last"]
    assert {"lightning serial, 2 threads", "vectorized serial, 2 threads, channels_last, bf16"} <= set(names)
    results = [Result(e.name, e.kind, "float32", n != 2, [1.0 + n], 1.0) for n, e in enumerate(found)]
    serial = 1 + names.index("lightning serial, 2 threads")
    assert bare(results).name == "bare, 2 threads"
    assert f"| W2 | {serial}.000 (lightning serial, 2 threads) | 1.25 | missed |" in table.ratios({"W2": results})
    assert "**bare, 2 threads**" in table.workload(w, results, 1)
    page = tmp_path / "page.md"
    page.write_text(f"by hand\n\n{table.MARK}\nold")
    table.write(page, ["new"])
    assert page.read_text() == f"by hand\n\n{table.MARK}\n\nnew\n"


def test_a_part_that_is_not_measured_again_stays_as_it_was(tmp_path):
    w = WORKLOADS["W3"]
    for told, seconds in (("Measured first.", 1.0), ("Measured again.", 2.0)):
        report = Report(tmp_path, told)
        if told == "Measured first.":
            report.add_scaling([["1,000", *["1"] * (len(scaling.TITLES) - 1)]])
        report.add_workload(w, [Result("bare, 1 thread", "bare", "float32", True, [seconds], seconds)], 1)
        report.write()
    page = (tmp_path / "benchmarks.md").read_text()
    assert page.count("Measured first.") == page.count("Measured again.") == 1
    expected = ["### W3", "Measured again.", "### The number of clients", "Measured first."]
    assert sorted(expected, key=page.index) == expected
    assert "**bare, 1 thread** | 2.00 s" in page and report.results["W3"][0].median == 2
