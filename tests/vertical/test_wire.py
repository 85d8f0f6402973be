"""Messages as bytes: parts come back as they were, sizes are true, and nothing is executed."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

from fedlit.vertical import wire
from fedlit.vertical.contract_errors import BrokenProtocol
from fedlit.vertical.party import Sealed


def body():
    return {
        "floats": np.arange(6.0).reshape(2, 3)[:, ::-1],
        "nan": np.array(np.nan),
        "big endian": np.arange(3, dtype=">i4"),
        "truth": np.array([True, False]),
        "none": np.zeros((0, 4), np.uint8),
        "equal": Sealed((b"abc", b"def"), (2, 1)),
        "different": Sealed((b"", b"abcdefgh", b"x"), (3,)),
        "empty": Sealed((), (0,)),
    }


def test_parts_come_back_as_they_were():
    sent = body()
    received = wire.unpack(wire.pack(sent))
    assert list(received) == list(sent)
    for name, part in sent.items():
        if isinstance(part, Sealed):
            assert received[name] == part
        else:
            assert received[name].shape == part.shape and received[name].dtype == part.dtype.newbyteorder("=")
            np.testing.assert_array_equal(received[name], part)
            assert received[name].flags.writeable


def test_facts_need_no_content_and_sum_to_the_message():
    message = wire.pack(body())
    facts = {fact.name: fact for fact in wire.facts(message)}
    assert sum(fact.bytes for fact in facts.values()) == len(message)
    assert {name for name, fact in facts.items() if fact.sealed} == {"equal", "different", "empty"}
    assert (facts["floats"].shape, facts["floats"].values) == ((2, 3), 6)
    assert facts["equal"].values == 2 and facts["nan"].values == 1 and wire.facts(b"") == []


@pytest.mark.parametrize("part", [np.array([1 << 70]), np.array(["text"]), [1.0], 1.0, b"x", np.zeros(1, complex)])
def test_only_numbers_and_ciphertexts_travel(part):
    with pytest.raises(BrokenProtocol, match="part value of a message is"):
        wire.pack({"value": part})


def test_a_number_of_ciphertexts_that_does_not_fit_the_shape_is_refused():
    with pytest.raises(BrokenProtocol, match=r"Sealed has 1 ciphertexts, and its shape is \(2,\)"):
        wire.pack({"value": Sealed((b"a",), (2,))})


@pytest.mark.parametrize("cut", [1, 5, 40])
def test_a_message_that_was_cut_off_is_refused(cut):
    with pytest.raises(ValueError, match="message"):
        wire.unpack(wire.pack({"a": np.zeros(9), "b": np.zeros(9)})[:-cut])


def test_a_pickle_is_not_executed(tmp_path):
    class Trap:
        def __reduce__(self):
            return (open, (str(tmp_path / "ran"), "w"))

    with pytest.raises(ValueError):
        wire.unpack(pickle.dumps(Trap()))
    assert not (tmp_path / "ran").exists()
