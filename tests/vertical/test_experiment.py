"""Runs of parties from a configuration: files, headline, baselines, resume, and refusals before work."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest
from omegaconf import OmegaConf

from fedlit.errors import InputError
from fedlit.vertical.baselines import compared
from fedlit.vertical.experiment import run
from fedlit.vertical.what_travels import main, table
from tests.vertical.toy_run import configuration, go, source


def test_a_run_writes_rows_ledger_checkpoints_and_summary(tmp_path):
    code, rows, summary = go(tmp_path / "run")
    assert code == 0 and [row["round"] for row in rows] == [1, 2, 3]
    assert summary["rounds"] == 3 and summary["bytes"] == sum(row["comm/bytes"] for row in rows)
    best = max(rows, key=lambda row: row["global/test/r2"])
    assert (summary["best"]["metric"], summary["best"]["round"]) == ("global/test/r2", best["round"])
    assert sorted(path.name for path in (tmp_path / "run" / "checkpoints").iterdir()) == ["round_0002", "round_0003"]
    files = {path.name for path in (tmp_path / "run" / "checkpoints" / "round_0003").iterdir()}
    assert {"party_guest.pt", "party_host.pt", "state.pt", "state.sha256", "config.yaml"} <= files
    assert (tmp_path / "run" / "curves.png").exists()


def test_a_run_that_goes_on_has_the_same_rows(tmp_path):
    _, rows, _ = go(tmp_path / "whole", rounds=5)
    go(tmp_path / "cut")
    _, resumed, summary = go(tmp_path / "cut", rounds=5, resume=str(tmp_path / "cut"))
    assert resumed == rows and summary["rounds"] == 5
    with pytest.raises(InputError, match="guest holds other columns, people or values than when the run began"):
        others = {"host": ["b"], "guest": "rest"}
        go(tmp_path / "cut", rounds=6, resume=str(tmp_path / "cut"), columns__parties=others)


def test_a_damaged_file_of_a_party_is_named_and_the_checkpoint_before_it_used(tmp_path, caplog):
    _, rows, _ = go(tmp_path / "run")
    file = tmp_path / "run" / "checkpoints" / "round_0003" / "party_host.pt"
    file.write_bytes(file.read_bytes()[:-5])
    _, again, _ = go(tmp_path / "run", resume=str(tmp_path / "run"))
    assert again == rows
    assert any("party_host.pt" in text and "round_0002 is used instead" in text for text in caplog.messages)


def test_early_stopping_and_targets_follow_the_guests_measures(tmp_path):
    _, rows, summary = go(tmp_path, rounds=9, stop__metric="global/test/mse", stop__target=1e9)
    assert len(rows) == 1 and summary["stopped"].startswith("global/test/mse is")
    [reached] = summary["targets"]["global/test/mse"]
    assert (reached["round"], reached["bytes"]) == (1, rows[0]["comm/bytes"])


def test_a_stop_before_the_first_round_leaves_a_summary_and_no_row(tmp_path):
    code, rows, summary = go(tmp_path, protocol__stop_at=1)
    assert (code, rows, summary["rounds"], summary["stopped"]) == (0, [], 0, "enough")


def test_baselines_are_the_protocol_without_hosts(tmp_path):
    _, rows, summary = go(tmp_path, protocol__baselines=True)
    made, columns = source().columns, {"guest alone": [0, 3, 4], "host alone": [1, 2], "pooled": range(5)}
    for name, places in columns.items():
        mean = made.train[:, list(places)].mean(0).sum()
        errors = made.test_target - mean / (1 + 3)
        assert np.isclose(summary["baselines"][name]["global/test/mse"], (errors**2).mean())
    assert summary["split"]["columns"] == {"guest": 3, "host": 2}
    assert sum(summary["split"]["importance"].values()) == pytest.approx(1)
    alone = [summary["baselines"][name]["global/test/r2"] for name in ("guest alone", "host alone")]
    assert summary["split"]["gain"] == pytest.approx(rows[-1]["global/test/r2"] - max(alone))


def test_trees_of_all_columns_in_one_place_have_the_bits_of_the_federation(tmp_path):
    """In another order of the people, the last bit of the log loss would be another one."""
    boost = {"_target_": "fedlit.vertical.secureboost.SecureBoost", "depth": 2, "baselines": True}
    options = {"protocol": boost, "cipher": {"_target_": "fedlit.vertical.ciphers.Plain"}, "rounds": 2}
    align = {"alignment": {"_target_": "fedlit.vertical.alignment.Ecdh"}, "columns__overlap": 0.6}
    parties = {"guest": "rest", "a": "mean*", "b": "worst*"}
    data = {"data": {"_target_": "fedlit.data.embedded_tables.breast_cancer"}, "columns__parties": parties}
    _, rounds, summary = go(tmp_path, **options, **align, **data)
    measured = summary["baselines"]["pooled"]
    assert measured == {name: rounds[-1][name] for name in measured} and len(measured) == 3


def test_a_split_is_compared_by_the_headline():
    rows = {"guest alone": 0.7, "host alone": 0.6, "pooled": 0.9}
    measured = {name: {"global/test/auc": value, "global/test/loss": 0.0} for name, value in rows.items()}
    split = compared({"comm/bytes": 3, "global/test/auc": 0.85}, measured)
    assert split == {"gain": pytest.approx(0.15), "lost": pytest.approx(0.05), "spread": pytest.approx(0.1)}
    assert compared({}, measured) == {"gain": None, "lost": None, "spread": None}


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("engine._target_", "fedlit.engines.Ray", "parties run by engine=serial, or by engine=processes"),
        ("engine.workers", 2, "engine.workers=2: each party has one process; leave it out, or write cipher.workers=2"),
        ("engine.on_failure", "drop", "engine.on_failure=drop: no round can go on without one of its parties"),
        ("data.classes", True, "protocol=Means learns a target of numbers, and that of toy is of two classes"),
        ("data.columns", False, "toy has no named columns"),
        ("columns.overlap", 0.5, "alignment=none: guest has people that are not with all parties"),
        ("columns.parties", {"guest": ["a"], "host": ["b", "c"]}, "columns"),
        ("stop.metric", "global/test/r2", "nothing stops the run by this metric"),
        ("targets", {"r2": 0.5}, "no metric has this name"),
        ("protocol.lr", 0.5, "Means has no argument lr"),
    ],
)
def test_wrong_settings_are_refused_before_work(key, value, words, tmp_path):
    config = configuration()
    OmegaConf.update(config, key, value, merge=False)
    with pytest.raises(InputError, match=re.escape(words)):
        run(config, tmp_path, [])
    assert not (tmp_path / "metrics.jsonl").exists() and not (tmp_path / "messages.jsonl").exists()


def test_a_party_with_columns_has_no_name_of_a_helper(tmp_path):
    linear = {"_target_": "fedlit.vertical.linear.LinearHe", "lr": 0.1, "l2": 0.0, "baselines": False}
    parties = {"guest": "rest", "coordinator": ["a"]}
    config = configuration(protocol=linear, cipher={"_target_": "fedlit.vertical.ciphers.Plain"})
    OmegaConf.update(config, "columns.parties", parties, merge=False)
    with pytest.raises(InputError, match="columns.parties: coordinator is a party without columns in .*; give the"):
        run(config, tmp_path, [])
    assert not (tmp_path / "metrics.jsonl").exists() and not (tmp_path / "messages.jsonl").exists()


def test_what_has_travelled_is_a_table(tmp_path, capsys):
    go(tmp_path)
    text = table(tmp_path)
    entries = [json.loads(line) for line in (tmp_path / "messages.jsonl").read_text().splitlines()]
    size = sum(entry["bytes"] for entry in entries if entry["message"] == "means")
    [means] = [line for line in text.splitlines() if "means.values" in line]
    cells = ["round", "host", "guest", "means.values", "3", "6", f"{size} B", "sealed"]
    assert [cell.strip() for cell in means.split("|")] == cells
    assert re.search(r"setup +\| guest +\| host +\| key.bytes .* clear: the toy has no other way", text)
    assert main([str(tmp_path)]) == 0 and capsys.readouterr().out.strip() == text
    assert main([str(tmp_path / "none")]) == 2 and "messages.jsonl" in capsys.readouterr().err
