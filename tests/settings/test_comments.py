"""Reading comments of YAML files."""

from __future__ import annotations

import textwrap

import pytest

from fedlit.settings.comments import read


def read_lines(text):
    return read(textwrap.dedent(text).lstrip("\n"))


def test_an_entry_has_key_default_meaning_range_and_line():
    file = read_lines("""
        # Label skew: by a Dirichlet draw. Hsu et al. 2019,
        # arXiv:1909.06335.
        _target_: fedlit.partitions.Dirichlet  # class of the partition [class]
        alpha: 0.5     # concentration; small is skewed, # is no comment [float > 0]
        path: null# no comment without a space before it
        """)
    assert (file.about, file.source) == ("Label skew: by a Dirichlet draw.", "Hsu et al. 2019, arXiv:1909.06335.")
    assert not file.preset
    target, alpha, path = file.entries
    assert (target.key, target.default, target.meaning) == (
        "_target_",
        "fedlit.partitions.Dirichlet",
        "class of the partition",
    )
    assert (alpha.key, alpha.default, alpha.line) == ("alpha", "0.5", 4)
    assert alpha.meaning == "concentration; small is skewed, # is no comment"
    assert alpha.allowed.text == "float > 0"
    assert (path.meaning, path.allowed) == ("", None)


def test_nested_flow_quoted_and_empty_values_are_read():
    file = read_lines("""
        checkpoint:  # when it is saved
          every: 60  # seconds [float >= 0]
          deep:
            x: "a # b"  # quoted [text]
        sizes: [1, 2]  # widths [list of int > 0]
        open: {}  # anything [mapping]
        nothing:  # not set [int >= 1 or null]
        filled: {a: 1}  # anything [mapping]
        """)
    entries = {
        entry.key: (entry.default, entry.meaning, entry.allowed and entry.allowed.text) for entry in file.entries
    }
    assert entries == {
        "checkpoint": ("", "when it is saved", None),
        "checkpoint.every": ("60", "seconds", "float >= 0"),
        "checkpoint.deep.x": ('"a # b"', "quoted", "text"),
        "sizes": ("[1, 2]", "widths", "list of int > 0"),
        "open": ("{}", "anything", "mapping"),
        "nothing": ("", "not set", "int >= 1 or null"),
        "filled": ("{a: 1}", "anything", "mapping"),
    }


def test_a_comment_continues_at_the_same_column():
    file = read_lines("""
        alpha: 0.5  # concentration;
                    # small is skewed [float > 0]
        # of the next key, and no part of the above
        beta: 1     # other [int >= 1]
        """)
    assert [entry.meaning for entry in file.entries] == ["concentration; small is skewed", "other"]


def test_keys_of_hydra_are_left_out_and_presets_are_recognised():
    file = read_lines("""
        # @package _global_
        # A preset.
        defaults:
          - override /model: cnn
        rounds: 3
        hydra:
          verbose: true
        """)
    assert file.preset
    assert file.about == "A preset."
    assert [entry.key for entry in file.entries] == ["rounds"]


def test_a_bracket_outside_the_grammar_is_an_error():
    with pytest.raises(ValueError, match="does not say what is allowed"):
        read("alpha: 1  # concentration [positive number]\n")
