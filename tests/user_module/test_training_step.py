"""The user's step, also at other weights than the module's."""

from __future__ import annotations

import lightning.pytorch as pl
import torch
from torch import nn
from torch.nn import functional as F

from fedlit.keyed_random.random_mode import RandomMode
from fedlit.model_vectors import Layout
from fedlit.user_module.training_step import FunctionalStep, call_step, loss_of, part_of, samples_in
from tests.training.rounds import numbers


class Tied(pl.LightningModule):
    """Tied weights, and a block that is registered under two names and called by both."""

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Linear(6, 6), nn.Linear(6, 6)
        self.second.weight = self.first.weight
        self.block = nn.Linear(6, 6)
        self.alias = self.block
        self.head = nn.Linear(6, 3)

    def training_step(self, batch, batch_idx):
        h = self.second(torch.tanh(self.first(batch[0])))
        return {"loss": F.cross_entropy(self.head(self.alias(torch.tanh(self.block(h)))), batch[1])}


def evaluate_at(step: FunctionalStep, vector: torch.Tensor, what: str, batch) -> torch.Tensor:
    return step.evaluate(step.layout.pieces(vector), what, batch, 0, RandomMode(0, 0, keyed=False, seed=False))


def test_the_loss_at_other_weights_equals_that_of_a_module_with_these_weights():
    torch.manual_seed(0)
    module, other, batch = Tied(), Tied(), numbers(5)
    layout = Layout(module)
    before, other_model = layout.read(module), layout.read(other)
    step = FunctionalStep(module, layout)
    expected = other.training_step(batch, 0)["loss"]
    vector = other_model.weights.requires_grad_()
    loss = evaluate_at(step, vector, "loss", batch)
    assert torch.equal(loss, expected)
    assert torch.equal(layout.read(module).weights, before.weights)
    assert module.second.weight is module.first.weight and module.alias is module.block

    (gradient,) = torch.autograd.grad(loss, vector)
    expected.backward()
    by_torch = torch.cat([p.grad.flatten() for p in other.parameters()])
    torch.testing.assert_close(gradient, by_torch)


def test_features_and_outputs_are_those_of_the_last_linear_layer():
    torch.manual_seed(0)
    module, batch = Tied(), numbers(5)
    layout = Layout(module)
    step, vector = FunctionalStep(module, layout), layout.read(module).weights
    features, outputs = evaluate_at(step, vector, "features", batch), evaluate_at(step, vector, "outputs", batch)
    assert features.shape == (5, 6)
    assert torch.equal(module.head(features), outputs)


def test_a_step_is_called_with_or_without_batch_idx_as_its_signature_says():
    class One(pl.LightningModule):
        def training_step(self, batch):
            return batch

    class Two(pl.LightningModule):
        def training_step(self, batch, batch_idx):
            return batch, batch_idx

    class Every(pl.LightningModule):
        def training_step(self, *args):
            return args

    assert call_step(One(), "b", 3) == "b"
    assert call_step(Two(), "b", 3) == call_step(Every(), "b", 3) == ("b", 3)


def test_forms_of_batches_and_outputs():
    x, y = numbers(5)
    assert loss_of({"loss": x}) is x and loss_of(x) is x and loss_of(None) is None
    batch = {"inputs": [x, x + 1], "targets": y}
    assert samples_in(batch) == 5
    part = part_of(batch, (1, 2), 0)
    assert torch.equal(part["targets"], y[[1, 3]]) and torch.equal(part["inputs"][1], (x + 1)[[1, 3]])
    assert part_of(batch, (0, 1), 0) is batch
    assert torch.equal(part_of(y, (0, 9), 0), y)  # shorter than nine: the whole batch
    assert len(part_of(torch.arange(6), (1, 3), 0, least=2)) == 2 and len(part_of(torch.arange(5), (1, 3), 0, 2)) == 5
