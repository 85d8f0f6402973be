"""The contenders of a workload: the plain loop, fedlit's combinations of trainer and engine, and other frameworks."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from benchmarks import ours
from benchmarks.contender_process import CHECKOUT, python
from benchmarks.workloads import Workload

PEERS = {"Flower": "flower", "pfl": "pfl"}

Kind = Literal["bare", "fedlit", "peer", "floor"]  # the last: how much of a round is no framework's (see `_floors`)

KEPT = ["env", "MALLOC_MMAP_THRESHOLD_=33554432", "MALLOC_TRIM_THRESHOLD_=1073741824"]
"""glibc keeps the memory that a process frees, as fedlit's processes have it (see `fedlit.engines.machine`)."""


@dataclass(frozen=True)
class Entry:
    """A contender before it is started.

    Attributes:
        command: run in the checkout.
        plain: float32 and contiguous, as the loop `bare` and the target for `lightning serial` have it.
    """

    name: str
    kind: Kind
    command: list[str]
    precision: str = "float32"
    plain: bool = True


def entries(w: Workload, file: Path, folder: Path, peers: bool = True) -> list[Entry]:
    """All that can run here, the plain loop first."""
    found = _bare(w, file) + _floors(w, file) + _fedlit(w, file, folder)
    return found + [entry for peer in PEERS for entry in _peer(peer, file)] if peers else found


def missing_peers() -> list[str]:
    """Frameworks that are not installed."""
    return [name for name in PEERS if not _peer_python(name).exists()]


def _bare(w: Workload, file: Path) -> list[Entry]:
    command = python("-m", "benchmarks.bare", str(file))
    found = [Entry(f"bare, {_threads(n)}", "bare", [*command, str(n)]) for n in (2, 1)]
    if _images(w):
        found.append(Entry("bare, 2 threads, channels_last", "bare", [*command, "2", "channels_last"], plain=False))
    return found


def _floors(w: Workload, file: Path) -> list[Entry]:
    """What a round takes where nobody's framework is in between: they explain, and count for no target."""

    def floor(name: str, module: str, *words: str, precision: str = "float32") -> Entry:
        command = [*KEPT, *python("-m", f"benchmarks.{module}", str(file), *words)]
        return Entry(name, "floor", command, precision)

    if not _images(w):
        hands = [("a Trainer by hand", "trainer_by_hand"), ("stacked by hand", "stacked_by_hand")]
        return [floor(f"{name}, {_threads(n)}", module, str(n)) for name, module in hands for n in (2, 1)]
    pair = "bare in 2 processes of 1 thread"
    return [
        floor("bare, 2 threads, memory kept", "bare", "2"),
        floor(pair, "bare_pair"),
        floor(f"{pair}, channels_last", "bare_pair", "channels_last"),
        floor(f"{pair}, channels_last, bf16", "bare_pair", "channels_last", "bf16", precision="bf16"),
    ]


def _stacks(engine: str) -> list[tuple[str, list[str], str]]:
    """Options of stacks, which images on a CPU are not."""
    chunk, compiled = "trainer.chunk=128", "trainer.compile=default"
    if not engine.startswith("serial"):
        return [(", compiled", [compiled], "float32")]
    return [
        (", chunk 128", [chunk], "float32"),
        (", chunk 128, trace", [chunk, "trainer.compile=trace"], "float32"),
        (", chunk 128, compiled", [chunk, compiled], "float32"),
    ]


def _fedlit(w: Workload, file: Path, folder: Path) -> list[Entry]:
    formats: list[tuple[str, list[str], str]] = [("", [], "float32")]
    if _images(w):
        last = "trainer.memory_format=channels_last"
        formats += [
            (", channels_last", [last], "float32"),
            (", channels_last, bf16", [last, "trainer.precision=bf16-mixed"], "bf16"),
        ]
    engines = [
        ("serial, 2 threads", ["engine=serial", "threads=2"]),
        ("processes, 2 of 1 thread", ["engine=processes", "engine.workers=2", "threads=1"]),
    ]
    if not _images(w):  # whose kernels gain by two threads
        engines.append(("serial, 1 thread", ["engine=serial", "threads=1"]))
    found: list[Entry] = []
    for trainer in ("lightning", "vectorized"):
        for engine, engine_words in engines:
            chosen = [f"trainer={trainer}", *engine_words]
            if not all(_shipped(word) for word in (chosen[0], chosen[1])):
                continue
            for suffix, more, precision in formats + (
                _stacks(engine) if trainer == "vectorized" and not _images(w) else []
            ):
                words = [*ours.words(w, file, folder / f"run{len(found)}"), *chosen, *more]
                command = python("-m", "benchmarks.ours", *words)
                found.append(Entry(f"{trainer} {engine}{suffix}", "fedlit", command, precision, not more))
    return found


def _peer(name: str, file: Path) -> list[Entry]:
    if not _peer_python(name).exists():
        return []
    command = [str(_peer_python(name)), "-m", f"benchmarks.peers_{PEERS[name]}", str(file)]
    return [Entry(f"{name}, {_threads(n)}", "peer", [*command, str(n)]) for n in (2, 1)]


def _peer_python(name: str) -> Path:
    return CHECKOUT / f".venv-{PEERS[name]}" / "bin" / "python"


def _shipped(word: str) -> bool:
    group, _, option = word.partition("=")
    return (CHECKOUT / "conf" / group / f"{option}.yaml").exists()


def _images(w: Workload) -> bool:
    return len(w.shape) == 3


def _threads(number: int) -> str:
    return f"{number} thread" + ("s" if number > 1 else "")
