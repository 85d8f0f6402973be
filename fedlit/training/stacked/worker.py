"""K clients as one stack, or one after the other in a plain loop where the module cannot be stacked."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor

from fedlit.client import Fitted
from fedlit.data import Samples
from fedlit.data.client_data import ClientData
from fedlit.device_copies import to_device, to_device_of
from fedlit.errors import InputError, one_line
from fedlit.evaluation.measure import Totals
from fedlit.global_generators import generator_states, isolated_generators
from fedlit.model_vectors import Model, stack, tree_map
from fedlit.quiet import quiet
from fedlit.stop import Stop
from fedlit.training.chunk_client import ChunkClient
from fedlit.training.collect import Collection
from fedlit.training.fit_plan import FitPlan
from fedlit.training.gradient import GradientOptions, with_frozen_statistics, with_rows
from fedlit.training.job import Job, Split
from fedlit.training.module_host import ModuleHost
from fedlit.training.stacked.plain_fit import PlainFit
from fedlit.training.stacked.setup import Notices, StackPlan, StackSetup
from fedlit.training.stacked.stack_batches import StackBatches
from fedlit.training.stacked.stacked_call import StackedCall
from fedlit.training.stacked.stacked_collect import StackedCollect
from fedlit.training.stacked.stacked_fit import StackedFit
from fedlit.training.step_draws import DrawKeys
from fedlit.training.worker import Worker
from fedlit.user_module.module_snapshot import counters


class StackedWorker(Worker):
    """
    Args:
        chunk, compile: the options of `VectorizedTrainer`.
        silent: give no warnings, in a trial.
    """

    def __init__(self, host: ModuleHost, plan: StackPlan, chunk: int | None, compile: str | None, silent: bool = False):
        super().__init__(host)
        self.setup, self.chunk = StackSetup(host, plan, compile, Notices(silent)), chunk
        self.loader = ClientData(host.data.train, host.data.transform)

    def for_trial(self, precision: str) -> StackedWorker:
        return StackedWorker(self.host.for_trial(precision), self.setup.plan, self.chunk, None, silent=True)

    def chunks(self, jobs: Sequence[Job]) -> Iterator[slice]:
        """Chunks of nearly equal size. Where clients are trained one by one a chunk is one client, so that several
        workers can share them."""
        largest = self.chunk or max(1, min(64, 64_000_000 // self.host.layout.size))
        count = -(-len(jobs) // largest) if self.setup.plan.stacked else len(jobs)
        edges = [round(i * len(jobs) / count) for i in range(count + 1)] if count else []
        return (slice(a, b) for a, b in pairwise(edges))

    def client(
        self, jobs: Sequence[Job], counters: dict[str, Tensor], optimizers: Sequence[dict[str, Any]]
    ) -> StackedClient:
        return StackedClient(self, jobs, counters, optimizers)


class StackedClient(ChunkClient):
    """K clients, longest shard first."""

    def __init__(
        self,
        worker: StackedWorker,
        jobs: Sequence[Job],
        counters: dict[str, Tensor],
        optimizers: Sequence[dict[str, Any]],
    ):
        super().__init__(worker.host, jobs, counters, optimizers, worker.setup.plan.reads_batch_idx)
        self.setup, self.loader = worker.setup, worker.loader

    def _fit(self, model: Model, gradient: GradientOptions, plan: FitPlan) -> Fitted:
        fitted = self._try_stack(model, gradient, plan) if self.setup.plan.stacked else None
        return self.fit_rows(model, gradient, plan) if fitted is None else fitted

    # --- one stack --------------------------------------------------------------------------------
    def _try_stack(self, model: Model, gradient: GradientOptions, plan: FitPlan) -> Fitted | None:
        """The result of `fit_stack`; None where the step does something that a stack cannot do, and then nothing has
        changed."""
        epochs_noted = [len(facts.get("epochs", ())) for facts in self.facts]
        try:
            return self.fit_stack(model, gradient, plan)
        except (InputError, Stop):
            raise
        except Exception as error:
            self._warn(error)
            for facts, count in zip(self.facts, epochs_noted, strict=True):
                del facts.get("epochs", [])[count:]
            return None
        finally:
            self.host.snapshot.restore()

    def _warn(self, error: Exception, done: str = "trained") -> None:
        """Warn that clients are trained one by one; once for reasons that differ in numbers only."""
        reason = one_line(error)
        self.setup.notices.once(
            re.sub(r"\d+", "#", reason),
            "round %d: clients %s were %s one by one, with the same numbers, and later clients will be for this "
            "reason: %s",
            self.round.number,
            ", ".join(str(job.client) for job in self.jobs[:8]) + (", ..." if len(self.jobs) > 8 else ""),
            done,
            reason,
        )

    def fit_stack(self, model: Model, gradient: GradientOptions, plan: FitPlan) -> Fitted:
        """Train all clients together.

        Raises:
            Exception: the step does something that a stack cannot do.
        """
        self.host.begin_fit(self.round)
        keys = self._keys("step", plan.call) if self.host.traits.uses_keyed_rng else None
        draw_keys = DrawKeys(lambda: [job.key("step", plan.call) for job in self.jobs], self.layout.device)
        fit = StackedFit(self.setup, model, self.start_counters, gradient, plan, keys, draw_keys)
        batches = StackBatches(self.host, plan)
        states_before = generator_states()
        with quiet():
            fit.run(batches, self._after_epoch(fit))
        self._check_side_effects(states_before)
        if changed := fit.changed_data():
            raise TypeError(f"the step sets {changed[0]} of the data module")
        self.counters = {n: fit.buffers[n] for n in self.layout.counters}
        if fit.log.entries:
            for facts, logged in zip(self.facts, fit.log.metrics(), strict=True):
                facts["logged"] = logged
        steps = to_device_of(fit.weights, fit.steps).to(fit.weights.dtype)[:, None]
        trained = with_frozen_statistics(fit.model(), model, gradient.trainable)
        lr, gain = fit.optimizers.lr(fit.steps), fit.optimizers.gain(fit.steps)
        return Fitted(trained, steps, lr, fit.loss().to(fit.weights), fit.carry, gain)

    def _check_side_effects(self, states_before: Any) -> None:
        """The trial before the run has only a few steps. Later steps may draw from a global generator or change
        attributes of the module, which the rows of a stack would share.

        Raises:
            TypeError: they did.
        """
        if generator_states() != states_before:
            raise TypeError("the step draws from a global random generator")
        changed = self.host.snapshot.changed()
        if changed:
            raise TypeError(f"the step changes {changed[0]} of the module")

    def _keys(self, *purpose: str | int) -> Tensor:
        return to_device([job.key(*purpose) for job in self.jobs], self.layout.device)

    def _after_epoch(self, fit: StackedFit) -> Callable[[], None] | None:
        if not self.watched:
            return None
        total_before, steps_before = fit.total.clone(), fit.steps.copy()
        states_before = generator_states()

        def measure() -> None:
            nonlocal total_before, steps_before
            self._check_side_effects(states_before)
            steps = fit.steps - steps_before
            losses = (fit.total - total_before).cpu().numpy() / np.maximum(steps, 1)
            total_before, steps_before = fit.total.clone(), fit.steps.copy()
            epoch_counters = {n: fit.buffers[n] for n in self.layout.counters}
            rows = [r for r in self.watched if fit.plan.epochs[r] > fit.trainer.current_epoch]
            measured = self.measure(fit.model(), "test", rows, epoch_counters)
            for r, totals in zip(rows, measured, strict=True):
                self._note_epoch(r, float(losses[r]), totals)

        return measure

    # --- one client at a time ------------------------------------------------------------------------
    def fit_rows(self, model: Model, gradient: GradientOptions, plan: FitPlan) -> Fitted:
        """Train the clients one after the other."""
        rows = [self._fit_row(r, model, gradient, plan) for r in range(len(self.jobs))]
        self.counters = stack([row_counters for _, row_counters in rows]) if self.layout.counters else {}
        fits = [fitted for fitted, _ in rows]
        rate_width = max(f.lr.shape[-1] for f in fits)
        carry = {n: torch.cat([f.carry[n] for f in fits]) for n in gradient.carry}
        return Fitted(
            Model(torch.cat([f.model.weights for f in fits]), torch.cat([f.model.statistics for f in fits])),
            torch.cat([f.steps for f in fits]),
            torch.cat([f.lr.expand(1, rate_width) for f in fits]),
            torch.cat([f.loss for f in fits]),
            carry,
            partial(_gains, fits),
        )

    def _fit_row(
        self, r: int, model: Model, gradient: GradientOptions, plan: FitPlan
    ) -> tuple[Fitted, dict[str, Tensor]]:
        host, job = self.host, self.jobs[r]
        self._load(r, model)
        if not plan.epochs[r] * plan.counts[r]:  # schedulers that divide by the number of steps cannot be made
            carry = gradient.row(r, len(self.jobs)).carry
            return self._untrained(host.read(), carry, 1), counters(host.module)
        host.begin_fit(job.round)
        poison = host.data.poison_of("train", job.round.number)
        validation = job.validation_batches()
        self.loader.load(plan.of_client(r), job.client, validation, job.train, job.batch_size, poison)
        options, initial = gradient.row(r, len(self.jobs)), tree_map(lambda t: t[r] if t.dim() > 1 else t, model)
        keeps, key = host.options.keep_optimizer_state, job.key("step", plan.call)

        try:
            kept_optimizer = self.optimizers[r].get(str(plan.call)) if keeps else None
            watch = partial(self._measure_epoch, r) if r in self.watched else None
            with quiet(), isolated_generators(key):
                fit = PlainFit(host, options, key, int(plan.epochs[r]), self.loader, kept_optimizer, watch)
                fit.run([partial(self.loader.batches, e) for e in range(plan.epochs[r])])
            self.facts[r]["logged"] = fit.log.numbers()
            if keeps:
                self.new_optimizers[r][str(plan.call)] = fit.optimizer_state
            host.tracked.check()
            trained = with_frozen_statistics(host.read(), initial, options.trainable)
            return fit.tally.fitted(trained, fit.editor.carry), counters(host.module)
        finally:
            host.snapshot.restore()

    # --- sums without training --------------------------------------------------------------------
    def _collect(self, model: Model, collection: Collection) -> dict[str, Tensor]:
        if self.setup.plan.stacked and any(len(job.indices(collection.on)) for job in self.jobs):
            try:
                return self.collect_stack(model, collection)
            except (InputError, Stop):
                raise
            except Exception as error:
                self._warn(error, "asked for sums (client.collect)")
        return super()._collect(model, collection)

    def collect_stack(self, model: Model, collection: Collection) -> dict[str, Tensor]:
        """The sums of all clients together.

        Raises:
            Exception: the step does something that a stack cannot do.
        """
        k, subject = len(self.jobs), self.host.subject
        sizes = [len(job.indices(collection.on)) for job in self.jobs]
        order = np.argsort([-size for size in sizes], kind="stable")  # validation parts are not sorted by size
        index = to_device_of(self.examples, order)
        extras = [with_rows(v, k)[index] for v in collection.extras]
        ordered = tree_map(lambda t: t.expand(k, -1)[index], model)
        with quiet(), subject.opened(), torch.enable_grad():
            subject.reset(0)
            self.host.begin_fit(self.round)
            jobs = [self.jobs[r] for r in order]
            stacked = StackedCollect(self.setup, jobs, collection, ordered, self.start_counters, extras)
            before = generator_states(), self.host.snapshot.changed()
            sums = stacked.run()
            if (generator_states(), self.host.snapshot.changed()) != before:
                raise TypeError("the step draws from a global random generator, or changes the module")
        back = to_device_of(self.examples, np.argsort(order))
        return {name: total[back] for name, total in sums.items()}

    # --- measuring --------------------------------------------------------------------------------
    def measure(
        self, model: Model, split: Split, rows: Sequence[int], counters: dict[str, Tensor] | None = None
    ) -> list[Totals]:
        host, samples = self.host, self.host.data.samples(split)
        parts = [self.jobs[r].indices(split) for r in rows]
        models_differ = model.weights.dim() > 1 and model.weights.stride(0) > 0 and any(len(part) for part in parts)
        if models_differ and self.setup.plan.stacked and samples.in_memory and host.subject.trial.by_sample:
            clients = [self.jobs[r].client for r in rows]
            server_counters = {n: c.expand(len(self.jobs), *c.shape) for n, c in self.start_counters.items()}
            row_counters = {n: c[list(rows)] for n, c in (counters or server_counters).items()}
            return self._measure_stack(model[list(rows)], row_counters, samples, split, parts, clients)
        return super().measure(model, split, rows, counters)

    def _measure_stack(
        self,
        model: Model,
        row_counters: dict[str, Tensor],
        samples: Samples,
        split: Split,
        parts: Sequence[np.ndarray],
        clients: Sequence[int],
    ) -> list[Totals]:
        host, layout = self.host, self.layout
        call = StackedCall(host.module, layout, keyed=False, patch_vmap=self.setup.plan.patch_vmap)
        weights, buffers = layout.pieces(model.weights), layout.pieces(model.statistics, layout.statistics)
        buffers = {n: b.contiguous() for n, b in (buffers | row_counters).items()}

        def forward(inputs: Tensor) -> Tensor:
            return call("forward", weights, buffers, inputs, 0)[0]

        with quiet(), host.trainer.precision_plugin.val_step_context():
            return host.measuring.measure_stack(host.subject, forward, host.parts(samples, split, parts, clients))


def _gains(fits: Sequence[Fitted]) -> Tensor:
    """`Fitted.gain` of clients that were trained one by one."""
    gains = [fitted.gain for fitted in fits]
    width = max(gain.shape[-1] for gain in gains)
    return torch.cat([gain.expand(1, width) for gain in gains])
