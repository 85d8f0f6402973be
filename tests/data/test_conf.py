"""The options of data= in conf/."""

from __future__ import annotations

import inspect
from pathlib import Path

import numpy as np
import pytest
from hydra.utils import get_method, instantiate
from omegaconf import DictConfig, OmegaConf

import fedlit
from fedlit.data import DataSource

FOLDER = Path(fedlit.__file__).parents[1] / "conf" / "data"


def option(name: str) -> DictConfig:
    config = OmegaConf.create({"clients": 4, "data": OmegaConf.load(FOLDER / f"{name}.yaml")})
    return config.data


@pytest.mark.parametrize("name", sorted(path.stem for path in FOLDER.glob("*.yaml")))
def test_the_keys_of_an_option_are_the_arguments_of_its_function(name: str) -> None:
    config = option(name)
    arguments = inspect.signature(get_method(config._target_)).parameters
    left_out = {"name", "download_from"} if name == "csv_sites" else set()
    assert {str(key) for key in config} - {"_target_"} == set(arguments) - left_out


@pytest.mark.parametrize("name", ["digits", "synthetic"])
def test_options_without_files_give_a_data_source(name: str) -> None:
    source = instantiate(option(name))
    assert isinstance(source, DataSource) and source.name == name
    x, y = source.train.batch(np.arange(5))
    assert x.shape == (5, *source.input_shape) and len(y) == 5


def test_synthetic_has_a_site_for_each_client() -> None:
    assert set(instantiate(option("synthetic")).train_sites) == {0, 1, 2, 3}


def test_lists_and_mappings_of_the_configuration_are_accepted(tmp_path: Path) -> None:
    x = np.random.default_rng(0).integers(0, 256, (8, 6, 6, 3), dtype=np.uint8)
    y = np.arange(8) % 2
    np.savez(tmp_path / "a.npz", x_train=x, y_train=y, x_test=x, y_test=y)
    config = option("cifar10")
    config.path, config.augment.crop, config.augment.flip = str(tmp_path / "a.npz"), 2, True
    source = instantiate(config)
    red = (x[0, :, :, 0] / 255 - config.normalize[0][0]) / config.normalize[1][0]
    np.testing.assert_allclose(source.train.batch(np.array([0]))[0][0, 0].numpy(), red, atol=1e-5)
    assert source.transform is not None
