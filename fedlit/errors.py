"""What fedlit says to a person, as against a bug, which keeps its trace."""


class InputError(ValueError):
    """Something a person wrote cannot be used: one sentence: the value, what is allowed, what to write instead.

    `fedlit.run` prints it without a trace and ends with exit code 2.
    """


def one_line(error: Exception, most: int = 200) -> str:
    """An exception's kind and words, for a sentence of one's own."""
    return f"{type(error).__name__}: {' '.join(str(error).split())[:most]}"
