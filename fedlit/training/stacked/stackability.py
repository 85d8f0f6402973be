"""Whether the clients of a module can be trained as a stack. A trial decides it, not a list of known modules.

Before training, two small clients with different weights are trained as a stack and one by one, on a copy of the module
in 64 bits. Clients are trained one by one if the results differ, or if the stacked step raises, draws from a global
generator or changes an attribute of the module. Some causes do not show in a few steps and are checked separately:
hooks on weights, which a copy loses; autocast, which does nothing in 64 bits; padding, which vmap gets wrong where it
occurs. Each later fit is checked for the same side effects (`StackedClient`).
"""

from __future__ import annotations

import dis
import logging
from contextlib import nullcontext, suppress
from dataclasses import replace

import numpy as np
import torch
from lightning.pytorch import LightningModule
from torch import Tensor, nn

from fedlit.errors import InputError, one_line
from fedlit.model_vectors import Model
from fedlit.randomness import keyed_uniform
from fedlit.round import Round
from fedlit.torch_compat import Convolution
from fedlit.torch_patches.vmap_patches import no_fallback_loops
from fedlit.training.fit_plan import fit_plan
from fedlit.training.gradient import GradientOptions
from fedlit.training.job import Job
from fedlit.training.module_host import ModuleHost
from fedlit.training.stacked.setup import StackPlan
from fedlit.training.stacked.setup_hook import why_for_each_client
from fedlit.training.stacked.worker import StackedWorker
from fedlit.training.trainer import Trainer
from fedlit.user_module.trainer_stub import DiffersByClient

log = logging.getLogger(__name__)


def choose_plan(trainer: Trainer, host: ModuleHost, stack: str, compile: str | None) -> StackPlan:
    """
    Args:
        stack, compile: the options of `VectorizedTrainer`.

    Raises:
        InputError: only a Lightning Trainer can train the module.
    """
    one_by_one = StackPlan(False, reads_batch_idx=_reads_batch_idx(host.module))
    trials = _Trials(trainer, host, compile)
    expected, failure = trials.one_by_one(one_by_one)
    if stack == "never":
        return one_by_one
    if stack == "auto" and host.device.type == "cpu" and _has_convolutions(host.module):
        log.info("trainer=vectorized trains clients one by one: a stack of convolutions is no faster on the CPU")
        return one_by_one
    reason = _reason_without_trial(host) or failure
    if expected is None or reason:
        return replace(one_by_one, reason=reason)
    return trials.stacked(one_by_one.reads_batch_idx, expected)


def _reason_without_trial(host: ModuleHost) -> str:
    """Why the module is not tried as a stack; empty where it is tried."""
    traits, parameters = host.traits, list(host.module.parameters())
    if host.options.keep_optimizer_state:
        return "trainer.keep_optimizer_state=true"
    if traits.failure:
        return f"the step cannot run outside a fit: {traits.failure}"
    if traits.uses_global_rng:
        return "the step draws from a global random generator"
    if traits.uses_autocast:
        return "the step has an autocast of its own"
    if any(p._backward_hooks or p._post_accumulate_grad_hooks for p in parameters):
        return "a weight has a hook"
    if getattr(host.data.train, "loader", {}).get("num_workers"):
        return "worker processes load the data"
    if any(t.is_complex() for t in [*parameters, *host.module.buffers()]):
        return "weights or buffers are complex"
    if len({p.dtype for p in parameters if p.requires_grad}) > 1:
        return "the weights are of several floating types"
    return why_for_each_client(host)


def _has_convolutions(module: nn.Module) -> bool:
    return any(isinstance(m, Convolution) for m in module.modules())


def _reads_batch_idx(module: LightningModule) -> bool:
    """Whether the bytecode of the step reads its `batch_idx`; True where there is none to inspect."""
    step = type(module).training_step
    code = getattr(step, "__code__", None)
    if code is None or code.co_flags & 0x0C:  # *args, **kwargs
        return True
    if code.co_argcount < 3:
        return False
    name = code.co_varnames[2]
    for instruction in dis.get_instructions(code):
        names = instruction.argval if isinstance(instruction.argval, tuple) else (instruction.argval,)
        if instruction.opname.startswith(("LOAD_FAST", "LOAD_CLOSURE", "LOAD_DEREF")) and name in names:
            return True
    return False


class _Trials:
    """The trials of one module, which all begin at the same weights and see the same samples."""

    def __init__(self, trainer: Trainer, host: ModuleHost, compile: str | None):
        self.trainer, self.host = trainer, host
        self.compile = compile and "trace"  # compiling takes a minute and gives the same numbers
        self.precision = "64-true"

    def one_by_one(self, plan: StackPlan) -> tuple[dict[str, Tensor] | None, str]:
        """The result of training one by one; or None and the reason why the module cannot be tried.

        It runs in 64 bits, or in the run's precision where the module works in one floating type only. Later trials run
        in the same precision.
        """
        failure = ""
        for precision in ("64-true", self.trainer.precision):
            self.precision = precision
            try:
                return self._trial(plan).result(), ""
            except InputError:
                raise
            except Exception as error:
                failure = f"a copy of it cannot be trained: {one_line(error)}"
        return None, failure

    def stacked(self, reads_batch_idx: bool, expected: dict[str, Tensor]) -> StackPlan:
        """A plan under which a stack gives the expected result; a plan without a stack where no plan does."""
        traits, failure = self.host.traits, ""
        for patch_vmap in (True,) if traits.uses_keyed_rng or traits.uses_padding else (False, True):
            per_client_facts: frozenset[str] = frozenset()
            for _ in range(3):
                plan = StackPlan(True, patch_vmap, per_client_facts, reads_batch_idx)
                trial = self._trial(plan)
                try:
                    with nullcontext() if patch_vmap else no_fallback_loops():
                        result = trial.result()
                    failure = trial.changed() or _difference(result, expected, self.tolerance)
                    if not failure:
                        return plan
                    break
                except DiffersByClient as error:
                    failure, facts = str(error), frozenset(trial.facts_read)
                    if not facts - per_client_facts:
                        break
                    per_client_facts |= facts
                except Exception as error:
                    failure = one_line(error)
                    break
        return StackPlan(False, reads_batch_idx=reads_batch_idx, reason=failure)

    @property
    def tolerance(self) -> float:
        return 1e-6 if self.precision == "64-true" else 1e-2

    def _trial(self, plan: StackPlan) -> _Trial:
        host = self.host.for_trial(self.precision)
        return _Trial(StackedWorker(host, plan, None, self.compile, silent=True))


class _Trial:
    """Two clients of eight and five samples, two epochs in batches of three."""

    def __init__(self, worker: StackedWorker):
        self.worker, self.host = worker, worker.host
        samples = np.resize(np.arange(min(len(self.host.data.train), 13)), 13)
        round = Round(0, 0, [0, 1], 2, "trial")
        self.jobs = [Job(c, round, 3, 2, part, part) for c, part in enumerate((samples[:8], samples[8:]))]
        self.facts_read: set[str] = set()  # facts of the trainer that differ by client

    def result(self) -> dict[str, Tensor]:
        """Weights, statistics, counters, losses and rates, and the logged values."""
        host, layout = self.host, self.host.layout
        start = layout.read(host.module)
        index = torch.arange(2 * len(start.weights), device=layout.device).view(2, -1)
        noise = keyed_uniform(0, index, start.weights.dtype) - 0.5
        initial = Model(start.weights + 0.01 * noise, start.statistics.expand(2, -1))
        counters = {n: b.clone() for n, b in host.module.named_buffers() if n in layout.counters}
        client = self.worker.client(self.jobs, counters, [{}, {}])
        plain = GradientOptions(None, (), None, None, {})
        plan = fit_plan(client.batch_plan, self.jobs, 0, None)
        if self.worker.setup.plan.stacked:
            try:
                fitted = client.fit_stack(initial, plain, plan)
            finally:
                self.facts_read |= getattr(host.module._trainer, "facts_read", set())
        else:
            fitted = client.fit_rows(initial, plain, plan)
        logged = {
            f"{name} logged by {facts['client']}": torch.tensor(value, dtype=torch.float64)
            for facts in client.facts
            for name, value in facts.get("logged", {}).items()
        }
        result = {
            "changes": fitted.model.weights - initial.weights,
            "weights": fitted.model.weights,
            "statistics": fitted.model.statistics,
            "loss": fitted.loss,
            "lr": fitted.lr,
        }
        with suppress(InputError):  # not every optimiser has one
            result["gain"] = fitted.gain
        return result | client.counters | logged

    def changed(self) -> str:
        """An attribute of the module that the stacked step changed; empty where there is none."""
        names = self.host.snapshot.changed()
        return f"the step changes {names[0]} of the module" if names else ""


def _difference(result: dict[str, Tensor], expected: dict[str, Tensor], tolerance: float) -> str:
    """A sentence on the first difference; empty where there is none. Changes of the weights are compared relative to
    their own size, because a small learning rate makes them small."""
    if result.keys() != expected.keys():
        return "as a stack it logs other names"
    rounding = 100 * torch.finfo(expected["weights"].dtype).eps * float(expected["weights"].abs().max())
    for name, right in expected.items():
        left = result[name].to(right.device).double()
        if left.numel() != right.numel():
            return f"as a stack its {name} differ"
        absolute = tolerance * float(right.abs().max()) + rounding if name == "changes" else tolerance
        if not torch.allclose(left.reshape(right.shape), right.double(), rtol=tolerance, atol=absolute, equal_nan=True):
            return f"as a stack its {'weights' if name == 'changes' else name} differ"
    return ""
