"""Errors of the user, which are printed as one sentence; a bug keeps its trace. The exit codes of the command."""

from __future__ import annotations

import errno

BUG, REFUSED, NOT_WRITTEN = 1, 2, 74  # 74 is EX_IOERR of sysexits.h
INTERRUPTED, TERMINATED, HUNG_UP = 130, 143, 129  # after Ctrl-C, after SIGTERM, after SIGHUP

FULL = {errno.ENOSPC, errno.EDQUOT}  # a disk without room, a quota
_OF_THE_DISK = {*FULL, errno.EFBIG, errno.EROFS, errno.EIO, errno.ENXIO, errno.ESTALE}


class InputError(ValueError):
    """An input of the user cannot be used. One sentence: the value, the allowed values, and the correction.

    `fedlit.run` prints it without a trace and ends with the exit code `REFUSED`.
    """


class NotWritten(Exception):
    """A file of a run cannot be written: a full disk, a quota, a read-only file system, a disk that fails.

    One sentence without advice: the file and the system's reason. `fedlit.run` ends with the exit code `NOT_WRITTEN`.

    Args:
        file: the path, or another name such as "a file".
        reason: of the system, such as "No space left on device".
    """

    def __init__(self, file: object, reason: object):
        super().__init__(file, reason)
        self.file, self.reason = file, reason

    def __str__(self) -> str:
        return f"{self.file} cannot be written ({self.reason})"


def not_written(error: BaseException) -> NotWritten | None:
    """The error as NotWritten, also where the code of a library or of the user's meets a disk that is full or fails;
    None for another error."""
    if isinstance(error, OSError) and error.errno in _OF_THE_DISK:
        return NotWritten(error.filename or "a file", error.strerror)
    return error if isinstance(error, NotWritten) else None


def one_line(error: Exception, limit: int = 200) -> str:
    """An exception's class and message on one line, for use in another sentence."""
    return f"{type(error).__name__}: {' '.join(str(error).split())[:limit]}"
