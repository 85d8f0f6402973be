"""A value on its way to another process: tensors and arrays in shared memory, what is around them pickled.

The memory is a file without a name, which is handed over by its descriptor: nothing can stay behind, for it is gone
with the last process that holds it.
"""

from __future__ import annotations

import io
import mmap
import os
import pickle
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import numpy as np
import torch
from torch import Tensor

_ALIGNED = 64  # bytes, as torch's own memory
_SMALL = 2**14  # bytes: as much goes through the connection itself, which is quicker than a file
_device: ContextVar[torch.device | str] = ContextVar("device", default="cpu")


class Parcel:
    """Parts of memory behind one another: the pickle first, then what it leaves out."""

    def __init__(self, sizes: Sequence[int], memory: bytes | io.FileIO):
        self.sizes, self.memory = sizes, memory

    @property
    def size(self) -> int:
        return sum(self.sizes)

    def copied(self, device: torch.device | str = "cpu") -> Any:
        """The value, in memory of its own. What was on a GPU comes to `device`."""
        if isinstance(self.memory, bytes):
            return self._of_small(self.memory, device)
        parts = [_empty(size) for size in self.sizes]
        for part, at in zip(parts, _offsets(self.sizes), strict=True):
            _read(self.memory.fileno(), part, at)
        return _unpickled(parts, device)

    def shared(self, device: torch.device | str = "cpu") -> Any:
        """The value, its tensors and arrays in memory that all readers have in common until one of them writes: what it
        writes is its own."""
        if isinstance(self.memory, bytes):
            return self._of_small(self.memory, device)
        return self._of(memoryview(mmap.mmap(self.memory.fileno(), 0, access=mmap.ACCESS_COPY)), device)

    def _of_small(self, memory: bytes, device: torch.device | str) -> Any:
        whole = _empty(len(memory))
        whole[:] = memory
        return self._of(whole, device)

    def _of(self, whole: memoryview, device: torch.device | str) -> Any:
        cut = [whole[at : at + size] for at, size in zip(_offsets(self.sizes), self.sizes, strict=True)]
        return _unpickled(cut, device)

    def close(self) -> None:
        """What was read of it stays."""
        if not isinstance(self.memory, bytes):
            self.memory.close()

    def __enter__(self) -> Parcel:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


def pack(value: Any, file: io.FileIO | None = None) -> Parcel:
    """Put a value into a parcel.

    Args:
        file: memory to write it into, over what was there; None takes new memory.
    """
    parts = _parts(value)
    sizes = [part.nbytes for part in parts]
    if sum(sizes) <= _SMALL:
        small = bytearray()
        for part, at in zip(parts, _offsets(sizes), strict=True):
            small += bytes(at - len(small))
            small += part
        return Parcel(sizes, bytes(small))
    file = file or memory_file()
    for part, at in zip(parts, _offsets(sizes), strict=True):
        _write(file.fileno(), part, at)
    return Parcel(sizes, file)


def as_arrays(value: Any) -> list[np.ndarray]:
    """A value as arrays of bytes, for a store that knows numpy: the pickle first, then what it leaves out."""
    return [np.frombuffer(part, dtype=np.uint8) for part in _parts(value)]


def of_arrays(arrays: Sequence[np.ndarray], device: torch.device | str = "cpu") -> Any:
    """The value of such arrays, in memory of its own. What was on a GPU comes to `device`."""
    parts = [_empty(len(array)) for array in arrays]
    for part, array in zip(parts, arrays, strict=True):
        part[:] = array.data
    return _unpickled(parts, device)


def _parts(value: Any) -> list[memoryview]:
    apart: list[memoryview] = []

    def leave_out(buffer: pickle.PickleBuffer) -> None:
        apart.append(buffer.raw())

    stream = io.BytesIO()
    _Pickler(stream, protocol=5, buffer_callback=leave_out).dump(value)
    return [stream.getbuffer(), *apart]


def memory_file() -> io.FileIO:
    """Memory that can be handed to another process, as a file without a name."""
    if hasattr(os, "memfd_create"):
        return io.FileIO(os.memfd_create("fedlit"), "r+b")
    return io.FileIO(os.dup(tempfile.TemporaryFile().fileno()), "r+b")


class _Pickler(pickle.Pickler):
    def reducer_override(self, value: Any) -> Any:
        """Plain tensors as what they hold and no more: a row of a stack does not bring the stack along."""
        if type(value) is not Tensor or value.layout != torch.strided or value.is_quantized or value.is_complex():
            return NotImplemented
        contiguous = value.detach().cpu().contiguous()
        # a tensor of one number counts as contiguous with any stride, and a view as bytes needs stride 1
        held = contiguous.as_strided((contiguous.numel(),), (1,)).view(torch.uint8)
        return _tensor, (pickle.PickleBuffer(held.numpy().data), value.dtype, value.shape, value.device.type != "cpu")


def _tensor(memory: Any, dtype: torch.dtype, shape: torch.Size, moved: bool) -> Tensor:
    found = torch.frombuffer(memory, dtype=dtype).view(shape) if len(memory) else torch.empty(shape, dtype=dtype)
    return found.to(_device.get()) if moved else found


def _unpickled(parts: Sequence[memoryview], device: torch.device | str) -> Any:
    with _on(device):
        return pickle.loads(parts[0], buffers=parts[1:])


@contextmanager
def _on(device: torch.device | str) -> Iterator[None]:
    token = _device.set(device)
    try:
        yield
    finally:
        _device.reset(token)


def _empty(size: int) -> memoryview:
    """Memory aligned as torch's own: with another alignment a product may have other last bits."""
    return torch.empty(size, dtype=torch.uint8).numpy().data


def _offsets(sizes: Sequence[int]) -> Iterator[int]:
    at = 0
    for size in sizes:
        yield at
        at += -(-size // _ALIGNED) * _ALIGNED


def _write(file: int, part: memoryview, at: int) -> None:
    done = 0
    while done < part.nbytes:  # a call writes 2 GiB at most
        done += os.pwrite(file, part[done:], at + done)


def _read(file: int, part: memoryview, at: int) -> None:
    done = 0
    while done < part.nbytes:
        count = os.preadv(file, [part[done:]], at + done)
        if not count:
            raise EOFError("a parcel is shorter than it says")
        done += count
