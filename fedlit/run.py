"""The command: `python -m fedlit.run clients=10 partition=dirichlet`, also installed as `fedlit`.

The exit code is 0, 2 if an input of the user cannot be used (one sentence, no trace), 1 for a bug (its trace), 74 if a
file cannot be written (a full disk), 130 after Ctrl-C, 143 after SIGTERM, and 129 after SIGHUP (a closed terminal).
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from fedlit.command_end import exit_code
from fedlit.lasting_streams import lasting_streams
from fedlit.quick_imports import LOADING, limit_spinning, no_collection
from fedlit.terminal_encoding import escape_on_output


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command line (that of this process by default) and return the exit code."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    _add_current_folder()
    limit_spinning()
    escape_on_output()
    return exit_code(lambda: _run(arguments), "hydra.run.dir=<folder>")


def _run(arguments: list[str]) -> int:
    if "--help" in arguments or "-h" in arguments:
        from fedlit.settings.help import help_text

        print(help_text(arguments))
        return 0
    if "--version" in arguments:
        from fedlit.settings.version import version_text

        print(version_text())
        return 0
    with no_collection():
        from fedlit.settings.start import prepare

        start = prepare(arguments)
    with lasting_streams():
        if start.progress != "none" and "fedlit.experiment" not in sys.modules:
            print(LOADING, flush=True)  # seconds, in which nothing else is shown
        from fedlit.jobs import run_jobs

        return run_jobs(start)


def _add_current_folder() -> None:
    """Make modules of the current folder importable under both commands, also after `hydra.job.chdir=true`."""
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())


if __name__ == "__main__":
    sys.exit(main())
