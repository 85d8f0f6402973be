"""`model._target_=mine.Net model.lr=0.2` as it stands."""

from __future__ import annotations

from omegaconf import OmegaConf

from fedlit.settings.overrides import explicitly_set


def composed(checked, *words, at="model", **kinds):
    return OmegaConf.to_container(OmegaConf.select(checked(*words, **kinds).composed.config, at))


def test_the_defaults_other_keys_go(checked):
    assert composed(checked, "model._target_=mine.Net", "model.lr=0.2") == {"_target_": "mine.Net", "lr": 0.2}
    assert composed(checked, "model={_target_: mine.Net, lr: 0.2}") == {"_target_": "mine.Net", "lr": 0.2}
    assert composed(checked, "+model._target_=mine.Net") == {"_target_": "mine.Net"}


def test_a_key_of_the_same_name_has_no_range_of_the_default(checked):
    assert composed(checked, "model._target_=mine.Net", "model.hidden=many")["hidden"] == "many"


def test_an_option_chosen_beside_it_stays(checked):
    found = composed(checked, "model=mlp", "model._target_=mine.Net", "model.lr=0.2")
    assert found == {"_target_": "mine.Net", "hidden": [200], "dropout": None, "lr": 0.2}


def test_how_a_group_is_called_stays(checked):
    words = ["optimizer._target_=torch.optim.RMSprop", "optimizer.alpha=0.9"]
    found = {"_target_": "torch.optim.RMSprop", "_partial_": True, "alpha": 0.9}
    assert composed(checked, *words, at="optimizer") == found
    server = [f"aggregator.server_{word}" for word in words]
    assert composed(checked, *server, at="aggregator.server_optimizer") == found
    assert "momentum" in composed(checked, *server, at="optimizer")


def test_what_a_preset_set_for_the_class_before_goes(checked):
    assert composed(checked, "experiment=paper", "model._target_=mine.Net", "model.lr=1") == {
        "_target_": "mine.Net",
        "lr": 1,
    }


def test_the_words_for_hydra_compose_to_the_same_again(checked):
    words = ["model._target_=mine.Net", "model.lr=0.2", "clients=3"]
    once = checked(*words)
    assert checked(*once.overrides).composed.config == once.composed.config


def test_a_sweep_over_classes(checked):
    assert composed(checked, "model._target_=mine.A,mine.B", "model.lr=1,2", sweeps=True) == {
        "_target_": "mine.A",
        "lr": 1,
    }


def test_explicitly_set():
    assert explicitly_set(["optimizer=adam"], "optimizer")
    assert explicitly_set(["++optimizer.lr=1"], "optimizer")
    assert not explicitly_set(["optimizer@aggregator.server_optimizer=adam", "optimizers=1", "~optimizer"], "optimizer")
    assert not explicitly_set(["aggregator.server_optimizer.lr=1"], "optimizer")
