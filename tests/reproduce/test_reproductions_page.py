"""docs/reproductions.md has a row for each published value of conf/experiment, with the values of the YAML."""

from __future__ import annotations

from statistics import fmean, stdev

import yaml

from fedlit.reproduce.page import page, read_record
from fedlit.reproduce.published import check_words, experiments_with_values
from fedlit.settings.compose import composer
from tests.flamby.test_published_values import METHODS, POOLED
from tests.markdown import CHECKOUT

DOCS = CHECKOUT / "docs"
PUBLISHED = {
    file.stem: values
    for file in sorted((CHECKOUT / "conf" / "experiment").glob("*.yaml"))
    if (values := yaml.safe_load(file.read_text(encoding="utf-8")).get("published"))
}


def test_the_page_is_up_to_date() -> None:
    with composer() as opened:
        expected = page(experiments_with_values(opened), read_record(DOCS))
    assert (DOCS / "reproductions.md").read_text(encoding="utf-8") == expected, (
        "docs/reproductions.md is old; run: python -m fedlit.reproduce --docs docs"
    )


def test_the_words_of_each_published_value_compose() -> None:
    with composer() as opened:
        for experiment in experiments_with_values(opened):
            check_words(experiment, opened)


def test_each_published_value_has_a_row_with_a_result() -> None:
    sections = (DOCS / "reproductions.md").read_text(encoding="utf-8").split("\n## ")[1:]
    assert [section.partition("\n")[0] for section in sections] == list(PUBLISHED)
    for section, values in zip(sections, PUBLISHED.values(), strict=True):
        rows = [line.strip("|").split("|") for line in section.splitlines() if line.startswith("| ")][1:]
        assert len(rows) == len(values) + 1  # the rule
        for row, value in zip(rows[1:], values, strict=True):
            words = " ".join(value.get("words", []))
            spread = f" ± {value['std']}" if "std" in value else ""
            assert row[0].strip() == ("`" * bool(words) + words + "`" * bool(words) or "the preset")
            assert row[2].strip() == f"{value['value']}{spread} ({value.get('seeds', 1)})"
            assert row[6].strip() in ("yes", "no")
            assert value["source"] in section


def test_the_values_of_flamby_are_means_of_its_published_accuracies() -> None:
    """The tables of tests/flamby have each seed; the preset has their means and standard deviations."""
    by_method = {value.get("words", ["aggregator=fedavg"])[0]: value for value in PUBLISHED["flamby_heart"]}
    tables = {f"aggregator={method}": seeds for method, (seeds, _) in METHODS.items()}
    tables["aggregator=centralized"] = POOLED
    assert by_method.keys() == tables.keys()
    for method, seeds in tables.items():
        pooled_test = [seed[0] for seed in seeds]
        expected = {"value": round(fmean(pooled_test), 3), "std": round(stdev(pooled_test), 3), "seeds": 5}
        assert {name: by_method[method][name] for name in expected} == expected, method
