"""Flags of other programs are refused with the key that is meant; Hydra's own are read as argparse reads them."""

from __future__ import annotations

import pytest

from fedlit.errors import InputError
from fedlit.settings.command_line import read

FOREIGN = {
    "--num-rounds 3": "write rounds=3",
    "--num-rounds=3": "write rounds=3",
    "--local-epochs 2 clients=3": "write local_epochs=2",
    "-lr 0.1 -mu 0.1": "write lr=0.1",  # argparse takes -mu for -m
    "-algo FedProx": "write aggregator=FedProx",
    "--seed": "write seed=<value>",
    "--multirn seed=1,2": "did you mean --multirun?",
    "--config_dir mine": "did you mean --config-dir?",
}


@pytest.mark.parametrize("line", FOREIGN)
def test_a_flag_of_another_program_is_answered_by_its_key(line):
    with pytest.raises(InputError) as error:
        read(line.split())
    word = line.split()[0]
    assert str(error.value).startswith(f"{word}: there is no flag {word.partition('=')[0]}; ")
    assert FOREIGN[line].removeprefix("write ") in str(error.value)


@pytest.mark.parametrize("line", ["-m seed=1,2", "seed=1 --multi", "-cd mine clients=3", "-cjob", "--cfg=job -p model"])
def test_flags_of_hydra_are_read(line):
    assert [word for word in line.split() if "=" in word and word[0] != "-"] == read(line.split()).overrides
