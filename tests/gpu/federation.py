"""A small federation whose data and first weights come from numpy, so that every device and version of torch has the
same.

Run as a command (`python -m tests.gpu.federation`) it computes cpu_numbers.json again, on the CPU: the numbers that a
GPU has to give.
"""

from __future__ import annotations

import json
import os
import platform
import sys
import tempfile
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import TensorDataset

from tests import small_runs
from tests.small_runs import OPTIONS

NUMBERS = Path(__file__).with_name("cpu_numbers.json")
COMMAND = "python -m tests.gpu.federation"
DEVICE = os.environ.get("DEVICE", "gpu")  # of these tests: cpu tries them where there is no GPU
SITES, TEST_SAMPLES = (13, 4, 9, 6, 5), 3  # training samples of each site; test samples of a site
SHAPE, CLASSES = (1, 6, 6), 3
ROUNDS = 3
TRAINERS = {"lightning": ("trainer=lightning",), "vectorized": ("trainer=vectorized", "trainer.stack=always")}
COMMON = (
    "data._target_=tests.gpu.federation.Data",
    "model._target_=tests.gpu.federation.Net",
    "partition=natural",
    "logger=none",
)
SETTINGS = {
    "clients": len(SITES),
    "participation": 0.8,
    "rounds": ROUNDS,
    "local_epochs": 2,
    "batch_size": 4,
    "evaluation.client_validation": 0.2,
}

_MOMENTUM = ("optimizer.momentum=0.9", "optimizer.weight_decay=0.01")
CASES: dict[str, tuple[str, ...]] = {
    **{name: (f"aggregator={name}", *_MOMENTUM) for name in OPTIONS["aggregator"]},
    "fedavg, Adam": ("optimizer=adam", "optimizer.lr=0.01"),
    "fedavg, the server's Adam": ("optimizer@aggregator.server_optimizer=adam",),
}


class Data:
    """Images (1, 6, 6) of three classes, at sites of unequal size.

    Args:
        classes_apart: distance of the classes' means, in standard deviations of a pixel.
        same: all sites hold the samples of the first site.
    """

    classes = CLASSES

    def __init__(self, classes_apart: float = 1.0, same: bool = False, sites: int = 0, samples: int = 8):
        """
        Args:
            sites: number of sites of `samples` each; 0 is `SITES`.
        """
        sizes = [samples] * sites if sites else list(SITES)
        rng = np.random.default_rng(0)
        means = classes_apart * rng.standard_normal((CLASSES, *SHAPE))
        self.train, self.train_sites = self._part(rng, means, sizes, same)
        self.test, self.test_sites = self._part(rng, means, [TEST_SAMPLES] * len(sizes), False)

    def _part(
        self, rng: np.random.Generator, means: np.ndarray, sizes: list[int], same: bool
    ) -> tuple[TensorDataset, np.ndarray]:
        y = np.arange(sum(sizes)) % CLASSES
        x = means[y] + rng.standard_normal((len(y), *SHAPE))
        if same:
            x, y = (np.concatenate([a[: sizes[0]]] * len(sizes)) for a in (x, y))
        return TensorDataset(torch.from_numpy(x).float(), torch.from_numpy(y)), np.repeat(np.arange(len(sizes)), sizes)


class Net(pl.LightningModule):
    """A convolution, running statistics, a frozen layer, random draws in the forward pass, and a head.

    Args:
        loss_scale: factor of the loss. A large one overflows in half precision.
    """

    def __init__(self, loss_scale: float = 1.0, dropout: float = 0.25):
        super().__init__()
        self.loss_scale = loss_scale
        self.stem, self.frozen = nn.Conv2d(1, 2, 3, padding=1), nn.Conv2d(2, 2, 1).requires_grad_(False)
        self.norm, self.dropout = nn.BatchNorm2d(2), nn.Dropout(dropout)
        self.head = nn.Linear(18, CLASSES)
        rng = np.random.default_rng(1)
        with torch.no_grad():
            for parameter in self.parameters():
                parameter.copy_(torch.from_numpy(0.3 * rng.standard_normal(parameter.shape)))

    def forward(self, x: Tensor) -> Tensor:
        x = torch.tanh(self.norm(self.frozen(self.stem(x))))
        return self.head(self.dropout(nn.functional.avg_pool2d(x, 2).flatten(1)))

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        x, y = batch
        return self.loss_scale * nn.functional.cross_entropy(self(x), y)


def run(folder: Path, *words: str, device: str = DEVICE, **changes: Any) -> Path:
    """Run the federation in this process, in float64 unless a word or change says otherwise; returns its folder.

    Args:
        words: as on the command line, in addition to `COMMON`.
        changes: of `SETTINGS`, with `__` for a dot.
    """
    own = {key.replace("__", "."): value for key, value in changes.items()}
    settings = {**SETTINGS, "device": device, "trainer.precision": "64-true", **own}
    given = {word.lstrip("+").partition("=")[0] for word in words}
    kept = {key: value for key, value in settings.items() if key not in given}
    small_runs.go(small_runs.small((*COMMON, *words), kept), folder)
    return folder


def state(folder: Path, round: int = ROUNDS) -> dict[str, Tensor]:
    """What a run saved after a round: the tensors of the server, the clients and the counters, by path, on the CPU."""
    saved = small_runs.saved(folder, round)
    parts = {part: small_runs.tensors(saved[part]) for part in ("server", "clients", "counters")}
    return {f"{part}{path}": tensor.cpu() for part, tensors in parts.items() for path, tensor in tensors.items()}


def numbers(folder: Path, round: int = ROUNDS) -> dict[str, Any]:
    """A run's state and its metrics as plain values for JSON."""
    tensors = {path: tensor.flatten().tolist() for path, tensor in state(folder, round).items()}
    return {"state": tensors, "rows": small_runs.numbers(folder)}


def cpu_numbers() -> dict[str, dict[str, Any]]:
    """Case -> the CPU's numbers, as the file has them."""
    return json.loads(NUMBERS.read_text(encoding="utf-8"))["cases"]


def largest_difference(first: Mapping[str, Any], second: Mapping[str, Any]) -> float:
    """Largest difference between the numbers of two runs; infinite if they do not have the same names."""
    if first["state"].keys() != second["state"].keys() or len(first["rows"]) != len(second["rows"]):
        return float("inf")
    pairs = [(first["state"][path], second["state"][path]) for path in first["state"]]
    for a, b in zip(first["rows"], second["rows"], strict=True):
        if a.keys() != b.keys():
            return float("inf")
        pairs += [([a[name]], [b[name]]) for name in a if isinstance(a[name], int | float)]
    if any(len(a) != len(b) for a, b in pairs):
        return float("inf")
    return max(float(np.abs(np.subtract(a, b, dtype=np.float64)).max(initial=0)) for a, b in pairs)


def _shortened(value: Any) -> Any:
    """With 12 significant digits, which is more than the tests compare."""
    if isinstance(value, dict):
        return {key: _shortened(part) for key, part in value.items()}
    if isinstance(value, list):
        return [_shortened(part) for part in value]
    return float(f"{value:.12g}") if isinstance(value, float) else value


def main() -> int:
    small_runs.QUIET["threads"] = 1
    cases = {}
    for name, words in CASES.items():
        with tempfile.TemporaryDirectory() as folder:
            cases[name] = numbers(run(Path(folder) / "run", *words, device="cpu"))
    written = f"{COMMAND}, {date.today().isoformat()}, torch {torch.__version__}, {platform.machine()}"
    head = json.dumps({"written_by": written, "trainer": "lightning", "device": "cpu", "precision": "64-true"})[1:-1]
    lines = ",\n".join(f"  {json.dumps(name)}: {json.dumps(_shortened(case))}" for name, case in cases.items())
    NUMBERS.write_text(f'{{{head}, "cases": {{\n{lines}\n}}}}\n', encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
