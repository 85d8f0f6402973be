"""The code that may not wait for the device, and the calls within it that may, each with its reason."""

from __future__ import annotations

from collections.abc import Iterator
from types import CodeType

from lightning.pytorch import loops as lightning_loops
from lightning.pytorch.trainer.connectors.logger_connector.logger_connector import _LoggerConnector
from lightning.pytorch.utilities import data as lightning_data
from torch.optim.lr_scheduler import ReduceLROnPlateau

from fedlit.aggregators import Aggregator
from fedlit.messages.reductions import Reduction
from fedlit.messages.reductions.distances import read
from fedlit.messages.secure.weighted_sums import WeightedSums
from fedlit.messages.stages import Stage
from fedlit.training.chunk_client import ChunkClient
from fedlit.training.collect import RowCollect
from fedlit.training.fit_tally import FitTally
from fedlit.training.lightning.fit_callback import FitCallback
from fedlit.training.lightning.worker import LightningWorker
from fedlit.training.optimizer_state import load_optimizer_state
from fedlit.training.stacked.plain_fit import PlainFit
from fedlit.training.stacked.stacked_collect import StackedCollect
from fedlit.training.stacked.stacked_fit import StackedFit
from fedlit.training.stacked.stacked_pass import TracedPass
from fedlit.training.stacked.step_log import StepLog
from fedlit.training.stacked.worker import StackedClient
from fedlit.user_module.tracked_parameters import TrackedParameters
from tests.pretended_gpu.waits import watch

STEP_LOOPS = {  # the function around all steps of a fit -> its name
    LightningWorker.fit: "the fit of a Trainer",
    PlainFit.run: "the fit of one client without a Trainer",
    StackedFit.run: "the fit of a stack",
}
SUM_LOOPS = {  # the function around all batches of client.collect -> its name
    RowCollect.run: "the sums of one client",
    StackedCollect.run: "the sums of a stack",
}
CALLED_FOR_CHUNKS = {  # methods that run once for each chunk of clients: those of each subclass are loops, too
    Stage: ("state", "encode", "decode"),
    Reduction: ("encode", "add", "finish"),
    Aggregator: ("local_update", "unpack", "personal"),
}

PAUSES = {  # function -> why it may wait within a loop
    lightning_data.has_len_all_ranks: "Lightning reads the length of a loader, once a fit",
    lightning_loops._TrainingEpochLoop.teardown: "Lightning copies logged numbers to the CPU, once a fit",
    lightning_loops._EvaluationLoop.teardown: "the same, of validation passes",
    _LoggerConnector.teardown: "the same, of all metrics",
    TrackedParameters.check_setup: "what the user's setup has made is compared, once a fit",
    FitCallback.on_train_end: "logged numbers are read, once a fit",
    FitTally.epoch_loss.fget: "a loss is noted after an epoch, with evaluation.each_epoch",
    ChunkClient._measure_epoch: "a model is measured after an epoch, with evaluation.each_epoch",
    StackedClient._after_epoch: "the same, of a stack",
    read: "a robust rule reads the distances of the messages at the end of a round",
    WeightedSums.means: "the sum of hidden messages is made on the CPU, and goes to the GPU at the end of a round",
    load_optimizer_state: "step counts go back to the CPU, once after a run on the CPU is resumed",
    ReduceLROnPlateau.step: "a scheduler reads its metric",
    StepLog.metrics: "a scheduler follows a logged metric, once an epoch",
    TracedPass._traced: "a step is traced, once for each shape of a batch",
    ChunkClient.fit: "an algorithm trains: the facts of a fit are noted at its end, and its steps are loops themselves",
    ChunkClient.loss: "an algorithm asks for losses, which are numbers",
    ChunkClient.collect: "the module is opened, and compared with its snapshot, once a call; its batches are a loop",
}


def subclasses(kind: type) -> Iterator[type]:
    """All classes that inherit from this one."""
    for subclass in kind.__subclasses__():
        yield subclass
        yield from subclasses(subclass)


def watch_loops() -> None:
    """Let `watch` know the loops. Call it when all classes are imported, and before a run."""
    loops = STEP_LOOPS | SUM_LOOPS
    watch.loops = {function.__code__: name for function, name in loops.items()}
    watch.step_loops, watch.pauses = set(loops.values()), {}
    for function, reason in PAUSES.items():
        watch.pauses |= dict.fromkeys(_codes(function.__code__), reason)
    for kind, names in CALLED_FOR_CHUNKS.items():
        for subclass in subclasses(kind):
            for name in vars(subclass).keys() & set(names):
                watch.loops[vars(subclass)[name].__code__] = f"{subclass.__name__}.{name}"


def _codes(code: CodeType) -> Iterator[CodeType]:
    """The code of a function and of the functions within it."""
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _codes(constant)
