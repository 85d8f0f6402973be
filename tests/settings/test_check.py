"""A wrong override is answered in one sentence: groups, options, keys, with and without Hydra's signs."""

from __future__ import annotations

import pytest
from omegaconf import OmegaConf

from fedlit.errors import InputError
from tests.settings.conftest import write_options

REFUSED = {
    # groups and options
    "partitoin=iid": "did you mean partition=iid?",
    "partition=dirchlet": "there is no partition named dirchlet; did you mean partition=dirichlet?",
    "+partition=dirchlet": "did you mean partition=dirichlet?",
    "partition=zzz": "the options are dirichlet or iid; a class of your own is partition._target_=mine.Name.",
    "partition=null": "null is no option; leave this override out, or choose from dirichlet or iid.",
    "partition=[iid,dirichlet]": "one option is chosen; write partition=<option>",
    "+partition=iid": "write partition=iid, without the +.",
    "++partition=iid": "write partition=iid.",
    "~partition": "partition cannot be left out; choose one of its options",
    "optimizer@aggregator.server_optimzer=adam": "did you mean optimizer@aggregator.server_optimizer=adam?",
    "optimiser@aggregator.server_optimizer=adam": "no group of options named optimiser; did you mean optimizer",
    "hydra/launcher=basc": "did you mean hydra/launcher=basic?",
    # keys
    "clint=10": "there is no key clint; did you mean clients=10?",
    "+clint=10": "did you mean clients=10?",
    "lr=0.1": "did you mean optimizer.lr=0.1?",
    "+foo.bar=1": "there is no key foo.bar; --help lists the keys",
    "foo=1": "there is no key foo; the top level has aggregator, batch_size",
    "checkpoint.evry=1": "did you mean checkpoint.every=1?",
    "checkpoint={evry: 1}": "did you mean checkpoint.every?",
    "partition.alpha=1": "partition=iid has no alpha; partition=dirichlet has it; write partition=dirichlet "
    "partition.alpha=1.",
    "+partition.alpha=1": "partition=iid has no alpha; partition=dirichlet has it; write partition=dirichlet "
    "partition.alpha=1.",
    "engine.foo=2": "there is no key engine.foo; engine has on_failure or options.",
    "engine.workers=2": "clients are trained in parallel by `engine=processes engine.workers=2`",
    "+clients=3": "clients exists already; write clients=3, without the +.",
    "~clients": "clients cannot be left out; set it, clients=<value>.",
    "optimizer.momentm=0.3": "did you mean optimizer.momentum=0.3? If torch.optim.SGD takes optimizer.momentm, write +",
    "optimizer.nesterov=true": "if torch.optim.SGD takes it, write +optimizer.nesterov=true.",
    "checkpoint=5": "checkpoint holds keys; write checkpoint.every=<value>.",
    "checkpoint=null": "checkpoint holds keys",
    "aggregator.server_optimizer=adam": "write optimizer@aggregator.server_optimizer=adam to choose another.",
    "aggregator.server_optimzer.lr=1": "did you mean aggregator.server_optimizer.lr=1?",
    "algorithm=dirichlet": "there is no key algorithm; did you mean partition=dirichlet?",
    "hydra.run.dirr=x": "did you mean hydra.run.dir=x?",
    # no overrides at all
    "clients": "clients: a value is missing; write clients=<value>.",
    "=3": "there is no key before the = sign",
    "clients=a=b": "this is not of the form key=value",
    "clients=1,2": "several values are a sweep; add --multirun",
}


@pytest.mark.parametrize("override", REFUSED)
def test_a_wrong_override_is_refused_with_advice(checked, override):
    with pytest.raises(InputError) as error:
        checked(override)
    assert REFUSED[override] in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("sign", ["", "+", "++", "~"])
def test_a_mistyped_key_of_an_option_under_every_sign(checked, sign):
    with pytest.raises(InputError, match=r"did you mean ~?partition\.alpha"):
        checked("partition=dirichlet", f"{sign}partition.alhpa=1" if sign != "~" else "~partition.alhpa")


@pytest.mark.parametrize(
    "overrides",
    [
        ["clients=3", "partition=dirichlet", "partition.alpha=0.1"],
        ["partition.alpha=0.1", "partition=dirichlet"],
        ["optimizer@aggregator.server_optimizer=adam"],
        ["aggregator.server_optimizer.lr=1"],
        ["+optimizer.nesterov=true"],
        ["+engine.options.any=1"],
        ["hydra.verbose=true", "hydra.job.name=x"],
        ["hydra/job_logging=none"],
        ["++clients=3"],
        ["name='a, b'", "threads=null", "participation=1"],
        ["clients=${rounds}"],
    ],
)
def test_right_overrides_are_not_changed(checked, overrides):
    assert checked(*overrides).overrides == overrides


def test_a_preset_is_composed_with_the_overrides_that_follow_it(checked):
    config = checked("experiment=paper", "partition.alpha=2", "clients=${rounds}").composed.config
    assert "hydra" not in config
    assert config.clients == 3
    assert OmegaConf.to_container(config.partition) == {
        "_target_": "fedlit.partitions.Dirichlet",
        "alpha": 2,
        "min_size": 10,
    }


def test_a_mapping_takes_any_key_with_and_without_a_sign(checked):
    config = checked("engine.options.a=1", "engine.options={b: 2}", "+engine.options.c=3").composed.config
    assert config.engine.options == {"a": 1, "b": 2, "c": 3}


def test_another_option_drops_the_keys_that_a_preset_set_for_its_own_choice(checked):
    config = checked("experiment=paper", "model=mlp", "model.hidden=[3]").composed.config
    assert set(config.model) == {"_target_", "hidden", "dropout"}
    assert (config.model.hidden, config.rounds, config.partition.alpha) == ([3], 3, 0.3)
    with pytest.raises(InputError, match=r"experiment/paper: it sets model\.channels"):
        checked("experiment=paper", "model=mlp,cnn", sweeps=True)


# --- sweeps


def test_every_choice_of_a_sweep_is_checked(checked):
    assert checked("partition=glob(*)", "clients=range(1,4)", "device=choice(cpu,gpu)", sweeps=True)
    assert checked("participation=interval(0.1,1)", sweeps=True).overrides == ["participation=interval(0.1,1)"]
    for override, expected in {
        "partition=iid,dirchlet": "there is no partition named dirchlet",
        "clients=3,0": "clients=0: ",
        "clients=range(0,3)": "clients=0: ",
        "clients=choice(2,ten)": "clients=ten: ",
        "participation=interval(0,1)": "participation=0.0: ",
    }.items():
        with pytest.raises(InputError, match=expected):
            checked(override, sweeps=True)


def test_a_key_that_one_choice_of_a_sweep_does_not_have_is_refused(checked):
    with pytest.raises(
        InputError, match="the runs with partition=iid have no alpha; write partition=dirichlet partition.alpha=1"
    ):
        checked("partition=dirichlet,iid", "partition.alpha=1", sweeps=True)


# --- the user's own options


@pytest.mark.parametrize("how", ["--config-dir", "hydra.searchpath"])
def test_groups_options_and_presets_of_the_user_are_checked_like_shipped_ones(checked, tmp_path, how):
    write_options(
        tmp_path,
        {
            "model/net.yaml": "_target_: mine.Net\nwidth: 3  # units [int >= 1]\n",
            "extra/one.yaml": "a: 1\n",
            "experiment/mine.yaml": "# @package _global_\ndefaults:\n  - override /model: net\nclients: 4\n",
        },
    )
    given = {"config_dir": tmp_path} if how == "--config-dir" else {}
    where = [] if given else [f"hydra.searchpath=[{tmp_path}]"]

    config = checked(*where, "+extra=one", "extra.a=2", "experiment=mine", "model.width=5", **given).composed.config
    assert (config.clients, config.extra.a, config.model.width) == (4, 2, 5)
    for override, expected in {
        "model=nett": "did you mean model=net?",
        "+extar=one": "did you mean \\+extra=one\\?",
        "extra=one": "no option of extra is chosen by default; write \\+extra=one",
    }.items():
        with pytest.raises(InputError, match=expected):
            checked(*where, override, **given)
    with pytest.raises(InputError, match=r"model\.width=0: model\.width \(units\)"):
        checked(*where, "model=net", "model.width=0", **given)


def test_a_preset_with_an_unknown_key_or_a_value_out_of_range_is_refused(checked, tmp_path):
    write_options(
        tmp_path,
        {
            "experiment/typo.yaml": "# @package _global_\npartition:\n  alhpa: 1\n",
            "experiment/key.yaml": "# @package _global_\nmodel:\n  hiden: [1]\n",
            "experiment/range.yaml": "# @package _global_\nrounds: 0\n",
        },
    )
    with pytest.raises(InputError, match=r"experiment/typo: it sets partition\.alhpa, which is no key"):
        checked("experiment=typo", config_dir=tmp_path)
    with pytest.raises(InputError, match=r"experiment/key: .* did you mean model\.hidden\?"):
        checked("experiment=key", config_dir=tmp_path)
    with pytest.raises(InputError, match=r"rounds=0 \(set by experiment/range\): .* at least 1"):
        checked("experiment=range", config_dir=tmp_path)


def test_folders_that_do_not_exist_are_refused(checked, tmp_path):
    with pytest.raises(InputError, match="there is no folder .*nowhere"):
        checked(config_dir=tmp_path / "nowhere")
    with pytest.raises(InputError, match="there is no folder nowhere"):
        checked("hydra.searchpath=[nowhere]")
    with pytest.raises(InputError, match="this is a list of folders"):
        checked("hydra.searchpath=nowhere")
