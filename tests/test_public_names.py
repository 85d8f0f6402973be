"""`import fedlit`: the names that users subclass or call, imported at their first use."""

from __future__ import annotations

import ast
import importlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

import fedlit

CHECKOUT = Path(__file__).parents[1]
HEAVY = ("torch", "lightning", "hydra", "omegaconf", "numpy")


def run(*words: str, code: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *words, *(["-c", code] if code else [])], cwd=CHECKOUT, capture_output=True, text=True
    )


def test_import_fedlit_imports_nothing_heavy() -> None:
    done = run(code=f"import sys, fedlit; dir(fedlit); print([name for name in {HEAVY} if name in sys.modules])")
    assert done.stdout == "[]\n", done.stderr


@pytest.mark.parametrize("name", fedlit.__all__)
def test_each_name_is_the_object_of_its_module(name: str) -> None:
    value = getattr(fedlit, name)
    assert name in dir(fedlit)
    if name != "__version__":
        assert value is getattr(importlib.import_module(fedlit._MODULES[name]), name)


def test_torch_is_imported_with_threads_that_spin_briefly(monkeypatch: pytest.MonkeyPatch) -> None:
    original, counts = importlib.import_module, []

    def import_module(name: str) -> object:
        counts.append(os.environ.get("GOMP_SPINCOUNT"))
        return original(name)

    monkeypatch.setattr(importlib, "import_module", import_module)
    for name in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY"):
        monkeypatch.delenv(name, raising=False)
    fedlit.__getattr__("FedAvg")
    assert counts == ["10000"] and "GOMP_SPINCOUNT" not in os.environ
    monkeypatch.setenv("GOMP_SPINCOUNT", "7")
    fedlit.__getattr__("FedAvg")
    assert counts[1:] == ["7"] and os.environ["GOMP_SPINCOUNT"] == "7"


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'fedlit' has no attribute 'Aggregater'"):
        fedlit.Aggregater  # noqa: B018
    with pytest.raises(ImportError, match="cannot import name 'Aggregater'"):
        from fedlit import Aggregater  # noqa: F401


def test_the_stub_has_the_same_names_from_the_same_modules() -> None:
    stub = ast.parse((CHECKOUT / "fedlit" / "__init__.pyi").read_text(encoding="utf-8"))
    imported = {
        alias.asname: node.module for node in stub.body if isinstance(node, ast.ImportFrom) for alias in node.names
    }
    assert imported == fedlit._MODULES
    declared = [node.target.id for node in stub.body if isinstance(node, ast.AnnAssign)]
    assert {*imported, *declared} == set(fedlit.__all__)


@pytest.mark.slow
def test_a_type_checker_sees_the_classes(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(
        "from fedlit import Client, FedAvg, Message, State\n\n\n"
        "class Mine(FedAvg):\n"
        "    def local_update(self, client: Client, received: State, state: State) -> tuple[Message, State]:\n"
        "        reveal_type(client.fit(received['model']).model)\n"
        "        return {}, client.number\n"
    )
    done = run("-m", "mypy", "--config-file=", "--follow-imports=silent", str(tmp_path / "mine.py"))
    assert 'Revealed type is "fedlit.model_vectors.Model"' in done.stdout, done.stdout + done.stderr
    assert "Incompatible return value type" in done.stdout, done.stdout
