"""Which functions are which part of a round. Only those of modules that the run has imported are wrapped."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest.mock import patch

from fedlit.profiling.timer import Timer

NOT_ACCOUNTED = "not accounted for"
STEPS, OUTSIDE, DATA = "training: steps", "training: outside of the steps", "training: data"

_ROUNDS = "fedlit.federation_loop:federate"
_PARTS = (  # of the run's own process: function, part
    ("fedlit.rounds:open_round", "sampling and broadcast"),
    ("fedlit.federation:Federation.cohort", "downloads and client states"),
    ("fedlit.training.worker:Worker.run", "training: the algorithm"),
    ("fedlit.training.chunk_client:ChunkClient.fit", OUTSIDE),
    ("fedlit.training.chunk_client:ChunkClient.collect", "training: sums without steps"),
    ("fedlit.training.chunk_client:ChunkClient.loss", "training: losses without steps"),
    ("fedlit.messages.pipeline:Pipeline.send", "messages: the clients' half"),
    ("fedlit.rounds:Arrivals.add", "messages: the server's half"),
    ("fedlit.rounds:update_server", "server's step"),
)
_UNDIVIDED = (  # likewise, without parts within
    ("fedlit.training.chunk_client:ChunkClient.measure", "evaluation: clients that train"),
    ("fedlit.training.stacked.worker:StackedClient.measure", "evaluation: clients that train"),
    ("fedlit.evaluation.evaluator:Evaluator.__call__", "evaluation: after the round"),
    ("fedlit.checkpoint:Checkpoints.save_if_due", "checkpoints"),
    ("fedlit.checkpoint:Checkpoints.save_best", "checkpoints"),
    ("fedlit.engines.processes:_pack", "transport to and from the workers"),
    ("fedlit.engines.channel:Channel.send", "transport to and from the workers"),
    ("fedlit.engines.channel:Channel.share", "transport to and from the workers"),
    ("fedlit.engines.channel:Channel.receive", "transport to and from the workers"),
)
_OF_STEPS = (  # within a fit, where the device is not waited for
    ("fedlit.training.stacked.stacked_fit:StackedFit._train_part", STEPS),
    ("fedlit.training.stacked.plain_fit:PlainFit._step", STEPS),
    ("fedlit.training.stacked.stack_batches:StackBatches.__call__", DATA),
)
_ITERATIONS = (
    ("fedlit.data.client_data:ClientData.batches", DATA),
    ("fedlit.engines.pool:Pool.run", "waiting for the workers"),
    ("fedlit.engines.ray_actors:RayActors.run", "waiting for the workers"),
)
_STEP_BEGINS = "fedlit.training.lightning.fit_callback:FitCallback.on_train_batch_start"
_STEP_ENDS = "fedlit.training.lightning.fit_callback:FitCallback.on_train_batch_end"

FUNCTIONS = (
    *(path for paths in (_PARTS, _UNDIVIDED, _OF_STEPS, _ITERATIONS) for path, _ in paths),
    *(_ROUNDS, _STEP_BEGINS, _STEP_ENDS),
)


@contextmanager
def wrapped(timer: Timer) -> Iterator[None]:
    """In the block, the functions report to the timer."""
    with ExitStack() as patches:

        def replace(path: str, make: Any) -> None:
            if path.partition(":")[0] in sys.modules:
                owner, name = owner_of(path)
                patches.enter_context(patch.object(owner, name, make(getattr(owner, name))))

        replace(_ROUNDS, lambda function: timer.timed(NOT_ACCOUNTED, function))
        for path, part in _PARTS:
            replace(path, lambda function, part=part: timer.timed(part, function))
        for path, part in _UNDIVIDED:
            replace(path, lambda function, part=part: timer.timed(part, function, undivided=True))
        for path, part in _OF_STEPS:
            replace(path, lambda function, part=part: timer.timed(part, function, waits=False))
        for path, part in _ITERATIONS:
            replace(path, lambda function, part=part: timer.timed_iteration(part, function, waits=False))
        steps: list[int | None] = []  # the depth of a Trainer's step, from the hook before it to that after it
        replace(_STEP_BEGINS, lambda hook: _before(hook, lambda: steps.append(timer.begin(STEPS, waits=False))))
        replace(_STEP_ENDS, lambda hook: _after(hook, lambda: timer.end(steps.pop(), waits=False)))
        yield


def owner_of(path: str) -> tuple[Any, str]:
    """The module or class of `package.module:Class.method`, and the last name."""
    module, _, names = path.partition(":")
    owner: Any = sys.modules[module]
    *classes, name = names.split(".")
    for each in classes:
        owner = getattr(owner, each)
    return owner, name


def _before(hook: Any, begin: Any) -> Any:
    """The hook before a step, which itself is outside of it."""

    def measured(*arguments: Any, **options: Any) -> Any:
        result = hook(*arguments, **options)
        begin()
        return result

    return measured


def _after(hook: Any, end: Any) -> Any:
    def measured(*arguments: Any, **options: Any) -> Any:
        end()
        return hook(*arguments, **options)

    return measured
