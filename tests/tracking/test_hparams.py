from __future__ import annotations

import pytest
from tensorboard.plugins.hparams.api_pb2 import DATA_TYPE_FLOAT64, DATA_TYPE_STRING
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

from fedlit.tracking.hparams import hyperparameters, messages, shown_at_once, written_values
from tests.tracking.runs import about, write_sweep


def columns(config, folder, headline="global/test/accuracy"):
    experiment, _ = messages(config, folder, headline)
    return HParamsPluginData.FromString(experiment.value[0].metadata.plugin_data.content).experiment


def test_hyperparameters_leave_out_lists_nulls_and_the_engine(tmp_path):
    assert hyperparameters(about(tmp_path).config) == {
        "clients": 3,
        "seed": 7,
        "partition": "Dirichlet 0.5",
        "partition.alpha": 0.5,
        "optimizer": "SGD 0.1",
        "optimizer.lr": 0.1,
        "aggregator.server_optimizer": "Adam 1.0",
        "aggregator.server_optimizer.lr": 1.0,
    }


def test_the_text_of_a_group_is_its_class_and_its_nonzero_numbers():
    config = {
        "aggregator": {
            "_target_": "fedlit.aggregators.FedProx",
            "mu": 0.01,
            "weighting": "examples",
            "x": 0.0,
            "y": True,
        }
    }
    assert hyperparameters(config)["aggregator"] == "FedProx 0.01"


def test_what_travels_has_the_same_columns_in_every_run():
    krum = {"_target_": "fedlit.messages.reductions.Krum", "f": 2}
    chosen = hyperparameters({"uplink": {"topk": {}, "clip": {}}, "downlink": {}, "reduction": krum, "attack": {}})
    default = hyperparameters({"uplink": {}, "downlink": {}, "attack": {}})
    groups = {"uplink": "[topk,clip]", "downlink": "[]", "reduction": "Krum 2", "attack": "none"}
    assert chosen == groups | {"reduction.f": 2}
    assert default == {"uplink": "[]", "downlink": "[]", "reduction": "none", "attack": "none"}


def test_keys_of_the_command_line_are_the_first_columns(tmp_path):
    (tmp_path / ".hydra").mkdir()
    (tmp_path / ".hydra" / "overrides.yaml").write_text(
        "- partition.alpha=0.5\n- optimizer@aggregator.server_optimizer=adam\n- +model.x=1\n- threads=1\n"
    )
    written = list(written_values(tmp_path))
    assert written == ["partition.alpha", "aggregator.server_optimizer", "model.x", "threads"]
    values = hyperparameters(about(tmp_path).config)
    shown = {"partition.alpha", "aggregator.server_optimizer", "partition", "optimizer", "seed"}
    assert shown_at_once(values, written) == shown
    assert {info.name for info in columns(about(tmp_path).config, tmp_path).hparam_infos if info.differs} == shown


def test_every_run_has_the_same_metric_columns(tmp_path):
    config = about(tmp_path).config
    with_global = [info.name.tag for info in columns(config, tmp_path).metric_infos]
    without = [info.name.tag for info in columns(config, tmp_path, "clients/used/accuracy/weighted").metric_infos]
    assert with_global[0] == "global/test/accuracy" and without[0] == "on clients: used/accuracy/weighted"
    assert sorted(with_global) == sorted(without) and len(with_global) == 3


def first_columns(folder, swept, job):
    write_sweep(folder, swept, [job])
    found = columns(about(folder).config, folder / job)
    return {info.name: info.type for info in found.hparam_infos if info.differs}


def test_the_swept_keys_are_the_first_columns_of_a_sweep(tmp_path):
    swept = {"seed": ["7", "8"], "optimizer@aggregator.server_optimizer": ["adam", "sgd"]}
    assert set(first_columns(tmp_path, swept, "seed=7")) == {"seed", "aggregator.server_optimizer"}


@pytest.mark.parametrize(
    ("key", "word", "kind"),
    [("evaluation.finetune", "2", DATA_TYPE_FLOAT64), ("trainer", "vectorized", DATA_TYPE_STRING)],
)
def test_a_swept_key_that_is_no_column_otherwise_is_added_with_its_written_value(tmp_path, key, word, kind):
    assert key not in hyperparameters(about(tmp_path).config)
    assert first_columns(tmp_path, {f"++{key}": [word, "x"]}, f"++{key}={word}") == {key: kind}
