"""Run the tests once with the oldest versions that pyproject.toml allows: `make lower-bounds`.

Makes `.venv-lower-bounds` with Python 3.10 if the machine has it, else with this Python. torch takes several GB.
Words after the script's name go to pytest; without any, the tests that take seconds run. Ends with pytest's exit code.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

CHECKOUT = Path(__file__).parents[1]
VENV = CHECKOUT / ".venv-lower-bounds"
TOOLS = ("pytest", "hypothesis", "hatchling")  # of the `dev` extra, those that the tests import


def lower_bounds(pyproject: str) -> dict[str, str]:
    """Package -> the lowest version allowed, of `dependencies`, of the extra `report` and of the tests' tools."""
    required = re.search(r"^dependencies = \[(.*?)^\]", pyproject, flags=re.M | re.S)
    tools = re.search(r"^dev = \[(.*?)\]$", pyproject, flags=re.M | re.S)
    report = re.search(r"^report = \[(.*?)\]$", pyproject, flags=re.M | re.S)
    assert required and tools and report, "pyproject.toml has no dependencies, no dev extra or no report extra"
    bound = re.compile(r'"([\w-]+)>=([\d.]+)"')
    bounds = dict(bound.findall(required[1])) | dict(bound.findall(report[1]))
    bounds |= {name: version for name, version in bound.findall(tools[1]) if name in TOOLS}
    return bounds | {"pytorch-lightning": bounds["lightning"]}  # lightning requires any version of it


def oldest_python() -> str:
    """A Python 3.10 that runs; else this Python."""
    path = shutil.which("python3.10")
    if path and subprocess.run([path, "-c", ""], capture_output=True).returncode == 0:
        return path
    print(f"There is no python3.10; the tests run with {sys.version.split()[0]}.", file=sys.stderr)
    return sys.executable


def main() -> int:
    python = VENV / "bin" / "python"
    if not python.exists():
        subprocess.run([oldest_python(), "-m", "venv", VENV], check=True)
    pins = [f"{name}=={version}" for name, version in lower_bounds((CHECKOUT / "pyproject.toml").read_text()).items()]
    pip = [python, "-m", "pip", "install", "--quiet", *os.environ.get("PIP_ARGS", "").split()]
    subprocess.run([*pip, *pins], check=True)
    subprocess.run([*pip, "--no-deps", "--editable", "."], cwd=CHECKOUT, check=True)
    return subprocess.run([python, "-m", "pytest", *(sys.argv[1:] or ["-m", "not slow"])], cwd=CHECKOUT).returncode


if __name__ == "__main__":
    sys.exit(main())
