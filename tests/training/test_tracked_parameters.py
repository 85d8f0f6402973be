"""Layers that a hook makes, replaces or hides in a fit: trained as they are sent, or refused in one sentence."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import pytest
import torch
import torchmetrics
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import prune

from fedlit.aggregators import FedAvg
from fedlit.errors import InputError
from fedlit.training.lightning import LightningTrainer
from fedlit.training.stacked import VectorizedTrainer
from tests.aggregators.federations import Running
from tests.training.test_thawed import CLASSES, WIDTH, fits, jobs, plain


def layers() -> nn.Module:
    return nn.Sequential(nn.Linear(WIDTH, 5), nn.BatchNorm1d(5), nn.Tanh(), nn.Linear(5, CLASSES))


class Net(pl.LightningModule):
    def __init__(self) -> None:
        super().__init__()
        self.net = layers()

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x)

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        return F.cross_entropy(self(batch[0]), batch[1])

    def configure_optimizers(self) -> Any:
        return torch.optim.SGD(self.parameters(), lr=0.1, momentum=0.9)


# --- configure_model --------------------------------------------------------------------------------------------------
class ConfiguresAgain(Net):
    """Makes new layers at each call."""

    def __init__(self) -> None:
        super().__init__()
        self.net = None  # type: ignore[assignment]

    def configure_model(self) -> None:
        self.net = layers()


class ConfiguresOnce(ConfiguresAgain):
    def configure_model(self) -> None:
        if self.net is None:
            self.net = layers()


class ReplacesInConfigure(Net):
    """Has layers from `__init__`, too."""

    def configure_model(self) -> None:
        self.net = layers()


@pytest.mark.parametrize("kind", ["lightning", "always", "never"])
@pytest.mark.parametrize("make", [ConfiguresAgain, ReplacesInConfigure])
def test_configure_model_is_called_once(make: Callable[[], Any], kind: str) -> None:
    """Each client starts from the received weights, in every round."""
    options = {"kind": LightningTrainer} if kind == "lightning" else {"kind": VectorizedTrainer, "stack": kind}
    results, _ = fits(make, **options)
    again, _ = fits(make, **options)
    expected, _ = fits(ConfiguresOnce if make is ConfiguresAgain else make, **options)
    for fitted, repeated, right in zip(results, again, expected, strict=True):
        assert torch.equal(fitted.model.weights, repeated.model.weights)
        torch.testing.assert_close(fitted.model.weights, right.model.weights, rtol=0, atol=1e-12)


# --- layers of setup --------------------------------------------------------------------------------------------------
class SetupAnew(Net):
    def setup(self, stage: str) -> None:
        self.net = layers()


class HeadInSetup(Net):
    """A layer that is made where it does not exist yet."""

    def __init__(self) -> None:
        super().__init__()
        self.head: nn.Module | None = None

    def setup(self, stage: str) -> None:
        if self.head is None:
            self.head = nn.Linear(CLASSES, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x) if self.head is None else self.head(self.net(x))


class RandomFeaturesInSetup(Net):
    """Frozen random features, other ones in each call."""

    def setup(self, stage: str) -> None:
        self.features = nn.Linear(WIDTH, WIDTH).requires_grad_(False)

    def forward(self, x: Tensor) -> Tensor:
        return self.net(self.features(x) if hasattr(self, "features") else x)


class RandomFeaturesOnce(RandomFeaturesInSetup):
    def setup(self, stage: str) -> None:
        if not hasattr(self, "features"):
            super().setup(stage)


class UnfrozenTeacherInSetup(Net):
    """A copy of the received weights in each fit, which the optimiser has and never steps."""

    def setup(self, stage: str) -> None:
        self.teacher = copy.deepcopy(self.net)

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        with torch.no_grad():
            goal = self.teacher(batch[0]).softmax(1)
        out = self(batch[0])
        return F.cross_entropy(out, batch[1]) + (out.softmax(1) - goal).square().mean()


@pytest.mark.parametrize("kind", [LightningTrainer, VectorizedTrainer])
@pytest.mark.parametrize(
    ("make", "sent"),
    [
        (SetupAnew, "net."),
        (HeadInSetup, ("net.", "head.")),
        (RandomFeaturesInSetup, "net."),
        (RandomFeaturesOnce, "net."),
        (UnfrozenTeacherInSetup, "net."),
    ],
)
def test_layers_of_setup_are_made_once(make: Callable[[], Any], sent: Any, kind: Any) -> None:
    """The result is that of a plain Trainer whose setup draws the same layers."""
    results, host = fits(make, kind)
    assert all(name.startswith(sent) for name in host.layout.weights)
    for weights, job in zip(torch.cat([fitted.model.weights for fitted in results]), jobs(), strict=True):
        expected = plain(make, job)
        for name, value in host.layout.pieces(weights).items():
            torch.testing.assert_close(value, expected[name], rtol=0, atol=1e-9)


# --- layers that are refused ------------------------------------------------------------------------------------------
class HeadAnew(Net):
    """Replaces a layer after the optimiser is made."""

    def on_train_start(self) -> None:
        self.net[3] = nn.Linear(5, CLASSES).double()


class StatisticsAnew(Net):
    """Replaces a layer without weights."""

    def __init__(self) -> None:
        super().__init__()
        self.net[1] = nn.BatchNorm1d(5, affine=False)

    def setup(self, stage: str) -> None:
        self.net[1] = nn.BatchNorm1d(5, affine=False)


class StatisticsGone(Net):
    def on_train_end(self) -> None:
        self.net[1] = nn.Identity()


class HeadInSetup(Net):
    """A layer that is made where it does not exist yet."""

    def __init__(self) -> None:
        super().__init__()
        self.head: nn.Module | None = None

    def setup(self, stage: str) -> None:
        if self.head is None:
            self.head = nn.Linear(CLASSES, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x) if self.head is None else self.head(self.net(x))


class LateGroup(Net):
    """A layer that is made in a later epoch and given to the optimiser."""

    def __init__(self) -> None:
        super().__init__()
        self.late: nn.Module | None = None

    def on_train_epoch_start(self) -> None:
        if self.current_epoch == 1:
            self.late = nn.Linear(CLASSES, CLASSES).double()
            self.optimizers().add_param_group({"params": self.late.parameters()})

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x) if self.late is None else self.late(self.net(x))


class Hidden(Net):
    """Trains a layer in a list."""

    def __init__(self) -> None:
        super().__init__()
        self.hidden = [nn.Linear(CLASSES, CLASSES).double()]

    def forward(self, x: Tensor) -> Tensor:
        return self.hidden[0](self.net(x))

    def configure_optimizers(self) -> Any:
        return torch.optim.SGD([*self.parameters(), *self.hidden[0].parameters()], lr=0.1)


class Pruned(Net):
    def on_train_epoch_start(self) -> None:
        if self.current_epoch == 1:
            prune.l1_unstructured(self.net[0], "weight", amount=0.3)


class RandomFeatures(Net):
    """Frozen random features, other ones in each fit."""

    def on_fit_start(self) -> None:
        self.features = nn.Linear(WIDTH, WIDTH, dtype=self.net[0].weight.dtype).requires_grad_(False)

    def forward(self, x: Tensor) -> Tensor:
        return self.net(self.features(x) if hasattr(self, "features") else x)


class RandomFeaturesFromInit(RandomFeatures):
    def __init__(self) -> None:
        super().__init__()
        self.on_fit_start()


REFUSED: dict[str, tuple[Callable[[], Any], str]] = {
    "on_train_start": (HeadAnew, r"HeadAnew replaces or removes net\.3\.weight in a fit"),
    "statistics that are gone": (StatisticsGone, r"StatisticsGone replaces or removes net\.1"),
    "a layer made later": (LateGroup, r"LateGroup trains late\.\w+, which is created in a fit"),
    "pruning": (Pruned, r"Pruned replaces or removes net\.0\.weight"),
    "random features": (RandomFeatures, r"RandomFeatures makes features\.weight in each fit"),
    "random features from __init__": (RandomFeaturesFromInit, r"makes features\.weight in each fit"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_layers_that_a_fit_would_lose_are_refused_in_one_sentence(name: str) -> None:
    make, reason = REFUSED[name]
    with pytest.raises(InputError, match=reason) as caught:
        fits(make)
    assert "\n" not in str(caught.value) and str(caught.value).endswith(".")


def test_statistics_that_each_fit_would_begin_again_are_refused(tmp_path: Path) -> None:
    """In the first round they are the initial ones."""
    run = Running(tmp_path, FedAvg(), net=StatisticsAnew()).go(1)
    with pytest.raises(
        InputError, match=r"StatisticsAnew makes net\.1 in each fit, and its received running_mean is lost"
    ):
        run.go(1)


@pytest.mark.parametrize("kind", [LightningTrainer, VectorizedTrainer])
def test_a_layer_that_is_trained_in_a_list_is_refused(kind: Any) -> None:
    with pytest.raises(
        InputError, match=r"Hidden: its optimiser trains a tensor of shape .* no parameter of the module"
    ):
        fits(Hidden, kind)


# --- layers that a hook may make --------------------------------------------------------------------------------------
class Distilled(Net):
    """A teacher with the received weights, made by one of these ways."""

    def teacher_of(self) -> nn.Module:
        return copy.deepcopy(self.net).requires_grad_(False).eval()

    def on_fit_start(self) -> None:
        self.teacher = self.teacher_of()

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        with torch.no_grad():
            goal = self.teacher(batch[0]).softmax(1) if hasattr(self, "teacher") else 0.3
        out = self(batch[0])
        return F.cross_entropy(out, batch[1]) + (out.softmax(1) - goal).square().mean()


class DistilledFromInit(Distilled):
    def __init__(self) -> None:
        super().__init__()
        self.teacher = self.teacher_of()


class DistilledInSetup(Distilled):
    on_fit_start = pl.LightningModule.on_fit_start

    def setup(self, stage: str) -> None:
        self.teacher = self.teacher_of()


class DistilledByCopying(Distilled):
    def teacher_of(self) -> nn.Module:
        teacher = layers().to(self.device, self.net[0].weight.dtype).requires_grad_(False).eval()
        teacher.load_state_dict(self.net.state_dict())
        return teacher


class UnfrozenTeacher(Distilled):
    def teacher_of(self) -> nn.Module:
        return copy.deepcopy(self.net)


class PretrainedInSetup(Net):
    """Frozen features with the same weights in each fit."""

    def setup(self, stage: str) -> None:
        self.features = nn.Linear(WIDTH, WIDTH).requires_grad_(False)
        self.features.load_state_dict({"weight": 2 * torch.eye(WIDTH), "bias": torch.zeros(WIDTH)})

    def forward(self, x: Tensor) -> Tensor:
        return self.net(self.features(x) if hasattr(self, "features") else x)


class MetricInSetup(Net):
    def setup(self, stage: str) -> None:
        self.accuracy = torchmetrics.classification.MulticlassAccuracy(CLASSES)
        self.weighted = nn.CrossEntropyLoss(torch.ones(CLASSES, dtype=torch.float64))

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        out = self(batch[0])
        if hasattr(self, "accuracy"):
            self.accuracy.update(out.float(), batch[1])
        return F.cross_entropy(out, batch[1])


class TiedInSetup(Net):
    """The same objects again."""

    def setup(self, stage: str) -> None:
        self.net[0].weight = self.net[0].weight
        self.net = self.net


ALLOWED = [
    Distilled,
    DistilledFromInit,
    DistilledInSetup,
    DistilledByCopying,
    UnfrozenTeacher,
    PretrainedInSetup,
    MetricInSetup,
    TiedInSetup,
]


@pytest.mark.parametrize("make", ALLOWED)
def test_a_hook_may_make_layers_that_are_not_trained(make: Callable[[], Any]) -> None:
    """The result is a plain Trainer's, and the next client does not see the layer."""
    results, host = fits(make)
    for fitted, job in zip(results, jobs(), strict=True):
        named = host.layout.pieces(fitted.model.weights)
        expected = plain(make, job)
        assert all(name.startswith("net.") for name in named)
        for name, value in named.items():
            torch.testing.assert_close(value[0], expected[name], rtol=0, atol=1e-12)
    assert host.snapshot.structure.is_unchanged()
