"""A checkpoint is refused when it is written, not when it is read."""

from __future__ import annotations

import io
import re
from collections import OrderedDict

import numpy as np
import pytest
import torch

from fedlit.errors import InputError
from fedlit.saved_values import check_saved

PLAIN = [
    1,
    -(1 << 2039),
    (1 << 2039) - 1,
    1.5,
    float("nan"),
    True,
    None,
    "text",
    torch.ones(2),
    (1, [2]),
    b"bytes",
    {3},
]
UNREAD = [1 << 2040, -(1 << 2050), np.zeros(2), np.float64(1), np.int32(1), torch.Generator(), object()]


@pytest.mark.parametrize("value", PLAIN, ids=lambda value: str(value)[:12])
def test_what_can_be_read_is_saved(value):
    state = {"a": [value], 2: OrderedDict(b=value)}
    check_saved(state, "the state")
    assert torch.load(written(state), weights_only=True).keys() == state.keys()


@pytest.mark.parametrize("value", UNREAD, ids=lambda value: str(value)[:12])
def test_what_cannot_be_read_is_refused_with_its_key(value):
    with pytest.raises(InputError, match=re.escape("the state: ['a'][1]['b'] is a")):
        check_saved({"a": [0, {"b": value}]}, "the state")
    try:
        saved = written({"a": value})
    except Exception:
        return  # not even written
    with pytest.raises(Exception, match="[Ww]eights"):
        torch.load(saved, weights_only=True)


def written(value):
    file = io.BytesIO()
    torch.save(value, file)
    file.seek(0)
    return file
