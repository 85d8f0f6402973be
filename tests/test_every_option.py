"""Every file of conf/ composes, fits its classes, and runs. The folder is walked, so a new option is tested too."""

from __future__ import annotations

import inspect
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf
from torch import Tensor

import fedlit.experiment
from fedlit.aggregators import Aggregator
from fedlit.errors import InputError
from fedlit.model_vectors import Layout, Model
from fedlit.settings import logger_parts
from fedlit.settings.classes import build, locate, passed_on
from fedlit.settings.folders import conf_folder
from fedlit.settings.help import defaults
from fedlit.settings.logger_parts import EXTRAS
from fedlit.settings.option_names import LISTS, STAGES, choosing
from tests.slow import some_slow
from tests.small_runs import (
    AWKWARD,
    AWKWARD_CLASSES,
    AWKWARD_SHAPE,
    OPTIONS,
    SITES,
    Awkward,
    command,
    composed,
    go,
    not_finite,
    numbers,
    same_bits,
    saved,
    small,
    tensors,
    write_npz,
    write_tables,
)

PARTS = ("train", "test")
IMAGES = {"clients": 4, "participation": 0.75, "batch_size": 16}
FOR_GROUP = {"reduction": {"clients": 8, "participation": 1.0, "server_samples": 8}}  # robust rules need messages
WITH = {  # an option -> what it needs
    "statistics": ["model=cnn_bn", "attack.value=1"],
    "paillier": ["model=logistic"],  # milliseconds for 31 numbers
    "resnet18": ["clients=1", "participation=1", "trainer.limit_train_batches=1"],
}
PARTIES = {"columns", "alignment", "cipher"}  # groups of protocols whose parties hold columns
TESTED_ELSEWHERE = {
    "aggregator",
    "trainer",
    "data",
    "experiment",
    "engine",
    "protocol",
    *PARTIES,
}  # the first three below
RUN = [(group, option) for group in OPTIONS if group not in TESTED_ELSEWHERE for option in OPTIONS[group]]


def data_with(*keys: str) -> list[str]:
    """The data sets whose option has one of these keys."""
    files = {name: OmegaConf.load(conf_folder() / "data" / f"{name}.yaml") for name in OPTIONS["data"]}
    return [name for name, file in files.items() if any(key in file for key in keys)]


DOWNLOADED = data_with("download", "download_from")
OWN = ["csv_sites", "npz", "table"]
PUBLISHED = [name for name in data_with("root") if name not in (*DOWNLOADED, *OWN)]  # the user gets their files
REGRESSION = ["diabetes"]  # for a model of the user's: the ready ones are classifiers
AT_HAND = [name for name in OPTIONS["data"] if name not in (*DOWNLOADED, *PUBLISHED, *REGRESSION)]
WITHOUT_SITES = ["digits", "breast_cancer", "table"]
FITTING = {"binary_logistic": "two classes", "char_lstm": "tokens"}  # models that do not take images of four classes


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four classes of small images from four sites."""
    return write_npz(tmp_path_factory.mktemp("images") / "images.npz", (8, 8), 4, (20, 14, 16, 12))


@pytest.fixture(scope="module")
def series(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Training data of `Awkward`."""
    folder = tmp_path_factory.mktemp("series")
    return write_npz(folder / "series.npz", AWKWARD_SHAPE, AWKWARD_CLASSES, SITES, images=False)


def word(group: str, option: str) -> str:
    return choosing(group, option) if group in {*defaults(conf_folder()), *PARTIES} else f"+{group}={option}"


def calls(node: Any, key: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Every node of a configuration that names a class, with its key."""
    if isinstance(node, dict):
        if "_target_" in node:
            yield key, node
        for name, inner in node.items():
            yield from calls(inner, f"{key}.{name}".lstrip("."))
    elif isinstance(node, list):
        for number, inner in enumerate(node):
            yield from calls(inner, f"{key}[{number}]")


@pytest.mark.parametrize(("group", "option"), [(group, option) for group in OPTIONS for option in OPTIONS[group]])
def test_an_option_composes_and_its_keys_fit_its_classes(
    group: str, option: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if group == "tune":
        pytest.importorskip("optuna")
    monkeypatch.setattr(logger_parts, "find_spec", lambda package: object())  # also where a package is missing
    protocol = ["protocol=linear_he"] if group in PARTIES else []
    composition = composed(*protocol, word(group, option))
    assert composition.choices[group] == ([option] if group in STAGES else option)
    named = dict(calls(OmegaConf.to_container(composition.config, resolve=True)))
    place = f"{group}.{option}" if group in LISTS else group.replace("/", ".")
    assert group in ("experiment", "debug", "tune") or option in ("none", "rounds") or place in named
    for key, node in named.items():
        target = locate(node["_target_"], key)
        signature, arguments = inspect.signature(target), passed_on(node, target, key)
        given = {name: value for name, value in arguments.items() if name not in ("_target_", "_partial_", "_convert_")}
        offered = {"input_shape": (1,), "classes": 2} if key == "model" else {}
        given |= {name: value for name, value in offered.items() if name in signature.parameters}
        if node.get("_partial_"):
            signature.bind_partial(**given)
        else:
            signature.bind(**given)  # raises as a call would if a key is missing or unknown


# --- algorithms


@dataclass
class Seen:
    """Records of the calls of an algorithm."""

    models: list[Model] = field(default_factory=list)  # evaluated models
    broken: list[str] = field(default_factory=list)  # violations of the contract


def leaves(tree: Any, name: str = "") -> dict[str, Tensor]:
    """The tensors in dicts and Models, by their path."""
    if isinstance(tree, Model):
        tree = {"weights": tree.weights, "statistics": tree.statistics}
    if isinstance(tree, dict):
        return {path: t for key, part in tree.items() for path, t in leaves(part, f"{name}/{key}").items()}
    return {name: tree} if torch.is_tensor(tree) else {}


def shapes(tree: Any) -> dict[str, tuple[int, ...]]:
    return {name: tuple(t.shape) for name, t in leaves(tree).items()}


def copies(tree: Any) -> dict[str, Tensor]:
    return {name: t.clone() for name, t in leaves(tree).items()}


def watch(kind: type[Aggregator], monkeypatch: pytest.MonkeyPatch) -> Seen:
    """Record the calls of an algorithm's methods."""
    seen = Seen()
    local_update, server_update = kind.local_update, kind.server_update
    personal, global_model = kind.personal, kind.global_model

    def unchanged(before: dict[str, Tensor], now: Any, name: str) -> None:
        if any(not torch.equal(t, leaves(now)[path]) for path, t in before.items()):
            seen.broken.append(f"{name} was changed in place")

    def watched_update(self: Any, client: Any, received: Any, state: Any) -> Any:
        k, before, held = len(client.number), copies(received), copies(state)
        message, after = local_update(self, client, received, state)
        unchanged(before, received, "the received state")
        unchanged(held, state, "a client's state")
        if shapes(after) != shapes(state):
            seen.broken.append(f"a client's state was {shapes(state)} and is {shapes(after)}")
        if any(len(t) != k for t in leaves(message).values()):
            seen.broken.append(f"{k} clients send {shapes(message)}")
        return message, after

    def watched_server(self: Any, server: Any, reduced: Any, round: Any) -> Any:
        before = copies(server)
        after = server_update(self, server, reduced, round)
        unchanged(before, server, "the server's state")
        was, now = {name: tuple(t.shape) for name, t in before.items()}, shapes(after)
        if any(now.get(name) != shape for name, shape in was.items()):
            seen.broken.append(f"the server's state was {was} and is {now}")
        return after

    def watched_personal(self: Any, client: Any, received: Any, state: Any) -> Model:
        model = personal(self, client, received, state)
        seen.models.append(model)
        if any(t.dim() == 2 and len(t) not in (1, len(client.number)) for t in (model.weights, model.statistics)):
            seen.broken.append(f"{len(client.number)} clients have personal models {tuple(model.weights.shape)}")
        return model

    def watched_global(self: Any, server: Any) -> Model | None:
        model = global_model(self, server)
        if model is not None:
            seen.models.append(model)
            if model.weights.dim() != 1 or model.statistics.dim() != 1:
                seen.broken.append(f"the global model has the shape {tuple(model.weights.shape)}")
        return model

    monkeypatch.setattr(kind, "local_update", watched_update)
    monkeypatch.setattr(kind, "server_update", watched_server)
    monkeypatch.setattr(kind, "global_model", watched_global)
    # fedlit measures personal models if an algorithm overrides this method, or sends each client a model of its own
    if personal is not Aggregator.personal or kind.download is not Aggregator.download:
        monkeypatch.setattr(kind, "personal", watched_personal)
    return seen


CONTRACTS = [(aggregator, trainer) for aggregator in OPTIONS["aggregator"] for trainer in OPTIONS["trainer"]]


def is_quick(aggregator: str, trainer: str) -> bool:
    """The default suite has the oracles under trainer=lightning already (tests/aggregators/test_oracles.py)."""
    return trainer != "lightning" or aggregator in ("fedavg", "centralized", "apfl")


@pytest.mark.parametrize(
    ("aggregator", "trainer"), some_slow(CONTRACTS, [case for case in CONTRACTS if is_quick(*case)])
)
def test_an_algorithm_keeps_the_contract_on_an_awkward_module(
    aggregator: str, trainer: str, series: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    awkward = {
        **AWKWARD,
        "data": composed("data=npz").config.data,
        "data.path": str(series),
        "partition": composed("partition=natural").config.partition,
        "model": {"_target_": "tests.small_runs.Awkward"},
        "trainer": composed(f"trainer={trainer}").config.trainer,
        "logger": composed("logger=none").config.logger,
    }
    config = small([f"aggregator={aggregator}"], awkward)
    kind = locate(config.aggregator._target_, "aggregator")
    seen = watch(kind, monkeypatch)
    metrics = go(config, tmp_path / "one")
    assert seen.broken == []

    assert [row["round"] for row in metrics] == [1, 2]
    asked = 1 if kind.pooled else round(AWKWARD["participation"] * len(SITES))
    for row in metrics:
        assert row["cohort/asked"] == row["cohort/arrived"] == asked
        assert row["train/loss"] > 0
        assert any(name.startswith(("global/test/accuracy", "clients/personal/accuracy")) for name in row)
        assert not_finite(row) == {}

    module = Awkward(AWKWARD_SHAPE, AWKWARD_CLASSES)
    layout = Layout(module)
    trained = sum(p.numel() for name, p in module.named_parameters() if not name.startswith("frozen"))
    assert {model.weights.shape[-1] for model in seen.models} == {trained}
    for model in seen.models:
        assert model.weights.isfinite().all() and model.statistics.isfinite().all()
        assert (layout.pieces(model.statistics, layout.statistics)["norm.running_var"] > 0).all()
    assert len({model.weights.numpy().tobytes() for model in seen.models}) > 1, "nothing moved"
    state = saved(tmp_path / "one", 2)
    for part in ("server", "clients"):
        assert {name: t for name, t in tensors(state[part]).items() if not t.isfinite().all()} == {}

    monkeypatch.setattr(fedlit.experiment, "try_algorithm", lambda *args: None)  # it leaves no trace in a run either
    go(config, tmp_path / "two")
    assert same_bits(state, saved(tmp_path / "two", 2))
    assert numbers(tmp_path / "one") == numbers(tmp_path / "two")


# --- the other groups, each on images


def write_for(model: str, folder: Path) -> Path:
    """Data that a model takes which takes no images of four classes."""
    if FITTING[model] == "two classes":
        return write_npz(folder / "two.npz", (8, 8), 2, (20, 14, 16, 12))
    rng = np.random.default_rng(0)
    arrays = {f"{name}_{part}": rng.integers(0, 4, (62, 5) if name == "x" else 62) for name in "xy" for part in PARTS}
    np.savez(folder / "tokens.npz", **arrays)
    return folder / "tokens.npz"


def images_of(images: Path) -> dict[str, Any]:
    changes = {"data": composed("data=npz").config.data, "data.path": str(images)}
    return {**IMAGES, **changes, "logger": composed("logger=none").config.logger}


def check_rows(metrics: list[dict[str, Any]], rounds: int = 1) -> None:
    assert [row["round"] for row in metrics] == list(range(1, rounds + 1))
    for row in metrics:
        assert 0 < row["cohort/arrived"] == row["cohort/asked"]
        assert row["update/norm"] > 0
        assert 0 <= row["global/test/accuracy"] <= 1
        assert not_finite(row) == {}


@pytest.mark.parametrize(("group", "option"), RUN)
def test_an_option_runs_for_a_round(
    group: str, option: str, images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    changes = images_of(write_for(option, tmp_path) if group == "model" and option in FITTING else images)
    if group == "tune":
        pytest.importorskip("optuna")
    if group == "logger":
        if option in EXTRAS.values() and find_spec(option) is None:
            pytest.skip(f"{option} is not installed: pip install 'fedlit[{option}]'")
        changes.pop("logger")
        monkeypatch.setenv("WANDB_MODE", "offline")
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'mlflow.db'}")
        monkeypatch.setenv("TRACKIO_DIR", str(tmp_path / "trackio"))
    words = [word(group, option), *WITH.get(option, [])]
    check_rows(go(small(words, changes | FOR_GROUP.get(group, {})), tmp_path / "run"))


@pytest.mark.parametrize("option", some_slow(OPTIONS["optimizer"], ["adam"]))
def test_an_optimizer_steps_on_the_server(option: str, images: Path, tmp_path: Path) -> None:
    changes = {**images_of(images), "rounds": 2}
    for rate, moves in ((None, True), (0.0, False)):
        frozen = {} if rate is None else {"aggregator.server_optimizer.lr": rate}
        run = tmp_path / str(rate)
        check_rows(go(small([f"optimizer@aggregator.server_optimizer={option}"], {**changes, **frozen}), run), rounds=2)
        first, second = (tensors(saved(run, number)["server"]["model"]) for number in (1, 2))
        assert first.keys() == second.keys()
        assert any(not torch.equal(first[name], second[name]) for name in first) == moves


# --- data


def files_of(name: str, folder: Path, images: Path) -> dict[str, Any]:
    """Settings for a data set that reads files, which are written here; empty for data that fedlit makes."""
    if name == "npz":
        return {"data.path": str(images)}
    if name == "csv_sites":
        write_tables(folder, [f"{site}.csv" for site in "abc"], columns=4, header=True)
        return {"data.path": str(folder / "*.csv")}
    if name == "table":
        write_tables(folder, ["people.csv"], columns=4, header=True)
        return {"data.path": str(folder / "people.csv")}
    return {}


@pytest.mark.parametrize("name", AT_HAND)
def test_data_without_download_run_for_a_round_by_their_sites_if_any(name: str, images: Path, tmp_path: Path) -> None:
    changes = {**IMAGES, **files_of(name, tmp_path, images), "batch_size": 64, "model.hidden": [8]}
    config = small([f"data={name}"], {**changes, "logger": composed("logger=none").config.logger})
    sites = build(config.data, "data").train_sites
    if sites is not None:
        config.clients = len(set(sites.tolist()))
        config.partition = composed("partition=natural").config.partition
    check_rows(go(config, tmp_path / "run"))
    assert (sites is None) == (name in WITHOUT_SITES)


@pytest.mark.parametrize("name", REGRESSION)
def test_data_of_a_regression_name_the_model_they_need(name: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="targets are not classes; write your own model"):
        go(small([f"data={name}"], dict(IMAGES)), tmp_path / "run")


@pytest.mark.parametrize("name", DOWNLOADED)
def test_missing_downloads_are_asked_for_in_one_sentence(
    name: str, in_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = in_folder / "not here"
    assert command(f"data={name}", f"data.root='{root}'", "hydra.run.dir=run") == 2
    printed, sentence = capsys.readouterr()
    assert printed == ""
    assert sentence.count("\n") == 1 and str(root) in sentence and "Traceback" not in sentence
    remedy = re.search(r"; get (?:it|them) by: (.*?)(?: \(or .*\))?$", sentence.strip())
    assert remedy, sentence
    program, *arguments = shlex.split(remedy[1])
    if program == "curl":
        output = Path(arguments[arguments.index("-o") + 1])
        (address,) = [a for a in arguments if a.startswith("https://")]
        absent = address[address.index("{") + 1 : address.index("}")].split(",")
        assert all(str(root / output.name.replace("#1", site)) in sentence for site in absent)
        assert output.parent == root
    else:
        assert [program, *arguments[:2]] == ["python", "-m", "fedlit.run"]
        config = composed(*arguments[2:]).config
        assert (config.data.download, config.data.root) == (True, str(root))
        assert config.data._target_ == composed(f"data={name}").config.data._target_


@pytest.mark.parametrize("name", PUBLISHED)
def test_missing_published_files_are_asked_for_in_one_sentence(
    name: str, in_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = in_folder / "not here"
    assert command(f"data={name}", f"data.root='{root}'", "hydra.run.dir=run") == 2
    printed, sentence = capsys.readouterr()
    assert (printed, sentence.count("\n")) == ("", 1)
    assert str(root) in sentence and "; get " in sentence and "https://" in sentence


@pytest.mark.parametrize("name", OWN)
def test_missing_user_data_are_asked_for_in_one_sentence(
    name: str, in_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command(f"data={name}", "hydra.run.dir=run") == 2
    printed, sentence = capsys.readouterr()
    assert (printed, sentence.count("\n")) == ("", 1)
    assert sentence.startswith(f"data={name} needs the file") and "write data.path=" in sentence
