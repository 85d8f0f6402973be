"""scripts/on_gpu.sh, and what it needs to run on a machine without network: packages, and the CPU's numbers."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import xml.etree.ElementTree
from pathlib import Path
from zipfile import ZipFile

import packaging
import pytest

from scripts import gpu_packages
from tests.gpu.federation import CASES, cpu_numbers, largest_difference, numbers, run
from tests.markdown import CHECKOUT
from tests.slow import some_slow


def test_the_file_of_the_cpus_numbers_has_every_algorithm() -> None:
    """After a new option in conf/aggregator: python -m tests.gpu.federation."""
    assert cpu_numbers().keys() == CASES.keys()


@pytest.mark.parametrize("case", some_slow(CASES, ["fedper"]))
def test_the_file_has_the_numbers_of_this_cpu(tmp_path: Path, case: str) -> None:
    """After a change of what fedlit computes: python -m tests.gpu.federation."""
    assert largest_difference(numbers(run(tmp_path / "run", *CASES[case], device="cpu")), cpu_numbers()[case]) < 1e-9


METADATA = {  # package -> version, requirements
    "top": ("1", ["middle>=2; python_version >= '3.12'", "torch>=2", "tests-only; extra == 'test'"]),
    "middle": ("2.5", ["bottom", "top"]),
    "bottom": ("0.1", []),
}


@pytest.mark.parametrize(("python", "packages"), [("3.12", {"top", "middle", "bottom"}), ("3.11", {"top"})])
def test_the_packages_are_those_that_the_python_needs_without_torch(python: str, packages: set[str]) -> None:
    assert gpu_packages.closure(["top>=1"], METADATA.__getitem__, python).keys() == packages


def wheel(folder: Path, name: str, version: str, requires: str = "") -> None:
    text = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{requires}"
    with ZipFile(folder / f"{name}-{version}-py3-none-any.whl", "w") as file:
        file.writestr(f"{name}-{version}.dist-info/METADATA", text)


def test_only_packages_that_are_absent_or_too_old_come_from_the_wheels(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, version in (("absent", "3"), ("old", "2"), ("recent", "2"), ("below", "1")):
        wheel(tmp_path, name, version, "Requires-Dist: below\n" if name == "absent" else "")

    def installed(name: str) -> tuple[str, list[str]]:
        if name not in ("old", "recent"):
            raise gpu_packages.PackageNotFoundError(name)
        return "1.5", []

    monkeypatch.setattr(gpu_packages, "installed", installed)
    monkeypatch.setattr(gpu_packages, "roots", lambda: ["absent>=1", "old>=2", "recent>=1.5"])
    wheels = gpu_packages.Wheels(tmp_path)
    assert gpu_packages.missing(wheels) == ["absent", "below", "old"]
    del wheels.files["below"]
    with pytest.raises(SystemExit, match=r"lacks below; .*on_gpu.sh wheels 3\."):
        gpu_packages.missing(wheels)


def test_packaging_comes_from_the_wheels_although_the_script_itself_imports_it_from_there(tmp_path: Path) -> None:
    package = Path(packaging.__file__).parent
    with ZipFile(tmp_path / "packaging-99-py3-none-any.whl", "w") as file:
        for source in package.rglob("*.py"):
            file.write(source, source.relative_to(package.parent))
        file.writestr("packaging-99.dist-info/METADATA", "Metadata-Version: 2.1\nName: packaging\nVersion: 99\n")
    lines = "from pathlib import Path", "from scripts import gpu_packages as g", f"folder = Path({str(tmp_path)!r})"
    lines += "g.roots = lambda: ['packaging>=1']", "g.import_packaging(folder)", "print(g.missing(g.Wheels(folder)))"
    without_site = [sys.executable, "-S", "-c", "\n".join(lines)]
    done = subprocess.run(
        without_site, cwd=CHECKOUT, env={**os.environ, "PYTHONPATH": ""}, capture_output=True, text=True
    )
    assert done.stdout == "['packaging']\n", done.stderr


def test_a_run_needs_none_of_the_packages_that_are_left_out(tmp_path: Path) -> None:
    imports = {"scikit-learn": "sklearn", "grpcio": "grpc"}
    absent = {
        name for package in gpu_packages.LEFT_OUT - {"torch"} for name in (package, imports.get(package, package))
    }
    assert {"torchvision", "pandas", "sklearn"} <= absent
    site = tmp_path / "site"  # links to all installed packages but these
    site.mkdir()
    for entry in Path(sysconfig.get_paths()["purelib"]).iterdir():
        package = entry.name.partition("-")[0].replace("_", "-")
        if entry.name not in absent and package not in absent:
            (site / entry.name).symlink_to(entry)
    words = "data=synthetic clients=3 rounds=1 trainer=vectorized threads=1 device=cpu progress=none hydra.run.dir=run"
    done = subprocess.run(
        [sys.executable, "-S", "-m", "fedlit.run", *words.split()],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(CHECKOUT), str(site)])},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "run" / "summary.json").exists()


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("bash") is None or shutil.which("timeout") is None, reason="needs bash and timeout")
def test_the_script_tests_and_measures_on_the_cpu(tmp_path: Path) -> None:
    environment = {**os.environ, "DEVICE": "cpu", "OUT": str(tmp_path / "out"), "SLOWER": "5", "PYTHON": sys.executable}
    environment.pop("PYTHONPATH", None)
    done = subprocess.run(
        [CHECKOUT / "scripts" / "on_gpu.sh"], env=environment, cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-2000:]
    files = {file.name for file in (tmp_path / "out").iterdir()}
    assert files == {"machine.txt", "tests.txt", "tests.xml", "benchmark.txt", "on_gpu.json", "on_gpu.md"}
    (suite,) = xml.etree.ElementTree.parse(tmp_path / "out" / "tests.xml").getroot()
    assert int(suite.attrib["tests"]) > len(CASES) and suite.attrib["failures"] == suite.attrib["errors"] == "0"
    measured = json.loads((tmp_path / "out" / "on_gpu.json").read_text())
    assert measured["workloads"].keys() == {"W1", "W2", "W3", "C10"}
