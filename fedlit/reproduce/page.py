"""docs/reproductions.md, from the published values of all experiments and the results in docs/reproductions.json."""

from __future__ import annotations

import json
import math
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from fedlit.atomic_files import write_text
from fedlit.report.shown_table import ShownTable, number, plain_row, with_spread
from fedlit.reproduce.published import Experiment, Published
from fedlit.reproduce.runs import Measured, without_places
from fedlit.reproduce.verdict import Verdict, verdict

PAGE, RECORD = "reproductions.md", "reproductions.json"
Record = dict[str, dict[str, Any]]  # experiment -> {"given": overrides, "values": [a mapping for each value]}

HEAD = """\
# Reproductions

Values that papers and their code have published, beside the same experiment run by fedlit. Both are in the YAML of the
experiment (`conf/experiment/`); this page is written by

```bash
python -m fedlit.reproduce experiment=<name> --docs docs
```

which runs the seeds that have not been run yet, from 0 on, and keeps the results in `reproductions.json`. Values are
those after the last round, mean ± standard deviation over seeds (number of seeds). A value is reproduced if
|mean - value| is at most the tolerance. Where the YAML has none, the tolerance is half of the 95% prediction interval
of fedlit's mean, t(0.975, n - 1) s sqrt(1/n + 1/m), with the source's standard deviation s over n seeds and the m seeds
of fedlit. Seconds are those of a run without its start; other work on the machine makes them longer. A command may need
`data.download=true` in addition, or `data.root=<folder>` ([data.md](data.md)).

An experiment of your own has values in the same form. They are no settings of its runs.

```yaml
published:
  - metric: global/test/accuracy
    value: 0.779
    std: 0.015        # over seeds, of a sample; only where the source has one
    seeds: 5          # of the source, and the number of fedlit's runs; 1 by default
    source: Somebody et al. 2021, table 2
    tolerance: 0.01   # only where another one is meant than that of std and seeds, or these have none
    words: [aggregator=fedadam, aggregator.eta=0.01]  # the overrides that give this value
    target: 0.8       # only if the value is the round in which the metric first reaches this
    evaluations: 5    # only if the value is a mean over the last evaluations of a run
```
"""


def values_table(published: Sequence[Published], results: Sequence[Measured]) -> ShownTable:
    """A row for each published value."""
    machines = _machines(results)
    rows = []
    for value, measured in zip(published, results, strict=True):
        shown = verdict(value, measured.values)
        spread = with_spread(shown.mean, shown.std)
        with_sign = f"{'+' if shown.difference > 0 else ''}{number(shown.difference, shown.tolerance)}"
        seconds = [second for second in measured.seconds if math.isfinite(second)]
        rows.append(
            plain_row(
                [
                    f"`{' '.join(value.words)}`" if value.words else "the preset",
                    value.quantity,
                    f"{published_text(value)} ({value.seeds})",
                    f"{spread} ({shown.seeds})" if shown.seeds else "-",
                    with_sign if math.isfinite(shown.difference) else "-",
                    number(shown.tolerance, shown.tolerance),
                    answer(shown, measured),
                    f"{sum(seconds) / len(seconds):.0f}" if seconds else "-",
                    ", ".join(str(machines.index(name) + 1) for name in measured.machines) or "-",
                ]
            )
        )
    columns = ["with", "value", "published", "fedlit", "difference", "tolerance", "reproduced", "seconds a run"]
    return ShownTable([*columns, "machine"], rows, 2)


def published_text(value: Published) -> str:
    """The value with its standard deviation, with the digits of the YAML."""
    return f"{value.value:g}" + ("" if value.std is None else f" ± {value.std:g}")


def answer(shown: Verdict, measured: Measured) -> str:
    """Whether the value is reproduced, for the table."""
    if shown.reproduced is not None:
        return "yes" if shown.reproduced else "no"
    if measured.failures:
        return f"seed {', '.join(map(str, measured.failures))} failed"
    if not measured.values:
        return "not run yet"
    not_finite = [str(seed) for seed, reached in measured.values.items() if not math.isfinite(reached)]
    return f"no finite value of seed {', '.join(not_finite)}" if not_finite else "runs are missing"


def machine_lines(results: Sequence[Measured]) -> list[str]:
    """The machines of the table's last column."""
    return [f"Machine {place}: {name}." for place, name in enumerate(_machines(results), 1)]


def record(docs: Path, experiment: Experiment, given: Sequence[str], results: Sequence[Measured]) -> None:
    """Replace the results of an experiment in reproductions.json."""
    kept = read_record(docs)
    kept[experiment.name] = {
        "given": without_places(given),
        "values": [
            {
                "words": list(value.words),
                "metric": value.metric,
                "target": value.target,
                "evaluations": value.evaluations,
                "values": {str(seed): _finite(reached) for seed, reached in measured.values.items()},
                "seconds": measured.seconds,
                "machines": measured.machines,
            }
            for value, measured in zip(experiment.values, results, strict=True)
        ],
    }
    docs.mkdir(parents=True, exist_ok=True)
    write_text(docs / RECORD, json.dumps(kept, indent=1) + "\n")


def read_record(docs: Path) -> Record:
    """What reproductions.json holds; empty without the file."""
    file = docs / RECORD
    return json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}


def page(experiments: Sequence[Experiment], kept: Record) -> str:
    """The page of these experiments, with the results in a record."""
    sections = [HEAD.rstrip("\n")]
    for experiment in experiments:
        recorded = kept.get(experiment.name, {"given": [], "values": []})
        results = [_recorded(value, recorded["values"]) for value in experiment.values]
        command = shlex.join(["python", "-m", "fedlit.reproduce", f"experiment={experiment.name}", *recorded["given"]])
        sources = dict.fromkeys(value.source.rstrip(".") for value in experiment.values)
        sections += [
            f"## {experiment.name}",
            experiment.about,
            f"```bash\n{command}\n```",
            *(f"Source: {source}." for source in sources),
            values_table(experiment.values, results).markdown().rstrip("\n"),
            *machine_lines(results),
        ]
    return "\n\n".join(sections) + "\n"


def _recorded(value: Published, entries: Sequence[Mapping[str, Any]]) -> Measured:
    for entry in entries:
        measured = (tuple(entry["words"]), entry["metric"], entry["target"], entry.get("evaluations", 1))
        if measured == value.key:
            values = {int(seed): math.nan if reached is None else reached for seed, reached in entry["values"].items()}
            return Measured(values, entry["seconds"], entry["machines"], {})
    return Measured({}, [], [], {})


def _finite(number: float) -> float | None:
    """None, JSON's null, for a number that is not finite."""
    return number if math.isfinite(number) else None


def _machines(results: Sequence[Measured]) -> list[str]:
    return list(dict.fromkeys(name for measured in results for name in measured.machines))
