"""The command: `python -m fedlit.evaluate <run folder> [checkpoint=last|best|<round>] [data=...] [key=value ...]`.

The exit code is 0, 2 if an input cannot be used (one sentence, no trace), 74 if a file cannot be written,
130 after Ctrl-C.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from fedlit.after_run import words as words_of
from fedlit.command_end import exit_code
from fedlit.terminal_encoding import escape_on_output

HELP = """\
python -m fedlit.evaluate <run folder> [key=value ...]

Measures the models of a run that has ended, and prints a table with a row for each client.

checkpoint=last|best|<round>  the saved models; 0 is the first weights; default: last
personal=<client>   the model of this client on the test data of every client; default: each client's on its own
data=<option>       other data, of which the test samples are measured; data.root=<folder> is where they lie
evaluation.metrics.<name>._target_=<class>  further torchmetrics; also evaluation.clients, .test_samples, .finetune, ...
device=cpu|gpu      where models are measured
out=<file>.csv      the table with all digits; out=<file>.json: the metrics as well
"""
KEYS = ("checkpoint", "personal", "out")
_OF_EVALUATION = (
    *("metrics", "clients", "test_samples", "batch_size", "higher_is_better", "lower_is_better"),
    *("finetune", "finetune_only"),
)
MAY_CHANGE = (
    *("data", "device", "trainer.accelerator", "trainer.devices"),
    *(f"evaluation.{key}" for key in _OF_EVALUATION),
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Evaluate the run of a command line (that of this process by default), and return the exit code."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    escape_on_output()
    return exit_code(lambda: _evaluate(words), "out=<file>.csv")


def _evaluate(words: Sequence[str]) -> int:
    if {"--help", "-h"} & set(words):
        print(HELP)
        return 0
    given = words_of.read(words, "fedlit.evaluate", KEYS, MAY_CHANGE)
    personal = given.values.get("personal")
    client = None if personal is None else words_of.client_of(personal)
    out = None if "out" not in given.values else words_of.file_of(given.values["out"], [".csv", ".json"])
    from fedlit.after_run.client_table import as_csv, as_json, as_markdown
    from fedlit.after_run.measured import measure_client, measure_other, measure_own
    from fedlit.after_run.reopened import reopened
    from fedlit.atomic_files import write_text, writing

    with reopened(given.saved, given.values.get("checkpoint", "last"), given, MAY_CHANGE) as run:
        title = f"{run.title} of {given.saved.folder} on {run.samples}"
        facts = {"run": given.saved.name, "checkpoint": run.checkpoint, "data": run.data.name}
        if run.other_data is not None:
            measurement = measure_other(run, run.other_data, client)
        elif client is not None:
            measurement = measure_client(run, client)
        else:
            measurement = measure_own(run)
    print(f"{title}\n\n{as_markdown(measurement)}", end="")
    if out is not None:
        with writing(out):
            out.parent.mkdir(parents=True, exist_ok=True)
        write_text(out, as_json(measurement, facts) if out.suffix == ".json" else as_csv(measurement))
    return 0


if __name__ == "__main__":
    sys.exit(main())
