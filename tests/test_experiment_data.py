"""Runs on a user's data: the same under any seed, engine and folder, and compared when a run goes on."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf

from fedlit.data.fingerprint import difference
from fedlit.errors import InputError
from fedlit.experiment_data import load_data
from fedlit.global_generators import generator_states
from tests.slow import some_slow
from tests.small_runs import command, numbers, rows

SOURCE = """
import random
import lightning
import numpy as np
import torch
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

X = torch.arange(60).float()[:, None]
Y = torch.arange(60) % 3


class Split:
    def __init__(self):
        order = self.order()
        self.train, self.test = (TensorDataset(X[i], Y[i]) for i in (order[:40], order[40:]))


class Numpy(Split):
    def order(self):
        return np.random.permutation(60)


class Torch(Split):
    def order(self):
        return torch.randperm(60)


class Python(Split):
    def order(self):
        return random.sample(range(60), 60)


class Unseedable(Split):
    def order(self):
        return np.random.default_rng().permutation(60)


class Own(Numpy):
    def __init__(self, seed=7):
        self.seed = seed
        super().__init__()


class Passing(Own):
    def __init__(self, **options):
        super().__init__(**options)


class InHooks(lightning.LightningDataModule):
    def prepare_data(self):
        self.order = np.random.permutation(60)

    def setup(self, stage):
        self.order = self.order[torch.randperm(60)]

    def train_dataloader(self):
        return DataLoader(TensorDataset(X[self.order[:40]], Y[self.order[:40]]))

    def test_dataloader(self):
        return DataLoader(TensorDataset(X[self.order[40:]], Y[self.order[40:]]))


class File:
    def __init__(self, path):
        x = np.load(path)
        self.train = self.test = TensorDataset(torch.from_numpy(x), torch.arange(len(x)) % 2)


class Noisy(torch.utils.data.Dataset):
    targets = Y.tolist()

    def __init__(self):
        self.rng = np.random.default_rng(0)

    def __len__(self):
        return 60

    def __getitem__(self, i):
        return X[i] + float(self.rng.normal()), int(Y[i])


class OwnGenerator:
    def __init__(self):
        self.train = self.test = Noisy()


class Net(lightning.LightningModule):
    def __init__(self, weights=None):
        super().__init__()
        self.layer = torch.nn.Linear(1, 3)
        if weights is not None:
            open(weights).close()

    def training_step(self, batch, batch_idx):
        x, y = batch[0], batch[1]
        return F.cross_entropy(self.layer(x / 60), y)
"""
QUIET = ["threads=1", "device=cpu", "progress=none", "logger=none", "clients=4", "rounds=1", "checkpoint.every=0"]
NET = "model._target_=split_data.Net"
KINDS = ["Numpy", "Torch", "Python", "InHooks"]


@pytest.fixture(autouse=True)
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    (tmp_path / "split_data.py").write_text(SOURCE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))


def loaded(kind: str, folder: Path = Path(), **keys: Any) -> Any:
    return load_data(OmegaConf.create({"_target_": f"split_data.{kind}", **keys}), 32, folder)


def inputs(kind: str, **keys: Any) -> list[int]:
    source, _ = loaded(kind, **keys)
    return [int(x) for part in (source.train, source.test) for x in part.batch(np.arange(len(part)))[0]]


@pytest.mark.parametrize("kind", KINDS)
def test_splits_depend_on_the_data_seed_alone(kind: str) -> None:
    splits = []
    for seed in (None, 0, 1):
        for from_system in (torch.seed, np.random.seed, random.seed):
            from_system()
        splits.append(inputs(kind, **({} if seed is None else {"seed": seed})))
    assert sorted(splits[0]) == list(range(60))
    assert splits[0] == splits[1] != splits[2]


@pytest.mark.parametrize("kind", KINDS)
def test_the_generators_are_put_back(kind: str) -> None:
    before = generator_states()
    loaded(kind)
    assert generator_states() == before


@pytest.mark.parametrize("kind", ["Own", "Passing"])
def test_a_class_with_a_seed_of_its_own_gets_it(kind: str) -> None:
    from split_data import Own  # type: ignore[import-not-found]

    seeds: list[int] = []
    original = Own.order
    Own.order = lambda self: (seeds.append(self.seed), original(self))[1]
    splits = [inputs(kind), inputs(kind, seed=3)]
    assert seeds == [7, 3] and splits[0] == inputs("Numpy") and splits[1] == inputs("Numpy", seed=3)


@pytest.mark.parametrize("seed", [-1, 1.5, "one", True])
def test_a_seed_that_is_no_number_is_refused(seed: Any) -> None:
    with pytest.raises(InputError, match=f"data.seed={seed}: it has to be an integer of at least 0"):
        loaded("Numpy", seed=seed)


@pytest.mark.parametrize("target", [True, 1.5, [1]])
def test_a_target_that_is_no_part_is_refused(target: Any) -> None:
    with pytest.raises(InputError, match="data.target=.*: it has to be the number or the key"):
        loaded("Numpy", target=target)


@pytest.mark.parametrize("kind", some_slow(["Numpy", "InHooks"], ["InHooks"]))
def test_a_resumed_run_has_the_data_it_began_with(kind: str, tmp_path: Path) -> None:
    words = [*QUIET, NET, f"data._target_=split_data.{kind}", "seed=5"]
    for run in ([*words, "rounds=2", "hydra.run.dir=whole"], [*words, "hydra.run.dir=cut"], ["resume=cut", "rounds=2"]):
        for seed in (torch.seed, np.random.seed, random.seed):  # from the system: each command is a new process
            seed()
        assert command(*run) == 0
    assert numbers(Path("cut")) == numbers(Path("whole"))


def test_other_data_on_resume_are_refused(capfd: pytest.CaptureFixture[str]) -> None:
    assert command(*QUIET, NET, "data._target_=split_data.Unseedable", "hydra.run.dir=run") == 0
    assert command("resume=run", "rounds=2") == 2
    message = capfd.readouterr().err
    assert "the training set has other labels than when the run began" in message and message.count("\n") == 1
    assert len(rows(Path("run"))) == 1


@pytest.mark.slow
def test_another_file_on_resume_is_refused(capfd: pytest.CaptureFixture[str]) -> None:
    np.save("x.npy", np.zeros((20, 1), np.float32))
    assert command(*QUIET, NET, "data._target_=split_data.File", "data.path=x.npy", "hydra.run.dir=run") == 0
    assert command("resume=run", "rounds=2") == 0
    np.save("x.npy", np.zeros((21, 1), np.float32))
    assert command("resume=run", "rounds=3") == 2
    assert "the training set has 21 samples, and had 20 when the run began; give" in capfd.readouterr().err


@pytest.mark.parametrize("kind", some_slow(["npz", "own"], ["npz"]))
def test_relative_paths_are_meant_from_the_folder_in_which_the_run_began(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(0)
    arrays = {f"{name}_{part}": rng.random((20, 1)) if name == "x" else np.arange(20) % 2
              for name in "xy" for part in ("train", "test")}  # fmt: skip
    np.savez("file.npz", **arrays)
    np.save("file.npy", arrays["x_train"].astype(np.float32))
    chosen = {
        "npz": ["data=npz", "data.path=file.npz"],
        "own": ["data._target_=split_data.File", "data.path=file.npy", "model.weights=file.npz"],
    }[kind]
    assert command(*QUIET, NET, *chosen, "hydra.job.chdir=true", "hydra.run.dir=changed") == 0
    assert Path.cwd() == tmp_path
    assert command(*QUIET, NET, *chosen, "hydra.run.dir=plain") == 0
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    for run in ("changed", "plain"):
        assert command(f"resume={tmp_path / run}", "rounds=2") == 0
        assert len(rows(tmp_path / run)) == 2


def test_runs_of_several_seeds_share_their_data() -> None:
    words = [*QUIET, NET, "data._target_=split_data.Numpy", "hydra.sweep.dir=sweep", "hydra.job.chdir=true"]
    assert command("--multirun", *words, "seed=1,2") == 0
    states = [torch.load(f"sweep/seed={seed}/checkpoints/round_0001/state.pt", weights_only=True) for seed in (1, 2)]
    assert difference(*(state["bits"]["data"] for state in states)) == ""


@pytest.mark.slow
def test_all_engines_have_the_same_data() -> None:
    words = [*QUIET, NET, "data._target_=split_data.Numpy"]
    assert command(*words, "hydra.run.dir=serial") == 0
    assert command(*words, "engine=processes", "engine.workers=2", "hydra.run.dir=processes") == 0
    assert numbers(Path("serial")) == numbers(Path("processes"))


def test_samples_drawn_from_a_generator_of_their_own_run_with_a_warning(capfd: pytest.CaptureFixture[str]) -> None:
    assert command(*QUIET, NET, "data._target_=split_data.OwnGenerator", "hydra.run.dir=run") == 0
    message = capfd.readouterr().err
    assert message.count("differ when they are read again with the same seeds") == 1
    assert len(rows(Path("run"))) == 1


def test_data_target_on_the_command_line(capfd: pytest.CaptureFixture[str]) -> None:
    with open("split_data.py", "a") as file:
        file.write("\n\nclass Three:\n    train = test = TensorDataset(X, Y, torch.arange(60))\n")
    import importlib

    import split_data

    importlib.reload(split_data)
    words = [*QUIET, NET, "data._target_=split_data.Three", "partition=classes", "partition.classes_per_client=1"]
    assert command(*words, "hydra.run.dir=first") == 2
    assert "write data.target=1 or data.target=2" in capfd.readouterr().err
    assert command(*words, "data.target=1", "hydra.run.dir=second") == 0
    assert command(*words, "data.target=9", "hydra.run.dir=third") == 2
    ready = [word for word in words if word != NET]
    assert command(*ready, "model=logistic", "data.target=1", "hydra.run.dir=fourth") == 2
    assert "the ready models take pairs" in capfd.readouterr().err
