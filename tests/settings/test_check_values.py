"""A wrong number is refused in one sentence that says what is allowed and what to write."""

from __future__ import annotations

import pytest

from fedlit.errors import InputError
from tests.settings.conftest import write_options


def test_the_sentence_names_value_meaning_range_and_an_example(checked):
    with pytest.raises(InputError) as error:
        checked("clients=ten")
    assert str(error.value) == (
        "clients=ten: clients (number of clients) has to be an integer of at least 1; write for example clients=10."
    )


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("clients=0", "an integer of at least 1; write for example clients=10."),
        ("clients=1e3", "write for example clients=1000."),
        ("clients=1.5", "an integer of at least 1"),
        ("clients=true", "an integer of at least 1"),
        ("clients=null", "clients=null: "),
        ("clients=", "clients='': "),
        ("rounds=-1", "rounds=-1: "),
        ("participation=1.5", "a number above 0 and at most 1; write for example participation=1.0."),
        ("participation=nan", "a number above 0 and at most 1"),
        ("participation=${rounds}", "participation=20: "),
        ("batch_size=0", "batch_size=0: "),
        ("threads=0", "an integer of at least 1 or null; write for example threads=1."),
        ("device=gup", "one of auto, cpu, gpu; write for example device=gpu."),
        ("checkpoint.every=-1", "a number of at least 0"),
        ("checkpoint={every: -1}", "checkpoint.every=-1: "),
        ("model.hidden=[3,0]", "model.hidden=[3,0]: "),
        ("++clients=0", "clients=0: "),
        ("partition.alpha=0", "partition.alpha (concentration; small is skewed) has to be a number above 0"),
        ("partition.alpha=ten", "partition.alpha=ten: "),
        ("aggregator.server_optimizer.lr=0", "aggregator.server_optimizer.lr=0: "),
        ("partition._target_=Dirichlet", "an import path such as mine.Net"),
    ],
)
def test_a_value_out_of_range_is_refused(checked, override, expected):
    with pytest.raises(InputError) as error:
        checked("partition=dirichlet", override)
    assert expected in str(error.value)


def test_a_missing_value_is_asked_for(checked, tmp_path):
    write_options(
        tmp_path,
        {"model/files.yaml": "_target_: mine.Net\npath: ???  # file of the weights [path]\n"},
    )
    with pytest.raises(InputError, match=r"model\.path is missing: it is needed \(file of the weights\), a path"):
        checked("model=files", config_dir=tmp_path)
    assert checked("model=files", "model.path=a.pt", config_dir=tmp_path)


def test_an_interpolation_of_an_unknown_key_is_refused(checked):
    with pytest.raises(InputError, match="nowhere"):
        checked("clients=${nowhere}")
