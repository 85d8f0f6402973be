"""engine=serial: one client after the other, in this process."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Literal

from lightning.pytorch import LightningModule

from fedlit import interrupts
from fedlit.engines.base import Engine
from fedlit.errors import InputError
from fedlit.modules.measure import Measure
from fedlit.trainers.base import JobData, Returned, Trainer, Work
from fedlit.trainers.cohort import Cohort

log = logging.getLogger(__name__)


class ClientFailed(RuntimeError):
    """A client raised: its number and round, with the client's own exception as the cause."""


class Serial(Engine):
    def __init__(self, on_failure: Literal["raise", "drop"] = "raise"):
        """
        Args:
            on_failure: what happens when a client raises or returns no finite numbers: end the run, or leave the client
                out of the round as if it had never been asked.
        """
        self.on_failure = on_failure

    def start(self, trainer: Trainer, module: LightningModule, data: JobData, measure: Measure) -> None:
        self.trainer = trainer
        self.here = trainer.worker(module, data, measure)

    def run(self, work: Work, cohort: Cohort) -> Iterator[Returned]:
        for cut in self.trainer.chunks(cohort.jobs):
            interrupts.check()
            chunk = cohort[cut]
            try:
                returned = self.here.run(work, chunk)
            except (InputError, interrupts.Interrupted):
                raise
            except Exception as error:
                who = ", ".join(str(job.client) for job in chunk.jobs)
                said = f"client {who}, round {chunk.jobs[0].round.number}: {type(error).__name__}: {error}"
                if self.on_failure == "raise":
                    raise ClientFailed(said) from error
                log.warning("%s; left out of the round", said, exc_info=error)
                yield Returned([], {}, [], self.here.nobody(), [], [], failures=[said] * len(chunk.jobs))
                continue
            yield self._finite(returned, chunk.jobs[0].round.number)

    def _finite(self, returned: Returned, round: int) -> Returned:
        """Without the clients whose numbers are not finite."""
        bad = [r for r, facts in enumerate(returned.facts) if not facts.get("finite", True)]
        if not bad:
            return returned
        said = [f"client {returned.clients[r]}, round {round}: its update has NaN or infinite values" for r in bad]
        if self.on_failure == "raise":
            raise InputError(
                f"{said[0]}; lower optimizer.lr, clip gradients by trainer.gradient_clip_val=1, or write "
                "engine.on_failure=drop to leave such clients out."
            )
        for line in said:
            log.warning("%s; left out of the round", line)
        kept = returned.rows([r for r in range(len(returned.clients)) if r not in bad])
        kept.failures = said
        return kept
