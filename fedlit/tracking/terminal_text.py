"""The text of a run on the terminal: its facts, a line per round, and the last line."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fedlit.evaluation.headline import headline
from fedlit.metric_names import ATTACK_SUCCESS, TRAIN_LOSS, is_time, on_test
from fedlit.plurals import counted
from fedlit.tracking.logger import About, Summary
from fedlit.working_folder import command_folder


def opening(about: About) -> str:
    """What runs, and its main facts, one per line; the run's name where it is not that of its folder."""
    facts = {} if about.name == about.folder.name or not about.title else {"name": about.name}
    facts |= about.facts
    if about.resumed_after:
        facts["resumed"] = f"after round {about.resumed_after} of {about.rounds}"
    facts.setdefault("folder", relative(about.folder))
    width = max(map(len, facts))
    return "\n".join([about.title or about.name, *(f"  {name.ljust(width)}  {fact}" for name, fact in facts.items())])


def round_line(number: int, rounds: int, row: Mapping[str, float]) -> str:
    """Such as `round  3/20  global/test/accuracy 0.912  train/loss 0.310  2.1 s`."""
    parts = [f"round {str(number).rjust(len(str(rounds)))}/{rounds}"]
    names = (headline(row), TRAIN_LOSS, ATTACK_SUCCESS)
    parts += [f"{name} {figure(row[name])}" for name in names if name and name in row]
    if seconds := [value for name, value in row.items() if is_time(name)]:
        parts.append(duration(sum(seconds)))
    return "  ".join(parts)


def closing(about: About, summary: Summary) -> str:
    """A line for each target and for each baseline of parties, and the last line: rounds, last and best metric, success
    of the attack, time, clients lost and idle (or the bytes between parties), folder, and the TensorBoard command."""
    done, last, best = summary["rounds"], summary["last"], summary["best"]
    stopped = summary.get("stopped")
    rounds = counted(done, "round")
    if done < about.rounds or stopped is not None:
        rounds = f"stopped after round {done} of {about.rounds}{'' if stopped is None else f' ({stopped})'}"
    shown = headline(last)
    metrics = [] if shown is None else [f"{shown} {figure(last[shown])}"]
    if best is not None:
        # the value on test data, also if validation data chose the round
        has_test = best["test"] is not None
        name = on_test(best["metric"]) if has_test else best["metric"]
        value = figure(best["test"] if has_test else best["value"])
        best_value = f"best {value}" if name == shown else f"best {name} {value}"
        metrics.append(f"{best_value} in round {best['round']} (chosen by {best['chosen_by']})")
    if ATTACK_SUCCESS in last:
        metrics.append(f"{ATTACK_SUCCESS} {figure(last[ATTACK_SUCCESS])}")
    folder = relative(about.folder)
    parts = [f"{rounds} in {duration(summary['seconds'])}"]
    if metrics:
        parts.append(", ".join(metrics))
    of_parties = f"{size(summary['bytes'])} between parties" if "bytes" in summary else None
    parts += [of_parties or f"clients lost {summary['lost']}, idle {summary['idle']}", folder]
    if any(about.folder.glob("events.out.tfevents.*")):
        parts.append(f"tensorboard --logdir {shlex.quote(folder)}")
    targets = [_target_line(name, entry) for name, entries in summary.get("targets", {}).items() for entry in entries]
    baselines = [
        f"{name}: {shown} {figure(row[shown])}"
        for name, row in summary.get("baselines", {}).items()
        if shown is not None and shown in row
    ]
    return "\n".join([*targets, *baselines, " | ".join(parts)])


def _target_line(name: str, entry: Mapping[str, Any]) -> str:
    """Such as `target global/test/accuracy 0.9: round 7, 1.25 MB, 4.2 s`."""
    target = f"target {name} {entry['value']:g}"
    if entry["round"] is None:
        return f"{target}: not reached"
    costs = [f"round {entry['round']}"]
    costs += [] if entry["bytes"] is None else [size(entry["bytes"])]
    costs += [] if entry["seconds"] is None else [duration(entry["seconds"])]
    return f"{target}: {', '.join(costs)}"


def size(number: float) -> str:
    """A number of bytes, such as `980 B`, `1.25 MB`, `12 GB`, in powers of 1000.

    >>> size(980), size(1250000), size(999999), size(12e9)
    ('980 B', '1.25 MB', '1 MB', '12 GB')
    """
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if float(f"{number:.3g}") < 1000 or unit == "TB":
            break
        number /= 1000
    return f"{float(f'{number:.3g}'):g} {unit}"


def figure(value: float) -> str:
    """A number with three decimals, or with three significant digits if it is below 0.001 or at least 1000."""
    if value == 0 or 0.001 <= abs(value) < 1000:
        return f"{value:.3f}"
    return f"{value:.3g}"


def duration(seconds: float) -> str:
    """Such as `2.1 s`, `48 s`, `3 min 20 s`, `2 h 5 min`."""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    total = round(seconds)
    if total < 60:
        return f"{total} s"
    if total < 3600:
        return f"{total // 60} min {total % 60} s"
    return f"{total // 3600} h {total % 3600 // 60} min"


def relative(folder: Path) -> str:
    """The path relative to the folder of the command if the folder lies in it, else the absolute path."""
    folder, current = folder.absolute(), command_folder()
    return str(folder.relative_to(current) if folder.is_relative_to(current) else folder)
