"""Clients that fail: each is named with its round. Then the run ends, or continues without them."""

from __future__ import annotations

import logging
import traceback
from dataclasses import dataclass
from typing import Literal

from fedlit import interrupts
from fedlit.errors import InputError
from fedlit.stop import Stop
from fedlit.training import Cohort, Returned, Worker

log = logging.getLogger(__name__)
OnFailure = Literal["raise", "drop"]


class ClientFailed(RuntimeError):
    """A client raised: its number and round, with the client's own exception as the cause."""


class WorkerTraceback(Exception):
    """The traceback of an exception in a worker process, as text."""

    def __init__(self, trace: str):
        super().__init__(f"in a worker process:\n{trace}")


@dataclass
class Failed:
    """An exception of a worker process, in a form that can be pickled."""

    message: str  # its type and message
    trace: str
    input_error: str | None  # the message alone, if it is an InputError
    stop: str | None = None  # its reason, if it is a Stop

    @classmethod
    def of(cls, error: BaseException) -> Failed:
        """Call it where `error` is handled, so that its traceback is known."""
        input_error = str(error) if isinstance(error, InputError) else None
        stop = error.reason if isinstance(error, Stop) else None
        return cls(f"{type(error).__name__}: {error}", traceback.format_exc(), input_error, stop)

    @property
    def is_final(self) -> bool:
        """Whether no other try of the same clients is needed: the run ends."""
        return self.input_error is not None or self.stop is not None

    def as_error(self, where: str) -> Exception:
        """The exception for the main process to raise."""
        if self.input_error is not None:
            return InputError(self.input_error)
        error = RuntimeError(f"{where}: {self.message}")
        error.__cause__ = WorkerTraceback(self.trace)
        return error


@dataclass
class Failures:
    """What happens after a failure.

    Args:
        on_failure: "raise" ends the run; "drop" leaves the client out of the round.
    """

    on_failure: OnFailure

    def check(self, chunk: Cohort, result: Returned | Failed, local_worker: Worker) -> Returned:
        """The result of a chunk that ran in another process, without the clients that failed."""
        if isinstance(result, Returned):
            return self.check_finite(result, chunk.jobs[0].round.number)
        if result.stop is not None:
            raise Stop(result.stop)
        if result.input_error is not None:
            raise InputError(result.input_error)
        return self.client_failed(chunk, result.message, WorkerTraceback(result.trace), local_worker)

    def client_failed(self, client: Cohort, message: str, error: BaseException, local_worker: Worker) -> Returned:
        """The result of a client (a chunk of one) whose training raised `error`."""
        interrupts.check()  # the failure may be a consequence of the signal
        sentence = f"{describe(client)}: {message}"
        if self.on_failure == "raise":
            raise ClientFailed(sentence) from error
        log.warning("%s; left out of the round", sentence, exc_info=error)
        return local_worker.no_clients([sentence])

    def check_finite(self, returned: Returned, round_number: int) -> Returned:
        """The result without the clients whose updates are not finite."""
        bad_rows = [r for r, facts in enumerate(returned.facts) if facts.get("not_finite")]
        if not bad_rows:
            return returned
        sentences = [
            f"client {returned.clients[r]}, round {round_number}: its update has NaN or infinite values in "
            f"{returned.facts[r]['not_finite']}"
            for r in bad_rows
        ]
        if self.on_failure == "raise":
            raise InputError(
                f"{sentences[0]}; lower the learning rate, clip gradients by trainer.gradient_clip_val=1, or write "
                "engine.on_failure=drop to leave such clients out."
            )
        for sentence in sentences:
            log.warning("%s; left out of the round", sentence)
        finite = returned.rows([r for r in range(len(returned.clients)) if r not in bad_rows])
        finite.failures = sentences
        return finite


def one_by_one(chunk: Cohort, message: str) -> list[Cohort]:
    """The clients of a chunk that failed, as chunks of one, so that the client at fault is found."""
    interrupts.check()
    log.warning("%s: %s; these clients run again, one by one", describe(chunk), message)
    return [chunk[i : i + 1] for i in range(len(chunk))]


def describe(chunk: Cohort) -> str:
    """The clients and their round, in words."""
    clients = ", ".join(str(job.client) for job in chunk.jobs)
    return f"client{'s' if len(chunk) > 1 else ''} {clients}, round {chunk.jobs[0].round.number}"
