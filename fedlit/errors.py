"""Errors of the user, which are printed as one sentence; a bug keeps its trace. The exit codes of the command."""

REFUSED, BUG, INTERRUPTED = 2, 1, 130


class InputError(ValueError):
    """An input of the user cannot be used. One sentence: the value, the allowed values, and the correction.

    `fedlit.run` prints it without a trace and ends with the exit code `REFUSED`.
    """


def one_line(error: Exception, limit: int = 200) -> str:
    """An exception's class and message on one line, for use in another sentence."""
    return f"{type(error).__name__}: {' '.join(str(error).split())[:limit]}"
