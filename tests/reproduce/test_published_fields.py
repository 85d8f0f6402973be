"""Published values in an experiment's YAML: each field is checked, and none of them is a setting of a run."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from omegaconf import OmegaConf

from fedlit.errors import InputError
from fedlit.reproduce.__main__ import main
from fedlit.reproduce.published import Published, read_experiment, read_values
from fedlit.settings.compose import composer
from tests.reproduce.experiments import GIVEN, write_experiment
from tests.small_runs import command, composed

VALUE = "published:\n  - metric: global/test/accuracy\n    value: 0.5\n    source: Somebody 2021\n    tolerance: 0.1\n"


def without(line: str) -> str:
    return "".join(kept for kept in VALUE.splitlines(keepends=True) if not kept.strip().startswith(line))


@pytest.mark.parametrize(
    ("published", "sentence"),
    [
        ("published: 3\n", "published is no list of values"),
        ("published: [3]\n", "published value 1: 3 is no mapping"),
        (without("value"), "value 1: value is missing"),
        (without("source"), "value 1: source is missing"),
        (VALUE.replace("value: 0.5", "value: high"), "value=high has to be a number"),
        (VALUE.replace("value: 0.5", "value: .nan"), "value=nan has to be a number"),
        (VALUE.replace("global/test/accuracy", "test_accuracy"), "metric=test_accuracy is no name of a metric"),
        (VALUE + "    std: -0.1\n", "std=-0.1 has to be a number of at least 0"),
        (VALUE + "    seeds: 0\n", "seeds=0 has to be an integer of at least 1"),
        (VALUE + "    seeds: 2.5\n", "seeds=2.5 has to be an integer"),
        (VALUE.replace("tolerance: 0.1", "tolerance: -1"), "tolerance=-1 has to be a number of at least 0"),
        (without("tolerance"), "a tolerance follows from a std above 0 of at least 2 seeds alone"),
        (without("tolerance") + "    std: 0.1\n", "a tolerance follows from a std above 0 of at least 2 seeds alone"),
        (VALUE + "    tollerance: 0.1\n", "there is no field tollerance; did you mean tolerance?"),
        (VALUE + "    target: soon\n", "target=soon has to be a number"),
        (VALUE + "    evaluations: 0\n", "evaluations=0 has to be an integer of at least 1"),
        (VALUE + "    evaluations: 5\n    target: 0.9\n", "leave out target or evaluations"),
        (VALUE + "    words: aggregator=fedadam\n", "words=aggregator=fedadam is no list of overrides"),
        (VALUE + "    words: [seed=3]\n", "seed=3 is not for words"),
        (VALUE + VALUE.partition("\n")[2], "value 2 measures the same as value 1"),
    ],
)
def test_a_wrong_field_is_one_sentence(published: str, sentence: str) -> None:
    with pytest.raises(InputError) as error:
        read_values(yaml.safe_load(published)["published"], "experiment=mine")
    assert str(error.value).startswith("experiment=mine") and sentence in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        ("std: -0.1", "std=-0.1 has to be"),
        ("words: [aggregator=adm]", "1: aggregator=adm: there is no aggregator"),
    ],
)
def test_a_wrong_field_is_refused_before_a_run(
    more: str, sentence: str, in_folder: Path, capsys: pytest.CaptureFixture
) -> None:
    search = write_experiment(in_folder / "conf", f"{VALUE}    {more}\n")
    assert main(["experiment=mine", search]) == 2
    error = capsys.readouterr().err
    assert error.startswith("experiment=mine, published value 1") and sentence in error and error.count("\n") == 1
    assert not (in_folder / "outputs").exists()


def test_fields_are_read_as_they_are_written(tmp_path: Path) -> None:
    entry = "published:\n  - {metric: global/test/loss, value: 2, std: 0.5, seeds: 3, source: S, words: [clients=3]}\n"
    search = write_experiment(tmp_path, entry)
    with composer() as opened:
        experiment = read_experiment("mine", opened, [search])
    assert experiment.about == "Somebody 2021, table 3, a small case."
    assert experiment.values == (Published("global/test/loss", 2.0, "S", 0.5, 3, None, ("clients=3",), None),)


@pytest.mark.parametrize("word", ["published=1", "+published=[]", "published.0.value=1"])
def test_the_command_line_sets_no_published_value(word: str) -> None:
    with pytest.raises(InputError, match="published values are in the YAML of an experiment"):
        composed("experiment=flamby_heart", word)


def test_published_values_are_no_part_of_a_run(in_folder: Path, capsys: pytest.CaptureFixture) -> None:
    """The same configuration with and without them: of a run, its checkpoints and a sweep, and as --cfg shows it. A run
    that began without them goes on."""
    texts: list[list[str]] = []
    for name, published in (("without", ""), ("with", VALUE)):
        search = write_experiment(in_folder / "conf", published)
        words = [search, "experiment=mine", *GIVEN, "logger=none", "progress=none", "rounds=1"]
        assert command(*words, f"hydra.run.dir={name}") == 0
        capsys.readouterr()
        assert command(search, "experiment=mine", "--cfg", "job") == 0
        files = sorted(Path(name).rglob("config.yaml"))
        assert len(files) >= 2
        texts.append([*(file.read_text() for file in files), capsys.readouterr().out])
    assert texts[0] == texts[1] and "published" not in "".join(texts[0])
    assert command("resume=without", "rounds=2") == 0
    assert command("--multirun", *words, "seed=0", "hydra.sweep.dir=sweep") == 0
    assert "published" not in "".join(file.read_text() for file in Path("sweep").rglob("config.yaml"))


def test_the_configuration_of_an_option_may_have_a_key_of_that_name(in_folder: Path) -> None:
    """`model.published` is a key of the user's own."""
    option = in_folder / "conf" / "model" / "mine.yaml"
    option.parent.mkdir(parents=True)
    option.write_text("_target_: mine.Net\npublished: 3  # a year [int]\n")
    config = composed(f"hydra.searchpath=[{in_folder / 'conf'}]", "model=mine", "model.published=4").config
    assert OmegaConf.select(config, "model.published") == 4
