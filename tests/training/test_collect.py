"""`client.collect`: sums over a client's batches in evaluation mode, which train nothing."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import TensorDataset

from fedlit.data import LoadedSamples
from fedlit.errors import InputError
from fedlit.model_vectors import Model
from fedlit.server_round import ServerClient
from fedlit.training.collected_sums import CollectedSums
from tests.training.collecting import (
    BATCH,
    CLASSES,
    TRAIN,
    VALIDATION,
    Collecting,
    Net,
    data,
    gradient,
    kinds,
    untraced,
)

PARTS = {"train": TRAIN, "validation": VALIDATION}
each_kind = pytest.mark.parametrize("kind", untraced)
also_traced = pytest.mark.parametrize("kind", kinds)


def whole_gradient(model: Net, samples: range) -> Tensor:
    """The gradient of the summed loss of all samples at once, (P,), by torch alone."""
    x, y = (t[list(samples)] for t in data())
    loss = nn.functional.cross_entropy(
        model.head(torch.relu(model.norm(model.body(x)))), y, reduction="sum"
    )  # without dropout
    loss.backward()
    return torch.cat([p.grad.flatten() for p in model.parameters()])


@pytest.mark.parametrize("on", PARTS)
@also_traced
def test_a_gradient_is_that_of_the_whole_part(kind: str, on: Any) -> None:
    collected = Collecting(kind).collect(gradient, on)["gradient"]
    for client, samples in PARTS[on].items():
        model = Net().double().eval()
        expected = whole_gradient(model, samples) if len(samples) else torch.zeros_like(collected[client])
        assert float((collected[client] - expected).abs().max()) < 1e-12
        assert len(samples) == 0 or float(expected.abs().max()) > 1e-3


@pytest.mark.parametrize("on", PARTS)
@each_kind
def test_sums_by_hand(kind: str, on: Any) -> None:
    """Of numbers that differ by client, counts of classes, samples, batches and their places; features by class."""

    def f(step: Any, w: Tensor, number: Tensor, table: Tensor) -> dict[str, Tensor]:
        one_hot = nn.functional.one_hot(step.targets, CLASSES)
        return {
            "number": number,
            "classes": one_hot.sum(1),
            "examples": step.examples,
            "place": step.number,
            "features": one_hot.to(w).transpose(1, 2) @ step.features(w),
            "outputs": step.outputs(w).sum(1),
            "table": table[:, 0],
        }

    run, sums = Collecting(kind), {}
    for numbers, client in run.chunks():
        own = torch.tensor(numbers)[:, None] + 10
        chunk = client.collect(run.start, f, on, extras=(own, torch.arange(2.0)))
        sums = {n: torch.cat([sums[n], v]) if sums else v for n, v in chunk.items()}
    x, y = data()
    model = Net().double().eval()
    for client, samples in PARTS[on].items():
        part = list(samples)
        batches = -(-len(part) // BATCH)
        assert sums["number"][client].tolist() == [batches * (client + 10)]
        assert sums["classes"][client].tolist() == [sum(int(y[i]) == c for i in part) for c in range(CLASSES)]
        assert sums["examples"][client].tolist() == [len(part)]
        assert sums["place"][client].tolist() == [sum(range(batches))]
        assert sums["place"].dtype == torch.int64
        features = torch.relu(model.norm(model.body(x[part])))
        for c in range(CLASSES):
            expected = features[y[part] == c].sum(0)
            torch.testing.assert_close(sums["features"][client, c], expected, rtol=0, atol=1e-12)
        torch.testing.assert_close(sums["outputs"][client], model.head(features).sum(0), rtol=0, atol=1e-12)
    assert not any(v.requires_grad for v in sums.values())


@also_traced
def test_training_does_not_notice_it(kind: str) -> None:
    run, results = Collecting(kind), []
    for collects in (0, 2):
        fits: list[Tensor] = []
        facts: list[Any] = []
        for _, client in run.chunks():
            for _ in range(collects):
                client.collect(run.start, gradient)
            assert client.calls == 0 and not client.fits and bool(client.moved.all())
            assert [set(row) for row in client.facts] == [{"client", "examples"}] * len(client.jobs)
            first = client.fit(run.start)
            drawn = client.draw("normal", "z", first.model.weights)
            if collects:
                client.collect(first.model, gradient)
            second = client.fit(first.model)
            for fitted in (first, second):
                fits += [fitted.model.weights, fitted.model.statistics, fitted.steps, fitted.lr, fitted.loss]
            fits += [drawn, client.moved, *client.counters.values()]
            facts.append([{n: v for n, v in row.items() if n != "seconds"} for row in client.facts])
        results.append((fits, facts))
    (without, facts_without), (with_it, facts_with) = results
    assert all(torch.equal(a.nan_to_num(), b.nan_to_num()) for a, b in zip(without, with_it, strict=True))
    assert str(facts_without) == str(facts_with) and "steps" in str(facts_with)


@each_kind
def test_clients_without_samples_get_zeros(kind: str) -> None:
    run = Collecting(kind)
    (_, client), *_ = run.chunks([4])
    sums = client.collect(run.start, gradient)
    assert sums["gradient"].shape == (1, run.layout.size) and not sums["gradient"].any()
    (_, client), *_ = run.chunks([2])
    assert not client.collect(run.start, lambda step, w: {"n": step.examples}, "validation")["n"].any()


@each_kind
def test_models_may_differ_by_client(kind: str) -> None:
    run = Collecting(kind)
    for numbers, client in run.chunks():
        scale = torch.tensor(numbers)[:, None] + 1.0
        models = Model(scale * run.start.weights, run.start.statistics.expand(len(numbers), -1))
        assert torch.equal(
            client.collect(models, lambda step, w: {"w": step.examples * w})["w"], client.examples * models.weights
        )


class Skips(Net):
    def training_step(self, batch: Any, batch_idx: int) -> Any:
        return None if batch_idx == 1 else super().training_step(batch, batch_idx)


class Counts(Net):
    """An attribute that changes in evaluation mode, and a draw of its own."""

    seen = 0

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        loss = super().training_step(batch, batch_idx)
        if not self.training:
            self.seen += 1
            loss = loss * self.seen + np.random.random()
        return loss


class Noisy(Net):
    def training_step(self, batch: Any, batch_idx: int) -> Any:
        return super().training_step(batch, batch_idx) * (1 + torch.rand((), dtype=torch.float64))


def losses(step: Any, w: Tensor) -> dict[str, Tensor]:
    return {"loss": step.loss(w)[:, None], "again": step.loss(w)[:, None], "batches": 0 * step.examples + 1}


@each_kind
def test_a_batch_that_the_step_skips_adds_nothing(kind: str) -> None:
    sums = Collecting(kind, Skips, falls_back=True).collect(losses)
    assert sums["batches"].flatten().tolist() == [4, 2, 1, 1, 0]


@each_kind
def test_draws_of_the_step_are_keyed(kind: str) -> None:
    """They repeat in each evaluation of a batch, and differ by client, batch and call."""
    run, expected = Collecting(kind, Noisy), Collecting("lightning", Noisy)
    first = run.collect(losses)
    torch.testing.assert_close(first, expected.collect(losses), rtol=0, atol=1e-12)
    assert torch.equal(first["loss"], first["again"])
    plain = Collecting("lightning").collect(losses)["loss"]
    factors = (first["loss"] / plain)[:4].flatten()
    assert len({round(f, 9) for f in factors.tolist()}) == 4 and float(factors.min()) > 1 and float(factors.max()) < 2
    (_, client), *_ = run.chunks()
    twice = [client.collect(run.start, losses)["loss"] for _ in range(2)]
    assert torch.equal(twice[0], first["loss"][: len(twice[0])]) and not torch.equal(*twice)


def test_a_step_that_a_stack_cannot_evaluate_runs_one_by_one(caplog: pytest.LogCaptureFixture) -> None:
    stack, alone = Collecting("stack", Counts, falls_back=True), Collecting("lightning", Counts)
    assert stack.worker.setup.plan.stacked
    sums = stack.collect(losses)
    assert "were asked for sums (client.collect) one by one" in caplog.text
    assert all(torch.equal(v, sums[n]) for n, v in alone.collect(losses).items())
    assert stack.worker.host.module.seen == 0


@each_kind
def test_samples_that_are_loaded_give_the_same(kind: str) -> None:
    loaded = LoadedSamples(TensorDataset(*data()))
    sums, expected = Collecting(kind, samples=loaded).collect(gradient), Collecting("lightning").collect(gradient)
    torch.testing.assert_close(sums, expected, rtol=0, atol=1e-12)


class Straight(Net):
    """Its features are its inputs."""

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        return self.body(batch[0]).square().mean()


def shifted(batch: Any, index: Tensor, client: Tensor, split: str, key: Tensor) -> Any:
    """Doubles training inputs (an augmentation), and adds the client's number to all."""
    return [(2 if split == "train" else 1) * batch[0] + client[..., None], *batch[1:]]


@each_kind
def test_inputs_are_transformed_without_augmentation(kind: str) -> None:
    run, x = Collecting(kind, Straight, transform=shifted), data()[0]
    sums = run.collect(lambda step, w: {"x": step.features(w).sum(1)})["x"]
    for client, samples in TRAIN.items():
        torch.testing.assert_close(sums[client], (x[list(samples)] + client).sum(0), rtol=0, atol=1e-12)


@pytest.mark.parametrize("kind", ["lightning", "stack"])
def test_a_server_has_no_leading_axis(kind: str) -> None:
    run = Collecting(kind)
    (_, client), *_ = run.chunks([0])
    server = ServerClient(client)
    sums = server.collect(run.start, lambda step, w, e: gradient(step, w) | {"e": e}, extras=(torch.ones(2),))
    assert sums["e"].tolist() == [5.0, 5.0]
    expected = whole_gradient(Net().double().eval(), TRAIN[0])
    assert float((sums["gradient"] - expected).abs().max()) < 1e-12
    with pytest.raises(InputError, match="server has no validation samples"):
        server.collect(run.start, gradient, "validation")


WRONG = {
    "returns None": lambda step, w: None,
    "an empty dict": lambda step, w: {},
    "a float for 'n'": lambda step, w: {"n": 3.0},
    "shape \\(5,\\) .* for 'n'": lambda step, w: {"n": torch.ones(5)},
    "type bool": lambda step, w: {"n": step.targets.any(1, keepdim=True)},
    "the shape \\(1, 4\\) of a batch before": lambda step, w: {"n": step.targets},
    "step.lr: .*no optimiser": lambda step, w: {"n": step.lr},
    "step.draw.*of the 1 client": lambda step, w: {"n": step.draw("normal", "n", w.new_ones(3, 1))},
}


@pytest.mark.parametrize("kind", ["lightning", "chunks of one"])
def test_what_cannot_be_summed_is_refused(kind: str) -> None:
    run = Collecting(kind)
    (_, client), *_ = run.chunks()
    for message, f in WRONG.items():
        with pytest.raises(InputError, match=message):
            client.collect(run.start, f)
    with pytest.raises(InputError, match="on='test' is no part"):
        client.collect(run.start, gradient, "test")


def test_keys_may_not_change() -> None:
    sums = CollectedSums(1)
    sums.add(slice(None), {"a": torch.ones(1, 1)}, 1)
    with pytest.raises(InputError, match="returns b of one batch and a of another"):
        sums.add(slice(None), {"b": torch.ones(1, 1)}, 1)


def test_half_precision_counts_beyond_256() -> None:
    sums = CollectedSums(2)
    for _ in range(1000):
        sums.add(slice(1, 2), {"n": torch.ones(1, 1, dtype=torch.bfloat16)}, 1)
    assert sums.totals()["n"].tolist() == [[0], [1000]] and sums.totals()["n"].dtype == torch.bfloat16


class Manual(Net):
    def __init__(self) -> None:
        super().__init__()
        self.automatic_optimization = False

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        optimizer = self.optimizers()
        optimizer.zero_grad()
        self.manual_backward(super().training_step(batch, batch_idx))
        optimizer.step()


def test_a_module_that_trains_in_its_step_has_no_loss_here() -> None:
    run = Collecting("lightning", Manual)
    with pytest.raises(InputError, match="Manual has manual optimisation"):
        run.collect(gradient)
    assert run.collect(lambda step, w: {"sum": step.targets.sum(1, keepdim=True)})["sum"].any()


class Silent(Net):
    def training_step(self, batch: Any, batch_idx: int) -> Any:
        return super().training_step(batch, batch_idx) if self.training else None


@each_kind
def test_a_step_that_skips_all_batches_is_refused(kind: str) -> None:
    with pytest.raises(InputError, match="training_step returned None for each"):
        Collecting(kind, Silent).collect(gradient)


class ByRound(Net):
    def training_step(self, batch: Any, batch_idx: int) -> Any:
        return super().training_step(batch, batch_idx) * self.round


@each_kind
def test_the_step_knows_the_round(kind: str) -> None:
    run = Collecting(kind, ByRound)
    (_, first), (_, second) = (next(run.chunks(number=number)) for number in (1, 3))
    once, thrice = (client.collect(run.start, gradient)["gradient"] for client in (first, second))
    torch.testing.assert_close(3 * once, thrice, rtol=0, atol=1e-12)
    assert once.any()
