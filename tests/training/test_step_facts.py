"""What a `gradient_fn` knows of its step: its number in the fit, its samples, and draws of its own."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

from fedlit.data import LoadedSamples
from fedlit.errors import InputError
from fedlit.training.step_draws import StepDraws
from tests.training.collecting import BATCH, TRAIN, Collecting, N, Net, data, untraced

each_kind = pytest.mark.parametrize("kind", untraced)
EPOCHS = 2


def noted(step: Any, w: Tensor, log: Tensor, draws: Tensor) -> Any:
    """Writes number, samples and two draws of the step into the step's place of `log` and `draws`."""
    (grad,) = torch.autograd.grad(step.loss(w).sum(), w)
    first, second = (step.draw("normal", "z", w[:, :2]) for _ in range(2))
    other = step.draw("uniform", "u", w[:, :1])
    place = step.number.unsqueeze(-1)
    facts = torch.cat([step.number.to(w), step.examples], 1)[:, None] + 1
    log = log.scatter(1, place.expand(-1, 1, 2), facts)
    drawn = torch.cat([first, second, other], 1)[:, None]
    return grad, {"log": log, "draws": draws.scatter(1, place.expand(-1, 1, 5), drawn)}


def fitted(run: Collecting, times: int = 1, number: int = 1) -> tuple[Tensor, Tensor, Tensor]:
    """Numbers and samples (5, batches, 2), draws (5, batches, 5), and trained weights of the last of some fits."""
    results = []
    for numbers, client in run.chunks(number=number):
        zeros = torch.zeros(len(numbers), 16, 2, dtype=torch.float64), torch.zeros(len(numbers), 16, 5).double()
        for _ in range(times):
            carry = dict(zip(("log", "draws"), zeros, strict=True))
            fit = client.fit(run.start, EPOCHS, gradient_fn=noted, carry=carry)
        results.append((fit.carry["log"], fit.carry["draws"], fit.model.weights))
    log, draws, weights = (torch.cat(parts) for parts in zip(*results, strict=True))
    return log, draws, weights


class Plain(Net):
    """Without batch normalisation, under which last batches of one sample are left out."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.Identity()

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        x = batch["x"] if isinstance(batch, dict) else batch[0]
        return self.head(self.body(x)).square().mean()


@each_kind
def test_number_and_examples_of_each_step(kind: str) -> None:
    log = fitted(Collecting(kind, Plain))[0] - 1
    for client, samples in TRAIN.items():
        lengths = [min(BATCH, len(samples) - begin) for begin in range(0, len(samples), BATCH)] * EPOCHS
        assert log[client, : len(lengths)].tolist() == [[number, n] for number, n in enumerate(lengths)]
        assert (log[client, len(lengths) :] == -1).all()


@each_kind
def test_carried_tensors_keep_no_graph(kind: str) -> None:
    """A graph that goes from step to step would keep the memory of all steps."""

    def gradient_fn(step: Any, w: Tensor, total: Tensor) -> Any:
        loss = step.loss(w)
        assert not total.requires_grad
        return torch.autograd.grad(loss.sum(), w, retain_graph=True)[0], {"total": total + loss[:, None]}

    run = Collecting(kind, Plain)
    for _, client in run.chunks():
        fit = client.fit(run.start, EPOCHS, gradient_fn=gradient_fn, carry={"total": torch.zeros(1, 1).double()})
        assert not fit.carry["total"].requires_grad


@each_kind
def test_carried_tensors_keep_their_types(kind: str) -> None:
    """The sum of a client's losses, rounded to 32 bits in each step, under every trainer."""

    def gradient_fn(step: Any, w: Tensor, total: Tensor) -> Any:
        assert total.dtype == torch.float32
        loss = step.loss(w)
        return torch.autograd.grad(loss.sum(), w)[0], {"total": total + loss[:, None].detach()}

    run = Collecting(kind, Plain)
    for _, client in run.chunks():
        fit = client.fit(run.start, EPOCHS, gradient_fn=gradient_fn, carry={"total": torch.zeros(1, 1)})
        assert fit.carry["total"].dtype == torch.float32


class Columns(Dataset[Any]):
    def __len__(self) -> int:
        return N

    def __getitem__(self, i: int) -> Any:
        return {"x": data()[0][i]}


@each_kind
def test_examples_do_not_depend_on_the_axes_of_a_batch(kind: str) -> None:
    """The collate function puts another tensor before the samples."""

    def collate(items: Any) -> Any:
        return {"names": torch.zeros(7), "x": torch.stack([item["x"] for item in items])}

    samples = LoadedSamples(Columns(), collate)
    run = Collecting(kind, Plain, samples=samples)
    log = fitted(run)[0] - 1
    assert log[0, :5, 1].tolist() == [4, 4, 4, 4, 1]
    counts = run.collect(lambda step, w: {"n": step.examples})["n"].flatten().tolist()
    assert counts == [len(samples) for samples in TRAIN.values()]


@each_kind
def test_draws_differ_by_client_step_fit_round_and_purpose(kind: str) -> None:
    run, reference = Collecting(kind, Plain), Collecting("lightning", Plain)
    draws = fitted(run)[1]
    torch.testing.assert_close(draws, fitted(reference)[1], rtol=0, atol=1e-12)
    drawn = [draws, fitted(run, times=2)[1], fitted(run, number=2)[1]]
    values = torch.cat([d[d != 0] for d in drawn])
    batches = EPOCHS * sum(-(-len(samples) // BATCH) for samples in TRAIN.values())
    assert len(values) == 3 * 5 * batches == len(values.unique())
    assert torch.equal(draws, fitted(run)[1])


@each_kind
def test_draws_of_an_algorithm_leave_those_of_training_alone(kind: str) -> None:
    def plain(step: Any, w: Tensor) -> Tensor:
        return torch.autograd.grad(step.loss(w).sum(), w)[0]

    def drawing(step: Any, w: Tensor) -> Tensor:
        step.draw("uniform", "u", w)
        return plain(step, w)

    run = Collecting(kind)  # with dropout
    first, second = (
        [client.fit(run.start, gradient_fn=f).model.weights for _, client in run.chunks()] for f in (plain, drawing)
    )
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


def test_moments_of_draws() -> None:
    draws = StepDraws(lambda what: torch.arange(4), torch.zeros(4, 1, dtype=torch.int64))
    like = torch.zeros(4, 50, 100)
    normal, uniform = draws("normal", "n", like), draws("uniform", "n", like)
    assert normal.shape == uniform.shape == like.shape and normal.dtype == torch.float32
    assert abs(float(normal.mean())) < 0.03 and float(normal.std()) == pytest.approx(1, abs=0.03)
    assert float(uniform.min()) >= 0 and float(uniform.max()) < 1
    assert float(uniform.mean()) == pytest.approx(0.5, abs=0.01)
    correlations = np.corrcoef(normal.reshape(4, -1).numpy()) - np.eye(4)
    assert np.abs(correlations).max() < 0.06


@pytest.mark.parametrize("like", [torch.zeros(3, 2), torch.zeros(()), torch.zeros(2, 1, dtype=torch.int64)], ids=str)
def test_a_draw_has_a_floating_row_for_each_client(like: Tensor) -> None:
    draws = StepDraws(lambda what: torch.arange(2), torch.zeros(2, 1, dtype=torch.int64))
    with pytest.raises(InputError, match=r"step\.draw\('normal', 'z', \.\.\.\).*\(K, \.\.\.\) of the 2 clients"):
        draws("normal", "z", like)
