"""`model._target_=mine.Net model.lr=0.2` as it stands."""

from __future__ import annotations

from omegaconf import OmegaConf

from fedlit.settings.overrides import explicitly_set


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


def test_rewritten_overrides_compose_to_the_same_again(checked):
    overrides = ["model._target_=mine.Net", "model.lr=0.2", "clients=3"]
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
