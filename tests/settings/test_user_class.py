"""`model._target_=mine.Net model.lr=0.2` as it stands."""

from __future__ import annotations

from omegaconf import OmegaConf

from fedlit.settings.check import check
from fedlit.settings.compose import composer
from fedlit.settings.overrides import explicitly_set
from tests.settings.conftest import write_options


def composed(checked, *overrides, at="model", **kinds):
    return OmegaConf.to_container(OmegaConf.select(checked(*overrides, **kinds).composed.config, at))


def test_the_keys_of_the_default_class_are_left_out(checked):
    assert composed(checked, "model._target_=mine.Net", "model.lr=0.2") == {"_target_": "mine.Net", "lr": 0.2}
    assert composed(checked, "model={_target_: mine.Net, lr: 0.2}") == {"_target_": "mine.Net", "lr": 0.2}
    assert composed(checked, "+model._target_=mine.Net") == {"_target_": "mine.Net"}


def test_the_range_of_the_default_class_does_not_apply(checked):
    assert composed(checked, "model._target_=mine.Net", "model.hidden=many")["hidden"] == "many"


def test_an_option_that_is_also_chosen_keeps_its_keys(checked):
    keys = composed(checked, "model=mlp", "model._target_=mine.Net", "model.lr=0.2")
    assert keys == {"_target_": "mine.Net", "hidden": [200], "dropout": None, "lr": 0.2}


def test_partial_stays_as_the_group_has_it(checked):
    overrides = ["optimizer._target_=torch.optim.RMSprop", "optimizer.alpha=0.9"]
    keys = {"_target_": "torch.optim.RMSprop", "_partial_": True, "alpha": 0.9}
    assert composed(checked, *overrides, at="optimizer") == keys
    server = [f"aggregator.server_{override}" for override in overrides]
    assert composed(checked, *server, at="aggregator.server_optimizer") == keys
    assert "momentum" in composed(checked, *server, at="optimizer")


def test_keys_that_a_preset_set_for_the_replaced_class_are_left_out(checked):
    assert composed(checked, "experiment=paper", "model._target_=mine.Net", "model.lr=1") == {
        "_target_": "mine.Net",
        "lr": 1,
    }


OWN = {
    "experiment/own.yaml": "# @package _global_\nmodel:\n  _target_: mine.Net\n  width: 4\n",
    "experiment/opt.yaml": "# @package _global_\noptimizer:\n  _target_: torch.optim.RMSprop\n",
    "experiment/kept.yaml": "# @package _global_\ndefaults:\n  - override /model: mlp\nmodel:\n  _target_: mine.Net\n",
    "primary.yaml": "defaults:\n  - config\n  - _self_\nmodel:\n  _target_: mine.Net\n",
}


def test_a_class_of_a_preset_takes_the_place_of_the_default_with_its_keys(checked, tmp_path):
    where = {"config_dir": write_options(tmp_path, OWN)}
    own = composed(checked, "experiment=own", **where)
    assert own == {"_target_": "mine.Net", "width": 4}
    assert composed(checked, "experiment=own", "model.lr=1", **where) == own | {"lr": 1}
    assert composed(checked, "experiment=own", "model.width=5", **where) == own | {"width": 5}
    assert set(composed(checked, "experiment=own", "model=cnn", at="model", **where)) > {"_target_", "channels"}
    assert composed(checked, "experiment=opt", at="optimizer", **where) == {
        "_target_": "torch.optim.RMSprop",
        "_partial_": True,
    }
    kept = composed(checked, "experiment=kept", **where)
    assert kept == {"_target_": "mine.Net", "hidden": [200], "dropout": None}


def test_a_class_of_a_primary_configuration_takes_the_place_of_the_default(use_small_conf, tmp_path):
    with composer("primary", write_options(tmp_path, OWN)) as made:
        assert OmegaConf.to_container(check([], made).composed.config.model) == {"_target_": "mine.Net"}


def test_rewritten_overrides_compose_to_the_same_again(checked):
    overrides = ["model._target_=mine.Net", "model.lr=0.2", "clients=3"]
    overrides += ["optimizer@aggregator.server_optimizer=adam", "aggregator._target_=mine.Agg"]
    once = checked(*overrides)
    assert checked(*once.overrides).composed.config == once.composed.config


def test_classes_can_be_swept(checked):
    assert composed(checked, "model._target_=mine.A,mine.B", "model.lr=1,2", sweeps=True) == {
        "_target_": "mine.A",
        "lr": 1,
    }


def test_only_overrides_of_the_group_itself_count_as_explicitly_set():
    assert explicitly_set(["optimizer=adam"], "optimizer")
    assert explicitly_set(["++optimizer.lr=1"], "optimizer")
    assert not explicitly_set(["optimizer@aggregator.server_optimizer=adam", "optimizers=1", "~optimizer"], "optimizer")
    assert not explicitly_set(["aggregator.server_optimizer.lr=1"], "optimizer")
