"""The contenders of a workload: the plain loop, fedlit's combinations of trainer and engine, and other frameworks."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from benchmarks import ours
from benchmarks.contender_process import CHECKOUT, python
from benchmarks.workloads import Workload

PEERS = {"Flower": "flower", "pfl": "pfl"}

Kind = Literal["bare", "fedlit", "peer", "floor"]  # floor: a round without any framework (see `_floors`)

KEEP_MEMORY = ["env", "MALLOC_MMAP_THRESHOLD_=33554432", "MALLOC_TRIM_THRESHOLD_=1073741824"]
"""glibc keeps freed memory, as in fedlit's processes (see `fedlit.engines.machine`)."""


@dataclass(frozen=True)
class Entry:
    """A contender before it is started.

    Attributes:
        command: its working directory is the checkout.
        plain: float32 and contiguous: the loop that ratios refer to is, and `lightning serial` for its target.
    """

    name: str
    kind: Kind
    command: list[str]
    precision: str = "float32"
    plain: bool = True


def entries(w: Workload, file: Path, folder: Path, peers: bool = True) -> list[Entry]:
    """All contenders that can run on this machine, the plain loop first."""
    without_peers = _bare(w, file) + _floors(w, file) + _fedlit(w, file, folder)
    return without_peers + [entry for peer in PEERS for entry in _peer(peer, file)] if peers else without_peers


def missing_peers() -> list[str]:
    """Frameworks that are not installed."""
    return [name for name in PEERS if not _peer_python(name).exists()]


def _bare(w: Workload, file: Path) -> list[Entry]:
    command = python("-m", "benchmarks.bare", str(file))
    plain_loops = [Entry(f"bare, {_threads(n)}", "bare", [*command, str(n)]) for n in (2, 1)]
    if _has_images(w):
        channels_last = Entry("bare, 2 threads, channels_last", "bare", [*command, "2", "channels_last"], plain=False)
        plain_loops.append(channels_last)
    return plain_loops


def _floors(w: Workload, file: Path) -> list[Entry]:
    """Rounds without any framework: they explain the results and count for no target."""

    def floor(name: str, module: str, *words: str, precision: str = "float32") -> Entry:
        command = [*KEEP_MEMORY, *python("-m", f"benchmarks.{module}", str(file), *words)]
        return Entry(name, "floor", command, precision)

    if not _has_images(w):
        by_hand = [("a Trainer by hand", "trainer_by_hand"), ("stacked by hand", "stacked_by_hand")]
        return [floor(f"{name}, {_threads(n)}", module, str(n)) for name, module in by_hand for n in (2, 1)]
    pair = "bare in 2 processes of 1 thread"
    return [
        floor("bare, 2 threads, memory kept", "bare", "2"),
        floor(pair, "bare_pair"),
        floor(f"{pair}, channels_last", "bare_pair", "channels_last"),
        floor(f"{pair}, channels_last, bf16", "bare_pair", "channels_last", "bf16", precision="bf16"),
    ]


def _stack_options(engine: str) -> list[tuple[str, list[str], str]]:
    """Options of stacked training; images on a CPU are not stacked."""
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
    if _has_images(w):
        last = "trainer.memory_format=channels_last"
        formats += [
            (", channels_last", [last], "float32"),
            (", channels_last, bf16", [last, "trainer.precision=bf16-mixed"], "bf16"),
        ]
    engines = [
        ("serial, 2 threads", ["engine=serial", "threads=2"]),
        ("processes, 2 of 1 thread", ["engine=processes", "engine.workers=2", "threads=1"]),
    ]
    if not _has_images(w):  # convolutions gain from two threads
        engines.append(("serial, 1 thread", ["engine=serial", "threads=1"]))
    combinations: list[Entry] = []
    for trainer in ("lightning", "vectorized"):
        for engine, engine_words in engines:
            base_words = [f"trainer={trainer}", *engine_words]
            if not all(_is_shipped(word) for word in base_words[:2]):
                continue
            stacked = trainer == "vectorized" and not _has_images(w)
            for suffix, options, precision in formats + (_stack_options(engine) if stacked else []):
                run_folder = folder / f"run{len(combinations)}"
                words = [*ours.words(w, file, run_folder), *base_words, *options]
                command = python("-m", "benchmarks.ours", *words)
                entry = Entry(f"{trainer} {engine}{suffix}", "fedlit", command, precision, not options)
                combinations.append(entry)
    return combinations


def _peer(name: str, file: Path) -> list[Entry]:
    if not _peer_python(name).exists():
        return []
    command = [str(_peer_python(name)), "-m", f"benchmarks.peers_{PEERS[name]}", str(file)]
    return [Entry(f"{name}, {_threads(n)}", "peer", [*command, str(n)]) for n in (2, 1)]


def _peer_python(name: str) -> Path:
    return CHECKOUT / f".venv-{PEERS[name]}" / "bin" / "python"


def _is_shipped(word: str) -> bool:
    group, _, option = word.partition("=")
    return (CHECKOUT / "conf" / group / f"{option}.yaml").exists()


def _has_images(w: Workload) -> bool:
    return len(w.shape) == 3


def _threads(number: int) -> str:
    return f"{number} thread" + ("s" if number > 1 else "")
