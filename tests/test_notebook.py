"""examples/quickstart.ipynb runs from top to bottom. It is committed without outputs: numbers and pictures in it would
be those of an old version."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from fedlit.settings.check import check
from fedlit.settings.compose import composer

FILE = Path(__file__).parents[1] / "examples" / "quickstart.ipynb"


def cells(kind: str) -> list[str]:
    return ["".join(cell["source"]) for cell in json.loads(FILE.read_text())["cells"] if cell["cell_type"] == kind]


def test_it_is_committed_without_outputs() -> None:
    read = json.loads(FILE.read_text())
    assert all(not cell["outputs"] and cell["execution_count"] is None for cell in read["cells"] if "outputs" in cell)


@pytest.mark.parametrize("root", [None, "somewhere"])
def test_its_words_can_be_used_with_either_data_set(root: str | None) -> None:
    values: dict[str, Any] = {}
    for cell in cells("code"):
        if cell.startswith(("root = None", "words = ")):
            exec("\n".join(cell.replace("root = None", f"root = {root!r}").splitlines()[:-1]), values)
    words = [*values["data"], *values["words"], *values["personal"]]
    assert words[0] == ("data=digits" if root is None else "data=cifar10") and len(words) > 8
    with composer() as opened:
        assert check(words, opened).composed.config.clients == 5


@pytest.mark.slow
def test_it_runs_from_top_to_bottom(tmp_path: Path) -> None:
    nbformat = pytest.importorskip("nbformat")
    nbclient = pytest.importorskip("nbclient")
    pytest.importorskip("ipykernel")
    notebook = nbformat.read(FILE, as_version=4)
    notebook.cells.append(
        nbformat.v4.new_code_cell("print(run.metrics['global/test/accuracy'].iloc[-1], alone.summary['rounds'])")
    )
    nbclient.NotebookClient(notebook, timeout=900, resources={"metadata": {"path": str(tmp_path)}}).execute()
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    accuracy, rounds = outputs[-1]["text"].split()
    assert float(accuracy) > 0.9 and rounds == "8"
    displayed = [output["data"] for output in outputs if output["output_type"] == "display_data"]
    assert sum("image/png" in data for data in displayed) == 3
    bars = [data["text/plain"] for data in displayed if "8/8" in data["text/plain"]]
    assert len(bars) == 2 and all("accuracy" in bar for bar in bars)  # each the last state of one output
    warned = "".join(output["text"] for output in outputs if output.get("name") == "stderr")
    of_others = ("building the font cache", "TqdmWarning", "tqdm as notebook_tqdm")  # matplotlib; tqdm, by transformers
    assert all(any(text in line for text in of_others) for line in warned.splitlines() if line.strip()), warned
