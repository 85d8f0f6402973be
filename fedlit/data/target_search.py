"""The targets of a user's samples: the part of a batch that holds them, and whether an attribute may be trusted."""

from __future__ import annotations

import logging

import numpy as np

from fedlit.data.labels import known_labels
from fedlit.data.loaded import LoadedSamples
from fedlit.data.samples import Samples, TensorSamples
from fedlit.data.targets import Part, as_classes, target_in, target_part
from fedlit.data.transform import Batch

_log = logging.getLogger(__name__)
_SPREAD = 8  # samples that are read where there is no attribute
_COMPARED = 32  # classes of which a sample is compared with the attribute


def find_targets(samples: Samples, target: Part | None, where: str) -> Batch:
    """Set the part of a batch that holds the targets, by `target` or by some samples; the batch of the first sample.

    Raises:
        InputError: batches have no such part, or several parts could hold the labels.
    """
    first = samples.batch(np.zeros(1, dtype=np.int64))
    if target is not None:
        target_in(first, target)
        samples.target = target
    elif isinstance(first, tuple | list) and len(first) <= 2:
        samples.target = 1 if len(first) == 2 else None
    elif isinstance(samples, TensorSamples | LoadedSamples):  # any other Samples knows its labels itself
        index, attribute = _compared(samples)
        batch = samples.batch(index)
        samples.target = target_part(batch, attribute, where)
    return first


def trust_or_read(samples: Samples, where: str) -> None:
    """Compare some samples with the labels that the data set has as an attribute, one of each class.

    Where they differ, because a `target_transform` or a wrapper changes them, the labels are read from the samples.
    """
    index, attribute = _compared(samples)
    if attribute is None:
        return
    assert isinstance(samples, LoadedSamples)
    targets = as_classes(samples.targets_in(samples.batch(index)))
    if targets is None or len(targets) != len(index):  # the attribute is the only source of labels
        return
    if not np.array_equal(targets, attribute):
        row = int(np.flatnonzero(targets != attribute)[0])
        _log.warning(
            "data: sample %d of %s has the label %d, and the attribute `targets` or `labels` of its data set has %d: "
            "the labels are read from the samples.",
            index[row],
            where,
            targets[row],
            attribute[row],
        )
        samples.reads_labels = True


def _compared(samples: Samples) -> tuple[np.ndarray, np.ndarray | None]:
    """The samples to compare, the first of each class and the ends of the set, and their labels by the attribute; some
    samples over the whole set if there is no such attribute."""
    known = known_labels(samples.dataset, samples.target) if isinstance(samples, LoadedSamples) else None
    if known is None or known.classes is None or len(known.classes) != len(samples):
        return np.unique(np.linspace(0, len(samples) - 1, _SPREAD).astype(np.int64)), None
    _, firsts = np.unique(known.classes, return_index=True)
    index = np.unique([0, *firsts[:_COMPARED], len(samples) - 1])
    return index, known.classes[index]
