"""The grammar of the brackets in conf/'s comments."""

from __future__ import annotations

import math

import pytest
import yaml

from fedlit.settings.allowed import allowed

CASES = {
    "int >= 1": ([1, 7], [0, -1, 1.0, True, "1", None, "ten"]),
    "float > 0": ([1e-9, 3], [0, 0.0, -1, math.nan, math.inf, True, "0.1"]),
    "0 < float <= 1": ([1, 1.0, 0.3], [0, 1.0001]),
    "0 <= float < 1": ([0, 0.999], [1, -0.1]),
    "2 <= int <= 4": ([2, 4], [1, 5, 2.5]),
    "bool": ([True, False], [0, 1, "true", None]),
    "text": (["a", "", 12], [True, None, [1]]),
    "path": (["a/b"], [1, None]),
    "class": (["mine.Net", "a.b.C"], ["Net", "mine.", "a b.C", 1]),
    "list": ([[], [1, "a"]], ["a", None]),
    "list of int > 0": ([[1, 2], []], [[0], [1.5], 3]),
    "mapping": ([{}, {"a": 1}], [[], None]),
    "auto | cpu | gpu": (["auto", "gpu"], ["tpu", None, 1]),
    "16 | 32-true": ([16, "16", "32-true"], [32]),
    "int >= 1 or null": ([1, None], [0, "null"]),
    "0 <= float < 1 or same_partition": ([0.2, "same_partition"], [1, "same"]),
    "auto or int >= 1": (["auto", 3], [0, "all"]),
}


@pytest.mark.parametrize("text", CASES)
def test_a_value_is_accepted_if_its_bracket_allows_it(text):
    good, bad = CASES[text]
    assert [value for value in good if not allowed(text).accepts(value)] == []
    assert [value for value in bad if allowed(text).accepts(value)] == []


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("int >= 1", "an integer of at least 1"),
        ("0 < float <= 1", "a number above 0 and at most 1"),
        ("int >= 1 or null", "an integer of at least 1 or null"),
        ("auto | cpu | gpu", "one of auto, cpu, gpu"),
        ("0 <= float < 1 or same_partition", "same_partition or a number of at least 0 and below 1"),
        ("bool", "true or false"),
        ("list of int > 0", "a list, each element an integer above 0"),
    ],
)
def test_allowed_values_are_described_in_words(text, words):
    assert allowed(text).describe() == words


@pytest.mark.parametrize("text", CASES)
def test_the_example_is_allowed(text):
    assert allowed(text).accepts(yaml.safe_load(allowed(text).example()))


@pytest.mark.parametrize("text", ["int > = 1", "an integer", "int >= one", "", "list of things"])
def test_a_text_outside_the_grammar_is_an_error(text):
    with pytest.raises(ValueError, match="does not say what is allowed"):
        allowed(text)
