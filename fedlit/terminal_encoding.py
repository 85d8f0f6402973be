"""Text that the terminal's encoding lacks, such as a name in another script under LC_ALL=C, is escaped when printed."""

from __future__ import annotations

import codecs
import sys

_NAME = "fedlit.escape"


def escape_on_output() -> None:
    """Let nothing that is printed raise UnicodeEncodeError: a byte of a file name that is no text is printed as it is
    (`surrogateescape`), another character as `\\xe4` (`backslashreplace`)."""
    codecs.register_error(_NAME, _escaped)
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)  # a notebook's stream has none, and needs none
        if reconfigure is not None and stream.errors != _NAME:
            reconfigure(errors=_NAME)


def _escaped(error: UnicodeError) -> tuple[bytes, int]:
    assert isinstance(error, UnicodeEncodeError)
    pieces = [
        bytes([ord(c) - 0xDC00]) if 0xDC80 <= ord(c) <= 0xDCFF else c.encode("ascii", "backslashreplace")
        for c in error.object[error.start : error.end]
    ]
    return b"".join(pieces), error.end
