"""The measurements as Markdown tables, with the targets."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from datetime import date
from pathlib import Path
from typing import Any

from benchmarks.combinations import PEERS
from benchmarks.interleaved import Result, bare
from benchmarks.workloads import Workload
from fedlit.this_machine import machine_name

MARK = "<!-- `make bench` writes everything below this line. -->"

# ratios to bare: lightning serial, the best combination in float32, the best in any precision
TARGETS = {
    "W1": (1.05, 0.80, 0.55),
    "W2": (1.25, 0.50, 0.40),
    "W3": (4.0, 0.06, 0.06),
    "W3u": (4.0, 0.20, 0.20),
    "W3a": (4.0, 0.35, 0.35),
}


def write(file: Path, sections: Sequence[str]) -> None:
    """Write the sections below the mark of a Markdown file; the text above it is written by hand."""
    text = file.read_text(encoding="utf-8") if file.exists() else f"# Benchmarks\n\n{MARK}\n"
    file.write_text(text.partition(MARK)[0] + MARK + "\n\n" + "\n\n".join(sections) + "\n", encoding="utf-8")


def measured(command: str, packages: Iterable[str] = ("torch", "lightning", "numpy")) -> str:
    """The sentence on the command, the date and the machine of a measurement."""
    return f"Measured by `{command}`, {date.today().isoformat()}. {machine_name(packages)}."


def ratios(measured: dict[str, list[Result]]) -> str:
    """The measured ratios with their targets."""
    head = ["", "lightning serial", "target", "", "best float32", "target", "", "best in any precision", "target", ""]
    rows = []
    for name, results in measured.items():
        row = [name]
        for best, target in zip(_best(results), TARGETS.get(name, (math.nan,) * 3), strict=True):
            row += [_ratio(best), f"{target:.2f}", _met(best, target)]
        rows.append(row)
    return "### Ratios to `bare`\n\n" + markdown(head, rows)


def short(measured: dict[str, list[Result]]) -> str:
    """The README's table: the plain loop, fedlit, and other frameworks at their fastest; seconds a round and ratios."""
    head = ["", "plain loop", "`trainer=lightning engine=serial`", "fastest float32", "other frameworks"]
    rows = []
    for name, results in measured.items():
        serial, float32, _ = _best(results)
        peers = [r for r in results if r.kind == "peer" and r.seconds and not r.failed]
        fastest = [min((r for r in peers if r.name.startswith(p)), key=lambda r: r.ratio, default=None) for p in PEERS]
        cells = [_seconds(bare(results).median), _ratio(serial), _ratio(float32)]
        rows.append([name, *cells, "; ".join(_ratio(r) for r in fastest if r)])
    return markdown(head, rows)


def workload(w: Workload, results: Sequence[Result], warm_ups: int) -> str:
    """One workload: all contenders, the fastest first."""
    base = bare(results)
    head = [
        "",
        "seconds a round",
        "fastest, slowest",
        "ratio to bare",
        "outside of fit",
        "optimiser steps",
        "final loss",
    ]
    rows = []
    for r in sorted((r for r in results if r.seconds), key=lambda r: r.ratio):
        name = f"**{r.name}**" if r is base else r.name
        outside = f"{1000 * sorted(r.outside)[len(r.outside) // 2]:.1f} ms" if r.outside else ""
        loss = f"{r.loss:.4f}" + (" (!)" if r.failed else "")
        spread = f"{_seconds(min(r.seconds))}, {_seconds(max(r.seconds))}"
        rows.append([name, _seconds(r.median), spread, f"{r.ratio:.3f}", outside, f"{r.steps:,}", loss])
    rounds = max((len(r.seconds) for r in results if r.kind != "bare"), default=len(base.seconds))
    measured = f"Medians of {_many(rounds, 'round')} after {warm_ups} to warm up."
    paragraphs = [f"### {w.name}, {w.title}", f"{describe(w)} {measured}", markdown(head, rows)]
    paragraphs.append("\n".join(f"- {r.name}: {r.failed or r.note}" for r in results if r.failed or r.note))
    return "\n\n".join(filter(None, paragraphs))


def describe(w: Workload) -> str:
    shards = f"{w.samples} samples each"
    if w.spread:
        shards = f"log-normal shards (sigma {w.spread:g}, median {w.samples}, at least 2)"
    facts = [
        f"{w.clients:,} clients",
        shards,
        f"inputs {' x '.join(map(str, w.shape))}",
        f"`{w.network}`",
        f"batches of {w.batch_size}",
        f"{'Adam' if w.optimizer == 'adam' else 'SGD'} {w.lr:g}",
        "one local epoch" if w.epochs == 1 else f"{w.epochs} local epochs",
        "all clients each round" if w.per_round == w.clients else f"{w.per_round} clients a round",
    ]
    return ", ".join(facts) + "."


def start_up(rows: Sequence[dict[str, Any]], limit: float, memory_limit: float) -> str:
    head = ["", "", "start-up", "peak memory above the imports", "ratio to bare", "imports"]
    lines = []
    for row in rows:
        memory = [""] * 3
        if "above" in row:
            ratio = "" if row["ratio"] is None else f"{row['ratio']:.2f}"
            memory = [f"{row['above']:.0f} MB", ratio, f"{row['imports']:.0f} MB"]
        lines.append([row["workload"], row["name"], f"{row['start_up']:.1f} s", *memory])
    text = (
        f"Targets: under {limit:g} s from the start of the process to the first round, and at most {memory_limit:g} "
        "times the memory of `bare` above that of its imports. One process at a time, engine=serial, two threads."
    )
    return f"### Start-up and memory\n\n{text}\n\n{markdown(head, lines)}"


def scaling(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    text = (
        "`experiment=million_clients`: 1,000 clients a round; one thread, evaluation included. "
        "[scale.md](scale.md) explains the columns."
    )
    return f"### The number of clients\n\n{text}\n\n{markdown(titles, rows)}"


def _best(results: Sequence[Result]) -> tuple[Result | None, Result | None, Result | None]:
    ours = [r for r in results if r.kind == "fedlit" and r.seconds and not r.failed]
    serial = [r for r in ours if r.name.startswith("lightning serial") and r.plain]
    float32 = [r for r in ours if r.precision == "float32"]

    def fastest(some: list[Result]) -> Result | None:
        return min(some, key=lambda r: r.ratio, default=None)

    return fastest(serial), fastest(float32), fastest(ours)


def _ratio(best: Result | None) -> str:
    return "" if best is None else f"{best.ratio:.3f} ({best.name})"


def _met(best: Result | None, target: float) -> str:
    if best is None or math.isnan(target):
        return ""
    return "met" if best.ratio <= target else "missed"


def markdown(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _many(number: int, thing: str) -> str:
    return f"{number} {thing}" + ("s" if number != 1 else "")


def _seconds(value: float) -> str:
    return f"{value:.2f} s" if value >= 1 else f"{1000 * value:.1f} ms"
