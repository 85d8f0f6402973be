"""The command: `python -m fedlit.report <run or sweep folder> [...] [key=value ...]`.

The exit code is 0, 2 if an input cannot be used (one sentence, no trace), 74 if a file cannot be written,
130 after Ctrl-C.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from fedlit.command_end import exit_code
from fedlit.errors import InputError
from fedlit.report.options import HELP, parse
from fedlit.terminal_encoding import escape_on_output


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the report of a command line (that of this process by default), and return the exit code."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    escape_on_output()
    return exit_code(lambda: _report(words), "out=<folder>")


def _report(words: Sequence[str]) -> int:
    if {"--help", "-h"} & set(words):
        print(HELP)
        return 0
    options = parse(words)
    try:
        from fedlit.report.report import make_report
        from fedlit.report.targets import targets_of_runs
        from fedlit.report.write_report import target_text, write_report
    except ImportError as error:
        raise InputError(f"{error.name} is not installed; write pip install 'fedlit[report]'.") from None
    report = make_report(options)
    files = write_report(report)
    print((options.out / "table.md").read_text(encoding="utf-8"))
    if options.targets or targets_of_runs(report.grid, report.columns[0]):
        print(target_text(report))
    print(f"Open {options.out / 'report.html'}; beside it: {', '.join(sorted(file.name for file in files))}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
