"""trainer=vectorized: many clients as one stacked computation, through the user's own training_step and optimiser."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Any, Literal

import lightning.pytorch as pl
import numpy as np
import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from fedlit import interrupts
from fedlit.client import Fitted
from fedlit.data import Samples
from fedlit.data.client_data import ClientData
from fedlit.errors import InputError, one_line
from fedlit.global_generators import generator_states, isolated_generators
from fedlit.model_vectors import Model, each, stack
from fedlit.modules.measure import Measure, Totals
from fedlit.modules.pristine import counters
from fedlit.modules.stacked_call import StackedCall
from fedlit.trainers.base import JobData, kept_still
from fedlit.trainers.batch_order import Cut
from fedlit.trainers.fit_callback import fitted
from fedlit.trainers.gradient import Gradient
from fedlit.trainers.job import Job, Stage, order
from fedlit.trainers.module_client import ModuleClient
from fedlit.trainers.module_worker import ModuleTrainer, ModuleWorker, quiet
from fedlit.trainers.plain_fit import PlainFit
from fedlit.trainers.stacked_fit import StackedFit
from fedlit.trainers.stacked_optimizer import there
from fedlit.trainers.way import Way, chosen_way, refuse

log = logging.getLogger(__name__)


@dataclass
class VectorizedTrainer(ModuleTrainer):
    """Clients of a chunk are one stack; where a module cannot be stacked, row by row, with the same numbers."""

    chunk: int | None = None  # clients trained together at most; None: 64, and fewer of a model above a million weights
    stack: Literal["auto", "always", "never"] = "auto"
    compile: str | None = None  # of a stack's step: "trace", or a mode of torch.compile (see `stacked_pass`)

    def worker(self, module: pl.LightningModule, data: JobData, measure: Measure) -> VectorizedWorker:
        return VectorizedWorker(self, module, data, measure)


class VectorizedWorker(ModuleWorker):
    """
    Args:
        way: how clients are trained; None: found by trying (see `way`).
    """

    config: VectorizedTrainer

    def __init__(
        self,
        config: VectorizedTrainer,
        module: pl.LightningModule,
        data: JobData,
        measure: Measure,
        way: Way | None = None,
    ):
        refuse(config, module)
        super().__init__(config, module, data, measure)
        self.loader = ClientData(self.data.train, self.data.transform)
        self.traces: dict[Any, Any] = {}  # by shape of a batch (see `stacked_pass.TracedPass`)
        self.said: set[str] | None = set() if way is None else None  # by `say_once`; None: nothing is said in a trial
        self.way = chosen_way(self) if way is None else way
        if way is None:
            self._say_how()

    def _say_how(self) -> None:
        way = self.way
        if way.reason:
            log.warning("trainer=vectorized trains row by row, with the same numbers: %s", way.reason)
        if self.config.compile and not way.stacked:
            log.warning("trainer.compile has no effect: it is for clients that are trained as a stack")
        if self.config.compile and way.asks:
            log.warning("trainer.compile has no effect: clients differ in what the step asks its trainer")

    def say_once(self, cause: str, line: str, *values: Any) -> None:
        if self.said is not None and cause not in self.said:
            self.said.add(cause)
            log.warning(line, *values)

    def chunks(self, jobs: Sequence[Job]) -> Iterator[slice]:
        """Chunks of nearly equal size; of one client where each trains by itself, for workers to share."""
        most = self.config.chunk or max(1, min(64, 64_000_000 // self.layout.size))
        count = -(-len(jobs) // most) if self.way.stacked else len(jobs)
        edges = [round(i * len(jobs) / count) for i in range(count + 1)] if count else []
        return (slice(a, b) for a, b in pairwise(edges))

    def client(
        self, jobs: Sequence[Job], counters: dict[str, Tensor], optimizers: Sequence[dict[str, Any]]
    ) -> StackedClient:
        return StackedClient(self, jobs, counters, optimizers, self.way.reads_batch_idx)


class StackedClient(ModuleClient):
    """K clients, longest shard first."""

    worker: VectorizedWorker

    def _fit(self, model: Model, gradient: Gradient, call: int, epochs: int) -> Fitted:
        found = self._stacked(model, gradient, call, epochs) if self.worker.way.stacked else None
        return self._row_by_row(model, gradient, call, epochs) if found is None else found

    # --- one stack --------------------------------------------------------------------------------
    def _stacked(self, model: Model, gradient: Gradient, call: int, epochs: int) -> Fitted | None:
        """None where the stack came upon what it cannot do; nothing has changed then."""
        lines = [len(facts.get("epochs", ())) for facts in self.facts]
        try:
            return self._as_a_stack(model, gradient, call, epochs)
        except (InputError, interrupts.Interrupted):
            raise
        except Exception as error:
            self._say(error)
            for facts, count in zip(self.facts, lines, strict=True):
                del facts.get("epochs", [])[count:]
            return None
        finally:
            self.worker.pristine.restore()

    def _say(self, error: Exception) -> None:
        """Once a cause, whatever its numbers."""
        reason = one_line(error)
        self.worker.say_once(
            re.sub(r"\d+", "#", reason),
            "round %d: clients %s went row by row, with the same numbers, as will all for which the same holds: %s",
            self.round.number,
            ", ".join(str(job.client) for job in self.jobs[:8]) + (", ..." if len(self.jobs) > 8 else ""),
            reason,
        )

    def _as_a_stack(self, model: Model, gradient: Gradient, call: int, epochs: int) -> Fitted:
        worker = self.worker
        worker.tell_round(self.round.number)
        keys = self._keys("step", call) if worker.habits.keyed else None
        fit = StackedFit(worker, model, self.start_counters, gradient, self.order, keys, epochs)
        batches = _Batches(self, call)
        stand = generator_states()
        with quiet():
            fit.run(lambda e: order(self.jobs, call, e), batches, self._after_epoch(fit))
        self._left_nothing(stand)
        self.counters = {n: fit.buffers[n] for n in self.layout.counters}
        if fit.log.entries:
            for facts, logged in zip(self.facts, fit.log.metrics(), strict=True):
                facts["logged"] = logged
        steps = torch.from_numpy(fit.steps).to(fit.weights)[:, None]
        done = kept_still(fit.model(), model, gradient.only)
        return Fitted(done, steps, fit.lr(), fit.loss().to(fit.weights), fit.beside)

    def _left_nothing(self, stand: Any) -> None:
        """What a few steps before the run did not show: draws and attributes that the rows of a stack would share."""
        if generator_states() != stand:
            raise TypeError("the step draws from a global random generator")
        changed = self.worker.pristine.changed()
        if changed:
            raise TypeError(f"the step changes {changed[0]} of the module")

    def _keys(self, *what: str | int) -> Tensor:
        return torch.tensor([job.key(*what) for job in self.jobs], device=self.layout.device)

    def _after_epoch(self, fit: StackedFit) -> Any:
        if not self.watched:
            return None
        before = [fit.total.clone(), fit.steps.copy()]
        stand = generator_states()

        def measure() -> None:
            self._left_nothing(stand)  # measuring puts the module back
            steps = fit.steps - before[1]
            losses = (fit.total - before[0]).cpu().numpy() / np.maximum(steps, 1)
            before[:] = fit.total.clone(), fit.steps.copy()
            for r, totals in zip(self.watched, self.measure(fit.model(), "test", self.watched), strict=True):
                self._note_epoch(r, float(losses[r]), totals)
            fit.trainer.attach(self.worker.module)

        return measure

    # --- row by row --------------------------------------------------------------------------------
    def _row_by_row(self, model: Model, gradient: Gradient, call: int, epochs: int) -> Fitted:
        rows = [self._row(r, model, gradient, call, epochs) for r in range(len(self.jobs))]
        self.counters = stack([c for _, c in rows]) if self.layout.counters else {}
        found = [one for one, _ in rows]
        wide = max(f.lr.shape[-1] for f in found)
        beside = {n: torch.cat([f.beside[n] for f in found]) for n in gradient.beside}
        return Fitted(
            Model(torch.cat([f.model.weights for f in found]), torch.cat([f.model.statistics for f in found])),
            torch.cat([f.steps for f in found]),
            torch.cat([f.lr.expand(1, wide) for f in found]),
            torch.cat([f.loss for f in found]),
            beside,
        )

    def _row(
        self, r: int, model: Model, gradient: Gradient, call: int, epochs: int
    ) -> tuple[Fitted, dict[str, Tensor]]:
        worker, job = self.worker, self.jobs[r]
        self._load(r, model)
        batches, keys = self._begin(r, call, epochs)
        worker.loader.load(batches, job.client, keys)
        wanted, begun = gradient.row(r, len(self.jobs)), each(lambda t: t[r] if t.dim() > 1 else t, model)
        keeps, key = worker.config.keep_optimizer_state, job.key("step", call)

        def after_epoch(loss: float) -> None:
            self._measured(r, loss)
            fit.trainer.attach(worker.module)

        try:
            kept = self.optimizers[r].get(str(call)) if keeps else None
            watch = after_epoch if r in self.watched else None
            fit = PlainFit(worker, wanted, key, epochs, int(self.order.counts[r]), kept, watch)
            if self.order.counts[r]:
                with quiet(), isolated_generators(key):
                    fit.run([partial(worker.loader.batches, e) for e in range(epochs)])
                self.facts[r]["logged"] = fit.log.numbers()
                if keeps:
                    self.new_optimizers[r][str(call)] = fit.optimizer_state
            one = fitted(kept_still(worker.read(), begun, wanted.only), fit.tally, fit.hand)
            return one, counters(worker.module)
        finally:
            worker.pristine.restore()

    # --- measuring --------------------------------------------------------------------------------
    def measure(self, model: Model, stage: Stage, rows: Sequence[int]) -> list[Totals]:
        worker, samples = self.worker, self.worker.data.samples(stage)
        parts = [self.jobs[r].indices(stage) for r in rows]
        differ = model.weights.dim() > 1 and model.weights.stride(0) > 0 and any(len(part) for part in parts)
        if differ and worker.way.stacked and samples.in_memory and worker.measuring.by_sample(worker.module):
            clients = [self.jobs[r].client for r in rows]
            return self._measure_stack(each(lambda t: t[list(rows)], model), samples, stage, parts, clients)
        return super().measure(model, stage, rows)

    def _measure_stack(
        self, model: Model, samples: Samples, stage: Stage, parts: Sequence[np.ndarray], clients: Sequence[int]
    ) -> list[Totals]:
        worker, layout = self.worker, self.layout
        call = StackedCall(worker.module, layout, keyed=False, mended=worker.way.mended)
        weights, buffers = layout.pieces(model.weights), layout.pieces(model.statistics, layout.statistics)
        buffers = {n: b.contiguous() for n, b in buffers.items()}

        def forward(inputs: Tensor) -> Tensor:
            return call("forward", weights, buffers, inputs, 0)[0]

        def prepare(batch: Any, index: Tensor, whose: Tensor) -> Any:
            return worker.ready(batch, index, whose, stage)

        with quiet(), worker.trainer.precision_plugin.val_step_context():
            found = worker.measuring.of_stack(worker.module, forward, samples, parts, clients, prepare)
        worker.pristine.restore()
        return found


class _Batches:
    """The batches of a stack, every tensor (n, B, ...)."""

    def __init__(self, client: StackedClient, call: int):
        self.client, self.call, self.data = client, call, client.worker.data
        self._keys: dict[int, np.ndarray] = {}  # by epoch: (K,) of the draws for samples
        device = client.layout.device
        self.numbers = torch.tensor([[job.client] for job in client.jobs], device=device)
        self.draws = self.data.transform is not None or not self.data.train.in_memory

    def __call__(self, cut: Cut, epoch: int) -> Any:
        keys = self._epoch_keys(epoch)[cut.rows] if self.draws else None
        if self.data.train.in_memory:
            batch = self.data.train.batch(cut.index)
        else:
            assert keys is not None
            each_row = [self.data.train.batch(i, int(k)) for i, k in zip(cut.index, keys, strict=True)]
            batch = pytree.tree_map(lambda *t: torch.stack(t), *each_row)
        if self.data.transform is not None and keys is not None:
            device = self.numbers.device
            if not self.data.train.in_memory:
                batch = self.client.worker.trainer.strategy.batch_to_device(batch, device)
            index, key = there(cut.index, self.numbers), there(keys, self.numbers)[:, None]
            rows = self.numbers[cut.rows if isinstance(cut.rows, slice) else there(cut.rows, self.numbers)]
            batch = self.data.transform(batch, index, rows, "train", key)
        return self.client.worker.on_device(batch, there=self.data.train.in_memory)

    def _epoch_keys(self, epoch: int) -> np.ndarray:
        if epoch not in self._keys:
            self._keys[epoch] = np.array([job.key("batch", self.call, epoch) for job in self.client.jobs])
        return self._keys[epoch]
