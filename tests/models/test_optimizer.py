"""A module without an optimiser gets one, which copies and pickles keep."""

from __future__ import annotations

import copy
import pickle
import warnings
from functools import partial
from pathlib import Path

import pytest
import torch
from lightning.pytorch import LightningModule, Trainer
from omegaconf import OmegaConf
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from fedlit.errors import InputError
from fedlit.models import Mlp, give_optimizer, has_optimizer
from fedlit.models.optimizer import check_optimizer
from fedlit.settings.classes import build

SGD = partial(torch.optim.SGD, lr=0.5)
CONF = Path(__file__).parents[2] / "conf" / "optimizer"


class WithItsOwn(LightningModule):
    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=1.0)


def model() -> Mlp:
    torch.manual_seed(0)
    return Mlp((4,), 3, hidden=(5,))


def data(steps: int = 3) -> DataLoader:
    rng = torch.Generator().manual_seed(1)
    x, y = torch.randn(8 * steps, 4, generator=rng), torch.randint(0, 3, (8 * steps,), generator=rng)
    return DataLoader(TensorDataset(x, y), batch_size=8)


def fit(module: LightningModule) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        trainer = Trainer(
            max_epochs=1,
            accelerator="cpu",
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
        )
        trainer.fit(module, data())
    assert trainer.global_step == 3


def weights(module: LightningModule) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in module.parameters()])


def expected(lr: float = 0.5, frozen: str = "") -> torch.Tensor:
    """The weights after three steps of gradient descent, by hand."""
    module = model()
    for x, y in data():
        named = dict(module.named_parameters())
        gradients = torch.autograd.grad(torch.nn.functional.cross_entropy(module(x), y), list(named.values()))
        for (name, p), g in zip(named.items(), gradients, strict=True):
            if name != frozen:
                p.data -= lr * g
    return weights(module)


def test_ready_models_have_no_optimizer():
    assert not has_optimizer(model())
    assert has_optimizer(WithItsOwn())


def test_a_given_optimizer_trains():
    module = model()
    give_optimizer(module, SGD)
    assert has_optimizer(module)
    fit(module)
    assert torch.allclose(weights(module), expected(), atol=1e-6)


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))], ids=["deepcopy", "pickle"])
@pytest.mark.parametrize("before", ["fresh", "after a fit"])
def test_a_copy_trains_its_own_parameters(copied, before: str):
    module = model()
    give_optimizer(module, SGD)
    if before == "after a fit":
        fit(module)
        module.load_state_dict(model().state_dict())
    start = weights(module)
    other = copied(module)
    assert has_optimizer(other)
    fit(other)
    assert torch.equal(weights(module), start), "the original does not change"
    assert torch.allclose(weights(other), expected(), atol=1e-6)


def test_frozen_parameters_are_not_trained():
    module = model()
    name, parameter = next(iter(module.named_parameters()))
    parameter.requires_grad = False
    give_optimizer(module, partial(torch.optim.SGD, lr=0.5))
    held = [p for group in module.configure_optimizers().param_groups for p in group["params"]]
    assert len(held) == 3 and all(p is not parameter for p in held)
    fit(module)
    assert torch.allclose(weights(module), expected(frozen=name), atol=1e-6)


def test_a_second_optimizer_replaces_the_first():
    module = model()
    give_optimizer(module, partial(torch.optim.SGD, lr=9.0))
    give_optimizer(module, SGD)
    fit(module)
    assert torch.allclose(weights(module), expected(), atol=1e-6)


LATER = {
    "setup": nn.Module,
    "partly in setup": lambda: nn.Sequential(nn.Linear(2, 2), nn.Module()),
    "lazy": lambda: nn.LazyLinear(2),
    "partly lazy": lambda: nn.Sequential(nn.Linear(2, 2), nn.LazyLinear(2)),
}


@pytest.mark.parametrize("later", LATER)
def test_settings_are_checked_before_layers_are_made(later: str):
    module = LightningModule()
    module.net = LATER[later]()
    check_optimizer(module, SGD)
    with pytest.raises(InputError, match="the optimizer refuses its settings: Nesterov momentum requires a momentum"):
        check_optimizer(module, partial(torch.optim.SGD, lr=0.1, nesterov=True))


@pytest.mark.parametrize("name", ["sgd", "adam", "adamw"])
def test_each_option_gives_its_optimizer(name: str):
    config = OmegaConf.load(CONF / f"{name}.yaml")
    module = model()
    give_optimizer(module, build(config, "optimizer"))
    optimizer = module.configure_optimizers()
    assert type(optimizer) is {"sgd": torch.optim.SGD, "adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[name]
    values = {k: v for k, v in OmegaConf.to_container(config).items() if not k.startswith("_")}
    assert {k: v for k, v in optimizer.defaults.items() if k in values} == {
        k: tuple(v) if isinstance(v, list) and isinstance(optimizer.defaults[k], tuple) else v
        for k, v in values.items()
    }
    start = weights(module)
    fit(module)
    assert not torch.equal(weights(module), start)


def test_conflicting_settings_are_refused():
    config = OmegaConf.load(CONF / "sgd.yaml")
    config.nesterov = True
    module = model()
    give_optimizer(module, build(config, "optimizer"))
    with pytest.raises(InputError, match="Nesterov momentum requires a momentum"):
        module.configure_optimizers()
