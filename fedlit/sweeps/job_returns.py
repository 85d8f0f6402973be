"""What jobs return to Hydra, made by hand, and their numbers."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from hydra.core.utils import JobReturn, JobStatus

from fedlit.settings.hydra_compat import Ended


def job_return(end: Ended) -> JobReturn:
    """As of a job that has returned `end`."""
    return JobReturn(status=JobStatus.COMPLETED, _return_value=end)


def in_sequence(numbers: Sequence[int]) -> list[list[int]]:
    """Numbers in groups that follow each other: a launcher counts from its first job.

    >>> in_sequence([3, 4, 7])
    [[3, 4], [7]]
    """
    groups = itertools.groupby(enumerate(numbers), key=lambda pair: pair[1] - pair[0])
    return [[number for _, number in group] for _, group in groups]
