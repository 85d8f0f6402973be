"""Clients that fail: each is named with its round; then the run ends, or goes on without them."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from fedlit.engines.worker_process import Failed, InWorker
from fedlit.errors import InputError
from fedlit.training.base import Returned
from fedlit.training.cohort import Cohort

log = logging.getLogger(__name__)
OnFailure = Literal["raise", "drop"]


class ClientFailed(RuntimeError):
    """A client raised: its number and round, with the client's own exception as the cause."""


@dataclass
class Failures:
    on_failure: OnFailure

    def came(self, chunk: Cohort, found: Returned | Failed, nobody: Tensor) -> Returned:
        """What comes back of a chunk that was run in another process.

        Args:
            nobody: the `examples` of a chunk without clients.
        """
        if isinstance(found, Returned):
            return self.finite(found, chunk.jobs[0].round.number)
        if found.sentence is not None:
            raise InputError(found.sentence)
        return self.failed(chunk, found.what, InWorker(found.trace), nobody)

    def failed(self, client: Cohort, what: str, error: BaseException, nobody: Tensor) -> Returned:
        """What comes back of a client (a chunk of one) that raised `error`.

        Args:
            what: went wrong, for a person.
            nobody: the `examples` of a chunk without clients.
        """
        said = f"{named(client)}: {what}"
        if self.on_failure == "raise":
            raise ClientFailed(said) from error
        log.warning("%s; left out of the round", said, exc_info=error)
        return Returned([], {}, [], nobody, [], [], failures=[said])

    def finite(self, returned: Returned, round: int) -> Returned:
        """Without the clients whose numbers are not finite."""
        bad = [r for r, facts in enumerate(returned.facts) if not facts.get("finite", True)]
        if not bad:
            return returned
        said = [f"client {returned.clients[r]}, round {round}: its update has NaN or infinite values" for r in bad]
        if self.on_failure == "raise":
            raise InputError(
                f"{said[0]}; lower the learning rate, clip gradients by trainer.gradient_clip_val=1, or write "
                "engine.on_failure=drop to leave such clients out."
            )
        for line in said:
            log.warning("%s; left out of the round", line)
        kept = returned.rows([r for r in range(len(returned.clients)) if r not in bad])
        kept.failures = said
        return kept


def one_by_one(chunk: Cohort, what: str) -> list[Cohort]:
    """The clients of a chunk that failed together, each by itself: whoever fails again is the one to be named."""
    log.warning("%s: %s; these clients run again, each by itself", named(chunk), what)
    return [chunk[i : i + 1] for i in range(len(chunk))]


def named(chunk: Cohort) -> str:
    """Which clients of which round."""
    who = ", ".join(str(job.client) for job in chunk.jobs)
    return f"client{'s' if len(chunk) > 1 else ''} {who}, round {chunk.jobs[0].round.number}"
