"""How many workers, on which GPUs, with how many threads."""

from __future__ import annotations

import pytest
import torch

from fedlit import this_machine
from fedlit.engines import Processes, Serial, processes
from fedlit.engines.machine import gpus, on_gpu
from fedlit.this_machine import cores, share_cores
from fedlit.training.lightning import LightningTrainer


@pytest.mark.parametrize(
    ("accelerator", "devices", "expected"),
    [("auto", 1, [0, 1, 2, 3]), ("gpu", [2], [2]), ("cpu", 1, [])],
)
def test_gpus_follow_from_accelerator_and_devices(monkeypatch, accelerator, devices, expected):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    trainer = LightningTrainer(accelerator=accelerator, devices=devices)
    assert gpus(trainer) == expected
    assert on_gpu(trainer, None) is trainer
    assert on_gpu(trainer, 3).devices == [3] and trainer.devices == devices


@pytest.mark.parametrize(
    ("workers", "accelerator", "threads"),
    [(None, "cpu", 1), (2, "cpu", 4), (3, "cpu", 2), (99, "cpu", 1), (None, "auto", 2)],
)
def test_processes_divide_the_cores_among_the_workers(monkeypatch, workers, accelerator, threads):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    monkeypatch.setattr(processes, "cores", lambda: 8)
    assert Processes(workers).default_threads(LightningTrainer(accelerator=accelerator)) == threads


def test_serial_uses_all_cores():
    assert Serial().default_threads(LightningTrainer()) == cores()


def test_runs_beside_each_other_share_the_cores(monkeypatch):
    monkeypatch.setattr(this_machine, "_sharing", 1)
    alone = cores()
    share_cores(2)
    assert cores() == max(1, alone // 2)
    share_cores(10 * alone)
    assert cores() == 1
