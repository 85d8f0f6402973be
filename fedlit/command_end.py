"""How a command ends: its exit code, and one sentence in place of a trace where the user can do something."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable

from fedlit import interrupts
from fedlit.errors import FULL, INTERRUPTED, NOT_WRITTEN, REFUSED, InputError, NotWritten, not_written


def exit_code(command: Callable[[], int], other_folder: str) -> int:
    """The exit code of a command, or of the error that ended it: see `fedlit.run`.

    Args:
        command: returns its exit code.
        other_folder: the word by which a user gives another folder, such as `out=<folder>`.
    """
    try:
        with interrupts.at_once():
            return command()
    except InputError as error:
        print(error, file=sys.stderr)
        return REFUSED
    except interrupts.Stopped as stopped:
        return stopped.exit_code
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:  # `--help | head`: the reader closed the pipe
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (OSError, NotWritten) as error:
        unwritten = not_written(error)
        if unwritten is None:
            raise
        reason = unwritten.__cause__ if isinstance(error, NotWritten) else error
        room = "make room, or " if isinstance(reason, OSError) and reason.errno in FULL else ""
        print(f"{unwritten}; {room}give another place by {other_folder}.", file=sys.stderr)
        return NOT_WRITTEN
