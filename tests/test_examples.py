"""Each folder of examples/ runs by the command in its README."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from fedlit.partitions import Labelled, histogram
from fedlit.randomness import generator
from fedlit.settings.comments import read_file
from tests.markdown import CHECKOUT, blocks, commands, run

EXAMPLES = sorted(folder for folder in (CHECKOUT / "examples").iterdir() if (folder / "README.md").is_file())
LEAST_ACCURACY = {"own_aggregator": 0.3, "own_partition": 0.3, "own_data": 0.8}


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda folder: folder.name)
def test_the_command_of_the_readme_runs(example: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / example.name
    shutil.copytree(example, folder)
    monkeypatch.chdir(folder)
    (command,) = commands(blocks((example / "README.md").read_text(encoding="utf-8")))
    assert run(command, folder, "progress=none", "hydra.run.dir=out", "threads=1") == 0
    rows = [json.loads(line) for line in (folder / "out" / "metrics.jsonl").read_text().splitlines()]
    assert len(rows) == int(dict(word.split("=", 1) for word in command if "=" in word)["rounds"])
    assert rows[-1]["global/test/accuracy"] > LEAST_ACCURACY[example.name]


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda folder: folder.name)
def test_each_key_of_an_example_has_a_comment_with_its_range(example: Path) -> None:
    (file,) = example.rglob("*.yaml")
    assert all(entry.allowed is not None and entry.meaning for entry in read_file(file).entries)


def test_all_examples_are_tested() -> None:
    assert {folder.name for folder in EXAMPLES} == set(LEAST_ACCURACY)
    assert {folder.name for folder in EXAMPLES} == {f.name for f in (CHECKOUT / "examples").iterdir() if f.is_dir()}


def test_the_partition_is_iid_at_1_and_sorted_at_0(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(CHECKOUT / "examples" / "own_partition")
    from similarity import Similarity

    labels = np.repeat(np.arange(5), 200)
    data = Labelled(len(labels), labels, 5)
    counts = {s: histogram(Similarity(s).train(data, 5, generator(0)), labels, 5) for s in (0.0, 0.5, 1.0)}
    assert counts[0.0].tolist() == np.diag([200] * 5).tolist()
    assert counts[0.5].diagonal().min() > 90 and (counts[0.5].sum(1) == 200).all()
    assert np.abs(counts[1.0] - 40).max() < 25  # four standard deviations
