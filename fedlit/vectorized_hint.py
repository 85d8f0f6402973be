"""The line that names `trainer=vectorized`, where it would be much faster than the run's `trainer=lightning`.

A Trainer's fit of a small client takes most of its time outside of the steps. After the first round some of the round's
own clients are trained once more, on copies and by `trainer=vectorized`; the run's numbers stay the same.
"""

from __future__ import annotations

import copy
import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from lightning.pytorch import LightningDataModule
from lightning.pytorch.utilities.model_helpers import is_overridden

from fedlit import interrupts
from fedlit.client_tasks import TrainTask
from fedlit.engines import Engine
from fedlit.engines.serial import Serial
from fedlit.evaluation.evaluator import Evaluator
from fedlit.federation import Federation
from fedlit.global_generators import isolated_generators
from fedlit.metric_names import lap_time
from fedlit.plurals import counted
from fedlit.quiet import silent
from fedlit.randomness import seed_number
from fedlit.state import FederationState
from fedlit.tracking import About, Logger
from fedlit.tracking.logger import Row
from fedlit.training.lightning.trainer import LightningTrainer

log = logging.getLogger(__name__)

LEAST_LEFT = 10.0  # seconds of training that are still to come; the trial takes half a second and its fits
TRIED = 0.5  # seconds of a Trainer's fits, at most, of the clients that are tried: the trial itself is faster
LEAST_GAIN, LEAST_OUTSIDE = 1.5, 0.5  # below either of them there is no line
MOST_TRIED = 64  # clients
_HOOKS = ("on_before_batch_transfer", "transfer_batch_to_device", "on_after_batch_transfer")
_lines_given: set[str] = set()  # lines of this process: one is enough for the runs of a sweep


class VectorizedHint(Logger):
    """Prints the line after the first round of this start. Not under other engines than `serial`: the trial would
    compete with their workers, or measure the wrong machine; nor where samples are read from a data set of the user's,
    which may keep something from one reading to the next."""

    def __init__(self, federation: Federation, state: FederationState, engine: Engine, evaluator: Evaluator):
        self.federation, self.state, self.engine, self.evaluator = federation, state, engine, evaluator
        self._is_over = bool(_lines_given) or not _can_be_tried(engine)

    def start(self, about: About) -> None:
        self._rounds = about.rounds

    def round(self, number: int, row: Row, pictures: Mapping[str, np.ndarray]) -> None:
        self._seconds = row[lap_time("fit")]

    def clients(self, number: int, facts: Sequence[Mapping[str, Any]]) -> None:
        if self._is_over or not facts:
            return
        self._is_over = True
        fits = {client["client"]: float(client.get("seconds", 0.0)) for client in facts}
        tried = _affordable(fits)
        if len(tried) < 2 or sum(fits.values()) * (self._rounds - number) < LEAST_LEFT:
            return
        by_trainer = sum(fits[client] for client in tried)
        others = (self._seconds - sum(fits.values())) / len(fits) * len(tried)  # measurements, messages
        try:
            with interrupts.deferred(), silent(), isolated_generators(seed_number(self.federation.seed, "speed trial")):
                line = self._line(number, tried, by_trainer, max(0.0, others))
        except Exception:
            log.info("trainer=vectorized could not be tried after round %d", number, exc_info=True)
            return
        if line:
            _lines_given.add(line)
            print(line, flush=True)

    def _line(self, number: int, tried: list[int], by_trainer: float, others: float) -> str:
        """What the trial has found; empty where it is not worth a line.

        Args:
            tried: the clients.
            by_trainer, others: seconds of their fits in this round, and of the rest of their part in it.
        """
        from fedlit.training.stacked.speed_trial import speeds  # slow to import, and not every run needs it

        federation = _copied(self.federation)
        round = federation.round(number + 1, tried)
        cohort = federation.cohort(round, self.state, federation.training_broadcast(self.state))
        host = self.engine.local_worker.host
        assert isinstance(host.options, LightningTrainer)
        measuring = TrainTask(federation.pipeline, *self.evaluator.watched(number, tried))
        measured = speeds(host.options, host, measuring, TrainTask(federation.pipeline), cohort)
        if measured is None:
            return ""
        together, before = measured.together * len(tried), by_trainer + others
        outside, gain = 1 - measured.steps * len(tried) / by_trainer, before / together
        if outside < LEAST_OUTSIDE or gain < LEAST_GAIN:
            return ""
        return (
            f"trainer=vectorized would train the clients of a round about {_rounded(gain)} times as fast: tried on "
            f"{counted(len(tried), 'client')}, {together:.2g} s in place of {before:.2g} s in round {number}. Here "
            f"{outside:.0%} of a Trainer's fit is outside of its steps."
        )


def _can_be_tried(engine: Engine) -> bool:
    host = engine.local_worker.host
    trainer, users = host.options, host.data.users
    has_hooks = isinstance(users, LightningDataModule) and any(is_overridden(hook, users) for hook in _HOOKS)
    return (
        type(engine) is Serial
        and isinstance(trainer, LightningTrainer)
        and not trainer.options
        and trainer.accumulate_grad_batches == 1
        and host.data.train.in_memory
        and host.data.test.in_memory
        and not has_hooks
    )


def _affordable(seconds: Mapping[int, float]) -> list[int]:
    """Clients from all over the round, without the first, whose fit began cold: as many as take `TRIED` seconds."""
    others = list(seconds)[1:]
    mean = sum(seconds[client] for client in others) / max(len(others), 1)
    count = min(len(others), MOST_TRIED, int(TRIED / mean) if mean else MOST_TRIED)
    return [others[place * len(others) // count] for place in range(count)]


def _copied(federation: Federation) -> Federation:
    """A federation whose algorithm and stages are copies, in case that a user's keeps something."""
    pipeline = copy.deepcopy(federation.pipeline)
    return replace(federation, pipeline=pipeline, aggregator=pipeline.aggregator)


def _rounded(gain: float) -> str:
    return f"{gain:.1f}" if gain < 10 else f"{gain:.0f}"
