"""The results of all runs: docs/figures.json, the tables of docs/figures.md, and the short table of the README."""

from __future__ import annotations

import json
import shlex
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.figures.runs import MACHINE, summary
from benchmarks.figures.setting import QUIET, Setting
from benchmarks.figures.sweeps import run_folder
from benchmarks.table import markdown
from fedlit.atomic_files import write_bytes

Results = dict[str, dict[str, dict[str, Any]]]  # setting -> case -> seed -> {"words", "seconds", "machine", "values"}

BEGIN, END = "<!-- figures: made by `make figures` -->", "<!-- end of figures -->"


def collect(settings: Mapping[str, Setting], folder: Path) -> Results:
    """What the finished runs under a folder have reached."""
    results: Results = {}
    for name, setting in settings.items():
        for case in setting.cases:
            for seed in setting.seeds:
                run = run_folder(setting, folder / name, case, seed)
                measured = _measured(setting, setting.words(case, seed), run)
                if measured is not None:
                    results.setdefault(name, {}).setdefault(case, {})[str(seed)] = measured
    return results


def write(settings: Mapping[str, Setting], results: Results, docs: Path, readme: Path | None) -> None:
    """Write figures.json and figures.md. Runs that were measured before stay, unless their command has changed."""
    file = docs / "figures.json"
    before: Results = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    merged = _merged(settings, before, results)
    docs.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(merged, indent=1) + "\n", encoding="utf-8")
    for name, setting in settings.items():
        if setting.drawn and _is_complete(setting, merged.get(name, {})):
            write_bytes(docs / _picture(name), setting.drawn(_means(setting, merged[name])))
    replace_between(docs / "figures.md", page(settings, merged))
    if readme is not None:
        replace_between(readme, short(settings, merged))


def replace_between(file: Path, text: str) -> None:
    """Replace what stands between the two marks of a Markdown file; a file that does not exist gets them."""
    old = file.read_text(encoding="utf-8") if file.exists() else f"# Figures\n\n{BEGIN}\n{END}\n"
    before, begin, after = old.partition(BEGIN)
    _, end, rest = after.partition(END)
    assert begin and end, f"{file} has no marks {BEGIN} and {END}"
    file.write_text(f"{before}{BEGIN}\n{text}\n{END}{rest}", encoding="utf-8")


def short(settings: Mapping[str, Setting], results: Results) -> str:
    """A row for each setting with a claim."""
    rows = []
    for name, setting in settings.items():
        if not setting.paper:
            continue
        seeds = {seed for case in results.get(name, {}).values() for seed in case}
        row = [setting.title, reached(setting, results.get(name, {})), setting.paper, str(len(seeds))]
        rows.append([*row, _minutes(results.get(name, {}))])
    return markdown(["setting", "reached", "the paper", "seeds", "minutes"], rows)


def page(settings: Mapping[str, Setting], results: Results) -> str:
    """The short table, and a section for each setting."""
    sections = [_section(name, setting, results.get(name, {})) for name, setting in settings.items()]
    return "\n\n".join([short(settings, results), *sections])


def reached(setting: Setting, cases: Mapping[str, Any]) -> str:
    """The result in a sentence, or that runs are missing."""
    means = _means(setting, cases)
    if _is_complete(setting, cases):
        return setting.reached.format_map(means)
    return f"not measured yet; {len(means)} of {len(setting.cases)} rows" if means else "not measured yet"


def _merged(settings: Mapping[str, Setting], *parts: Results) -> Results:
    """The runs of all parts, a later part before an earlier one, in the order of the settings."""
    merged: Results = {}
    for name, setting in settings.items():
        for case in setting.cases:
            for seed in map(str, setting.seeds):
                for part in parts:
                    measured = part.get(name, {}).get(case, {}).get(seed)
                    if measured is not None and measured["words"] == setting.words(case, int(seed)):
                        merged.setdefault(name, {}).setdefault(case, {})[seed] = measured
    return merged


def _measured(setting: Setting, words: Sequence[str], run: Path) -> dict[str, Any] | None:
    ended = summary(run, words)
    if ended is None:
        return None
    values = {
        column: ended["last"][measure] if isinstance(measure, str) else measure(run)
        for column, measure in setting.measures.items()
    }
    machine = (run / MACHINE).read_text(encoding="utf-8").strip()
    return {"words": list(words), "seconds": ended["seconds"], "machine": machine, "values": values}


def _section(name: str, setting: Setting, cases: Mapping[str, Any]) -> str:
    rows = []
    means = _means(setting, cases)
    for case, measured in setting.cases.items():
        seeds = cases.get(case, {})
        cells = [_spread(_values(seeds, column), setting.decimals.get(column)) for column in setting.measures]
        cells += [cell(case, means) if seeds else "" for cell in setting.compared.values()]
        seconds = [seed["seconds"] for seed in seeds.values()]
        time = f"{statistics.fmean(seconds):.0f}" if seconds else ""
        own = f"`{shlex.join(measured.overrides)}`" if measured.overrides else ""
        rows.append([setting.labels.get(case, case), own, *cells, measured.paper, ", ".join(seeds), time])
    head = ["", "overrides", *setting.measures, *setting.compared, "the paper", "seeds", "seconds a run"]
    sweeps = [["-m", *setting.overrides, *sweep] for sweep in setting.sweeps] or [[*setting.overrides]]
    commands = "\n".join(shlex.join(["python", "-m", "fedlit.run", *words, *QUIET, "seed=0"]) for words in sweeps)
    comment = "" if setting.sweeps else "  # with the overrides of a row"
    machines = dict.fromkeys(seed["machine"] for seeds in cases.values() for seed in seeds.values())
    paragraphs = [
        f"## {setting.title}",
        f"`make figures SETTINGS={name}`. {setting.claim} {setting.notes}",
        f"```bash\n{commands}{comment}\n```",
        markdown(head, rows),
        *([f"![{setting.title}]({_picture(name)})"] if setting.drawn and _is_complete(setting, cases) else []),
        *(f"Measured on: {machine}" for machine in machines),
    ]
    return "\n\n".join(paragraphs)


def _is_complete(setting: Setting, cases: Mapping[str, Any]) -> bool:
    return setting.cases.keys() <= cases.keys()


def _picture(name: str) -> str:
    return f"images/{name}.png"


def _means(setting: Setting, cases: Mapping[str, Any]) -> dict[str, dict[str, float]]:
    return {
        case: {
            column: statistics.fmean(values) * (1 if column in setting.decimals else 100)
            for column in setting.measures
            if (values := _values(seeds, column))
        }
        for case, seeds in cases.items()
    }


def _values(seeds: Mapping[str, Any], column: str) -> list[float]:
    return [seed["values"][column] for seed in seeds.values() if seed["values"][column] is not None]


def _spread(values: Sequence[float], decimals: int | None = None) -> str:
    """Mean and standard deviation over seeds, in percent, or as they are with so many decimals."""
    if not values:
        return ""
    factor, digits = (100, 1) if decimals is None else (1, decimals)
    deviation = f" ± {factor * statistics.stdev(values):.{digits}f}" if len(values) > 1 else ""
    return f"{factor * statistics.fmean(values):.{digits}f}{deviation}"


def _minutes(cases: Mapping[str, Any]) -> str:
    seconds = sum(seed["seconds"] for seeds in cases.values() for seed in seeds.values())
    return f"{seconds / 60:.0f}" if cases else ""
