"""trainer=lightning against plain loops in torch; it prints nothing, keeps no memory, and no order of work matters."""

from __future__ import annotations

import gc

import lightning.pytorch as pl
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from benchmarks.memory import resident
from fedlit.aggregators import FedAvg
from fedlit.data import TensorSamples
from fedlit.errors import InputError
from fedlit.training.lightning import LightningTrainer
from tests.training.rounds import Federated, cut, delta, facts, numbers


class Net(pl.LightningModule):
    def __init__(self, *between: nn.Module, optimizer=torch.optim.SGD, **options):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(6, 8), *between, nn.Tanh(), nn.Linear(8, 3))
        self.optimizer, self.options = optimizer, options or {"lr": 0.1}

    def training_step(self, batch, batch_idx):
        return F.cross_entropy(self.net(batch[0]), batch[1])

    def configure_optimizers(self):
        return self.optimizer(self.parameters(), **self.options)


def by_hand(run, module, samples, job, optimizer, accumulate=1, clip=None, clip_by="norm"):
    """A plain loop over the job's batches; the change of the weights, in the order of `parameters()`."""
    before = torch.cat([p.detach().flatten().clone() for p in module.parameters()])
    x, y = samples
    for epoch in range(job.epochs):
        batches = job.batches(0, epoch, False)
        for i, batch in enumerate(batches):
            (F.cross_entropy(module.net(x[batch]), y[batch]) / accumulate).backward()
            if (i + 1) % accumulate and i + 1 < len(batches):
                continue
            if clip is not None and clip_by == "norm":
                norm = torch.sqrt(sum((p.grad**2).sum() for p in module.parameters()))
                for p in module.parameters():
                    p.grad *= min(1.0, clip / (float(norm) + 1e-6))
            elif clip is not None:
                for p in module.parameters():
                    p.grad.clamp_(-clip, clip)
            optimizer.step()
            optimizer.zero_grad()
    return torch.cat([p.detach().flatten() for p in module.parameters()]) - before


@pytest.mark.parametrize(
    ("accumulate", "clip", "clip_by"),
    [(1, None, "norm"), (3, None, "norm"), (1, 0.05, "norm"), (2, 0.05, "norm"), (1, 0.01, "value")],
)
def test_accumulation_and_clipping_equal_a_plain_loop(accumulate, clip, clip_by):
    samples = numbers(18, dtype=torch.float64)
    torch.manual_seed(0)
    module = Net(lr=0.3, momentum=0.9, weight_decay=0.01)
    run = Federated(
        module,
        TensorSamples(*samples),
        cut(18),
        precision="64-true",
        accumulate_grad_batches=accumulate,
        gradient_clip_val=clip,
        gradient_clip_algorithm=clip_by,
    )
    (job,) = run.jobs([0], epochs=2)
    (returned,) = run.round(epochs=2)
    torch.manual_seed(0)
    twin = Net().double()
    run.layout.write(twin, run.start)
    optimizer = torch.optim.SGD(twin.parameters(), lr=0.3, momentum=0.9, weight_decay=0.01)
    expected = by_hand(run, twin, samples, job, optimizer, accumulate, clip, clip_by)
    assert delta(returned).dtype == torch.float64
    torch.testing.assert_close(delta(returned), expected, rtol=1e-12, atol=1e-14)
    assert facts([returned])[0]["steps"] == 2 * -(-5 // accumulate)


def test_a_client_smaller_than_a_batch_trains():
    run = Federated(Net(), TensorSamples(*numbers(5)), cut(2, 3))
    back = run.round(batch_size=4)
    assert [f["steps"] for f in facts(back).values()] == [1, 1]
    assert [f["skipped"] for f in facts(back).values()] == [0, 0]
    assert all(delta(returned).abs().max() > 0 for returned in back)


def test_a_last_batch_of_one_is_skipped_and_counted_under_batch_norm_alone():
    for between, steps, skipped in (((nn.BatchNorm1d(8),), 4, 2), ((), 6, 0)):
        run = Federated(Net(*between), TensorSamples(*numbers(9)), cut(9))
        client_facts = facts(run.round(epochs=2))[0]
        assert (client_facts["steps"], client_facts["skipped"]) == (steps, skipped)


def test_a_client_of_one_sample_under_batch_norm_makes_no_step():
    run = Federated(Net(nn.BatchNorm1d(8)), TensorSamples(*numbers(9)), cut(1, 8))
    first, second = run.round()
    assert first.moved == [False] and second.moved == [True]
    assert not delta(first).any()
    assert facts([first])[0]["skipped"] == 1


@pytest.mark.parametrize("dropout", [nn.Dropout(0.5), nn.AlphaDropout(0.5)])  # keyed masks, and a seeded generator
def test_the_order_of_clients_changes_no_bit(dropout):
    torch.manual_seed(0)
    run = Federated(Net(dropout), TensorSamples(*numbers(24)), cut(8, 8, 8))
    forth, back = run.round([0, 1, 2]), run.round([2, 1, 0])
    alone = run.round([1])[0]
    for a, b in zip(forth, reversed(back), strict=True):
        assert torch.equal(delta(a), delta(b))
    assert torch.equal(delta(forth[1]), delta(alone))
    assert not torch.equal(delta(forth[1]), delta(run.round([1], number=2)[0]))


def test_dropout_is_active_in_training():
    torch.manual_seed(0)
    run = Federated(Net(nn.Dropout(0.5)), TensorSamples(*numbers(8)), cut(8))
    with_dropout = delta(run.round()[0])
    torch.manual_seed(0)
    plain = Federated(Net(nn.Dropout(0.0)), TensorSamples(*numbers(8)), cut(8))
    assert torch.equal(plain.start.weights, run.start.weights)
    assert not torch.allclose(with_dropout, delta(plain.round()[0]))


def test_a_round_leaves_global_generators_unchanged():
    run = Federated(Net(nn.AlphaDropout(0.5)), TensorSamples(*numbers(8)), cut(8), tests=cut(8))
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    run.round(watched=[0])
    assert torch.equal(torch.rand(3), expected)


def test_an_optimisers_state_is_kept_with_keep_optimizer_state():
    samples = numbers(8, dtype=torch.float64)
    torch.manual_seed(0)
    module = Net(optimizer=torch.optim.Adam, lr=0.05)
    run = Federated(module, TensorSamples(*samples), cut(8), precision="64-true", keep_optimizer_state=True)
    (first,) = run.round(number=1)
    (second,) = run.round(states=first.states, number=2)

    twin = Net().double()
    optimizer = torch.optim.Adam(twin.parameters(), lr=0.05)
    for number, returned in ((1, first), (2, second)):  # each round begins at the start, with the moments of the last
        run.layout.write(twin, run.start)
        (job,) = run.jobs([0], number=number)
        torch.testing.assert_close(delta(returned), by_hand(run, twin, samples, job, optimizer), rtol=1e-10, atol=1e-13)
    (steps,) = {float(s["step"]) for s in second.states[0]["optimizer"]["0"].values()}
    assert steps == 4


def test_an_optimisers_state_is_new_in_each_round_by_default():
    run = Federated(Net(optimizer=torch.optim.Adam, lr=0.05), TensorSamples(*numbers(8)), cut(8))
    (first,) = run.round()
    assert "optimizer" not in first.states[0]
    (again,) = run.round(states=first.states)
    assert torch.equal(delta(first), delta(again))


def test_lightning_prints_nothing(capfd, recwarn, in_folder):
    run = Federated(Net(), TensorSamples(*numbers(8)), cut(4, 4), tests=cut(4, 4))
    run.round(watched=[0, 1], each_epoch=True)
    assert capfd.readouterr() == ("", "")
    assert not [str(w.message) for w in recwarn.list]
    assert list(in_folder.iterdir()) == []


def test_the_users_own_warnings_are_shown():
    class Warner(Net):
        def on_train_start(self):
            import warnings

            warnings.warn("mind the step", stacklevel=1)

    with pytest.warns(UserWarning, match="mind the step"):
        Federated(Warner(), TensorSamples(*numbers(8)), cut(8)).round()


@pytest.mark.parametrize("number_of_fits", [60, pytest.param(10_000, marks=pytest.mark.slow)])
def test_memory_does_not_grow_over_many_fits(number_of_fits):
    class Logging(Net):
        def training_step(self, batch, batch_idx):
            loss = super().training_step(batch, batch_idx)
            self.log("fit_loss", loss)
            return loss

    run = Federated(Logging(lr=0.1, momentum=0.9), TensorSamples(*numbers(8)), cut(8), tests=cut(8))

    def after(fits: int) -> tuple[int, int]:
        for i in range(fits):
            run.round(watched=[] if i % 10 else [0])
        gc.collect()
        alive = gc.get_objects()
        return len(alive), sum(torch.is_tensor(o) for o in alive)

    after(3)
    objects, tensors = after(3)
    held = resident("self")
    more, more_tensors = after(number_of_fits)
    assert more_tensors <= tensors
    assert more - objects < min(200, number_of_fits)  # not one object a fit
    if held is not None:  # Linux
        assert resident("self") - held < 20  # MB


def test_each_epoch_is_measured_within_the_fit_and_changes_nothing():
    torch.manual_seed(0)
    run = Federated(Net(nn.BatchNorm1d(8), nn.Dropout(0.5)), TensorSamples(*numbers(8)), cut(8), tests=cut(8))
    watched, plain = run.round(watched=[0], each_epoch=True, epochs=3), run.round(epochs=3)
    assert torch.equal(delta(watched[0]), delta(plain[0]))
    client_facts = facts(watched)[0]
    assert len(client_facts["epochs"]) == 3
    total, weight = client_facts["trained"]["loss"]
    assert client_facts["epochs"][-1]["test/loss"] == pytest.approx(total / weight)
    assert sum(e["train/loss"] for e in client_facts["epochs"]) / 3 == pytest.approx(client_facts["loss"])


class ByGradientFn(FedAvg):
    """FedAvg with a `gradient_fn` that returns the plain gradient."""

    def local_update(self, client, broadcast, state):
        def gradient_fn(step, weights):
            return torch.autograd.grad(step.loss(weights).sum(), weights)[0]

        x = broadcast["model"]
        return {"delta": client.fit(x, gradient_fn=gradient_fn).model - x}, state


@pytest.mark.parametrize("options", [{}, {"accumulate_grad_batches": 2, "gradient_clip_val": 0.05}])
def test_a_gradient_fn_that_returns_the_plain_gradient_changes_nothing(options):
    back = []
    for aggregator in (FedAvg(), ByGradientFn()):
        torch.manual_seed(0)
        module = Net(nn.BatchNorm1d(8), nn.Dropout(0.5), lr=0.1, momentum=0.9)
        samples = TensorSamples(*numbers(12, dtype=torch.float64))
        run = Federated(module, samples, cut(12), aggregator=aggregator, precision="64-true", **options)
        back += run.round(epochs=2)
    torch.testing.assert_close(delta(back[0]), delta(back[1]), rtol=1e-10, atol=1e-13)
    statistics = [returned.wire["delta.statistics"] for returned in back]
    assert torch.allclose(*statistics, rtol=1e-10, atol=1e-13)


def test_more_than_one_device_is_refused():
    with pytest.raises(InputError, match=r"trainer\.devices=2"):
        LightningTrainer(accelerator="cpu", devices=2).lightning_trainer()
