"""One wait or one CPU tensor, inserted anywhere in a loop, fails the harness, which names the line."""

from __future__ import annotations

import contextlib
import inspect
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from fedlit.aggregators import FedAMP, FedProx
from fedlit.data import TensorSamples
from fedlit.engines.failures import ClientFailed
from fedlit.messages.reductions import All, Mean
from fedlit.training.collect import RowCollect
from fedlit.training.collected_sums import CollectedSums
from fedlit.training.fit_tally import FitTally
from fedlit.training.gradient import GradientEditor
from fedlit.training.lightning.fit_callback import FitCallback
from fedlit.training.stacked.fit_optimizers import FitOptimizers
from fedlit.training.stacked.plain_fit import PlainFit
from fedlit.training.stacked.rowwise_optimizers import RowwiseSgd
from fedlit.training.stacked.stack_batches import StackBatches
from fedlit.training.stacked.stacked_collect import StackedCollect
from fedlit.training.stacked.stacked_fit import StackedFit
from fedlit.training.stacked.stacked_pass import StackedPass, _Trace
from fedlit.training.step_draws import DrawKeys
from tests.aggregators.written import WholeGradients
from tests.pretended_gpu import own_parts
from tests.pretended_gpu.runs import owner, run_on_gpu
from tests.pretended_gpu.waits import WaitInLoop, watch
from tests.slow import some_slow

RUNS: dict[str, dict[str, Any]] = {  # name -> arguments of `run_on_gpu`
    "lightning": {"trainer": "lightning"},
    "stack": {"trainer": "stack"},
    "rows": {"trainer": "rows"},
    "trace": {"trainer": "trace"},
    "stages": {"trainer": "stack", "uplink": {"clip": own_parts.Clip(), "residual": own_parts.Residual()}},
    "lists": {"trainer": "stack", "uplink": {"large": own_parts.Large()}},
    "all messages": {"trainer": "stack", "aggregator": FedAMP()},
    "sums of a stack": {"trainer": "stack", "aggregator": WholeGradients()},
    "sums of a client": {"trainer": "rows", "aggregator": WholeGradients()},
    "median": {"trainer": "stack", "reduction": own_parts.Median()},
}
LOSS = "self.total[rows] += result.loss"
BATCH = "batch = self.data.train.batch(part.index)"
PROXIMAL = "return grad + self.mu * (w - x)"
MUTATIONS = [  # a run, a method, a piece of its source, and what is written instead
    ("stack", StackedFit._step, LOSS, LOSS + ".cpu()"),
    ("stack", StackedFit._step, LOSS, LOSS + " + torch.zeros(len(result.loss))"),
    ("stack", StackedFit._step, LOSS, LOSS + "; bool(result.loss.isnan().any())"),
    ("stack", StackedFit._step, LOSS, LOSS + "; torch.from_numpy(weights.detach().cpu().numpy())"),
    ("stack", StackedFit._step, LOSS, LOSS + "[result.loss > 0].sum()"),
    ("stack", StackedFit._step, LOSS, LOSS + " + torch.tensor([0.0], device=weights.device)"),
    ("stack", FitOptimizers.step, "gradient = self._clipped(", "gradient.norm().item(); gradient = self._clipped("),
    ("stack", StackedPass.__call__, "loss = loss.flatten()", "loss = loss.flatten(); loss.tolist()"),
    ("stack", RowwiseSgd._step_run, "buffer[rows] = b", "buffer[rows] = b; b.max().item()"),
    ("stack", StackBatches.__call__, BATCH, BATCH + "; torch.tensor(part.index, device=batch[0].device)"),
    ("stack", TensorSamples.batch, "non_blocking=True", "non_blocking=False"),
    ("lightning", TensorSamples.batch, "non_blocking=True", "non_blocking=False"),
    ("lightning", FitCallback.training_step, "self.tally.add_loss(loss)", "self.tally.add_loss(loss); loss.item()"),
    ("lightning", FitTally.add_loss, "loss.detach().double()", "loss.detach().cpu().double()"),
    ("lightning", GradientEditor.before_step, "if p.grad is None", "if p.grad is None or p.grad.isnan().any()"),
    ("rows", PlainFit._step, "self.log.begin_step(batch)", "self.log.begin_step(batch); batch[0].tolist()"),
    ("rows", FitTally.add_loss, "loss.detach().double()", "loss.detach().cpu().double()"),
    ("trace", _Trace.__call__, "rest = iter(outputs)", "rest = iter(outputs); loss.cpu()"),
    ("lightning", FedProx.local_update, PROXIMAL, PROXIMAL.replace("grad +", "grad.cpu().to(grad.device) +")),
    ("stack", FedProx.local_update, PROXIMAL, PROXIMAL.replace("grad +", "grad.cpu().to(grad.device) +")),
    ("rows", FedProx.local_update, PROXIMAL, PROXIMAL.replace("grad +", "float(grad.norm()) * grad +")),
    ("stack", FedProx.local_update, 'x = received["model"]', 'x = received["model"]; float(x.weights.norm())'),
    ("stack", Mean.add, "dtype = _wide(value.dtype)", "dtype = _wide(value.cpu().dtype)"),
    ("stack", Mean.add, "self._dtypes[key] = value.dtype", "self._dtypes[key] = value.dtype; value.sum().item()"),
    ("stack", Mean._reduced, "mean = total", "total.sum().item(); mean = total"),
    ("all messages", All.add, "self._examples.append(examples)", "self._examples.append(examples.cpu())"),
    ("median", own_parts.Median.finish, "wires = {", "[t.cpu() for t in self._examples]; wires = {"),
    ("stages", own_parts.Clip.encode, "t.norm(dim=-1, keepdim=True)", "t.norm(dim=-1, keepdim=True).cpu()"),
    ("stages", own_parts.Residual.state, "torch.zeros_like(t)", "torch.zeros(t.shape)"),
    ("stages", own_parts.Residual.decode, "t.double()", "t.double().cpu()"),
    ("lists", own_parts.Large.encode, "masks = [", "masks = [row.cpu() for row in value]; masks = ["),
]
MUTATIONS += [
    ("sums of a stack", StackedCollect._step, "numbers = np", "weights.sum().item(); numbers = np"),
    ("sums of a client", RowCollect._step, "subject = self", "self.weights.sum().item(); subject = self"),
    ("sums of a stack", CollectedSums.add, "value.detach()", "value.detach().cpu().to(value.device)"),
    ("sums of a stack", DrawKeys.__call__, "return self._keys[what]", "return self._keys[what].cpu()"),
]
QUICK = [MUTATIONS[i] for i in (0, 1, 9, 12, 15, 22, 29)] + MUTATIONS[-4:-3]


@pytest.mark.parametrize(("run", "function", "old", "new"), some_slow(MUTATIONS, QUICK))
def test_an_inserted_wait_fails(run: str, function: Any, old: str, new: str, tmp_path: Path) -> None:
    arguments = {"aggregator": FedProx(mu=0.1), "rounds": 1} | RUNS[run]
    with mutated(function, old, new), pytest.raises((WaitInLoop, ClientFailed, AssertionError)) as error:
        run_on_gpu(tmp_path, **arguments)
    assert Path(inspect.getfile(function)).name in f"{error.value} {watch.mixed}"


@contextlib.contextmanager
def mutated(function: Any, old: str, new: str) -> Iterator[None]:
    """A method with another piece of source, on the same lines."""
    source = textwrap.dedent(inspect.getsource(function))
    assert source.count(old) == 1, source
    source = "\n" * (function.__code__.co_firstlineno - 1) + source.replace(old, new)
    code = compile(source, inspect.getfile(function), "exec", flags=annotations.compiler_flag)
    names: dict[str, Any] = {}
    exec(code, function.__globals__, names)
    with mock.patch.object(owner(function), function.__name__, names[function.__name__]):
        yield
