"""What encryption costs: most of a tree's time goes to the guest's encryption of derivatives."""

from __future__ import annotations

import time

import pytest

from fedlit.vertical.ciphers.paillier import Paillier
from fedlit.vertical.secureboost import SecureBoost
from tests.vertical.secureboost.samples import parties
from tests.vertical.secureboost.stepped import run


@pytest.mark.slow
def test_a_tree_costs_at_most_three_times_its_encryptions() -> None:
    """CPU time of this process at 2,048 bits, with tables of powers that are made before. A fixed part for sums of the
    nodes weighs more with 2,000 people than with the 20,000 of credit default."""
    result = run(SecureBoost(bins=8), parties(3000), 0, Paillier(2048))
    key = result.parties["guest"].hosts.key  # type: ignore[attr-defined]
    for party in (key, result.parties["host"].key, result.parties["bank"].key):  # type: ignore[attr-defined]
        party.refresh(party.zero())

    begun = time.process_time()
    key.encrypt_all(range(2000))
    encrypted = time.process_time() - begun
    result.phase("round", 1)
    assert time.process_time() - begun - encrypted < 3 * encrypted
    assert all(result.states[host]["records"]["count"].sum() for host in ("host", "bank"))
