"""Runs with malicious clients: the same bits on all engines and after a kill, and none of an attack without one."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from lightning.pytorch import LightningDataModule
from torch import Tensor
from torch.utils.data import DataLoader, TensorDataset

from fedlit.messages.reductions import All, Mean, Reduced
from fedlit.samplers import Probe, Sampler
from tests.slow import some_slow
from tests.small_runs import command, not_finite, numbers, rows, same_bits, saved, tensors

TINY = ["data=digits", "clients=6", "threads=1", "device=cpu", "progress=none", "logger=none", "checkpoint.every=0"]
WORDS = [*TINY, "checkpoint.keep=9", "batch_size=64"]
ATTACKS = {
    "label_flip": ["attack.rounds=[2,3]"],
    "backdoor": ["attack.parts=2", "attack.gamma=3"],
    "sign_flip": ["attack.scale=0.5"],
    "gaussian": [],
    "scaling": ["attack.rounds={from:2,every:1}"],
    "alie": ["attack.knowledge=colluders"],
    "ipm": [],
    "minmax": ["attack.direction=unit"],
    "minsum": [],
    "mimic": ["attack.warmup=2"],
    "free_rider": ["attack.noise=0.001"],
    "statistics": ["model=cnn_bn", "attack.value=0.5"],
}
CASES = [(name, trainer) for name in ATTACKS for trainer in ("lightning", "vectorized")]
QUICK = [("label_flip", "vectorized")]  # mimic, whose state is resumed, is in tests/messages/test_every_way.py


def run(folder: str, *words: str, rounds: int = 3) -> Path:
    assert command(*WORDS, f"rounds={rounds}", f"hydra.run.dir={folder}", *words) == 0
    return Path(folder)


def attacked(name: str) -> list[str]:
    return [f"attack={name}", "attack.clients=[1,4]", *ATTACKS[name]]


@pytest.mark.parametrize(("name", "trainer"), some_slow(CASES, QUICK))
def test_engines_and_a_resumed_run_give_the_same_bits(name: str, trainer: str, in_folder: Path) -> None:
    words = [*attacked(name), f"trainer={trainer}"]
    whole = run("whole", *words)
    run("resumed", *words, rounds=1)
    assert command("resume=resumed", "rounds=3") == 0
    assert numbers(Path("resumed")) == numbers(whole)
    assert same_bits(saved(Path("resumed"), 3), saved(whole, 3))
    processes = run("processes", *words, "engine=processes", "engine.workers=2")
    assert numbers(processes) == numbers(whole) and same_bits(saved(processes, 3), saved(whole, 3))
    for number, row in enumerate(rows(whole), 1):
        is_active = "attack.rounds" not in " ".join(words) or number > 1
        assert row["attack/drawn"] == row["attack/arrived"] == (2 if is_active else 0)
        assert not not_finite(row)


@pytest.mark.parametrize("name", some_slow(ATTACKS, ["gaussian"]))
def test_both_trainers_make_the_same_attack(name: str, in_folder: Path) -> None:
    words = [*attacked(name), "trainer.precision=64-true"]
    folders = [run(trainer, *words, f"trainer={trainer}") for trainer in ("lightning", "vectorized")]
    one, many = (tensors(saved(folder, 3)["server"]) for folder in folders)
    for key, value in one.items():
        torch.testing.assert_close(many[key], value, rtol=1e-9, atol=1e-9)


class FirstFive(Sampler):
    def __call__(self, round_number: int, rng: np.random.Generator, clients: int, probe: Probe) -> Sequence[int]:
        return range(5)

    def expected(self, clients: int) -> float:
        return 5.0


@pytest.mark.parametrize("name", some_slow(["label_flip", "sign_flip", "mimic"], ["mimic"]))
def test_without_an_attack_no_bit_changes(name: str, in_folder: Path) -> None:
    sampler = f"sampler._target_={__name__}.FirstFive"  # never asks client 5
    plain = saved(run("plain", sampler, rounds=2), 2)
    for number, option in enumerate(["attack.clients=0", "attack.rounds=[9]", "attack.clients=[5]"]):
        assert same_bits(saved(run(f"attack_{number}", sampler, f"attack={name}", option, rounds=2), 2), plain)
    assert not same_bits(saved(run("attacked", sampler, f"attack={name}", "attack.clients=[4]", rounds=2), 2), plain)


def _npz(file: Path, flipped: bool) -> Path:
    rng = np.random.default_rng(0)
    y, y_test = rng.integers(0, 4, 160), rng.integers(0, 4, 80)
    centres = rng.normal(size=(4, 6))
    x, x_test = (centres[t] + 0.5 * rng.normal(size=(len(t), 6)) for t in (y, y_test))
    arrays = {"x_train": x.astype(np.float32), "y_train": 3 - y if flipped else y}
    np.savez(file, **arrays, x_test=x_test.astype(np.float32), y_test=y_test)
    return file


AGGREGATORS = ("fedavg", "qfedavg", "scaffold", "ditto")
BOTH = [(name, trainer) for name in AGGREGATORS for trainer in ("lightning", "vectorized")]


@pytest.mark.parametrize(
    ("aggregator", "trainer"), some_slow(BOTH, [("qfedavg", "vectorized"), ("scaffold", "lightning")])
)
def test_flipped_labels_are_those_of_other_training_data(aggregator: str, trainer: str, in_folder: Path) -> None:
    """All clients are malicious: fits, losses (q-FedAvg) and sums over the shard (SCAFFOLD) see the same labels as on a
    file with flipped ones; test and validation samples are those of the first file."""
    words = [f"trainer={trainer}", f"aggregator={aggregator}", "data=npz", "evaluation.client_validation=0.2"]
    words += ["aggregator.option=I"] if aggregator == "scaffold" else []
    clean, flipped = (str(_npz(Path(f"{name}.npz").resolve(), name == "flipped")) for name in ("clean", "flipped"))
    attack = run("attack", *words, f"data.path={clean}", "attack=label_flip", "attack.clients=1.0")
    other = run("other", *words, f"data.path={flipped}")
    assert same_bits(saved(attack, 3), saved(other, 3))
    poisoned, of_file = rows(attack)[-1], rows(other)[-1]
    assert poisoned["global/test/accuracy"] == of_file["global/test/accuracy"] < 0.4 < poisoned["attack/success"]
    assert poisoned["train/loss"] == of_file["train/loss"]
    right, wrong = poisoned["global/validation/accuracy"], of_file["global/validation/accuracy"]
    assert right < 0.4 < wrong


class Images(LightningDataModule):
    """Images behind a DataLoader, with a bright pixel by class."""

    def train_dataloader(self) -> Any:
        return DataLoader(_images(240, 0), batch_size=8, shuffle=True)

    def test_dataloader(self) -> Any:
        return DataLoader(_images(120, 1), batch_size=8)


def _images(n: int, seed: int) -> TensorDataset:
    rng = torch.Generator().manual_seed(seed)
    y = torch.arange(n) % 4
    x = torch.randn(n, 1, 6, 6, generator=rng)
    x[:, 0, 0, :4] += 3 * torch.nn.functional.one_hot(y, 4)
    return TensorDataset(x, y)


@pytest.mark.parametrize("trainer", some_slow(["lightning", "vectorized"], ["vectorized"]))
def test_a_backdoor_gets_into_the_batches_of_a_users_data_module(trainer: str, in_folder: Path) -> None:
    words = [f"data._target_={__name__}.Images", f"trainer={trainer}", "optimizer.lr=0.1", "model=mlp"]
    patch = ["attack=backdoor", "attack.clients=0.34", "attack.size=2", "attack.value=5"]
    attack = run("attack", *words, *patch, rounds=8)
    backdoor, honest = rows(attack)[-1], rows(run("honest", *words, rounds=8))[-1]
    assert backdoor["attack/success"] > 0.9 and backdoor["global/test/accuracy"] > honest["global/test/accuracy"] - 0.1
    assert "attack/success" not in honest


class Handed(All):
    """Hands over every message under another name than All."""


class FirstTwoExcluded(Mean):
    """Leaves out two clients."""

    def finish(self) -> Reduced:
        return Reduced(super().finish().message, excluded=[1, 2])


def test_precision_and_recall_of_the_exclusion_are_in_the_row(in_folder: Path) -> None:
    words = ["attack=sign_flip", "attack.clients=[1,4,5]", f"reduction._target_={__name__}.FirstTwoExcluded"]
    row = rows(run("run", *words, rounds=1))[0]
    assert (row["attack/precision"], row["attack/recall"]) == (1 / 2, 1 / 3)
    assert "attack/precision" not in rows(run("mean", *words[:2], rounds=1))[0]


def test_lines_of_malicious_clients_are_marked(in_folder: Path) -> None:
    folder = run("run", "attack=sign_flip", "attack.clients=[1,4]", "evaluation.per_client=true", rounds=1)
    lines = [json.loads(line) for line in (folder / "clients.jsonl").read_text().splitlines()]
    assert {line["client"] for line in lines if line.get("malicious")} == {1, 4} and len(lines) == 6


def test_the_knowledge_of_free_riders_is_no_traffic(in_folder: Path) -> None:
    rows_of = {
        name: rows(run(name, *words, rounds=2)) for name, words in (("riders", attacked("free_rider")), ("none", []))
    }
    for name in ("comm/bytes_down", "comm/bytes_up"):
        assert [row[name] for row in rows_of["riders"]] == [row[name] for row in rows_of["none"]]


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["attack=backdoor", "data=synthetic", "model=logistic"], "attack=backdoor puts a patch on images"),
        (["attack=statistics"], "attack=statistics changes running statistics"),
        (["attack=label_flip", "aggregator=centralized"], "no client can be malicious"),
        (["attack=alie", "attack.clients=0.01"], "this share of 6 clients is none"),
        (
            ["attack=sign_flip", "uplink={attack: {_target_: fedlit.messages.stages.Half}}"],
            "uplink.attack: the stage",
        ),
        (["attack=minmax", "uplink=[powersgd]"], "needs the clients' own messages"),
        (
            ["attack=free_rider", "aggregator=cfl", f"reduction._target_={__name__}.Handed"],
            "there is no last change that all clients share",
        ),
    ],
)
def test_attacks_that_a_run_cannot_make_are_refused(
    words: list[str], sentence: str, in_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command(*WORDS, "rounds=1", "hydra.run.dir=run", *words) == 2
    assert sentence in capsys.readouterr().err


class Blurred:
    """A transform of test batches: inputs times a factor."""

    def __init__(self, factor: float = 0.0):
        self.factor = factor

    def __call__(self, batch: Any, index: Tensor, client: Tensor, split: str, key: Tensor) -> Any:
        assert split == "test" and bool((client == -1).all())
        x, y = batch
        return [x * self.factor, y]


def test_extra_test_sets_are_measured_beside_the_clean_one(in_folder: Path) -> None:
    extra = {name: f"evaluation.extra.{name}._target_={__name__}.Blurred" for name in ("dark", "same")}
    words = [*extra.values(), "evaluation.extra.same.factor=1.0"]
    row, plain = rows(run("run", *words, rounds=2))[-1], rows(run("plain", rounds=2))[-1]
    assert row["global/test_same/accuracy"] == row["global/test/accuracy"] == plain["global/test/accuracy"]
    assert row["global/test_same/loss"] == row["global/test/loss"]
    assert row["global/test_dark/accuracy"] < 0.2
    others = {key: value for key, value in row.items() if "test_" not in key and "time/" not in key}
    assert others == numbers(Path("plain"))[-1]
