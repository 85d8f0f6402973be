"""What a refusal proposes composes, is quoted for a shell, and changes nothing else than what was asked for."""

from __future__ import annotations

import re
import subprocess

import pytest
import yaml

from fedlit.errors import InputError
from fedlit.settings import known_keys, known_names
from fedlit.settings.check import check
from fedlit.settings.closest import normalised, slips
from fedlit.settings.compose import composer
from fedlit.settings.folders import conf_folder, groups
from fedlit.settings.overrides import assignment, for_shell, parse, resume_override
from tests.launched_sweeps import is_installed
from tests.settings.conftest import write_options
from tests.slow import some_slow

SERVER = "optimizer@aggregator.server_optimizer"


def refusal(*overrides, config_dir=None, sweeps=False):
    with composer(config_dir=config_dir) as made, pytest.raises(InputError) as caught:
        check(overrides, made, sweeps=sweeps)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def composed(*overrides, config_dir=None):
    with composer(config_dir=config_dir) as made:
        return check(overrides, made).composed.config


def by_shell(text):
    """The words of a command line, as bash splits them."""
    return (
        subprocess.run(["bash", "-c", f"printf '%s\\0' {text}"], capture_output=True, text=True, check=True)
        .stdout[:-1]
        .split("\0")
    )


def proposal(message):
    """The words of the first proposal of a refusal."""
    phrases = [
        r"`(.*?)`",
        r"did you mean ([^?]*=[^?]*)\?",
        r"(?:write(?: for example)?|has it,|choose one,|named by) (.*?)(?:, without|\.$| to | for )",
    ]
    matches = [match for phrase in phrases if (match := re.search(phrase, message))]
    assert matches, message
    return by_shell(matches[0][1])


PROPOSED = {  # the overrides, the first of which is wrong -> what is proposed in its place
    (f"optimiser@{SERVER.partition('@')[2]}=adam",): [f"{SERVER}=adam"],
    ("optimizer@aggregator.server=adam",): [f"{SERVER}=adam"],
    ("optimizer@aggregator.client_optimizer=adam",): ["optimizer=adam"],
    ("server_optimizer=adam",): [f"{SERVER}=adam"],
    ("aggregator.server_optimizer=adam",): [f"{SERVER}=adam"],
    (f"+{SERVER}=adam",): [f"{SERVER}=adam"],
    (f"++{SERVER}=adam",): [f"{SERVER}=adam"],
    (f"{SERVER}=adm",): [f"{SERVER}=adam"],
    ("aggregator.lr=0.1",): ["aggregator.server_optimizer.lr=0.1"],
    ("aggregator.server_optimizer.lr=0.1", "aggregator._target_=mine.A"): [
        f"{SERVER}=plain",
        "aggregator.server_optimizer.lr=0.1",
    ],
    ("aggregator=FedOpt",): ["aggregator=fedadam"],
    ("algorithm=fed-adam",): ["aggregator=fedadam"],
    ("aggregator=slowmo",): ["aggregator=fedavgm"],
    ("aggregator=scafold",): ["aggregator=scaffold"],
    ("aggregator=FedAvg",): ["aggregator=fedavg"],
    ("aggregator=mine.Agg",): ["aggregator._target_=mine.Agg"],
    (f"{SERVER}=rmsprop",): ["aggregator.server_optimizer._target_=torch.optim.RMSprop"],
    ("strategy=FedAvg",): ["aggregator=fedavg"],
    ("fedprox",): ["aggregator=fedprox"],
    ("uplink=[top-k]",): ["uplink=[topk]"],
    ("uplink=topk",): ["uplink=[topk]"],
    ("uplink.topk=0.1",): ["uplink=[topk]", "uplink.topk.share=0.1"],
    ("uplink._target_=mine.TopK",): ["uplink.topk._target_=mine.TopK"],
    ("compression=topk",): ["uplink=[topk]"],
    ("reduction=[krum]",): ["reduction=krum"],
    ("aggregator=krum",): ["reduction=krum"],
    ("devices=4",): ["engine=processes", "device=gpu"],
    ("gpus=2",): ["engine=processes", "device=gpu"],
    ("accelerator=gpu",): ["device=gpu"],
    ("num_workers=4",): ["engine=processes", "engine.workers=4"],
    ("num_clients=10",): ["clients=10"],
    ("num_rounds=10",): ["rounds=10"],
    ("epochs=3",): ["local_epochs=3"],
    ("trainer.max_epochs=3",): ["local_epochs=3"],
    ("lr=0.1",): ["optimizer.lr=0.1"],
    ("learning_rate=0.1",): ["optimizer.lr=0.1"],
    ("bs=8",): ["batch_size=8"],
    ("data.batch_size=8",): ["batch_size=8"],
    ("fraction_fit=0.1",): ["participation=0.1"],
    ("q=0.1",): ["aggregator=qfedavg", "aggregator.q=0.1"],
    ("central_optimizer=adam",): [f"{SERVER}=adam"],
    ("central_optimizer.lr=0.1",): ["aggregator.server_optimizer.lr=0.1"],
    ("global_lr=0.1",): ["aggregator.server_optimizer.lr=0.1"],
    ("server_momentum=0.1",): ["aggregator.server_optimizer.momentum=0.1"],
    ("common.global_epoch=3",): ["rounds=3"],
    ("val_batch_size=3",): ["evaluation.batch_size=3"],
    ("num_supernodes=3",): ["clients=3"],
    ("cohort_size=3",): ["sampler.number=3"],
    ("algorithm.name=FedProx",): ["aggregator=fedprox"],
    ("optimizer.name=adam",): ["optimizer=adam"],
    ("optimizer.type=AdamW",): ["optimizer=adamw"],
    ("model.name=resnet18",): ["model=resnet18"],
    ("dataset.name=mnist",): ["data=mnist"],
    ("algorithm.weighting=uniform",): ["aggregator.weighting=uniform"],
    ("trainer.profiler=simple",): ["debug=profile"],
    ("output_dir=x",): ["hydra.run.dir=x"],
    ("name=a,", "b"): ['name="a, b"'],
    ("uplink={a:", "{_target_:", "mine.A}}"): ["uplink={a: {_target_: mine.A}}"],
    ("name=it's, b",): ['name="it\'s, b"'],
    ("clients", "=", "3"): ["clients=3"],
    ("~model.hidden", "model._target_=mine.Net"): [],
    ("finetune_epochs=2",): ["evaluation.finetune=2"],
    ("public_data=30",): ["data.public=30"],
    ("trainer.detect_anomaly=true",): ["trainer.options.detect_anomaly=true"],
    ("targets.global/test/accuracy=0.8",): ["targets={global/test/accuracy:0.8}"],
    ("+targets.global/test/loss=[1,2]",): ["targets={global/test/loss:[1,2]}"],
    ("targets=[0.8,0.9]",): ["targets={global/test/accuracy:[0.8,0.9]}"],
    ("targets=global/test/loss",): ["targets={global/test/loss:0.8}"],
}
QUICK = [0, 12, 26, 38, 47, 56, len(PROPOSED) - 4]


@pytest.mark.parametrize("number", some_slow(range(len(PROPOSED)), QUICK), ids=lambda n: list(PROPOSED)[n][0])
def test_a_proposal_composes_in_place_of_the_wrong_override(number):
    overrides = list(PROPOSED)[number]
    message = refusal(*overrides)
    if "leave it out" in message:
        words = []
    elif "is quoted" in message:
        words = by_shell(message.rpartition("quoted")[2].partition(", ")[2].removesuffix("."))
    else:
        words = proposal(message)
    assert words == PROPOSED[overrides]
    composed(*words, *(word for word in overrides[1:] if "._target_=" in word and "{" not in word))


ABSENT = [  # overrides, a part of the command that they do not lead to, a part of the sentence
    (["optimizer@model.optimizer=adam"], "server_optimizer", "model=mlp takes no optimizer"),
    (["aggregator.server_optimizer.lr=0.1", "aggregator=local"], "optimizer.lr=0.1?", "aggregator=fedavg"),
    ([f"{SERVER}=adam", "aggregator=local"], "write +", "aggregator=local takes no server_optimizer"),
    ([f"+{SERVER}=adam", "aggregator=local"], "without the +", "aggregator=local takes no server_optimizer"),
    (["model=resnet50"], "resnet18?", "the options are"),
    (["data=femnist"], "emnist?", "data._target_=mine.Data"),
    (["aggregator=fedpd"], "did you mean", "the options are apfl"),
    (["epochs=abc"], "did you mean local_epochs=abc", "local_epochs=abc: local_epochs"),
    (["lr=-1"], "optimizer=sgd has it", "did you mean optimizer.lr? optimizer.lr=-1: optimizer.lr (learning rate) has"),
    (["patience=-1"], "did you mean stop.patience=-1", "did you mean stop.patience? stop.patience=-1: "),
    (["precision=16"], "reduction", "trainer.precision=16: "),
    (["alpha=0.3"], "did you mean", "partition=dirichlet or partition=dirichlet_quantity has it."),
    (["min_fit_clients=2"], "did you mean", "sampler.number=2"),
    (["strategy.min_fit_clients=2"], "did you mean", "sampler.number=2"),
    (["server_mom=0.9"], "did you mean", "the top level has"),
    (["max_client=3"], "did you mean", "the top level has"),
    (["strategy.q=0.1"], "did you mean", "aggregator=qfedavg has it"),
    (["lr_scheduler.step_size=3"], "did you mean", "configure_optimizers of a module of your own"),
    (["trainer.precision=16"], "write for example trainer.precision=32", "trainer.precision=16-mixed"),
    (["device=cuda:0"], "device=auto.", "device=gpu"),
    (["~aggregator.server_optimizer"], "<value>", f"choose another, {SERVER}=<option>."),
    (["~aggregator.server_optimizer", "aggregator._target_=mine.Agg"], "+~", "leave it out"),
    (["model.hidden.x=3"], "invalid literal", "model.hidden is a list"),
]


@pytest.mark.parametrize(
    ("overrides", "absent", "present"), some_slow(ABSENT, ABSENT[:1] + ABSENT[11:14] + ABSENT[16:17])
)
def test_nothing_else_than_what_was_asked_for_is_proposed(overrides, absent, present):
    message = refusal(*overrides)
    assert absent not in message and present in message


@pytest.mark.parametrize("sign", ["", "+", "++"])
def test_a_class_of_the_users_takes_a_server_optimizer_under_every_sign(sign):
    config = composed(f"{sign}{SERVER}=adam", "aggregator._target_=mine.Agg")
    assert config.aggregator._target_ == "mine.Agg" and "weighting" not in config.aggregator
    assert config.aggregator.server_optimizer._target_ == "torch.optim.Adam"


def test_a_class_of_the_users_can_go_without_a_server_optimizer():
    assert set(composed(f"~{SERVER}", "aggregator._target_=mine.Agg").aggregator) == {"_target_"}


# --- the tables of known names


def test_no_known_name_is_an_option():
    shipped = groups(conf_folder())
    for group, names in {**known_names.NOT_SHIPPED, **known_names.OTHER_NAMES}.items():
        options = set(map(normalised, shipped.get(group, [])))
        assert not options & set(map(normalised, names)), f"{group}: delete the name that is an option now"
    for group, names in known_names.OTHER_NAMES.items():
        assert set(names.values()) <= set(shipped[group])


INSTALLED = {
    option
    for plugin, options in {
        "hydra_joblib_launcher": ["joblib"],
        "hydra_submitit_launcher": ["submitit_slurm", "submitit_local"],
        "hydra_optuna_sweeper": ["optuna"],
    }.items()
    if is_installed(plugin)
    for option in options
}


def test_no_plugin_is_among_hydras_own_options():
    with composer() as made:
        for group, names in known_names.PLUGINS.items():
            assert not (set(made.options(group)) - INSTALLED) & set(names)


def commands():
    texts = [text for names in known_names.NOT_SHIPPED.values() for text in names.values()]
    texts += known_keys.SENTENCES.values()
    written = {command for text in texts for command in re.findall(r"`(.*?)`", text)}
    return sorted(command for command in written if not command.startswith("python "))


@pytest.mark.slow
def test_each_advice_of_the_tables_composes():
    wrong = []
    with composer() as made:
        for command in commands():
            for at in ["optimizer", "aggregator.server_optimizer"] if "{at}._target_=torch" in command else ["model"]:
                words = by_shell(command.replace("{at}", at).replace("{value}", "2"))
                try:
                    check(words, made)
                except InputError as error:
                    wrong.append(str(error))
    assert not wrong


def test_each_optimizer_of_the_tables_is_torchs():
    import torch

    paths = re.findall(r"torch\.optim\.(\w+)", " ".join(commands()))
    assert paths and all(issubclass(getattr(torch.optim, name), torch.optim.Optimizer) for name in paths)


@pytest.mark.parametrize("group", known_keys.GROUP_KEYS)
def test_each_other_name_within_a_group_leads_to_keys_of_its_options(group):
    files = (conf_folder() / group).glob("*.yaml")
    keys = {key for file in files for key in yaml.safe_load(file.read_text()) or ()} | {"server_optimizer"}
    names = known_keys.GROUP_KEYS[group]
    assert {key.partition(".")[0] for meant in names.values() for key in meant.split()} <= keys
    assert not keys & names.keys()


WITHIN_A_GROUP = [  # the option, a key that it does not have, and what is meant
    ("aggregator=ifca", "aggregator.k=3", "aggregator.clusters=3"),
    ("evaluation=default", "evaluation.finetune_epochs=2", "evaluation.finetune=2"),
    ("aggregator=fedadam", "aggregator.server_lr=0.1", "aggregator.eta=0.1"),
    ("aggregator=scaffold", "aggregator.eta_g=0.1", "aggregator.server_optimizer.lr=0.1"),
    ("aggregator=fedprox", "aggregator.proximal_mu=0.1", "aggregator.mu=0.1"),
    ("aggregator=fedrep", "aggregator.tau_h=3", "aggregator.head_epochs=3"),
    ("lr_schedule=step", "lr_schedule.step_size=3", "lr_schedule.interval=3"),
]


@pytest.mark.parametrize(("option", "wrong", "meant"), some_slow(WITHIN_A_GROUP, WITHIN_A_GROUP[:2]))
def test_a_name_within_a_group_is_answered_by_the_key_of_the_option(option, wrong, meant):
    assert f"did you mean {meant}?" in refusal(option, wrong)
    composed(option, meant)


@pytest.mark.parametrize(
    ("option", "wrong", "example"),
    [
        ("attack=label_flip", "attack.mapping=7", "'attack.mapping={7: 1}'"),
        ("attack=alie", "attack.rounds=2", "'attack.rounds=[2]'"),
        ("attack=alie", "attack.rounds=all", "'attack.rounds={from: 10, every: 5}'"),
        ("uplink=[clip]", "uplink.clip.keys=delta", "'uplink.clip.keys=[delta]'"),
    ],
)
def test_the_example_of_a_list_or_a_mapping_means_something(option, wrong, example):
    assert f"write for example {example}." in refusal(option, wrong)
    composed(option, *by_shell(example))


def test_a_name_that_another_option_has_is_shown_with_it():
    assert "aggregator=fedavg has no mu; aggregator=fedprox or" in refusal("aggregator.proximal_mu=0.1")


def test_each_other_name_of_a_key_leads_to_a_key_or_a_group():
    with composer() as made:
        known = {*made.compose(["partition=dirichlet"]).keys, *made.groups(), SERVER}
    assert set(known_keys.KEYS.values()) <= known
    assert not set(known_keys.KEYS) & set(map(normalised, known)) - {"split"}


@pytest.mark.parametrize(
    ("override", "package"),
    [
        ("hydra/launcher=submitit_slurm", "'fedlit[submitit]'"),
        ("hydra/launcher=submitit_lokal", "'fedlit[submitit]'"),
        ("hydra/launcher=joblib", "'fedlit[joblib]'"),
        ("hydra/launcher=ray", "hydra-ray-launcher"),
        ("hydra/sweeper=optuna", "'fedlit[optuna]'"),
        ("hydra/job_logging=colorlog", "hydra-colorlog"),
    ],
)
def test_a_plugin_of_hydra_is_named_by_what_pip_installs(override, package):
    if override.partition("=")[2].replace("lokal", "local") in INSTALLED:
        pytest.skip("the plugin is installed")
    assert refusal(override).endswith(f"pip install {package}.")


@pytest.mark.skipif("submitit_slurm" in INSTALLED, reason="the plugin is installed")
def test_a_plugin_that_a_preset_chooses_is_named_too(tmp_path):
    preset = "# @package _global_\ndefaults:\n  - override /hydra/launcher: submitit_slurm\n"
    write_options(tmp_path, {"experiment/slurm.yaml": preset})
    assert "pip install 'fedlit[submitit]'" in refusal("experiment=slurm", config_dir=tmp_path)


@pytest.mark.skipif("optuna" in INSTALLED, reason="the plugin is installed")
def test_a_preset_without_its_plugin_is_one_sentence():
    message = refusal("tune=lr")
    assert message.endswith("pip install 'fedlit[optuna]'.") and "\n" not in message


# --- slips


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("fedvg", ["fedavg"]),
        ("FED_AVG", ["fedavg"]),
        ("fedrpox", ["fedprox"]),
        ("fedsgd", []),
        ("fedopt", []),
        ("fedrep", []),
        ("cent", ["centralized"]),
        ("cifar100", []),
    ],
)
def test_a_slip_is_one_or_two_wrong_letters(word, expected):
    assert slips(word, ["centralized", "fedavg", "fedper", "fedprox", "cifar10"]) == expected


# --- quotes

TEXTS = [
    "a b",
    "a, b",
    "it's",
    'say "x"',
    "a=b",
    "{x",
    "[x",
    "a$HOME",
    "`ls`",
    "~/x",
    "1e3",
    "true",
    "null",
    "(x)",
    "a\\",
    "é",
]


def test_a_quoted_text_passes_bash_and_hydra_as_it_is():
    line = " ".join(for_shell(assignment("name", text)) for text in TEXTS)
    assert [override.value() for override in parse(by_shell(line))] == TEXTS
    line = " ".join(resume_override(text) for text in TEXTS)
    assert [override.value() for override in parse(by_shell(line))] == TEXTS
