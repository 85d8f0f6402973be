"""Metrics of a module on sets of samples, as sums and weights, so that later averages can be weighted correctly."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.utilities.model_helpers import is_overridden
from torch import Tensor

from fedlit.data import Samples
from fedlit.data.targets import class_targets
from fedlit.global_generators import isolated_generators
from fedlit.user_module.training_step import call_step, loss_of, samples_in

Totals = dict[str, tuple[float, float]]  # metric -> (sum over the samples, number of samples)
Prepare = Callable[[Any, Tensor, Tensor], Any]
"""`prepare(batch, samples, clients)` returns the batch as the module gets it; samples (B,) and their clients (B,)."""


@dataclass
class Measured:
    totals: list[Totals]  # for each part; empty for a part without samples
    confusion: np.ndarray | None = None  # (classes, classes) counts over all parts, true class by row


@dataclass
class Measure:
    """Measures a module by the first of three strategies that applies:

    1. by sample, for a module with `losses(outputs, targets) -> (N,)` (fedlit's own): all parts in one pass;
    2. by a Trainer, for a module with a `test_step` or `validation_step`: the values that it logs, under its names,
       part by part; in addition the metrics of the third strategy;
    3. by batch, for any other module: the loss of `training_step` in evaluation mode.

    Accuracy is measured under 1 and 3 where `forward` returns (N, classes) and targets are integers (N,). So are the
    torchmetrics in `metrics`, which are updated with (outputs, targets). Metrics that do not apply are left out.

    Attributes:
        metrics: name -> torchmetrics.Metric.
    """

    batch_size: int = 512
    metrics: Mapping[str, Any] = field(default_factory=dict)

    def __call__(
        self,
        module: LightningModule,
        samples: Samples,
        parts: Sequence[np.ndarray],
        clients: Sequence[int],
        prepare: Prepare,
        evaluation_trainer: Callable[[], Trainer],
        confusion: int | None = None,
    ) -> Measured:
        """
        Args:
            module: with its weights loaded. Its training modes are restored.
            samples: the set that `parts` index.
            parts: index arrays (n,).
            clients: the client of each part; -1 for a part that belongs to no client.
            prepare: prepares a batch for the module.
            evaluation_trainer: returns the Trainer for the second strategy.
            confusion: number of classes, for a confusion matrix.
        """
        client_parts = _Parts(samples, parts, clients, prepare)
        with _evaluating(module), isolated_generators(0):
            if self.by_sample(module):
                return self._by_sample(module, client_parts, confusion)
            if _has_step(module):
                logged = self._by_trainer(module, client_parts, evaluation_trainer)
                measured = self._by_batch(module, client_parts, confusion)
                return Measured([a | b for a, b in zip(measured.totals, logged, strict=True)], measured.confusion)
            return self._by_batch(module, client_parts, confusion)

    @staticmethod
    def by_sample(module: LightningModule) -> bool:
        """Whether the first strategy applies."""
        return hasattr(module, "losses") and not _has_step(module)

    def measure_stack(
        self,
        module: LightningModule,
        forward: Callable[[Tensor], Tensor],
        samples: Samples,
        parts: Sequence[np.ndarray],
        clients: Sequence[int],
        prepare: Prepare,
    ) -> list[Totals]:
        """K models together, each on its own part; for modules that are measured by sample.

        Args:
            forward: inputs (K, B, ...) through the K models.
        """
        sizes = np.array([len(p) for p in parts])
        longest, k = int(sizes.max()), len(parts)
        index = np.stack([np.concatenate([p, np.zeros(longest - len(p), dtype=np.int64)]) for p in parts])
        is_sample = np.arange(longest) < sizes[:, None]  # the other positions are padding and are not counted
        clients_of = torch.from_numpy(np.repeat(np.asarray(clients, dtype=np.int64)[:, None], longest, 1))
        width = max(8 * self.batch_size // k, 1)
        tally = _Tally(k, self.metrics, None)
        with _evaluating(module), isolated_generators(0):
            for cut in (slice(i, i + width) for i in range(0, longest, width)):
                batch = prepare(samples.batch(index[:, cut]), torch.from_numpy(index[:, cut]), clients_of[:, cut])
                all_outputs, all_targets = forward(batch[0]).flatten(0, 1), samples.targets_in(batch).flatten(0, 1)
                positions = np.flatnonzero(is_sample[:, cut])
                part_of = positions // is_sample[:, cut].shape[1]
                kept = torch.from_numpy(positions).to(all_outputs.device)
                outputs, targets = all_outputs[kept], all_targets[kept]
                tally.add_losses(part_of, module.losses(outputs, targets))  # type: ignore[operator]
                tally.add_outputs(part_of, outputs, targets)
        return tally.measured().totals

    def _by_sample(
        self,
        module: LightningModule,
        parts: _Parts,
        confusion: int | None,
    ) -> Measured:
        sizes = np.array([len(p) for p in parts.indices], dtype=np.int64)
        part_of = np.repeat(np.arange(len(sizes)), sizes)
        index = np.concatenate([*parts.indices, np.empty(0, np.int64)])
        cuts = [slice(i, i + self.batch_size) for i in range(0, len(index), self.batch_size)]
        tally = _Tally(len(parts.indices), self.metrics, confusion)
        clients_of = np.asarray(parts.clients, dtype=np.int64)[part_of]
        for cut, batch in zip(cuts, parts.samples.batches([index[c] for c in cuts]), strict=True):
            batch = parts.prepare(batch, torch.from_numpy(index[cut]), torch.from_numpy(clients_of[cut]))
            inputs, targets = batch[0], parts.samples.targets_in(batch)
            outputs = module(inputs)
            tally.add_losses(part_of[cut], module.losses(outputs, targets))  # type: ignore[operator]
            tally.add_outputs(part_of[cut], outputs, targets)
        return tally.measured()

    def _by_batch(
        self,
        module: LightningModule,
        parts: _Parts,
        confusion: int | None,
    ) -> Measured:
        tally = _Tally(len(parts.indices), self.metrics, confusion)
        for row, (part, client) in enumerate(zip(parts.indices, parts.clients, strict=True)):
            for batch in parts.batches(part, client, self.batch_size):
                n = samples_in(batch)
                outputs, loss = _step_and_outputs(module, batch)
                if loss is not None:
                    tally.add_losses(np.full(n, row), loss.detach().expand(n))
                if outputs is not None:
                    tally.add_outputs(np.full(n, row), outputs, parts.samples.measured_targets(batch))
        return tally.measured()

    def _by_trainer(
        self,
        module: LightningModule,
        parts: _Parts,
        evaluation_trainer: Callable[[], Trainer],
    ) -> list[Totals]:
        trainer, trainer_before = evaluation_trainer(), module._trainer
        log_before = module.__dict__.pop("log")  # the Trainer has to receive the logged values
        run = trainer.test if is_overridden("test_step", module) else trainer.validate
        totals: list[Totals] = []
        for part, client in zip(parts.indices, parts.clients, strict=True):
            logged: Mapping[str, float] = {}
            if len(part):
                loader = _Loader(lambda: parts.batches(part, client, self.batch_size))  # noqa: B023
                (logged,) = run(module, loader, verbose=False)
            totals.append({name: (float(value) * len(part), float(len(part))) for name, value in logged.items()})
        module._trainer = trainer_before
        module.log = log_before  # type: ignore[method-assign]
        return totals


@dataclass(frozen=True)
class _Parts:
    """Parts of a set of samples, each of one client."""

    samples: Samples
    indices: Sequence[np.ndarray]
    clients: Sequence[int]
    prepare: Prepare

    def batches(self, part: np.ndarray, client: int, batch_size: int) -> Iterator[Any]:
        """The prepared batches of one part, in its order."""
        cuts = [part[i : i + batch_size] for i in range(0, len(part), batch_size)]
        for cut, batch in zip(cuts, self.samples.batches(cuts), strict=True):
            yield self.prepare(batch, torch.from_numpy(cut), torch.full((len(cut),), client))


class _Loader:
    """An iterable over batches that a Trainer can iterate more than once."""

    def __init__(self, make: Callable[[], Iterator[Any]]):
        self.make = make

    def __iter__(self) -> Iterator[Any]:
        return self.make()


class _Tally:
    """Sums and weights of metrics, by part."""

    def __init__(self, parts: int, metrics: Mapping[str, Any], confusion: int | None):
        self.sums: dict[str, np.ndarray] = {}
        self.counts: dict[str, np.ndarray] = {}
        self.parts = parts
        self.metrics = [{n: m.clone() for n, m in metrics.items()} for _ in range(parts if metrics else 0)]
        self.confusion = None if confusion is None else np.zeros((confusion, confusion), dtype=np.int64)
        self.updated = np.zeros(parts, dtype=np.int64)  # samples with which the metrics were updated

    def _add(self, name: str, part_of: np.ndarray, values: Tensor) -> None:
        numbers = values.detach().double().cpu().numpy()
        self.sums[name] = self.sums.get(name, 0.0) + np.bincount(part_of, numbers, self.parts)
        self.counts[name] = self.counts.get(name, 0.0) + np.bincount(part_of, minlength=self.parts)

    def add_losses(self, part_of: np.ndarray, losses: Tensor) -> None:
        self._add("loss", part_of, losses)

    def add_outputs(self, part_of: np.ndarray, outputs: Tensor, targets: Any) -> None:
        labels = class_targets(targets)
        if outputs.dim() != 2 or labels is None or len(outputs) != len(labels):
            return
        if bool((labels < 0).any()):  # no class
            has_class = labels >= 0
            part_of, outputs, labels = part_of[has_class.cpu().numpy()], outputs[has_class], labels[has_class]
        targets = labels
        predicted = outputs.argmax(1)
        self._add("accuracy", part_of, predicted == targets)
        if self.confusion is not None:
            true_classes, predicted_classes = targets.cpu().numpy(), predicted.cpu().numpy()
            # a module may have more outputs than classes
            known = np.maximum(true_classes, predicted_classes) < len(self.confusion)
            np.add.at(self.confusion, (true_classes[known], predicted_classes[known]), 1)
        if self.metrics:
            for row in np.unique(part_of):
                index = torch.from_numpy(np.flatnonzero(part_of == row)).to(outputs.device)
                self.updated[row] += len(index)
                for metric in self.metrics[row].values():
                    metric.to(outputs.device).update(outputs[index], targets[index])

    def measured(self) -> Measured:
        totals: list[Totals] = [
            {n: (float(s[row]), float(self.counts[n][row])) for n, s in self.sums.items() if self.counts[n][row]}
            for row in range(self.parts)
        ]
        for row, metrics in enumerate(self.metrics):
            n = float(self.updated[row])
            if n:
                totals[row] |= {name: (float(m.compute()) * n, n) for name, m in metrics.items()}
        has_confusion = self.confusion is not None and "accuracy" in self.sums
        return Measured(totals, self.confusion if has_confusion else None)


def mean_loss(
    module: LightningModule, samples: Samples, part: np.ndarray, client: int, prepare: Prepare, batch_size: int
) -> float:
    """The mean over samples of the training_step's loss in evaluation mode; NaN without samples."""
    total = 0.0
    cuts = [part[i : i + batch_size] for i in range(0, len(part), batch_size)]
    with _evaluating(module), isolated_generators(0):
        for cut, batch in zip(cuts, samples.batches(cuts), strict=True):
            batch = prepare(batch, torch.from_numpy(cut), torch.full((len(cut),), client))
            loss = loss_of(call_step(module, batch, 0))
            total += float("nan") if loss is None else float(loss) * len(cut)
    return total / len(part) if len(part) else float("nan")


def _has_step(module: LightningModule) -> bool:
    return is_overridden("test_step", module) or is_overridden("validation_step", module)


def _step_and_outputs(module: LightningModule, batch: Any) -> tuple[Tensor | None, Tensor | None]:
    """The output of `forward` inside the training_step, or for the batch's first element; and the step's loss."""
    outputs: list[Any] = []
    hook = module.register_forward_hook(lambda m, inputs, output: outputs.append(output))
    try:
        # under manual optimisation the step would train, and it has no gradients here
        loss = loss_of(call_step(module, batch, 0)) if module.automatic_optimization else None
        if not outputs and is_overridden("forward", module):
            try:
                module(batch[0] if isinstance(batch, list | tuple) else batch)
            except Exception:  # a forward with other arguments: accuracy is left out
                return None, loss
    finally:
        hook.remove()
    return (outputs[-1] if outputs and torch.is_tensor(outputs[-1]) else None), loss


@contextmanager
def _evaluating(module: LightningModule) -> Iterator[None]:
    """While open: evaluation mode, no gradients, and values that the step logs are dropped (a fit may be running)."""
    modes = [(m, m.training) for m in module.modules()]
    module.eval()
    module.log = lambda *args, **options: None  # type: ignore[method-assign]
    try:
        with torch.no_grad():
            yield
    finally:
        module.__dict__.pop("log", None)
        for m, mode in modes:
            m.training = mode
