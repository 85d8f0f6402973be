"""A chunk of clients as an algorithm sees it (`fedlit.client.Client`): the part that both trainers share."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, Literal, get_args

import numpy as np
import torch
from torch import Tensor

from fedlit.client import AdjustGradient, CollectedPart, CollectFn, Fitted, GradientFn
from fedlit.device_copies import to_device
from fedlit.errors import InputError
from fedlit.evaluation.measure import Totals
from fedlit.metric_names import TRAIN_LOSS, epoch_metric
from fedlit.model_vectors import Model, tree_map
from fedlit.quiet import quiet
from fedlit.training.batch_plan import BatchPlan
from fedlit.training.collect import Collection, RowCollect, joined
from fedlit.training.fit_plan import FitPlan, fit_plan
from fedlit.training.gradient import GradientOptions
from fedlit.training.job import Job, Split
from fedlit.training.module_host import ModuleHost
from fedlit.training.sent_fit import FitRecord, sent_fit
from fedlit.training.step_draws import check_kind


class ChunkClient(ABC):
    """K clients, longest shard first, which share the module of a host.

    Args:
        counters: the server's integer buffers, by name.
        optimizers: K dicts from the number of a fit to the optimiser's state after it, in the client's last round.
        same_number: see `BatchPlan`.

    Attributes:
        facts: K dicts of what was noted of each client, for logs and metrics: plain values, metrics, lists of these.
            "idle" is why it made no step in one of its fits; absent where it made one in each.
        fits: of this round so far.
        last: the model (K, P), (K, S) after the last fit; after `note_sent`, after the fit that is sent.
        counters: (K, ...) integer buffers after that fit, by name.
        new_optimizers: as `optimizers`, after this round.
    """

    def __init__(
        self,
        host: ModuleHost,
        jobs: Sequence[Job],
        counters: dict[str, Tensor],
        optimizers: Sequence[dict[str, Any]],
        same_number: bool = False,
    ):
        self.host, self.layout, self.jobs, self.round = host, host.layout, jobs, jobs[0].round
        self.calls = 0  # fits so far in this round
        self.collects = 0  # calls of `collect` so far in this round
        self._draw_counts: dict[str, int] = {}
        device = host.layout.device
        sizes = np.array([len(job.train) for job in jobs])
        self.number = to_device([[job.client] for job in jobs], device)
        self.examples = to_device(sizes[:, None], device).to(host.layout.dtype)
        self.moved = torch.ones(len(jobs), 1, dtype=torch.bool, device=device)
        self.facts: list[dict[str, Any]] = [{"client": job.client, "examples": len(job.train)} for job in jobs]
        self.optimizers = optimizers
        self.new_optimizers: list[dict[str, Any]] = [{} for _ in jobs]
        self.start_counters = counters
        self.counters: dict[str, Tensor] = {}
        self.fits: list[FitRecord] = []
        self.last: Model | None = None
        limit = host.options.limit_train_batches
        self.batch_plan = BatchPlan(sizes, jobs[0].batch_size, host.has_batch_norm, limit, same_number)
        self.epochs_run = np.zeros(len(jobs), dtype=np.int64)  # in the last fit, which may stop early
        self.watched: Sequence[int] = ()  # rows that are measured after each epoch

    # --- the algorithm's interface ----------------------------------------------------------------
    def fit(
        self,
        model: Model,
        epochs: int | Tensor | None = None,
        adjust_gradient: AdjustGradient | None = None,
        extras: Sequence[Tensor] = (),
        trainable: Model | None = None,
        gradient_fn: GradientFn | None = None,
        carry: dict[str, Tensor] | None = None,
    ) -> Fitted:
        """See `Client.fit`."""
        begin = time.perf_counter()
        plan = fit_plan(self.batch_plan, self.jobs, self.calls, epochs)
        self.calls += 1
        k = len(self.jobs)
        carry = {name: value.expand(k, *value.shape[value.dim() > 1 :]) for name, value in (carry or {}).items()}
        gradient = GradientOptions(adjust_gradient, extras, trainable, gradient_fn, carry)
        self.epochs_run = plan.epochs
        fitted = self._fit(model, gradient, plan) if plan.any_batch else self._untrained(model, gradient.carry, k)
        self.moved &= fitted.steps > 0
        self.last = fitted.model
        self._note_fit(fitted, plan, (time.perf_counter() - begin) / len(self.jobs))
        logged = [facts.get("logged", {}) for facts in self.facts]
        losses = [facts["loss"] for facts in self.facts]
        start = tree_map(lambda t: t.expand(k, -1), model)
        self.fits.append(FitRecord(start, fitted.model, trainable, losses, logged, self.counters))
        return fitted

    def loss(self, model: Model, on: CollectedPart = "train") -> Tensor:
        """See `Client.loss`."""
        self._check_part("client.loss", on)
        losses = []
        for r, job in enumerate(self.jobs):
            self._load(r, model)
            losses.append(self.host.mean_loss(job, on))
        return self.examples.new_tensor(losses)[:, None]

    def collect(
        self, model: Model, f: CollectFn, on: CollectedPart = "train", extras: Sequence[Tensor] = ()
    ) -> dict[str, Tensor]:
        """See `Client.collect`."""
        self._check_part("client.collect", on)
        collection = Collection(f, on, extras, self.collects)
        self.collects += 1
        return self._collect(model, collection)

    def draw(self, kind: Literal["normal", "uniform"], what: str, like: Tensor) -> Tensor:
        """See `Client.draw`."""
        check_kind("client.draw", kind)
        call = self._draw_counts[what] = self._draw_counts.get(what, -1) + 1
        numbers = np.stack([job.draw(kind, what, call, like.shape[1:]) for job in self.jobs])
        return torch.from_numpy(numbers).to(like.dtype).to(like.device, non_blocking=True)

    def note_sent(self, message: dict[str, Any], received: dict[str, Any]) -> None:
        """Note which fit trained the model of the message: its loss, logged values, weights and counters are those of
        the clients. Those of other fits get the names `fit_1`, `fit_2`, ..., by the order of the fits."""
        if len(self.fits) < 2:
            return
        sent = sent_fit(message, received, self.fits)
        self.last, self.counters = self.fits[sent].model, self.fits[sent].counters
        for r, facts in enumerate(self.facts):
            others = {f"fit_{i}": fit for i, fit in enumerate(self.fits, 1) if i != sent + 1}
            facts["loss"] = self.fits[sent].losses[r]
            facts["other_losses"] = {name: fit.losses[r] for name, fit in others.items()}
            facts["logged"] = self.fits[sent].logged[r] | {
                f"{name}/{key}": value for name, fit in others.items() for key, value in fit.logged[r].items()
            }

    # --- measuring, for a client task --------------------------------------------------------------
    def watch_epochs(self, rows: Sequence[int]) -> None:
        """Measure these clients' test data after each local epoch of every later fit, into `facts["epochs"]`."""
        self.watched = rows

    def measure(
        self, model: Model, split: Split, rows: Sequence[int], counters: dict[str, Tensor] | None = None
    ) -> list[Totals]:
        """The metrics of the models (K, P), (K, S) of these clients on their own data, one a row; empty where a client
        has no data.

        Args:
            counters: the models' integer buffers (K, ...); None: the server's.
        """
        parts = [self.jobs[r].indices(split) for r in rows]
        clients = [self.jobs[r].client for r in rows]
        if not any(len(part) for part in parts):
            return [{} for _ in rows]
        samples = self.host.data.samples(split)
        is_expanded = len(self.jobs) > 1 and model.weights.stride(0) == 0
        same_model = not counters and (model.weights.dim() == 1 or is_expanded)
        totals: list[Totals] = []
        for group in [range(len(parts))] if same_model else [range(i, i + 1) for i in range(len(parts))]:
            self._load(rows[group[0]], model, counters)  # one model on many clients' data is one pass
            group_parts, group_clients = [parts[i] for i in group], [clients[i] for i in group]
            totals += self.host.measure_loaded(samples, split, group_parts, group_clients).totals
        return totals

    def _check_part(self, method: str, on: str) -> None:
        parts = get_args(CollectedPart)
        if on not in parts:
            raise InputError(f"{method}: on={on!r} is no part of a client's samples; write {' or '.join(parts)}.")
        if on == "public" and not len(self.jobs[0].public):
            raise InputError(f"{method}: on='public': there are no public samples; write for example data.public=100.")

    # --- for the trainers ---------------------------------------------------------------------------
    @abstractmethod
    def _fit(self, model: Model, gradient: GradientOptions, plan: FitPlan) -> Fitted:
        """The fit of a plan in which at least one client has a batch. The module is restored after it."""

    def _collect(self, model: Model, collection: Collection) -> dict[str, Tensor]:
        """The sums (K, ...), client by client."""

        def row(r: int, index: np.ndarray) -> dict[str, Tensor]:
            if not len(index):
                return {}
            self._load(r, model)
            job, extras, subject = self.jobs[r], collection.row_extras(r, len(self.jobs)), self.host.subject
            with quiet(), subject.opened(), torch.enable_grad():
                subject.reset(collection.key(job))
                self.host.begin_fit(job.round)
                return RowCollect(self.host, job, index, collection, extras).run()

        rows = [row(r, job.indices(collection.on)) for r, job in enumerate(self.jobs)]
        return joined(rows, example=lambda: row(0, np.arange(1)))

    def _untrained(self, model: Model, carry: dict[str, Tensor], k: int) -> Fitted:
        """The result of the fit of k clients without a batch."""
        zero, no_loss = self.examples.new_zeros(k, 1), self.examples.new_full((k, 1), float("nan"))
        model = tree_map(lambda t: t.expand(k, -1).clone(), model)
        return Fitted(model, zero, zero.clone(), no_loss, {n: v.clone() for n, v in carry.items()}, zero.clone)

    def _load(self, r: int, model: Model, counters: dict[str, Tensor] | None = None) -> None:
        """Load the model of one of the clients into the module, with its counters (K, ...) or else the server's."""
        row_counters = {n: c[r] for n, c in counters.items()} if counters else self.start_counters
        self.host.load(tree_map(lambda t: t[r] if t.dim() > 1 and len(t) > 1 else t, model), row_counters)

    def _measure_epoch(self, r: int, loss: float) -> None:
        """Measure the loaded model on the client's test data after an epoch, into `facts["epochs"]`."""
        job = self.jobs[r]
        totals = self.host.measure_loaded(self.host.data.test, "test", [job.test], [job.client]).totals[0]
        self._note_epoch(r, loss, totals)

    def _note_epoch(self, r: int, loss: float, totals: Totals) -> None:
        fit: dict[str, Any] = {"fit": self.calls} if self.calls > 1 else {}
        line = fit | {TRAIN_LOSS: loss} | {epoch_metric(n): total / weight for n, (total, weight) in totals.items()}
        self.facts[r].setdefault("epochs", []).append(line)

    def _idle_reason(self, r: int, plan: FitPlan) -> str:
        """Why a client made no step in a fit, and the remedy."""
        samples = len(self.jobs[r].train)
        if not samples:
            return "it has no training samples; give it some, by another partition or fewer clients"
        if plan.epochs[r] < 1:
            return "its fit has 0 epochs; write epochs=1 or more"
        if plan.counts[r]:
            return (
                "training_step returned None, or on_train_batch_start returned -1, for each of its batches; let the "
                "step return a loss"
            )
        if self.host.options.limit_train_batches == 0:
            return "trainer.limit_train_batches=0 leaves no batch; write null, or 1 or more"
        return (
            "its only training sample is a batch of one, which batch normalisation cannot train on; give it more "
            "samples, by another partition or fewer clients"
        )

    def _note_fit(self, fitted: Fitted, plan: FitPlan, seconds: float) -> None:
        skipped = plan.skipped(self.epochs_run)
        steps, losses = fitted.steps[:, 0].tolist(), fitted.loss[:, 0].tolist()
        for r, (client_steps, loss, left_out) in enumerate(zip(steps, losses, skipped.tolist(), strict=True)):
            facts = self.facts[r]
            if not client_steps:
                facts.setdefault("idle", self._idle_reason(r, plan))
            facts["steps"] = facts.get("steps", 0) + int(client_steps)
            facts["skipped"] = facts.get("skipped", 0) + left_out
            facts["loss"] = loss
            facts["seconds"] = facts.get("seconds", 0.0) + seconds
