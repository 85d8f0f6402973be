"""Clients that fail: each is named with its round. Then the run ends, or continues without them."""

from __future__ import annotations

import logging
import traceback
from dataclasses import dataclass
from typing import Literal

from fedlit.errors import InputError
from fedlit.training import Cohort, Returned, Worker

log = logging.getLogger(__name__)
OnFailure = Literal["raise", "drop"]


class ClientFailed(RuntimeError):
    """A client raised: its number and round, with the client's own exception as the cause."""


class InWorker(Exception):
    """An exception of a worker process: its traceback, as text."""

    def __init__(self, trace: str):
        super().__init__(f"in a worker process:\n{trace}")


@dataclass
class Failed:
    """An exception on its way from a worker to the main process."""

    what: str  # its type and message
    trace: str
    sentence: str | None  # of an InputError, which stays one

    @classmethod
    def of(cls, error: Exception) -> Failed:
        sentence = str(error) if isinstance(error, InputError) else None
        return cls(f"{type(error).__name__}: {error}", traceback.format_exc(), sentence)

    def as_error(self, where: str) -> Exception:
        """The exception for the main process to raise."""
        if self.sentence is not None:
            return InputError(self.sentence)
        error = RuntimeError(f"{where}: {self.what}")
        error.__cause__ = InWorker(self.trace)
        return error


@dataclass
class Failures:
    """What happens after a failure.

    Args:
        on_failure: "raise" ends the run; "drop" leaves the client out of the round.
    """

    on_failure: OnFailure

    def checked(self, chunk: Cohort, result: Returned | Failed, local_worker: Worker) -> Returned:
        """The result of a chunk that ran in another process, without clients that failed."""
        if isinstance(result, Returned):
            return self.finite(result, chunk.jobs[0].round.number)
        if result.sentence is not None:
            raise InputError(result.sentence)
        return self.lost(chunk, result.what, InWorker(result.trace), local_worker)

    def lost(self, client: Cohort, what: str, error: BaseException, local_worker: Worker) -> Returned:
        """The result of a client (a chunk of one) that raised `error`.

        Args:
            what: the failure, in words.
        """
        sentence = f"{named(client)}: {what}"
        if self.on_failure == "raise":
            raise ClientFailed(sentence) from error
        log.warning("%s; left out of the round", sentence, exc_info=error)
        return local_worker.no_clients([sentence])

    def finite(self, returned: Returned, round_number: int) -> Returned:
        """The result without the clients whose numbers are not finite."""
        bad = [r for r, facts in enumerate(returned.facts) if not facts.get("finite", True)]
        if not bad:
            return returned
        sentences = [
            f"client {returned.clients[r]}, round {round_number}: its update has NaN or infinite values" for r in bad
        ]
        if self.on_failure == "raise":
            raise InputError(
                f"{sentences[0]}; lower the learning rate, clip gradients by trainer.gradient_clip_val=1, or write "
                "engine.on_failure=drop to leave such clients out."
            )
        for sentence in sentences:
            log.warning("%s; left out of the round", sentence)
        kept = returned.rows([r for r in range(len(returned.clients)) if r not in bad])
        kept.failures = sentences
        return kept


def one_by_one(chunk: Cohort, what: str) -> list[Cohort]:
    """The clients of a chunk that failed, as chunks of one: the client that fails again is the one to name."""
    log.warning("%s: %s; these clients run again, each by itself", named(chunk), what)
    return [chunk[i : i + 1] for i in range(len(chunk))]


def named(chunk: Cohort) -> str:
    """The clients and their round, in words."""
    clients = ", ".join(str(job.client) for job in chunk.jobs)
    return f"client{'s' if len(chunk) > 1 else ''} {clients}, round {chunk.jobs[0].round.number}"
