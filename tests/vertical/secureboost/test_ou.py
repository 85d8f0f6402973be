"""SecureBoost under the cipher of Okamoto and Uchiyama, whose sums do not wrap around."""

from __future__ import annotations

import pytest

from fedlit.vertical.secureboost import SecureBoost
from tests.vertical.secureboost.samples import parties
from tests.vertical.secureboost.stepped import run
from tests.vertical.secureboost.test_same_bits import bits


def test_ou_grows_the_trees_of_plain() -> None:
    pytest.importorskip("heu")
    from fedlit.vertical.ciphers.ou import Ou

    data, options = parties(60), SecureBoost(depth=2, bins=4)
    sealed = run(options, data, 2, Ou(1024))
    assert bits(sealed.states) == bits(run(options, data, 2).states)
