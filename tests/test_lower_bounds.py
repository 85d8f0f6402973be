"""scripts/lower_bounds.py reads its versions from pyproject.toml."""

from __future__ import annotations

import runpy

from packaging.requirements import Requirement

from tests.markdown import CHECKOUT


def test_each_dependency_has_a_lower_bound_that_the_script_pins() -> None:
    script = runpy.run_path(str(CHECKOUT / "scripts" / "lower_bounds.py"))
    text = (CHECKOUT / "pyproject.toml").read_text(encoding="utf-8")
    pins = script["lower_bounds"](text)
    listed = text.partition("\ndependencies = [\n")[2].partition("\n]")[0]
    required = [Requirement(line.strip(' ",')) for line in listed.splitlines()]
    listed_report = text.partition("\nreport = [")[2].partition("]")[0]
    required += [Requirement(item.strip(' "')) for item in listed_report.split(",")]
    assert {"scipy", "Jinja2"} <= {r.name for r in required}
    assert {r.name: str(r.specifier).removeprefix(">=") for r in required}.items() <= pins.items()
    assert {*script["TOOLS"], "pytorch-lightning"} == pins.keys() - {r.name for r in required}
