"""The command: `python -m fedlit.reproduce experiment=<name> [key=value ...] [--folder <folder>] [--docs <folder>]`.

The exit code is 0 if all published values are reproduced, 3 if one is not, 1 if a run failed, 2 if an input cannot be
used (one sentence, no trace), 74 if a file cannot be written, 130 after Ctrl-C, 143 after SIGTERM.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from fedlit import interrupts
from fedlit.atomic_files import write_text
from fedlit.command_end import exit_code
from fedlit.errors import BUG, InputError
from fedlit.quick_imports import limit_spinning
from fedlit.reproduce.page import PAGE, machine_lines, page, read_record, record, values_table
from fedlit.reproduce.published import Experiment, check_words, experiments_with_values, read_experiment
from fedlit.reproduce.runs import Call, Measured, changes, run_all
from fedlit.reproduce.verdict import verdict
from fedlit.settings.closest import listed
from fedlit.settings.compose import SEARCH_PATH, Composer, composer
from fedlit.settings.overrides import key_of, parse
from fedlit.terminal_encoding import escape_on_output

MISSED = 3
"""The exit code where all runs have ended and a value is not reproduced: neither a bug nor a wrong input."""

FOLDER = Path("outputs/reproductions")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what a command line asks for (that of this process by default), and return the exit code."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    escape_on_output()
    limit_spinning()
    return exit_code(lambda: _reproduce(words), "--folder <folder>")


def _reproduce(arguments: Sequence[str]) -> int:
    options = _parser().parse_intermixed_args(arguments)
    search = [word for word in options.words if word.startswith(SEARCH_PATH)]
    names = [word.partition("=")[2] for word in options.words if word.startswith("experiment=")]
    given = [word for word in options.words if not word.startswith("experiment=")]
    _check_given(given, options.docs)
    with composer() as opened:
        if not names and given == search and options.docs is not None:
            print(_write_page(options.docs, opened, search))
            return 0
        experiment = _chosen(names, opened, search)
    call = Call(experiment.name, tuple(given), options.folder)
    try:
        results = run_all(call, experiment.values)
    except (KeyboardInterrupt, interrupts.Stopped):
        print("stopped; the same command goes on with this run", flush=True)
        raise
    table = "\n".join([values_table(experiment.values, results).markdown(), *machine_lines(results), ""])
    if changed := changes(given):
        table = f"With {' '.join(changed)}, which the published values are not of:\n\n{table}"
    print(f"\n{table}")
    place = options.folder / experiment.name
    place.mkdir(parents=True, exist_ok=True)
    write_text(place / "values.md", table)
    if options.docs is not None and any(measured.failures for measured in results):
        print(f"{options.docs / PAGE} stays as it is, because runs have failed.")
    elif options.docs is not None:
        record(options.docs, experiment, given, results)
        with composer() as opened:
            print(_write_page(options.docs, opened, search))
    return _code(experiment, results)


def _chosen(names: Sequence[str], composer: Composer, search: Sequence[str]) -> Experiment:
    """The experiment of the command line; InputError if it is not one with published values."""
    if len(names) == 1 and names[0] in composer.options("experiment", search):
        experiment = read_experiment(names[0], composer, search)
        if experiment.values:
            check_words(experiment, composer, search)
            return experiment
    known = listed(f"experiment={experiment.name}" for experiment in experiments_with_values(composer, search))
    if len(names) != 1:
        raise InputError(f"Name one experiment with published values: {known}.")
    reason = "it has no published values" if names[0] in composer.options("experiment", search) else "there is none"
    raise InputError(f"experiment={names[0]}: {reason}; write {known}, or add published: [...] to its YAML.")


def _check_given(given: Sequence[str], docs: Path | None) -> None:
    """InputError for overrides that the command itself gives, or that the page must not have."""
    for override in parse(given):
        text, key = override.input_line or "", key_of(override)
        if key in ("seed", "resume", "name", "hydra.run.dir", "hydra.sweep.dir"):
            raise InputError(f"{text}: seeds and folders are given by the published values and --folder; leave it out.")
        if override.is_sweep_override():
            raise InputError(f"{text}: all runs have the same settings; give one value.")
    if docs is not None and (changed := changes(given)):
        raise InputError(f"{changed[0]}: it changes the published experiment, so --docs cannot have it; leave it out.")


def _write_page(docs: Path, composer: Composer, search: Sequence[str]) -> str:
    """Write docs/reproductions.md; a line for the terminal."""
    docs.mkdir(parents=True, exist_ok=True)
    write_text(docs / PAGE, page(experiments_with_values(composer, search), read_record(docs)))
    return f"{docs / PAGE} is written."


def _code(experiment: Experiment, results: Sequence[Measured]) -> int:
    if any(measured.failures for measured in results):
        return BUG
    pairs = zip(experiment.values, results, strict=True)
    return 0 if all(verdict(value, measured.values).reproduced for value, measured in pairs) else MISSED


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m fedlit.reproduce", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.error = _refuse  # type: ignore[method-assign]  # argparse would print its usage
    parser.add_argument("words", nargs="*", help="experiment=<name>, and overrides of all runs (trainer=vectorized)")
    parser.add_argument("--folder", type=Path, default=FOLDER, help=f"where the runs lie; default: {FOLDER}")
    parser.add_argument("--docs", type=Path, default=None, help="write reproductions.md into this folder; without an "
                        "experiment, from the results in reproductions.json alone")  # fmt: skip
    return parser


def _refuse(message: str) -> NoReturn:
    raise InputError(f"{message}; --help lists the flags.")


if __name__ == "__main__":
    sys.exit(main())
