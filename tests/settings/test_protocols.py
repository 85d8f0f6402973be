"""The group `protocol`: its options bring groups and keys, and words that the chosen one does not use are refused."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from omegaconf import OmegaConf

from fedlit.after_run import words as words_of
from fedlit.errors import InputError
from fedlit.report.varied_keys import Setup
from fedlit.run_folder import FORMAT, FORMAT_FILE
from fedlit.saved_run import SavedRun
from fedlit.settings.check import check
from fedlit.settings.compose import Composed, Composer, composer
from fedlit.settings.help import help_text
from fedlit.settings.protocols import is_vertical
from fedlit.settings.resume import resume
from fedlit.simulation import Run, federate
from tests.settings.conftest import write_options

OF_ALL = {"rounds", "seed", "threads", "name", "resume", "objective", "progress", "logger", "stop", "targets"}
OF_ALL |= {"checkpoint", "engine"}
OF_ROUNDS = {"clients", "participation", "local_epochs", "local_updates", "batch_size", "device", "profile"}
OF_ROUNDS |= {"server_samples", "secure", "partition", "model", "optimizer", "aggregator", "sampler", "lr_schedule"}
OF_ROUNDS |= {"server_lr_schedule", "trainer", "store", "evaluation", "uplink", "downlink", "attack"}
OF_PARTIES = {"protocol", "columns", "alignment", "cipher"}
VERTICAL = {"linear_he": "diabetes", "logistic_he": "breast_cancer", "secureboost": "credit_default"}
PRESET = """
# @package _global_
# A preset for parties.
defaults:
  - override /protocol: secureboost
  - override /cipher: plain
rounds: 3
protocol:
  depth: 2
"""
WITH_CLIENTS = "# @package _global_\n# A preset for clients.\nclients: 3\n"


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Composer]:
    """Over conf/ and two presets of the user's; compositions are kept."""
    files = {"experiment/parties.yaml": PRESET, "experiment/with_clients.yaml": WITH_CLIENTS}
    with composer(config_dir=write_options(tmp_path_factory.mktemp("mine"), files)) as made:
        yield made


def composed(opened: Composer, words: str) -> Composed:
    return check(shlex.split(words), opened).composed


def test_rounds_are_the_default_and_the_configuration_has_no_key_protocol(opened):
    config = composed(opened, "").config
    assert set(config) == {*OF_ALL, *OF_ROUNDS, "data"}
    assert not is_vertical(config)
    assert config.data.public == 0
    assert composed(opened, "protocol=rounds").config == config


@pytest.mark.parametrize("protocol", VERTICAL)
def test_a_protocol_of_parties_brings_its_groups_and_data(opened, protocol):
    made = composed(opened, f"protocol={protocol}")
    assert set(made.config) == {*OF_ALL, *OF_PARTIES, "data"}
    assert is_vertical(made.config)
    assert made.choices["data"] == VERTICAL[protocol]
    assert [made.choices[group] for group in ("columns", "alignment", "cipher")] == ["named", "none", "paillier"]
    assert made.config.protocol._target_.startswith("fedlit.vertical.")


def test_words_of_a_protocol_are_taken(opened):
    words = (
        "protocol=secureboost protocol.depth=2 cipher=plain data=diabetes columns.overlap=0.5 rounds=3 stop.patience=2"
    )
    made = composed(opened, f"{words} 'columns.parties={{guest: rest, host: [a, b]}}' engine=processes logger=none")
    config = made.config
    assert (config.protocol.depth, config.rounds, config.columns.overlap) == (2, 3, 0.5)
    assert OmegaConf.to_container(config.columns.parties) == {"guest": "rest", "host": ["a", "b"]}
    assert config.data._target_ == composed(opened, "data=diabetes").config.data._target_


def test_a_preset_chooses_a_protocol_and_sets_its_keys(opened):
    made = composed(opened, "experiment=parties")
    assert (made.choices["protocol"], made.choices["cipher"]) == ("secureboost", "plain")
    assert (made.config.protocol.depth, made.config.rounds) == (2, 3)
    other = composed(opened, "experiment=parties protocol=linear_he")
    assert "depth" not in other.config.protocol


LEFT_OUT = [  # a word that secureboost does not use, and what is not there
    ("aggregator=fedprox", "aggregator"),
    ("clients=5", "clients"),
    ("+clients=5", "clients"),
    ("+aggregator=fedprox", "aggregator"),
    ("~aggregator", "aggregator"),
    ("aggregator.mu=0.1", "aggregator"),
    ("model._target_=mine.Net", "model"),
    ("uplink=[topk]", "uplink"),
    ("uplink.topk.share=0.1", "uplink"),
    ("reduction=null", "reduction"),
    ("lr_schedule@server_lr_schedule=cosine", "server_lr_schedule"),
    ("optimizer@aggregator.server_optimizer=adam", "aggregator"),
    ("data.public=5", "data.public"),
]


@pytest.mark.parametrize(("word", "name"), LEFT_OUT)
def test_a_word_that_the_protocol_does_not_use_is_refused(opened, word, name):
    with pytest.raises(InputError) as refusal:
        check([word, "protocol=secureboost"], opened)
    assert str(refusal.value) == f"{word}: protocol=secureboost has no {name}; leave the word out."


def refusal(opened: Composer, words: str, sweeps: bool = False) -> str:
    with pytest.raises(InputError) as error:
        check(shlex.split(words), opened, sweeps=sweeps)
    return str(error.value)


ALL = "protocol=linear_he, protocol=logistic_he or protocol=secureboost"
REFUSALS = {
    "protocol=rounds cipher=paillier": "cipher=paillier: protocol=rounds has no cipher; leave the word out.",
    "cipher=paillier": f"cipher=paillier: protocol=rounds has no cipher; leave the word out, or choose {ALL}.",
    "cipher.bits=2048": f"cipher.bits=2048: protocol=rounds has no cipher; leave the word out, or choose {ALL}.",
    "experiment=parties clients=5": "clients=5: protocol=secureboost has no clients; leave the word out, or choose "
    "protocol=rounds.",
    "experiment=parties protocol=rounds": "experiment=parties: it chooses an option of cipher, and protocol=rounds has "
    "no cipher; leave one of the two out.",
    "experiment=lecture protocol=secureboost": "experiment=lecture: it chooses an option of partition, and "
    "protocol=secureboost has no partition; leave one of the two out.",
    "experiment=with_clients protocol=secureboost": "experiment/with_clients: it sets clients, and "
    "protocol=secureboost has no clients; leave experiment=with_clients out, or choose protocol=rounds.",
    "protocol.depth=4": "protocol.depth=4: protocol=rounds has no depth; protocol=secureboost has it; write "
    "protocol=secureboost protocol.depth=4.",
    "protocol._target_=mine.P": "protocol._target_=mine.P: protocol=rounds is no class that another one can take the "
    "place of; choose an option whose groups your class uses, protocol=linear_he protocol._target_=mine.P.",
    "aggregator=secureboost": "aggregator=secureboost: there is no aggregator named secureboost; did you mean "
    "protocol=secureboost?",
    "protocol=xgboost": "protocol=xgboost: there is no protocol named xgboost; did you mean protocol=secureboost?",
    "protocol=secureboost cipher=plian": "cipher=plian: there is no cipher named plian; did you mean cipher=plain?",
    "~protocol": "~protocol: protocol cannot be left out; choose one of its options, protocol=<option>.",
}


@pytest.mark.parametrize("words", REFUSALS)
def test_refusals_name_the_protocol_and_what_to_write(opened, words):
    assert refusal(opened, words) == REFUSALS[words]


SWEEPS = {
    "protocol=secureboost clients=4,5": "clients=4,5: protocol=secureboost has no clients; leave the word out.",
    "protocol=rounds,secureboost clients=4": "clients=4: the runs with protocol=secureboost have no clients; write "
    "protocol=rounds clients=4 as a sweep of its own; ",
    "protocol=rounds,secureboost aggregator=fedprox": "aggregator=fedprox: the runs with protocol=secureboost have no "
    "aggregator; write protocol=rounds aggregator=fedprox as a sweep of its own; ",
    "protocol=linear_he,secureboost protocol.depth=3": "protocol.depth=3: the runs with protocol=linear_he have no "
    "depth; write protocol=secureboost protocol.depth=3 as a sweep of its own; ",
}


@pytest.mark.parametrize("words", SWEEPS)
def test_a_word_that_some_runs_of_a_sweep_do_not_use_is_refused(opened, words):
    assert refusal(opened, words, sweeps=True).startswith(SWEEPS[words])


def test_a_sweep_over_protocols_is_taken(opened):
    check(["protocol=linear_he,secureboost", "cipher=plain", "protocol.lr=0.1,0.2"], opened, sweeps=True)
    check(["protocol=rounds,secureboost", "seed=0,1"], opened, sweeps=True)


def test_the_jobs_of_a_sweep_over_protocols_have_groups_that_the_default_lacks(opened):
    words = ["protocol=linear_he,secureboost", "cipher=plain"]
    swept = opened.application.swept("config", words)
    assert swept.values == {"protocol": ["linear_he", "secureboost"]}
    assert swept.jobs == [["protocol=linear_he", "cipher=plain"], ["protocol=secureboost", "cipher=plain"]]
    planned = list(opened.application.planned("config", words, swept.jobs))
    assert [job.config.protocol._target_.rpartition(".")[2] for job in planned] == ["LinearHe", "SecureBoost"]


def test_a_pattern_of_columns_without_quotes_is_explained(opened):
    word = "columns.parties={guest: rest, host: PAY_[0-9]}"
    with pytest.raises(InputError) as error:
        check(["protocol=secureboost", word], opened)
    proposed = shlex.split(str(error.value).rpartition(" is quoted, ")[2].removesuffix("."))
    parties = check(["protocol=secureboost", *proposed], opened).composed.config.columns.parties
    assert OmegaConf.to_container(parties) == {"guest": "rest", "host": "PAY_[0-9]"}


# --- help


def test_the_help_page_says_which_protocols_have_a_group():
    page = help_text()
    assert "Keys of protocol=rounds, the default\n  clients=10" in page
    assert "cipher=  with protocol=linear_he, protocol=logistic_he or protocol=secureboost\n" in page
    assert "\naggregator=\n" in page
    assert "* paillier" in page and "* rounds" in page and "* digits" in page


def test_the_help_of_a_protocol_lists_what_it_brings():
    page = " ".join(help_text(["secureboost"]).split())
    assert "protocol.depth=5 levels" in page
    assert "It brings data=credit_default columns=named alignment=none cipher=paillier" in page
    assert "It brings data=digits partition=iid" in " ".join(help_text(["protocol=rounds"]).split())
    assert help_text(["clients"]).strip() == "clients=10  number of clients in the federation [int >= 1]"


# --- runs


def run_folder(folder: Path, config: Any, words: list[str]) -> Path:
    """The files of a run before its first round."""
    (folder / ".hydra").mkdir(parents=True)
    (folder / ".hydra" / "config.yaml").write_text(yaml.safe_dump(config))
    (folder / ".hydra" / "overrides.yaml").write_text(yaml.safe_dump(words))
    (folder / FORMAT_FILE).write_text(f"{FORMAT}\n")
    return folder


def saved(folder: Path, opened: Composer, words: str) -> Path:
    config = OmegaConf.to_container(composed(opened, words).config)
    return run_folder(folder, config, shlex.split(words))


def test_a_run_of_parties_goes_on_with_more_rounds_and_no_other_cipher(opened, tmp_path):
    run = saved(tmp_path / "run", opened, "protocol=linear_he cipher=plain")
    resumed = resume(run, ["rounds=50", "cipher.workers=2"], opened)
    assert (resumed.config.rounds, resumed.config.cipher.workers) == (50, 2)
    with pytest.raises(InputError, match=r"cipher\._target_: .*Plain -> .*Paillier"):
        resume(run, ["cipher=paillier"], opened)


def test_a_run_from_before_there_were_protocols_goes_on(opened, tmp_path):
    run = saved(tmp_path / "run", opened, "clients=4 aggregator=fedprox uplink=[topk]")
    assert resume(run, ["rounds=50"], opened).config.rounds == 50
    assert "protocol" not in resume(run, [], opened).config


def test_commands_about_models_refuse_a_run_of_parties(opened, tmp_path):
    run = saved(tmp_path / "run", opened, "protocol=linear_he cipher=plain")
    with pytest.raises(InputError, match="hold columns of the same people, so that there is no LightningModule of it"):
        words_of.read([str(run)], "fedlit.evaluate", (), ())
    clients = saved(tmp_path / "clients", opened, "")
    assert words_of.read([str(clients)], "fedlit.evaluate", (), ()).saved.folder == clients


@pytest.mark.parametrize("name", ["clients", "partition"])
def test_a_run_of_parties_has_no_clients_and_no_partition(opened, name, tmp_path):
    run = Run(saved(tmp_path / "run", opened, "protocol=linear_he cipher=plain"))
    with pytest.raises(InputError, match="so that it has no clients and no partition; its rounds are in run.metrics"):
        getattr(run, name)


def test_the_report_shows_the_protocol_of_runs(opened, tmp_path):
    parties = SavedRun(saved(tmp_path / "parties", opened, "protocol=linear_he cipher=plain"))
    clients = SavedRun(saved(tmp_path / "clients", opened, ""))
    assert [Setup(run).value("protocol") for run in (parties, clients)] == ["linear_he", "rounds"]


def test_federate_refuses_a_protocol_of_parties():
    with pytest.raises(InputError, match="protocol=linear_he: its parties train no LightningModule"):
        federate(None, ([0], [1]), "clients=2", "protocol=linear_he")
