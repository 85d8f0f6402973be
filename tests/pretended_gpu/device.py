"""A second device on a machine that has only a CPU: `device=gpu` trains on `pretended:0`.

torch lets Python code register a backend (PrivateUse1). A tensor of the pretended device holds a CPU tensor and reports
`pretended:0` as its device. Autograd, vmap, make_fx, Lightning and fedlit treat it as a tensor of another device, and
each of its operations passes `PretendedTensor.__torch_dispatch__`, which

- computes on the CPU tensors, so results are those of the CPU to the bit,
- raises where CUDA raises: tensors of two devices in one operation, except numbers without dimensions in elementwise
  operations, and indices,
- notes what makes the host wait for the device (`waits.py`).

What is not as on a GPU: kernels and their rounding, streams and asynchronous errors, memory, pinned memory, generators
of the device, autocast (`16-mixed`, `bf16-mixed`), CUDA graphs and torch.compile, several devices, LSTM and GRU layers
(cuDNN's kernels), sparse gradients, and worker processes, which have no pretended device. A copy from pageable memory
with `non_blocking=True` counts as no wait, as torch.cuda.set_sync_debug_mode counts it; CUDA may wait if it is large.
torch's fused optimisers do not know the device; those over lists of tensors (foreach) do. A process has the device for
good, from before its first backward pass, because autograd starts its threads for devices once. So these cases run in
a process of their own (`tests/test_pretended_gpu.py`).
"""

from __future__ import annotations

import copy
from collections import OrderedDict
from typing import Any

import torch
from lightning.fabric.accelerators import CUDAAccelerator as FabricAccelerator
from lightning.pytorch.accelerators import CUDAAccelerator
from torch import Tensor, nn
from torch.nn.parameter import is_lazy
from torch.optim.optimizer import _foreach_supported_types
from torch.utils._python_dispatch import return_and_correct_aliasing
from torch.utils.backend_registration import _setup_privateuseone_for_python_backend

from tests.pretended_gpu.waits import watch

NAME = "pretended"
aten = torch.ops.aten

_INDEXING = (aten.index.Tensor, aten.index_put.default, aten.index_put_.default, aten._unsafe_index.Tensor)
_MASKED_WRITES = (aten.index_put.default, aten.index_put_.default)
_TAKE_NUMBERS = (aten.fill_.Tensor, aten.masked_fill.Tensor, aten.masked_fill_.Tensor, aten.where.self)


class Machine:
    """Whether the machine has the device, as Lightning sees it: tests set it to False to resume a run elsewhere."""

    has_device = True


class PretendedTensor(Tensor):
    """A tensor of the pretended device; `on_host` is the CPU tensor with its numbers."""

    on_host: Tensor

    @staticmethod
    def __new__(cls, on_host: Tensor) -> PretendedTensor:
        wrapper = Tensor._make_wrapper_subclass(
            cls,
            on_host.size(),
            strides=on_host.stride(),
            storage_offset=on_host.storage_offset(),
            dtype=on_host.dtype,
            device=torch.device(NAME, 0),
        )
        wrapper.on_host = on_host
        return wrapper

    __torch_function__ = torch._C._disabled_torch_function_impl

    @classmethod
    def __torch_dispatch__(cls, op: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        _check_devices(op, args, kwargs)
        _note_waits(op, args, kwargs)
        target = kwargs.get("device")
        host_args, host_kwargs = _mapped(_on_host, args), _mapped(_on_host, kwargs)
        if target is not None:
            host_kwargs["device"] = "cpu"
        results = op(*host_args, **host_kwargs)
        if target is None or torch.device(target).type == NAME:
            results = _mapped(lambda t: cls(t) if isinstance(t, Tensor) else t, results)
        return return_and_correct_aliasing(op, args, kwargs, results)

    def data_ptr(self) -> int:
        return self.on_host.data_ptr()

    def tolist(self) -> Any:
        return self.cpu().tolist()

    def numpy(self, **kwargs: Any) -> Any:
        raise TypeError(f"can't convert {NAME}:0 device type tensor to numpy. Use Tensor.cpu() first.")

    def __format__(self, format_spec: str) -> str:
        return format(self.item(), format_spec) if self.dim() == 0 else super().__format__(format_spec)

    def __repr__(self, *args: Any, **kwargs: Any) -> str:
        return f"{NAME}({self.on_host!r})"

    def __deepcopy__(self, memo: dict[int, Any]) -> PretendedTensor:
        copied: Any = type(self)(self.on_host.detach().clone())
        copied = nn.Parameter(copied, self.requires_grad) if isinstance(self, nn.Parameter) else copied
        copied.requires_grad_(self.requires_grad).grad = copy.deepcopy(self.grad, memo)
        memo[id(self)] = copied
        return copied

    def __reduce_ex__(self, protocol: Any) -> Any:
        storage = self.on_host.untyped_storage()
        storage.on_pretended = True  # read by `_tag`
        typed = torch.storage.TypedStorage(wrap_storage=storage, dtype=self.dtype, _internal=True)
        shape = self.storage_offset(), tuple(self.shape), self.stride(), self.requires_grad
        return torch._utils._rebuild_tensor_v2, (typed, *shape, OrderedDict())


def _on_host(value: Any) -> Any:
    return value.on_host if isinstance(value, PretendedTensor) else value


def _mapped(function: Any, value: Any) -> Any:
    """Arguments or results of an operation with each leaf replaced; torch's pytree takes three times as long."""
    if isinstance(value, list | tuple):
        return type(value)(_mapped(function, part) for part in value)
    return {k: _mapped(function, v) for k, v in value.items()} if isinstance(value, dict) else function(value)


def _tensors(value: Any) -> list[Tensor]:
    tensors: list[Tensor] = []
    _mapped(lambda leaf: tensors.append(leaf) if isinstance(leaf, Tensor) else None, value)
    return tensors


# --- the rules of CUDA ----------------------------------------------------------------------------------------------


def _check_devices(op: Any, args: Any, kwargs: Any) -> None:
    """
    Raises:
        RuntimeError: an operation gets tensors of the device and of the CPU, and CUDA would raise.
    """
    if op in (aten.copy_.default, aten._to_copy.default):
        return
    checked = args
    if op in _INDEXING:  # indices may be on the CPU
        checked = (args[0], *args[2:])
    on_cpu = [t for t in _tensors([checked, kwargs]) if not isinstance(t, PretendedTensor)]
    if not on_cpu:
        return
    takes_numbers = torch.Tag.pointwise in op.tags or op in _TAKE_NUMBERS or op in _MASKED_WRITES
    writes_to_cpu = op._schema.is_mutable and not isinstance(_tensors(args)[0], PretendedTensor)
    if writes_to_cpu or not (takes_numbers and all(t.dim() == 0 for t in on_cpu)):
        watch.note_mixed(str(op))
        raise RuntimeError(
            f"Expected all tensors to be on the same device, but found at least two devices, {NAME}:0 and cpu! ({op})"
        )


def _note_waits(op: Any, args: Any, kwargs: Any) -> None:
    """Note an operation that makes the host wait for the device."""
    if op is aten.copy_.default:
        destination, source = args[:2]
        blocking = not (args[2] if len(args) > 2 else kwargs.get("non_blocking", False))
        if isinstance(destination, PretendedTensor) and not isinstance(source, PretendedTensor):
            if blocking:
                watch.note_move("upload", source)
        elif not isinstance(destination, PretendedTensor):
            watch.note_move("download", source)
    elif op is aten._to_copy.default:
        if kwargs.get("device") is not None and torch.device(kwargs["device"]).type == "cpu":
            watch.note_move("download", args[0])
    elif op in _INDEXING:
        indices = [i for i in args[1] if i is not None]
        masks = [i for i in indices if i.dtype in (torch.bool, torch.uint8)]
        for index in indices:
            if not isinstance(index, PretendedTensor):
                watch.note_move("upload", index)
        if masks and not (op in _MASKED_WRITES and args[2].numel() == 1):  # torch fills one number by the mask
            watch.note("shape", str(op))
    elif torch.Tag.data_dependent_output in op.tags:
        watch.note("item", str(op))
    elif torch.Tag.dynamic_output_shape in op.tags and kwargs.get("output_size") is None:  # of repeat_interleave
        watch.note("shape", str(op))


# --- the backend ----------------------------------------------------------------------------------------------------


class _Module:
    """`torch.pretended`, which torch expects of a backend."""

    def is_initialized(self) -> bool:
        return True

    def is_available(self) -> bool:
        return True

    def current_device(self) -> int:
        return 0

    def device_count(self) -> int:
        return 1

    def _is_in_bad_fork(self) -> bool:
        return False

    def manual_seed_all(self, seed: int) -> None:
        """The generator of the CPU serves the device, too."""


def _fallback(op: Any, *args: Any, **kwargs: Any) -> Any:
    """Operations that do not reach `__torch_dispatch__`: those that take no tensor, and those in torch.tensor."""
    return PretendedTensor.__torch_dispatch__(op, (), args, kwargs)


def _copy_from(source: Tensor, destination: Tensor, non_blocking: bool = False) -> Tensor:
    return PretendedTensor.__torch_dispatch__(aten.copy_.default, (), (destination, source, non_blocking))


def _tag(storage: Any) -> str | None:
    """Where torch.save writes that a storage was."""
    return f"{NAME}:0" if getattr(storage, "on_pretended", False) else None


def _placed(storage: Any, location: str) -> Any:
    """A storage that torch.load reads, on the device where it was."""
    return storage.to(device=torch.device(location)) if location.startswith(NAME) else None


def _storage_to(self: Any, *, device: Any, non_blocking: bool = False) -> Any:
    if torch.device(device).type != NAME:
        return _storage_to_cpu(self, device=device, non_blocking=non_blocking)
    self.on_pretended = True  # read by `_rebuild`
    return self


def _rebuild(storage: Any, *shape: Any) -> Tensor:
    tensor = _rebuild_on_cpu(storage, *shape)
    return PretendedTensor(tensor) if getattr(storage._untyped_storage, "on_pretended", False) else tensor


def _swap_tensors(first: Tensor, second: Tensor) -> None:
    """For `module.to`: a parameter keeps its identity, as on CUDA. torch cannot swap one that a graph refers to, and
    most calls change nothing."""
    if is_lazy(first):
        first.data = second.data
    elif first.device != second.device or first.data_ptr() != second.data_ptr():
        _swap_any_tensors(first, second)


_setup_privateuseone_for_python_backend(NAME, _Module())
_library = torch.library.Library("aten", "IMPL")
_library.impl("_copy_from", _copy_from, "PrivateUse1")
_others = torch.library.Library("_", "IMPL")
_others.fallback(_fallback, "PrivateUse1")
torch.__future__.set_swap_module_params_on_conversion(True)
_swap_any_tensors, torch.utils.swap_tensors = torch.utils.swap_tensors, _swap_tensors
_foreach_supported_types.append(PretendedTensor)
torch.serialization.register_package(1, _tag, _placed)
_storage_to_cpu, _rebuild_on_cpu = torch.UntypedStorage.to, torch._utils._rebuild_tensor
torch.UntypedStorage.to, torch._utils._rebuild_tensor = _storage_to, _rebuild  # type: ignore[method-assign]

# Lightning's accelerator for "gpu" is that of CUDA
for _accelerator in (CUDAAccelerator, FabricAccelerator):  # the second is asked under "auto"
    _accelerator.is_available = staticmethod(lambda: Machine.has_device)  # type: ignore[method-assign]
CUDAAccelerator.auto_device_count = staticmethod(lambda: 1)  # type: ignore[method-assign]
CUDAAccelerator.parse_devices = staticmethod(lambda devices: [0])  # type: ignore[method-assign]
CUDAAccelerator.get_parallel_devices = staticmethod(lambda devices: [torch.device(NAME, 0)])  # type: ignore[method-assign]
for _method in ("setup", "setup_device", "teardown"):
    setattr(CUDAAccelerator, _method, lambda *args: None)
