"""How a module's clients are trained under trainer=vectorized: as a stack or row by row. Tried, not looked up.

Before training, two small clients with different weights are trained as a stack and row by row, on a copy in 64 bits.
What differs, raises, draws from a global generator or changes an attribute of the module goes row by row. What a few
steps cannot show is looked at besides: hooks on weights, which a copy loses; autocast, which does nothing in 64 bits;
padding, which vmap gets wrong where it occurs. And each later fit is watched for what it leaves (`vectorized`).
"""

from __future__ import annotations

import dis
import logging
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from lightning.pytorch import LightningModule
from lightning.pytorch.utilities.model_helpers import is_overridden
from torch import Tensor, nn

from fedlit.errors import InputError, one_line
from fedlit.model_vectors import Model
from fedlit.randomness import keyed_uniform
from fedlit.round import Round
from fedlit.torch_patches.vmap_patches import no_rows_inside
from fedlit.training.gradient import Gradient
from fedlit.training.job import Job
from fedlit.training.stacked.worker import StackOptions, StackPlan, StackWorker
from fedlit.user_module.copies import copied
from fedlit.user_module.trainer_stub import DiffersByClient

log = logging.getLogger(__name__)

# hooks that a Trainer calls within a fit: a run without them would silently differ
_HOOKS = (
    "backward",
    "clip_gradients",
    "configure_gradient_clipping",
    "lr_scheduler_step",
    "on_after_backward",
    "on_after_batch_transfer",
    "on_before_backward",
    "on_before_batch_transfer",
    "on_before_optimizer_step",
    "on_before_zero_grad",
    "on_fit_end",
    "on_fit_start",
    "on_train_batch_end",
    "on_train_batch_start",
    "on_train_end",
    "on_train_epoch_end",
    "on_train_epoch_start",
    "on_train_start",
    "optimizer_step",
    "optimizer_zero_grad",
    "prepare_data",
    "setup",
    "teardown",
    "transfer_batch_to_device",
)


def refuse(config: StackOptions, module: LightningModule) -> None:
    """What only a Lightning Trainer can do is refused before training."""
    name = type(module).__name__
    hooks = [h for h in _HOOKS if is_overridden(h, module)]
    way_out = "; write trainer=lightning."
    if not module.automatic_optimization:
        raise InputError(f"trainer=vectorized: {name} has manual optimisation{way_out}")
    if hooks:
        raise InputError(
            f"trainer=vectorized: {name} has a hook of its own, {hooks[0]}, which a Trainer calls{way_out}"
        )
    if is_overridden("log", module):
        raise InputError(f"trainer=vectorized: {name} has a log of its own, which needs a Trainer's{way_out}")
    if is_overridden("configure_callbacks", module) and module.configure_callbacks():
        raise InputError(f"trainer=vectorized: {name} brings callbacks, which a Trainer calls{way_out}")
    if config.precision.startswith("16"):
        raise InputError(
            f"trainer.precision={config.precision}: trainer=vectorized does not scale losses; write "
            "trainer.precision=bf16-mixed, or trainer=lightning."
        )
    made: Any = None
    try:
        made = copied(module).configure_optimizers()
    except Exception:  # it needs a trainer, which it gets later
        return
    optimizers = list(_optimizers(made))
    if len(optimizers) != 1:
        raise InputError(f"trainer=vectorized: {name} has {len(optimizers)} optimisers, not one{way_out}")
    if isinstance(optimizers[0], torch.optim.LBFGS):
        raise InputError(f"trainer=vectorized: LBFGS runs the step several times a batch{way_out}")


def _optimizers(made: Any) -> Iterator[Any]:
    """The optimisers in what `configure_optimizers` returned."""
    if isinstance(made, torch.optim.Optimizer):
        yield made
    elif isinstance(made, dict):
        yield from _optimizers(made.get("optimizer"))
    elif isinstance(made, list | tuple):
        for one in made:
            yield from _optimizers(one)


def choose_plan(worker: StackWorker) -> StackPlan:
    """
    Raises:
        InputError: only a Trainer can train the module.
    """
    reads = _reads_batch_idx(worker.module)
    one_by_one = StackPlan(False, reads_batch_idx=reads)
    alone, trouble = _alone(worker, one_by_one)
    if worker.config.stack == "never":
        return one_by_one
    if worker.config.stack == "auto" and worker.device.type == "cpu" and _convolves(worker.module):
        log.info("trainer=vectorized trains row by row: a stack of convolutions is no faster on the CPU")
        return one_by_one
    reason = _plain_reason(worker) or trouble
    return replace(one_by_one, reason=reason) if alone is None or reason else _tried(worker, reads, *alone)


def _plain_reason(worker: StackWorker) -> str:
    """Why the module is not even tried as a stack, if there is a reason."""
    traits, parameters = worker.traits, list(worker.module.parameters())
    if worker.config.keep_optimizer_state:
        return "trainer.keep_optimizer_state=true"
    if traits.failure:
        return f"the step cannot be tried alone: {traits.failure}"
    if traits.uses_global_rng:
        return "the step draws from a global random generator"
    if traits.uses_autocast:
        return "the step has an autocast of its own"
    if any(p._backward_hooks or p._post_accumulate_grad_hooks for p in parameters):
        return "a weight has a hook"
    if getattr(worker.data.train, "loader", {}).get("num_workers"):
        return "worker processes load the data"
    if len({p.dtype for p in parameters if p.requires_grad}) > 1:
        return "the weights are of several floating types"
    return ""


def _convolves(module: nn.Module) -> bool:
    return any(isinstance(m, nn.modules.conv._ConvNd) for m in module.modules())


def _reads_batch_idx(module: LightningModule) -> bool:
    """Whether the code of the step touches its `batch_idx`, as far as can be read."""
    step = type(module).training_step
    code = getattr(step, "__code__", None)
    if code is None or code.co_flags & 0x0C:  # *args, **kwargs
        return True
    if code.co_argcount < 3:
        return False
    name = code.co_varnames[2]
    for one in dis.get_instructions(code):
        value = one.argval if isinstance(one.argval, tuple) else (one.argval,)
        if one.opname.startswith(("LOAD_FAST", "LOAD_CLOSURE", "LOAD_DEREF")) and name in value:
            return True
    return False


def _alone(worker: StackWorker, plan: StackPlan) -> tuple[tuple[dict[str, Tensor], str] | None, str]:
    """What a trial row by row gives, and in which precision it ran; or None, and why there is no trial.

    It runs in 64 bits, or as the run does where the module is made for one floating type.
    """
    trouble = ""
    for precision in ("64-true", worker.config.precision):
        try:
            return (_Trial(worker, plan, precision).result(), precision), ""
        except InputError:
            raise
        except Exception as error:
            trouble = f"a copy of it cannot be trained: {one_line(error)}"
    return None, trouble


def _tried(worker: StackWorker, reads_batch_idx: bool, wanted: dict[str, Tensor], precision: str) -> StackPlan:
    trouble = ""
    for patch_vmap in (True,) if worker.traits.uses_keyed_rng or worker.traits.uses_padding else (False, True):
        per_client_facts: frozenset[str] = frozenset()
        for _ in range(3):
            plan = StackPlan(True, patch_vmap, per_client_facts, reads_batch_idx)
            trial = _Trial(worker, plan, precision)
            try:
                with nullcontext() if patch_vmap else no_rows_inside():
                    found = trial.result()
                trouble = trial.changed() or _difference(found, wanted, 1e-6 if precision == "64-true" else 1e-2)
                if not trouble:
                    return plan
                break
            except DiffersByClient as error:
                trouble, more = str(error), frozenset(trial.asked)
                if not more - per_client_facts:
                    break
                per_client_facts |= more
            except Exception as error:
                trouble = one_line(error)
                break
    return StackPlan(False, reads_batch_idx=reads_batch_idx, reason=trouble)


class _Trial:
    """Two clients of eight and five samples, two epochs in batches of three."""

    def __init__(self, worker: StackWorker, plan: StackPlan, precision: str):
        compile = worker.config.compile and "trace"  # what a compiler makes of it is the same, and takes a minute
        config = replace(
            worker.config, precision=precision, limit_train_batches=None, gradient_clip_val=None, compile=compile
        )
        module = copied(worker.module)
        if precision == "64-true":
            module.double()
        self.worker: Any = type(worker)(config, module, worker.data, worker.measuring, plan)  # type: ignore[call-arg]
        samples = np.resize(np.arange(min(len(worker.data.train), 13)), 13)
        round = Round(0, 0, [0, 1], 2, "trial")
        self.jobs = [Job(c, round, 3, 2, part) for c, part in enumerate((samples[:8], samples[8:]))]
        self.asked: set[str] = set()

    def result(self) -> dict[str, Tensor]:
        """Weights, statistics, counters, losses and rates, and what was logged."""
        worker = self.worker
        start = worker.layout.read(worker.module)
        place = torch.arange(2 * len(start.weights), device=worker.layout.device).view(2, -1)
        noise = keyed_uniform(0, place, start.weights.dtype) - 0.5
        begin = Model(start.weights + 0.01 * noise, start.statistics.expand(2, -1))
        counters = {n: b.clone() for n, b in worker.module.named_buffers() if n in worker.layout.counters}
        client = worker.client(self.jobs, counters, [{}, {}])
        plain = Gradient(None, (), None, None, {})
        if worker.plan.stacked:
            try:
                fitted = client._as_a_stack(begin, plain, 0, 2)
            finally:
                self.asked |= getattr(worker.module._trainer, "asked", set())
        else:
            fitted = client._row_by_row(begin, plain, 0, 2)
        logged = {
            f"{name} logged by {facts['client']}": torch.tensor(value, dtype=torch.float64)
            for facts in client.facts
            for name, value in facts.get("logged", {}).items()
        }
        found = {
            "moves": fitted.model.weights - begin.weights,
            "weights": fitted.model.weights,
            "statistics": fitted.model.statistics,
            "loss": fitted.loss,
            "lr": fitted.lr,
        }
        return found | client.counters | logged

    def changed(self) -> str:
        """An attribute that the stacked step changed on the module."""
        names = self.worker.snapshot.changed()
        return f"the step changes {names[0]} of the module" if names else ""


def _difference(found: dict[str, Tensor], wanted: dict[str, Tensor], tolerance: float) -> str:
    """What differs; the weights' moves by their own size, which a small learning rate makes small."""
    if found.keys() != wanted.keys():
        return "as a stack it logs other names"
    rounding = 100 * torch.finfo(wanted["weights"].dtype).eps * float(wanted["weights"].abs().max())
    for name, right in wanted.items():
        left = found[name].to(right.device).double()
        if left.numel() != right.numel():
            return f"as a stack its {name} differ"
        about = tolerance * float(right.abs().max()) + rounding if name == "moves" else tolerance
        if not torch.allclose(left.reshape(right.shape), right.double(), rtol=tolerance, atol=about, equal_nan=True):
            return f"as a stack its {'weights' if name == 'moves' else name} differ"
    return ""
