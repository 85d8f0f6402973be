"""Values on their way to another process: a pickle stream, with tensors and arrays as out-of-band buffers (PEP 574).

Large values lie in a memfd, an anonymous file in memory that is passed on by its descriptor. It has no name, so nothing
is left behind when the last process that holds it ends.
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

_ALIGNMENT = 64  # bytes, as torch's allocator
_INLINE_LIMIT = 2**14  # bytes; up to this size, sending through the connection is faster than a file
_device: ContextVar[torch.device | str] = ContextVar("device", default="cpu")


class Packed:
    """Contiguous segments, each aligned: the pickle stream, then its out-of-band buffers.

    Attributes:
        sizes: bytes of each segment.
        memory: what holds the segments; bytes if they are small, else a memfd.
    """

    def __init__(self, sizes: Sequence[int], memory: bytes | io.FileIO):
        self.sizes, self.memory = sizes, memory

    @property
    def num_bytes(self) -> int:
        return sum(self.sizes)

    def close(self) -> None:
        """Close the file. Values that were unpacked or mapped stay valid."""
        if not isinstance(self.memory, bytes):
            self.memory.close()

    def __enter__(self) -> Packed:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


def pack(value: Any, file: io.FileIO | None = None) -> Packed:
    """Serialize a value.

    Args:
        file: a memfd to overwrite; None creates a new one.
    """
    segments = _segments(value)
    sizes = [segment.nbytes for segment in segments]
    if sum(sizes) <= _INLINE_LIMIT:
        inline = bytearray()
        for segment, offset in zip(segments, _offsets(sizes), strict=True):
            inline += bytes(offset - len(inline))
            inline += segment
        return Packed(sizes, bytes(inline))
    file = file or memory_file()
    for segment, offset in zip(segments, _offsets(sizes), strict=True):
        _write(file.fileno(), segment, offset)
    return Packed(sizes, file)


def unpack(packed: Packed, device: torch.device | str = "cpu") -> Any:
    """The value, in private memory.

    Args:
        device: where tensors go that were on a GPU.
    """
    if isinstance(packed.memory, bytes):
        return _unpack_inline(packed.sizes, packed.memory, device)
    segments = [_empty(size) for size in packed.sizes]
    for segment, offset in zip(segments, _offsets(packed.sizes), strict=True):
        _read(packed.memory.fileno(), segment, offset)
    return _unpickle(segments, device)


def map_shared(packed: Packed, device: torch.device | str = "cpu") -> Any:
    """The value, its tensors and arrays in a copy-on-write mapping: processes share a page until they write to it.

    Args:
        device: where tensors go that were on a GPU.
    """
    if isinstance(packed.memory, bytes):
        return _unpack_inline(packed.sizes, packed.memory, device)
    mapping = memoryview(mmap.mmap(packed.memory.fileno(), 0, access=mmap.ACCESS_COPY))
    return _unpickle(_split(mapping, packed.sizes), device)


def pack_arrays(value: Any) -> list[np.ndarray]:
    """The segments of a value as arrays of bytes, for an object store that keeps numpy arrays."""
    return [np.frombuffer(segment, dtype=np.uint8) for segment in _segments(value)]


def unpack_arrays(arrays: Sequence[np.ndarray], device: torch.device | str = "cpu") -> Any:
    """The value of such arrays, in private memory.

    Args:
        device: where tensors go that were on a GPU.
    """
    segments = [_empty(len(array)) for array in arrays]
    for segment, array in zip(segments, arrays, strict=True):
        segment[:] = array.data
    return _unpickle(segments, device)


def memory_file() -> io.FileIO:
    """An anonymous file in memory, or a temporary one without a name where the system has no memfd."""
    if hasattr(os, "memfd_create"):
        return io.FileIO(os.memfd_create("fedlit"), "r+b")
    return io.FileIO(os.dup(tempfile.TemporaryFile().fileno()), "r+b")


class _Pickler(pickle.Pickler):
    def reducer_override(self, value: Any) -> Any:
        """Pickle the elements of a plain tensor, not its storage: a row of a stack does not bring the stack along."""
        if type(value) is not Tensor or value.layout != torch.strided or value.is_quantized or value.is_complex():
            return NotImplemented
        contiguous = value.detach().cpu().contiguous()
        # a tensor of one number counts as contiguous with any stride, and a view as bytes needs stride 1
        elements = contiguous.as_strided((contiguous.numel(),), (1,)).view(torch.uint8)
        buffer = pickle.PickleBuffer(elements.numpy().data)
        return _rebuild_tensor, (buffer, value.dtype, value.shape, value.device.type != "cpu")


def _rebuild_tensor(buffer: Any, dtype: torch.dtype, shape: torch.Size, was_on_gpu: bool) -> Tensor:
    tensor = torch.frombuffer(buffer, dtype=dtype).view(shape) if len(buffer) else torch.empty(shape, dtype=dtype)
    return tensor.to(_device.get()) if was_on_gpu else tensor


def _segments(value: Any) -> list[memoryview]:
    buffers: list[memoryview] = []

    def keep_out_of_band(buffer: pickle.PickleBuffer) -> None:
        buffers.append(buffer.raw())

    stream = io.BytesIO()
    _Pickler(stream, protocol=5, buffer_callback=keep_out_of_band).dump(value)
    return [stream.getbuffer(), *buffers]


def _unpack_inline(sizes: Sequence[int], memory: bytes, device: torch.device | str) -> Any:
    aligned = _empty(len(memory))
    aligned[:] = memory
    return _unpickle(_split(aligned, sizes), device)


def _split(memory: memoryview, sizes: Sequence[int]) -> list[memoryview]:
    return [memory[offset : offset + size] for offset, size in zip(_offsets(sizes), sizes, strict=True)]


def _unpickle(segments: Sequence[memoryview], device: torch.device | str) -> Any:
    with _restore_to(device):
        return pickle.loads(segments[0], buffers=segments[1:])


@contextmanager
def _restore_to(device: torch.device | str) -> Iterator[None]:
    token = _device.set(device)
    try:
        yield
    finally:
        _device.reset(token)


def _empty(size: int) -> memoryview:
    """Memory from torch's allocator: the alignment may change the last bits of a product."""
    return torch.empty(size, dtype=torch.uint8).numpy().data


def _offsets(sizes: Sequence[int]) -> Iterator[int]:
    offset = 0
    for size in sizes:
        yield offset
        offset += -(-size // _ALIGNMENT) * _ALIGNMENT


def _write(file: int, segment: memoryview, offset: int) -> None:
    written = 0
    while written < segment.nbytes:  # a call writes 2 GiB at most
        written += os.pwrite(file, segment[written:], offset + written)


def _read(file: int, segment: memoryview, offset: int) -> None:
    num_read = 0
    while num_read < segment.nbytes:
        count = os.preadv(file, [segment[num_read:]], offset + num_read)
        if not count:
            raise EOFError("a packed value is shorter than its sizes say")
        num_read += count
