"""`fedlit.evaluate` gives the numbers that the run wrote, of any checkpoint, and leaves the run folder as it is."""

from __future__ import annotations

import csv
import hashlib
import json
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.metrics import f1_score
from torchmetrics.classification import MulticlassCalibrationError

import fedlit
from fedlit import evaluate
from fedlit.after_run.measured import measure_client, measure_other, measure_own
from fedlit.after_run.reopened import reopened
from fedlit.run_folder import FORMAT, FORMAT_FILE
from fedlit.saved_run import SavedRun
from tests.slow import some_slow
from tests.small_runs import AWKWARD_CLASSES, AWKWARD_SHAPE, SITES, Awkward, command, rows, write_npz

QUICK = [
    *("rounds=3", "threads=1", "device=cpu", "logger=none", "progress=none", "batch_size=4", "seed=5"),
    *("checkpoint.every=0", "checkpoint.keep=2", f"clients={len(SITES)}", "evaluation.client_validation=0.2"),
    *("data=npz", "model._target_=tests.small_runs.Awkward", "partition=natural"),
    "data.normalize=none",
    "data.layout=channels_first",
]


@pytest.fixture
def folder(in_folder: Path) -> Path:
    write_npz(in_folder / "data.npz", AWKWARD_SHAPE, AWKWARD_CLASSES, SITES, images=False)
    return in_folder


@pytest.fixture(scope="module")
def ditto(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a run whose best round is the first, that was removed, and its data."""
    folder = tmp_path_factory.mktemp("ditto")
    write_npz(folder / "data.npz", AWKWARD_SHAPE, AWKWARD_CLASSES, SITES, images=False)
    run_in(folder, "aggregator=ditto", "checkpoint.keep=1", "rounds=2", "optimizer.lr=3")
    return folder


def run_in(folder: Path, *more: str) -> Path:
    """The folder of a run over sites, with a module that has running statistics, dropout and a frozen layer."""
    assert command(*QUICK, f"data.path={folder / 'data.npz'}", f"hydra.run.dir={folder / 'run'}", *more) == 0
    return folder / "run"


def digests(run: Path) -> dict[str, str]:
    """Of all files of a run but its lock."""
    files = [path for path in sorted(run.rglob("*")) if path.is_file() and path.name != ".lock"]
    return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def measured_part(row: dict[str, Any]) -> dict[str, Any]:
    """The numbers of a row that are measured after the round."""
    starts = "global/", "clients/global/", "clients/personal/", "clients/used/"
    return {name: value for name, value in row.items() if name.startswith(starts)}


CASES = [
    *("aggregator=fedavg", "aggregator=fedavg trainer=vectorized evaluation.clients=2"),
    *("aggregator=ditto store=disk", "aggregator=fedper store=disk participation=0.6"),
    *("aggregator=fedbn", "aggregator=fedbn trainer=vectorized", "aggregator=apfl trainer=vectorized"),
    *("aggregator=ifca", "aggregator=local", "aggregator=cfl", "aggregator=perfedavg", "aggregator=centralized"),
    *("aggregator=centralized evaluation.finetune=1", "evaluation.finetune=2 evaluation.client_test=0.3"),
    *("evaluation.finetune=1 trainer=vectorized",),
    "aggregator=fedavg trainer.keep_optimizer_state=true evaluation.finetune=1 store=disk",
]
EACH_KIND = [CASES[2]]


@pytest.mark.parametrize("words", some_slow(CASES, EACH_KIND))
def test_each_kept_checkpoint_gives_the_numbers_of_its_round(folder: Path, words: str) -> None:
    run = run_in(folder, *words.split())
    before = digests(run)
    for number in (2, 3):
        written = measured_part(rows(run)[number - 1])
        assert written
        with reopened(SavedRun(run), number) as opened:
            assert measure_own(opened).row == written
    assert digests(run) == before
    assert command(f"resume={run}", "rounds=4") == 0  # the clients' states after the last round still exist


def test_the_model_of_a_client_is_measured_on_the_data_of_each(folder: Path) -> None:
    run = run_in(folder, "aggregator=apfl", "trainer=vectorized")
    assert evaluate.main([str(run), "personal=2", "out=table.csv"]) == 0
    with open("table.csv", newline="") as file:
        lines = {line["client"]: line for line in csv.DictReader(file)}
    data, parts, net = np.load("data.npz"), np.load(run / "partition.npz"), fedlit.load(run).personal(2)
    right = net(torch.from_numpy(data["x_test"])).argmax(1).numpy() == data["y_test"]
    ends = parts["test_ends"]
    expected = {str(k): parts["test"][ends[k] : ends[k + 1]] for k in range(len(SITES))}
    expected["all"] = np.arange(len(right))
    assert lines.keys() == expected.keys()
    for client, samples in expected.items():
        assert int(lines[client]["samples"]) == len(samples)
        assert float(lines[client]["client_2/accuracy"]) == right[samples].mean()


@pytest.mark.slow
def test_the_first_weights_are_measured(folder: Path) -> None:
    run = run_in(folder, "rounds=1")
    with reopened(SavedRun(run), 0) as opened:
        first = measure_own(opened).row
        weights = opened.experiment.federation.initial_model
        assert torch.equal(opened.experiment.state.server["model"].weights, weights.weights)
    assert first["global/test/loss"] != rows(run)[0]["global/test/loss"]


class Logged(Awkward):
    """Logs a metric object whose name says nothing of its direction."""

    def __init__(self, input_shape: Sequence[int], classes: int):
        super().__init__(input_shape, classes)
        self.gap = MulticlassCalibrationError(AWKWARD_CLASSES)

    def test_step(self, batch: Any, batch_idx: int) -> None:
        self.gap(self(batch[0]).softmax(-1), batch[1])
        self.log("gap", self.gap)


def test_a_logged_metric_has_the_statistics_that_the_run_gave_it(folder: Path) -> None:
    """An object declares its direction when it is measured: `worst`, not `max`."""
    run = run_in(folder, "aggregator=apfl", "rounds=1", f"model._target_={__name__}.Logged")
    given = {name.rpartition("/")[2] for name in rows(run)[0] if name.startswith("clients/used/gap/")}
    assert given == {"mean", "weighted", "std", "worst", "worst_decile"}
    with reopened(SavedRun(run)) as opened:
        measured = measure_client(opened, 1).row
        data = opened.experiment.data
        other = measure_other(replace(opened, other_data=data, other_config=opened.config.data), data, None).row
    for row, model in ((measured, "client_1"), (other, "used")):
        assert {name.rpartition("/")[2] for name in row if name.startswith(f"clients/{model}/gap/")} == given


def test_other_data_are_measured_whole_by_each_model(ditto: Path, in_folder: Path) -> None:
    run = ditto / "run"
    write_npz(in_folder / "other.npz", AWKWARD_SHAPE, AWKWARD_CLASSES, (9, 9), images=False)
    metric = [
        "+evaluation.metrics.f1._target_=torchmetrics.classification.MulticlassF1Score",
        f"+evaluation.metrics.f1.num_classes={AWKWARD_CLASSES}",
        "+evaluation.metrics.f1.average=macro",
    ]
    assert evaluate.main([str(run), "data.path=other.npz", *metric, "out=table.csv"]) == 0
    with open("table.csv", newline="") as file:
        lines = {line["client"]: line for line in csv.DictReader(file)}
    assert list(lines) == ["all", *map(str, range(len(SITES)))]
    data, loaded = np.load("other.npz"), fedlit.load(run)
    for client, line in lines.items():
        net = loaded.module() if client == "all" else loaded.personal(int(client))
        predicted = net(torch.from_numpy(data["x_test"])).argmax(1).numpy()
        model = "global" if client == "all" else "used"
        assert float(line[f"{model}/accuracy"]) == (predicted == data["y_test"]).mean()
        assert float(line[f"{model}/f1"]) == pytest.approx(f1_score(data["y_test"], predicted, average="macro"), 1e-6)
        assert line["samples"] == str(len(data["y_test"]))


def test_the_title_says_how_many_samples_are_measured(
    ditto: Path, in_folder: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    write_npz(in_folder / "other.npz", AWKWARD_SHAPE, AWKWARD_CLASSES, (9, 9), images=False)
    samples = {
        name: len(np.load(path)["y_test"]) for name, path in (("data", ditto / "data.npz"), ("other", "other.npz"))
    }
    option = "evaluation.test_samples=4"
    capsys.readouterr()
    cases = {
        option: f"{samples['data']} test samples of data, pooled on 4 of them ({option})",
        f"evaluation.test_samples={samples['data']}": f"{samples['data']} test samples of data",
        f"{option} data.path=other.npz": f"4 of {samples['other']} test samples of other ({option})",
    }
    for words, title in cases.items():
        assert evaluate.main([str(ditto / "run"), *words.split()]) == 0
        assert capsys.readouterr().out.splitlines()[0] == f"round_0002 of {ditto / 'run'} on {title}"
    assert "are normalised by" not in caplog.text  # both by none


def test_inputs_that_are_normalised_otherwise_are_told(
    ditto: Path, in_folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_npz(in_folder / "other.npz", AWKWARD_SHAPE, AWKWARD_CLASSES, (9, 9), images=False)
    cases = {
        "[0.5,0.25]": "and those of the run by data.normalize=none; write data.normalize=none where",
        "training": "by their own training samples",
    }
    for option, sentence in cases.items():
        caplog.clear()
        assert evaluate.main([str(ditto / "run"), "data.path=other.npz", f"data.normalize={option}"]) == 0
        assert sentence in caplog.text


def test_a_file_is_written_into_a_new_folder_or_refused(
    ditto: Path, in_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert evaluate.main([str(ditto / "run"), "out=new/inner/table.csv"]) == 0
    assert Path("new/inner/table.csv").is_file()
    Path("file").write_text("")
    capsys.readouterr()
    assert evaluate.main([str(ditto / "run"), "out=file/table.csv"]) == 74
    error = capsys.readouterr().err
    assert "cannot be written (" in error and "; give another place by out=<file>.csv." in error
    assert "Traceback" not in error and "make room" not in error


def test_data_that_were_moved_are_the_runs_own(ditto: Path, in_folder: Path) -> None:
    """They lie in the current folder, and the first weights are saved without a personal model."""
    (ditto / "data.npz").rename(in_folder / "moved.npz")
    try:
        assert evaluate.main([str(ditto / "run")]) == 2
        assert evaluate.main([str(ditto / "run"), "data.path=moved.npz", "out=table.csv"]) == 0
        assert evaluate.main([str(ditto / "run"), "data.path=moved.npz", "data.public=3"]) == 2
    finally:
        (in_folder / "moved.npz").rename(ditto / "data.npz")
    with open("table.csv", newline="") as file:
        assert [line["client"] for line in csv.DictReader(file)] == list(map(str, range(len(SITES))))


def test_what_does_not_fit_is_refused_in_a_sentence(
    ditto: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, run = tmp_path, ditto / "run"
    write_npz(folder / "shape.npz", (4, 7), AWKWARD_CLASSES, (9, 9), images=False)
    write_npz(folder / "classes.npz", AWKWARD_SHAPE, AWKWARD_CLASSES + 1, (9, 9), images=False)
    capsys.readouterr()
    cases = {
        "checkpoint=7": "checkpoint=7: this run has kept no such round; write checkpoint=last, best, 0 or 2.",
        "checkpoint=newest": "checkpoint=newest: this is no round; write checkpoint=last, best, 0 or 2.",
        f"data.path={folder / 'shape.npz'}": "(4, 7), and the run was trained on data with (4, 6); give data of that",
        f"data.path={folder / 'classes.npz'}": "classes has 4 classes, and the run was trained on data with 3 classes",
        "personal=9": "client 9: the run has the clients 0 to 4",
        "personal=-1": "personal=-1: this is no client",
        "clients=3": "clients=3: fedlit.evaluate does not read clients",
        "evaluation.client_test=0.5": "does not read evaluation.client_test; did you mean",
        "checkpont=0": "did you mean checkpoint?",
        "checkpoint=0,2": "one value is read",
        "out=table.txt": "this is no .csv or .json file; write out=<name>.csv.",
        "nowhere": "are several folders",
        "--multirun": "leave this flag out",
    }
    for word, sentence in cases.items():
        assert evaluate.main([str(run), word]) == 2
        error = capsys.readouterr().err
        assert sentence in error and "Traceback" not in error
    assert evaluate.main(["nowhere"]) == 2 and evaluate.main([]) == 2


def test_the_best_round_lacks_the_states_of_clients(
    ditto: Path, in_folder: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    run = ditto / "run"
    assert torch.load(run / "checkpoints" / "best" / "state.pt", weights_only=True)["round"] == 1
    assert evaluate.main([str(run), "checkpoint=best", "personal=1"]) == 2
    assert "was saved without the states of clients" in capsys.readouterr().err
    assert evaluate.main([str(run), "checkpoint=best", "out=best.json"]) == 0
    assert "The global model alone is measured" in caplog.text
    assert capsys.readouterr().out.startswith(f"best (round 1) of {run} on ")
    metrics = json.loads(Path("best.json").read_text())["metrics"]
    assert metrics and metrics == {name: rows(run)[0][name] for name in metrics}


@pytest.mark.slow
def test_where_nothing_is_measured_the_reason_is_told(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = run_in(folder, "aggregator=local", "rounds=1", "evaluation.client_test=0", "evaluation.client_validation=0")
    write_npz(folder / "other.npz", AWKWARD_SHAPE, AWKWARD_CLASSES, (9, 9), images=False)
    cases = {
        "evaluation.clients=5": "no measured client has test data of its own; write personal=<client>",
        "evaluation.clients=0": "evaluation.clients=0: Local has no global model, and no client is measured",
        "evaluation.clients=0 data.path=other.npz": "evaluation.clients=0: Local has no global model",
    }
    capsys.readouterr()
    for words, sentence in cases.items():
        assert evaluate.main([str(run), *words.split()]) == 2
        assert sentence in capsys.readouterr().err
    assert evaluate.main([str(run), "personal=1", "out=table.csv"]) == 0
    with open("table.csv", newline="") as file:
        first = next(csv.DictReader(file))
    assert (first["client"], int(first["samples"])) == ("all", len(np.load("data.npz")["y_test"]))


def test_a_run_of_another_format_is_refused(ditto: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = ditto / "run"
    for number in (FORMAT - 1, FORMAT + 1):
        (run / FORMAT_FILE).write_text(f"{number}\n")
        assert evaluate.main([str(run)]) == 2
        assert f"has format {number}, and this fedlit reads format {FORMAT}" in capsys.readouterr().err
    (run / FORMAT_FILE).write_text(f"{FORMAT}\n")


def test_a_run_without_personal_models_or_rounds_says_so(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = run_in(folder, "rounds=1", "evaluation.client_validation=0")
    for words, sentence in (
        (["personal=1"], "under FedAvg no client has a model of its own"),
        (["checkpoint=best"], "round 1 is the best by test data"),
        (["checkpoint=best"], "this one is kept: write checkpoint=1, or run it with evaluation.client_validation=0.2"),
    ):
        capsys.readouterr()
        assert evaluate.main([str(run), *words]) == 2
        assert sentence in capsys.readouterr().err
    shutil.rmtree(run / "checkpoints" / "round_0001")
    for words, sentence in (([], "has saved no round"), (["checkpoint=best"], "; write checkpoint=0, or run it with")):
        assert evaluate.main([str(run), *words]) == 2
        assert sentence in capsys.readouterr().err
    assert evaluate.main([str(run), "checkpoint=0"]) == 0
    shutil.move(run / "checkpoints", folder / "elsewhere")  # as before a run's first checkpoint
    (run / ".hydra").mkdir(exist_ok=True)
    for name in ("config.yaml", "overrides.yaml"):
        shutil.copy(folder / "elsewhere" / "round_0000" / name, run / ".hydra")
    for words in ([], ["checkpoint=0"], ["checkpoint=best"]):
        assert evaluate.main([str(run), *words]) == 2
        assert "has saved no round; go on with it by python -m fedlit.run resume=" in capsys.readouterr().err
