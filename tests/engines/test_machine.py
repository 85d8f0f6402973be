"""How many workers, on which GPUs, with how many threads."""

from __future__ import annotations

import pytest
import torch

from fedlit.engines import Processes, Serial, machine, processes
from fedlit.engines.machine import gpus, on_gpu
from fedlit.training.lightning import LightningTrainer


@pytest.mark.parametrize(
    ("accelerator", "devices", "found"),
    [("auto", 1, [0, 1, 2, 3]), ("gpu", [2], [2]), ("cpu", 1, [])],
)
def test_the_gpus_of_a_trainer(monkeypatch, accelerator, devices, found):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    trainer = LightningTrainer(accelerator=accelerator, devices=devices)
    assert gpus(trainer) == found
    assert on_gpu(trainer, None) is trainer
    assert on_gpu(trainer, 3).devices == [3] and trainer.devices == devices


@pytest.mark.parametrize(
    ("workers", "accelerator", "threads"),
    [(None, "cpu", 1), (2, "cpu", 4), (3, "cpu", 2), (99, "cpu", 1), (None, "auto", 2)],
)
def test_threads_follow_from_configuration_and_machine(monkeypatch, workers, accelerator, threads):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    monkeypatch.setattr(processes, "cores", lambda: 8)
    assert Processes(workers).default_threads(LightningTrainer(accelerator=accelerator)) == threads


def test_serial_has_all_cores():
    assert Serial().default_threads(LightningTrainer()) == machine.cores()
