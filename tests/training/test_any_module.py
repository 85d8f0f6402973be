"""Any LightningModule trains under trainer=lightning, aggregator=fedavg."""

from __future__ import annotations

import lightning.pytorch as pl
import numpy as np
import pytest
import torch
from lightning.pytorch.demos import Transformer
from lightning.pytorch.demos.boring_classes import BoringModel, RandomDataset
from torch import nn
from torch.nn import functional as F
from torch.utils.data import Dataset

from fedlit.aggregators import FedProx
from fedlit.data import LoadedSamples, TensorSamples
from fedlit.errors import InputError
from fedlit.evaluation.measure import Measure
from fedlit.training import JobData
from fedlit.training.stacked import VectorizedTrainer
from tests.training.rounds import Federated, cut, delta, facts, numbers


def test_lightnings_boring_model():
    torch.manual_seed(0)
    back = Federated(BoringModel(), LoadedSamples(RandomDataset(32, 20)), cut(8, 12)).round(watched=[0])
    assert [f["steps"] for f in facts(back).values()] == [2, 3]
    assert all(delta(returned).abs().max() > 0 for returned in back)


class Text(Dataset):
    """Windows of a text: characters, and those that follow."""

    def __init__(self, text: str, width: int):
        letters = sorted(set(text))
        self.codes, self.width = torch.tensor([letters.index(c) for c in text]), width
        self.vocabulary = len(letters)

    def __len__(self) -> int:
        return (len(self.codes) - 1) // self.width

    def __getitem__(self, i: int):
        at = i * self.width
        return self.codes[at : at + self.width], self.codes[at + 1 : at + 1 + self.width]


class Language(pl.LightningModule):
    """Lightning's demo Transformer, trained as its own demo trains it."""

    def __init__(self, vocabulary: int):
        super().__init__()
        self.model = Transformer(vocab_size=vocabulary, ninp=8, nhead=2, nhid=16, nlayers=1)

    def training_step(self, batch, batch_idx):
        inputs, target = batch
        return F.nll_loss(self.model(inputs, target), target.view(-1))

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)


def test_the_demo_transformer_on_a_map_style_data_set():
    text = Text("the clients keep their text and send what they learnt of it. " * 8, 8)
    torch.manual_seed(0)
    run = Federated(Language(text.vocabulary), LoadedSamples(text), cut(20, 40), test=None, tests=cut(20, 40))
    client_facts = facts(run.round(watched=[0, 1], epochs=3))
    for client in client_facts.values():
        assert client["trained"]["loss"][0] < client["received"]["loss"][0]
        assert client["received"]["loss"][1] == client["examples"]


class Everything(pl.LightningModule):
    """Batch norm, dropout, tied and frozen weights, a submodule under two names, two parameter groups, a scheduler."""

    def __init__(self):
        super().__init__()
        self.inner = nn.Linear(6, 6)
        self.tied = nn.Linear(6, 6)
        self.tied.weight = self.inner.weight
        self.fixed = nn.Linear(6, 6).requires_grad_(False)
        self.alias = self.fixed
        self.norm = nn.BatchNorm1d(6)
        self.drop = nn.Dropout(0.3)
        self.head = nn.Linear(6, 3)
        self.again = self.head

    def forward(self, x):
        return self.again(self.drop(self.norm(self.alias(self.tied(torch.tanh(self.inner(x)))))))

    def training_step(self, batch, batch_idx):
        x, y = batch
        loss = F.cross_entropy(self(x), y)
        self.log("fit_loss", loss, on_step=False, on_epoch=True)
        self.log("epoch", float(self.trainer.current_epoch), on_step=False, on_epoch=True)
        return loss

    def configure_optimizers(self):
        head = list(self.head.parameters())
        rest = [p for p in self.parameters() if p.requires_grad and all(p is not h for h in head)]
        optimizer = torch.optim.SGD([{"params": rest}, {"params": head, "lr": 0.4}], lr=0.1)
        return [optimizer], [torch.optim.lr_scheduler.StepLR(optimizer, 1, gamma=0.5)]  # by epoch

    def on_train_epoch_start(self):
        self.log("rate", self.optimizers().param_groups[1]["lr"])


def test_a_module_with_many_features_at_once():
    torch.manual_seed(0)
    run = Federated(Everything(), TensorSamples(*numbers(20)), cut(8, 12), tests=cut(8, 12))
    back = run.round(watched=[0, 1], epochs=2)
    for returned, client_facts in zip(back, facts(back).values(), strict=True):
        moved = run.layout.pieces(delta(returned))
        moved.pop("tied.bias")  # batch normalisation cancels it: its gradient is zero up to rounding
        assert all(piece.abs().max() > 0 for piece in moved.values()), client_facts
        assert set(client_facts["logged"]) == {"fit_loss", "rate", "epoch"}
        assert client_facts["logged"]["rate"] == pytest.approx(0.2)  # the second epoch's
        assert client_facts["logged"]["epoch"] == 1.0
        assert client_facts["loss"] > 0 and client_facts["steps"] == 2 * client_facts["examples"] // 4
        assert set(client_facts["trained"]) == {"loss", "accuracy"}
        assert returned.counters["norm.num_batches_tracked"].item() == client_facts["steps"]
    assert facts(run.round(epochs=2))[0]["logged"] == pytest.approx(facts(back)[0]["logged"])


def test_a_logged_loss_equals_the_fits_loss():
    class Plain(Everything):
        def configure_optimizers(self):  # only the statistics change
            return torch.optim.SGD([{"params": [self.inner.weight]}, {"params": [self.head.bias]}], lr=0.0)

    client_facts = facts(Federated(Plain(), TensorSamples(*numbers(8)), cut(8)).round())[0]
    assert client_facts["logged"]["fit_loss"] == pytest.approx(client_facts["loss"])


class Counting(pl.LightningModule):
    """Its step depends on the number of its calls: this state of one client must not reach the next."""

    def __init__(self, fail_on: float | None = None):
        super().__init__()
        self.layer, self.calls, self.seen, self.fail_on = nn.Linear(6, 3), 0, [], fail_on

    def training_step(self, batch, batch_idx):
        self.calls += 1
        self.seen.append(self.calls)
        if self.fail_on is not None and (batch[0] == self.fail_on).any():
            raise ZeroDivisionError("a sample on which this module fails")
        self.log("calls", float(self.calls), on_step=False, on_epoch=True, reduce_fx="max")
        self.log("first", float(self.seen[0]), on_step=False, on_epoch=True)
        return F.cross_entropy(self.layer(batch[0]), batch[1]) * self.calls

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)


def test_a_step_counter_starts_at_zero_for_each_client():
    run = Federated(Counting(), TensorSamples(*numbers(24)), cut(8, 12, 4))
    assert [f["logged"] for f in facts(run.round()).values()] == [
        {"calls": 2.0, "first": 1.0},
        {"calls": 3.0, "first": 1.0},
        {"calls": 1.0, "first": 1.0},
    ]
    assert run.module.calls == 0 and run.module.seen == []


def test_state_of_a_client_that_raised_does_not_reach_the_next_client():
    x, y = numbers(24)
    x[3] = 77.0
    run = Federated(Counting(fail_on=77.0), TensorSamples(x, y), cut(8, 16), on_failure="drop")
    healthy = Federated(Counting(), TensorSamples(x, y), cut(8, 16))
    healthy.layout.write(healthy.module, run.start)
    healthy.start = run.start
    _, second = run.round()
    (alone,) = healthy.round(order=[1])
    assert facts([second])[1]["logged"] == {"calls": 4.0, "first": 1.0}
    assert torch.equal(delta(second), delta(alone))
    assert run.module.calls == 0


class ByHand(pl.LightningModule):
    """Manual optimisation, two optimisers."""

    def __init__(self):
        super().__init__()
        self.automatic_optimization = False
        self.first, self.second = nn.Linear(6, 6), nn.Linear(6, 3)

    def training_step(self, batch, batch_idx):
        for optimizer in self.optimizers():
            optimizer.zero_grad()
            self.manual_backward(F.cross_entropy(self.second(self.first(batch[0])), batch[1]))
            optimizer.step()

    def configure_optimizers(self):
        return torch.optim.SGD(self.first.parameters(), lr=0.1), torch.optim.SGD(self.second.parameters(), lr=0.1)


def test_manual_optimisation_works_where_no_gradient_is_asked_for():
    run = Federated(ByHand(), TensorSamples(*numbers(8)), cut(8))
    (returned,) = run.round()
    assert returned.moved == [True] and facts([returned])[0]["steps"] == 4
    assert all(piece.abs().max() > 0 for piece in run.layout.pieces(delta(returned)).values())


def test_measuring_does_not_run_the_step_of_manual_optimisation():
    class Forward(ByHand):
        def forward(self, x):
            return self.second(self.first(x))

    for kind, metrics in ((ByHand, set()), (Forward, {"accuracy"})):
        run = Federated(kind(), TensorSamples(*numbers(8)), cut(8), tests=cut(8))
        client_facts = facts(run.round(watched=[0]))[0]
        assert set(client_facts["received"]) == set(client_facts["trained"]) == metrics


def test_manual_optimisation_is_refused_in_one_sentence_where_gradients_are_adjusted():
    run = Federated(ByHand(), TensorSamples(*numbers(8)), cut(8), aggregator=FedProx(mu=0.1), on_failure="drop")
    with pytest.raises(InputError, match=r"ByHand has several optimisers.*aggregator=fedavg") as caught:
        run.round()
    assert "\n" not in str(caught.value)


def test_a_module_can_read_the_round_number():
    class Asking(Counting):
        def training_step(self, batch, batch_idx):
            self.log("round", float(self.round), on_step=False, on_epoch=True)
            return super().training_step(batch, batch_idx)

    client_facts = facts(Federated(Asking(), TensorSamples(*numbers(8)), cut(8)).round(number=7))
    assert client_facts[0]["logged"]["round"] == 7.0


def test_an_attribute_round_of_the_module_is_left_unchanged():
    class Owning(Counting):
        def __init__(self):
            super().__init__()
            self.round = -5.0

        def training_step(self, batch, batch_idx):
            self.log("round", self.round, on_step=False, on_epoch=True)
            return super().training_step(batch, batch_idx)

    client_facts = facts(Federated(Owning(), TensorSamples(*numbers(8)), cut(8)).round(number=7))
    assert client_facts[0]["logged"]["round"] == -5.0


def test_a_map_style_data_set_and_tensors_train_to_the_same_bits():
    x, y = numbers(20)

    class Rows(Dataset):
        def __len__(self):
            return 20

        def __getitem__(self, i):
            return x[i], y[i]

    deltas = []
    for samples in (TensorSamples(x, y), LoadedSamples(Rows())):
        torch.manual_seed(0)
        deltas.append([delta(returned) for returned in Federated(Everything(), samples, cut(8, 12)).round()])
    for a, b in zip(*deltas, strict=True):
        assert torch.equal(a, b)
    assert not np.allclose(deltas[0][0], deltas[0][1])


class ReadsItsOptimizer(pl.LightningModule):
    """Asks for its optimiser and scheduler within the step, as people do to log a learning rate."""

    def __init__(self):
        super().__init__()
        self.net = nn.Linear(6, 3)

    def training_step(self, batch, batch_idx):
        assert self.optimizers().param_groups[0]["lr"] == self.lr_schedulers().get_last_lr()[0]
        return F.cross_entropy(self.net(batch[0]), batch[1])

    def configure_optimizers(self):
        optimizer = torch.optim.SGD(self.parameters(), lr=0.1)
        return [optimizer], [torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.9)]


def test_a_step_that_reads_its_optimizer_is_measured_before_any_fit():
    run = Federated(ReadsItsOptimizer(), TensorSamples(*numbers(8)), cut(8), tests=cut(8))
    client_facts = facts(run.round(watched=[0]))[0]
    assert client_facts["trained"]["loss"][0] < client_facts["received"]["loss"][0]


def test_a_manual_modules_loss_is_refused_in_one_sentence():
    run = Federated(ByHand(), TensorSamples(*numbers(8)), cut(8))
    client = run.worker.client(run.jobs([0]), {}, [{}])
    with pytest.raises(InputError, match=r"ByHand has manual optimisation.*aggregator=fedavg"):
        client.loss(run.start)


class TwoOptimizersLater(pl.LightningModule):
    """Its layers are made in `configure_model`, so its optimisers can only be seen after it."""

    def configure_model(self):
        self.first, self.second = nn.Linear(6, 4), nn.Linear(4, 3)

    def training_step(self, batch, batch_idx):
        return F.cross_entropy(self.second(self.first(batch[0])), batch[1])

    def configure_optimizers(self):
        return [torch.optim.SGD(layer.parameters(), lr=0.1) for layer in (self.first, self.second)]


def test_optimisers_of_layers_that_configure_model_makes_are_refused_before_training():
    samples = TensorSamples(*numbers(8))
    trainer = VectorizedTrainer(accelerator="cpu")
    with pytest.raises(InputError, match="TwoOptimizersLater has 2 optimisers, not one; write trainer=lightning"):
        trainer.worker(TwoOptimizersLater(), JobData(samples, samples), Measure())
