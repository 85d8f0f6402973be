"""Draws at the top of a user's file: the same whatever was imported before, and in worker processes."""

from __future__ import annotations

import os
import pickle
import random
import subprocess
import sys
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from fedlit.data import LoadedSamples
from fedlit.global_generators import generator_states
from fedlit.user_imports import import_again, import_user_module, imported_user_modules
from tests.slow import some_slow

HELPER = """
import random
import numpy as np
DRAWN = random.random(), np.random.rand()
"""
USER = """
import random
import numpy as np
import torch
import import_helper
DRAWN = *import_helper.DRAWN, torch.rand(1).item()
"""
PRINT = """
import sys
from fedlit.user_imports import import_user_module
{before}
print(import_user_module("import_{name}").DRAWN)
"""
BEFORE = {
    "nothing": "",
    "numpy": "import numpy",
    "numpy, drawing": "import numpy; numpy.random.rand()",
    "Python, drawing": "import random; random.random()",
    "another module": "open('import_other.py', 'w').write('import import_helper'); import_user_module('import_other')",
}


@pytest.fixture(autouse=True)
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, text in {"helper": HELPER, "user": USER}.items():
        (tmp_path / f"import_{name}.py").write_text(text)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.chdir(tmp_path)


def printed(before: str, name: str) -> str:
    paths = [str(Path(__file__).parents[1]), "."]
    code = f"import sys; sys.path[:0] = {paths!r}\n" + PRINT.format(before=before, name=name)
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize("before", some_slow(BEFORE, ["numpy, drawing"]))
def test_draws_at_import_are_the_same_whatever_was_imported_before(before: str) -> None:
    assert printed(BEFORE[before], "helper") == f"{expected()[:2]}\n"


def test_a_module_that_imports_torch_itself_draws_the_same() -> None:
    assert printed("", "user") == f"{expected()}\n"


def test_the_generators_are_put_back_and_the_module_is_imported_once() -> None:
    before = generator_states()
    module = import_user_module("import_user")
    assert generator_states() == before
    assert expected() == module.DRAWN
    assert import_user_module("import_user") is module and dict(imported_user_modules())["import_user"] == os.getcwd()


def expected() -> tuple[float, float, float]:
    """The first draws of Python's, numpy's and torch's generators from seed 0."""
    of_torch = torch.rand(1, generator=torch.Generator().manual_seed(0)).item()
    return random.Random(0).random(), float(np.random.RandomState(0).rand()), of_torch


def test_a_module_that_does_not_exist_is_an_import_error() -> None:
    with pytest.raises(ModuleNotFoundError, match="import_nothing"):
        import_user_module("import_nothing")


def test_a_worker_leaves_out_modules_that_it_does_not_find() -> None:
    import_again([("import_gone", "."), ("import_helper", ".")])
    assert "import_helper" in sys.modules


READER = """
import random
import numpy as np
import torch
DRAWN = random.random(), float(np.random.rand()), torch.rand(1).item()


class Reader:
    def __len__(self):
        return 3

    def __getitem__(self, index):
        return torch.tensor(DRAWN)
"""


def test_a_spawned_loader_worker_imports_a_users_file_as_the_main_process(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("import_reader.py").write_text(READER)
    samples = LoadedSamples(import_user_module("import_reader").Reader())
    with mock.patch("fedlit.data.loaded.DataLoader", wraps=DataLoader) as made:
        list(samples.batches([np.array([0])]))
    sent = pickle.dumps(made.call_args.args[0])
    monkeypatch.delitem(sys.modules, "import_reader")  # as in a process that has not imported it
    np.random.seed(7), random.seed(7), torch.manual_seed(7)
    received = pickle.loads(sent)
    assert tuple(received.__getitems__([(0, 0)])[0].tolist()) == pytest.approx(expected(), abs=1e-7)
