"""`local_updates`: a number of batches a round, which go on where those of the round before end."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import numpy as np
import pytest
import torch
from torch import Tensor, nn

from fedlit.aggregators import FedAvg
from fedlit.errors import InputError
from fedlit.experiment_refusals import local_updates
from fedlit.round import Round
from fedlit.training import Job
from fedlit.training.batch_plan import BatchPlan
from fedlit.training.fit_plan import UpdatesPlan
from fedlit.training.lightning import LightningTrainer
from fedlit.training.stacked import VectorizedTrainer
from tests.aggregators.federations import CLASSES, WIDTH, Listed, Running, numbers
from tests.slow import some_slow
from tests.small_runs import command, composed, same_bits, saved

KINDS: dict[str, tuple[Any, dict[str, Any]]] = {
    "lightning": (LightningTrainer, {}),
    "stack": (VectorizedTrainer, {"stack": "always"}),
    "traced stack": (VectorizedTrainer, {"stack": "always", "compile": "trace"}),
    "chunks of one": (VectorizedTrainer, {"stack": "always", "chunk": 1}),
    "one by one": (VectorizedTrainer, {"stack": "never"}),
}
kinds = pytest.mark.parametrize("kind", some_slow(KINDS, ["lightning", "stack", "one by one"]))
SHARDS = (13, 8, 4, 3, 1, 0)


def plans(
    rounds: int, updates: int, drop_single: bool = False, call: int = 0, limit: int | None = None
) -> list[UpdatesPlan]:
    """The plans of all clients, round by round, in batches of four."""
    starts = np.cumsum([0, *SHARDS])
    result = []
    for number in range(1, rounds + 1):
        round = Round(number, 0, list(range(len(SHARDS))), len(SHARDS))
        jobs = [Job(c, round, 4, 1, np.arange(starts[c], starts[c + 1])) for c in range(len(SHARDS))]
        result.append(UpdatesPlan(BatchPlan(np.array(SHARDS), 4, drop_single, limit), jobs, call, updates))
    return result


def as_lists(parts: Sequence[np.ndarray]) -> list[list[int]]:
    return [part.tolist() for part in parts]


@pytest.mark.parametrize(("updates", "drop_single"), [(1, False), (3, True), (7, False)])
def test_the_batches_of_the_rounds_are_a_stream_of_passes_over_the_shard(updates: int, drop_single: bool) -> None:
    rounds, starts = plans(9, updates, drop_single), np.cumsum([0, *SHARDS])
    for client, size in enumerate(SHARDS):
        stream = [
            b for plan in rounds for shard_pass in plan.of_client(client)[0] for b in as_lists(shard_pass.batches)
        ]
        lengths = [4] * (size // 4) + [size % 4] * (size % 4 > (1 if drop_single else 0))
        if not lengths:
            assert stream == []
            continue
        assert len(stream) == 9 * updates
        passes = [stream[i : i + len(lengths)] for i in range(0, len(stream), len(lengths))]
        for batches in passes:
            assert [len(batch) for batch in batches] == lengths[: len(batches)]
            seen = [sample for batch in batches for sample in batch]
            assert len(set(seen)) == len(seen) and set(seen) <= set(range(starts[client], starts[client + 1]))
        if size > 3:
            assert passes[0] != passes[1]


@pytest.mark.parametrize(("drop_single", "limit"), [(False, None), (True, None), (False, 2)])
def test_a_stack_has_the_batches_of_each_client(drop_single: bool, limit: int | None) -> None:
    for plan in plans(3, 5, drop_single, limit=limit):
        by_client: dict[int, list[Any]] = {c: [] for c in range(len(SHARDS))}
        for part in plan.epoch(0):
            members = np.arange(len(SHARDS))[part.rows]
            for client, index, number in zip(
                members, part.index, np.broadcast_to(part.shard_pass, len(members)), strict=True
            ):
                assert part.batch_idx == len(by_client[client])
                by_client[client].append((index.tolist(), plan.key(client, int(number))))
        for client, batches in by_client.items():
            passes = plan.of_client(client)[0]
            assert batches == [(index.tolist(), p.key) for p in passes for index in p.batches]


def test_each_pass_has_a_key_of_its_own() -> None:
    """Draws of transforms, such as an augmentation, differ from pass to pass, round to round and client to client."""
    rounds = plans(3, 7)
    keys = [shard_pass.key for plan in rounds for client in range(5) for shard_pass in plan.of_client(client)[0]]
    assert len(set(keys)) == len(keys) > 2 * 3 * 5


def test_a_second_fit_has_a_stream_of_its_own() -> None:
    (first,), (second,) = plans(1, 3), plans(1, 3, call=1)
    assert as_lists(first.of_client(0)[0][0].batches) != as_lists(second.of_client(0)[0][0].batches)


def test_samples_of_single_batches_are_counted_as_skipped() -> None:
    skipped = [plan.skipped(np.ones(len(SHARDS), dtype=int)).tolist() for plan in plans(3, 2, drop_single=True)]
    # 13 samples: a pass of three batches and a single; passes end after batches 3, 6: in rounds 2 and 3
    assert [row[0] for row in skipped] == [0, 1, 1]
    assert [row[1] for row in skipped] == [0, 0, 0]
    assert [row[4] for row in skipped] == [1, 1, 1]


# --- training -----------------------------------------------------------------------------------------------
LR, MOMENTUM, UPDATES = 0.1, 0.5, 5
COHORTS = [[0, 1, 2, 3], [2, 0], [1, 3, 0]]


planned: list[tuple[int, ...]] = []  # steps, epochs and batches that `configure_optimizers` saw, also in trials


class Scheduled(pl.LightningModule):
    """A linear layer whose learning rate falls linearly to 0 over the steps that the trainer estimates."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(WIDTH, CLASSES)

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        return nn.functional.cross_entropy(self.layer(batch[0]), batch[1])

    def configure_optimizers(self) -> Any:
        sgd = torch.optim.SGD(self.parameters(), LR, MOMENTUM)
        steps = self.trainer.estimated_stepping_batches
        planned.append((steps, self.trainer.max_epochs, self.trainer.num_training_batches))
        falling = torch.optim.lr_scheduler.LambdaLR(sgd, lambda step: 1 - step / steps)
        return [sgd], [{"scheduler": falling, "interval": "step"}]


def batch_stream(run: Running, client: int, count: int) -> list[list[int]]:
    """The first batches of a client's stream, from the keyed order of each pass."""
    (job,) = run.federation.clients.jobs(Round(1, 0, [client], 4))
    batches: list[list[int]] = []
    number = 0
    while len(batches) < count:
        batches += as_lists(job.batches(0, number, False, lasting=True))
        number += 1
    return batches[:count]


@kinds
def test_rounds_are_those_of_plain_torch(tmp_path: Path, kind: str) -> None:
    kind_of_trainer, options = KINDS[kind]
    torch.manual_seed(0)
    run = Running(
        tmp_path, FedAvg(), Listed(*COHORTS), net=Scheduled(), kind=kind_of_trainer, updates=UPDATES, **options
    )
    w = {n: t.clone() for n, t in run.layout.named(run.start).items()}
    x, y = numbers()
    sizes = run.federation.clients.train.sizes
    for number, cohort in enumerate(COHORTS, 1):
        mean = {n: torch.zeros_like(t) for n, t in w.items()}
        for client in cohort:
            v = {n: t.clone().requires_grad_() for n, t in w.items()}
            momentum = {n: torch.zeros_like(t) for n, t in w.items()}
            for step, batch in enumerate(batch_stream(run, client, number * UPDATES)[(number - 1) * UPDATES :]):
                logits = x[batch] @ v["layer.weight"].T + v["layer.bias"]
                loss = -(logits - logits.logsumexp(1, keepdim=True))[range(len(batch)), y[batch]].mean()
                gradients = torch.autograd.grad(loss, list(v.values()))
                for name, gradient in zip(v, gradients, strict=True):
                    momentum[name] = MOMENTUM * momentum[name] + gradient
                    v[name] = (v[name] - LR * (1 - step / UPDATES) * momentum[name]).detach().requires_grad_()
            share = sizes[client] / sum(sizes[c] for c in cohort)
            mean = {n: mean[n] + share * v[n].detach() for n in mean}
        w = mean
    steps: list[dict[int, int]] = []
    run.logger.clients = lambda number, facts: steps.append({f["client"]: f["steps"] for f in facts})  # type: ignore[method-assign]
    planned.clear()
    trained = run.go(3).named()
    assert (UPDATES, 1, UPDATES) in planned
    assert max(float((trained[n] - w[n]).abs().max()) for n in w) < 1e-12
    assert steps == [dict.fromkeys(cohort, UPDATES) for cohort in COHORTS]


class Recording(Scheduled):
    """Notes samples, `batch_idx`, epoch and step of each batch."""

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        if self.training:
            seen.append((batch_idx, self.current_epoch, self.global_step, len(batch[1])))
        return super().training_step(batch, batch_idx)


seen: list[tuple[int, ...]] = []


@pytest.mark.parametrize("kind", ["lightning", "one by one"])
def test_batch_idx_counts_the_batches_of_the_fit(tmp_path: Path, kind: str) -> None:
    kind_of_trainer, options = KINDS[kind]
    run = Running(
        tmp_path, FedAvg(), Listed([1], [1]), net=Recording(), kind=kind_of_trainer, updates=UPDATES, **options
    )
    seen.clear()
    run.go(2)
    assert seen == [(step, 0, step, 4) for step in range(UPDATES)] * 2


@pytest.mark.parametrize("kind", some_slow([kind for kind in KINDS if kind != "lightning"], ["stack"]))
def test_trainers_agree_on_an_awkward_module(tmp_path: Path, kind: str) -> None:
    trained = []
    for name in ("lightning", kind):
        trainer, options = KINDS[name]
        torch.manual_seed(0)
        run = Running(
            tmp_path / name,
            FedAvg(),
            Listed(*COHORTS),
            dropout=0.3,
            norm=True,
            kind=trainer,
            updates=UPDATES,
            **options,
        )
        trained.append(run.go(3).state.server["model"])
    torch.testing.assert_close(trained[0].weights, trained[1].weights, rtol=0, atol=1e-12)
    torch.testing.assert_close(trained[0].statistics, trained[1].statistics, rtol=0, atol=1e-12)


# --- whole runs -----------------------------------------------------------------------------------------------
TINY = ["data=synthetic", "model=mlp", "clients=3", "rounds=1", "device=cpu", "progress=none", "logger=none"]


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["local_updates=3", "local_epochs=1"], "local_updates=3 takes the place of local_epochs=1; leave"),
        (["local_updates=3", "trainer.limit_train_batches=2"], "so is trainer.limit_train_batches=2; leave one"),
        (["local_updates=3", "aggregator=fedsgd"], "local_updates would have no effect, because under FedSGD the"),
        (["local_updates=0"], "has to be an integer of at least 1 or null; write for example local_updates=1."),
    ],
)
def test_contradictions_are_refused(tmp_path: Path, words: list[str], sentence: str, capsys: Any) -> None:
    assert command(*TINY, *words, f"hydra.run.dir={tmp_path}/run") == 2
    captured = capsys.readouterr()
    assert sentence in captured.out + captured.err
    assert not list(tmp_path.glob("run/checkpoints/round*"))


def test_updates_are_optimiser_steps_also_of_several_batches(tmp_path: Path) -> None:
    config = composed("local_updates=3", "trainer.accumulate_grad_batches=2").config
    batches = local_updates(config, [])
    assert batches == 6
    run = Running(tmp_path, FedAvg(), Listed([1]), updates=batches, accumulate_grad_batches=2)
    steps: list[int] = []
    run.logger.clients = lambda number, facts: steps.extend(f["steps"] for f in facts)  # type: ignore[method-assign]
    run.go()
    assert steps == [3]


def test_a_preset_with_epochs_may_be_run_with_updates() -> None:
    """Only `local_epochs` on the command line contradicts."""
    config = composed("experiment=lecture", "local_updates=3").config
    assert local_updates(config, ["experiment=lecture", "local_updates=3"]) == 3
    with pytest.raises(InputError, match="leave local_epochs out, or write local_updates=null"):
        local_updates(config, ["experiment=lecture", "local_epochs=5", "local_updates=3"])


@pytest.mark.slow
@pytest.mark.parametrize("trainer", ["lightning", "vectorized"])
def test_a_resumed_run_gives_the_same_bits(tmp_path: Path, trainer: str) -> None:
    words = [*TINY, "local_updates=3", f"trainer={trainer}", "threads=1", "participation=0.7"]
    assert command(*words, "rounds=4", f"hydra.run.dir={tmp_path}/whole") == 0
    assert command(*words, "rounds=2", f"hydra.run.dir={tmp_path}/half") == 0
    assert command(f"resume={tmp_path}/half", "rounds=4") == 0
    assert same_bits(saved(tmp_path / "whole", 4), saved(tmp_path / "half", 4))
