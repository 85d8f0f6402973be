"""Which room may import which: no circles, and a framework without its stacked trainer still runs."""

from __future__ import annotations

import ast
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FILES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
    for path in sorted((ROOT / "fedlit").rglob("*.py"))
}


def imported(path: Path) -> Iterator[str]:
    """The modules of fedlit that a file imports, at its top or inside functions."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "fedlit":
            for alias in node.names:
                submodule = f"{node.module}.{alias.name}"
                yield submodule if submodule in FILES else node.module
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in FILES)


GRAPH = {module: set(imported(path)) for module, path in FILES.items()}


def reachable(module: str) -> set[str]:
    """All modules that importing this one leads to; itself only if it is part of a circle."""
    seen: set[str] = set()
    waiting = list(GRAPH.get(module, ()))
    while waiting:
        if (current := waiting.pop()) not in seen:
            seen.add(current)
            waiting += GRAPH.get(current, ())
    return seen


def test_no_file_imports_itself_through_others() -> None:
    assert [module for module in GRAPH if module in reachable(module)] == []


def test_no_import_is_for_type_checkers_only() -> None:
    assert [module for module, path in FILES.items() if "TYPE_CHECKING" in path.read_text(encoding="utf-8")] == []


@pytest.mark.parametrize(
    ("room", "never"),
    [
        ("fedlit.aggregators", ("fedlit.training", "fedlit.engines", "fedlit.settings", "fedlit.tracking")),
        ("fedlit.messages", ("fedlit.training", "fedlit.engines", "fedlit.settings", "fedlit.tracking")),
        ("fedlit.attacks", ("fedlit.training", "fedlit.engines", "fedlit.aggregators", "fedlit.settings")),
        ("fedlit.attacks", ("fedlit.evaluation", "fedlit.tracking", "fedlit.user_module")),
        ("fedlit.samplers", ("fedlit.training", "fedlit.engines", "fedlit.aggregators")),
        ("fedlit.partitions", ("fedlit.training", "fedlit.engines", "fedlit.aggregators")),
        ("fedlit.keyed_random", ("fedlit.torch_patches", "fedlit.training", "fedlit.user_module")),
        ("fedlit.torch_patches", ("fedlit.training", "fedlit.user_module")),
        ("fedlit.user_module", ("fedlit.training", "fedlit.engines")),
        ("fedlit.training", ("fedlit.engines", "fedlit.aggregators", "fedlit.settings", "fedlit.tracking")),
        ("fedlit.training.lightning", ("fedlit.training.stacked",)),
        ("fedlit.engines", ("fedlit.aggregators", "fedlit.settings", "fedlit.tracking", "fedlit.training.stacked")),
        ("fedlit.evaluation", ("fedlit.tracking", "fedlit.settings")),
    ],
)
def test_arrows_between_rooms_point_one_way(room: str, never: tuple[str, ...]) -> None:
    members = [module for module in GRAPH if module == room or module.startswith(f"{room}.")]
    assert members
    crossings = [
        f"{module} imports {target}"
        for module in members
        for target in GRAPH[module]
        if any(target == other or target.startswith(f"{other}.") for other in never)
    ]
    assert crossings == []


PRIVATE_HOMES = {"torch": "fedlit.torch_compat", "lightning": "fedlit.lightning_compat"}


@pytest.mark.parametrize("library", PRIVATE_HOMES)
def test_private_names_of_a_library_are_imported_in_one_file(library: str) -> None:
    imports = [
        (module, node.module, alias.name)
        for module, path in FILES.items()
        if module != PRIVATE_HOMES[library]
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == library
        for alias in node.names
        if alias.name.startswith("_") or "._" in (node.module or "")
    ]
    assert imports == []


IMPORT_ALL = """
import importlib, pkgutil, sys, fedlit
for module in pkgutil.walk_packages(fedlit.__path__, "fedlit."):
    importlib.import_module(module.name)
from fedlit.run import main
words = "rounds=1 clients=3 threads=1 device=cpu progress=none logger=none".split()
sys.exit(main([*words, "hydra.run.dir=run"]))
"""


def test_without_the_stacked_trainer_all_else_imports_and_runs(tmp_path: Path) -> None:
    """A reader of `trainer=lightning` never opens `training/stacked/`: it and its option can be deleted."""
    for folder in ("fedlit", "conf"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.rmtree(tmp_path / "fedlit" / "training" / "stacked")
    (tmp_path / "conf" / "trainer" / "vectorized.yaml").unlink()
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    run = subprocess.run(
        [sys.executable, "-c", IMPORT_ALL], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert run.returncode == 0, run.stderr
    assert (tmp_path / "run" / "summary.json").exists()
