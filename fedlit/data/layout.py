"""The axis of an array of inputs that holds the channels."""

from __future__ import annotations

import logging

import numpy as np

_log = logging.getLogger(__name__)

_CHANNELS = (1, 2, 3, 4)  # numbers of channels that an image may have
_MEANING = {
    "channels_first": "(samples, channels, ...)",
    "channels_last": "(samples, ..., channels)",
    "no_channels": "(samples, height, width) of grey images",
}


def channels_first(x: np.ndarray, layout: str) -> np.ndarray:
    """A view of the inputs (N, ...) with the channels as the first axis after the samples.

    Args:
        x: (N, ...), N samples.
        layout: `channels_first` (N, C, ...), `channels_last` (N, ..., C), or `no_channels` (N, ...): an axis of one
            channel is added.
    """
    if layout == "no_channels":
        return x[:, None]
    return np.moveaxis(x, -1, 1) if layout == "channels_last" else x


def layout_of(x: np.ndarray, name: str) -> str:
    """The layout of inputs (N, ...) by type and sizes; a reading that may be wrong is logged.

    Bytes (N, H, W) have no channels, bytes (N, H, W, C) have them last, all other inputs first, unless the sizes
    contradict this: an image has 1 to 4 channels.

    Args:
        x: (N, ...), N samples.
        name: of the array, for messages.

    Raises:
        ValueError: the sizes fit no layout of images, or another layout than the type's.
    """
    if x.ndim < 3:
        return "channels_first"
    first, last, between = x.shape[1], x.shape[-1], set(x.shape[2:-1])
    if x.ndim == 3:
        if x.dtype == np.uint8:
            return "no_channels"
        return _logged("channels_first", "no_channels", x, name) if first == last else "channels_first"
    if x.dtype == np.uint8 and x.ndim == 4:
        if last in _CHANNELS:
            is_evident = first not in _CHANNELS and between != {last}
            return "channels_last" if is_evident else _logged("channels_last", "channels_first", x, name)
        if first in _CHANNELS:
            return "channels_first"
        if last < min(first, *between):
            return "channels_last"
    elif last not in _CHANNELS or between == {last}:
        return "channels_first"
    elif first in _CHANNELS:
        return _logged("channels_first", "channels_last", x, name)
    elif between == {first}:
        return _logged("channels_last", "channels_first", x, name)
    raise ValueError(
        f"{name} of shape {x.shape} does not show which axis holds the channels; write data.layout=channels_first or "
        "data.layout=channels_last."
    )


def _logged(layout: str, other: str, x: np.ndarray, name: str) -> str:
    _log.warning(
        "%s of shape %s is read as %s; write data.layout=%s if it is %s, or data.layout=%s to confirm.",
        *(name, x.shape, _MEANING[layout], other, _MEANING[other], layout),
    )
    return layout
