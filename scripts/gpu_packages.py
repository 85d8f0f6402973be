"""The packages that fedlit's checks on a GPU need, for a machine without network: scripts/on_gpu.sh calls this file.

    python -m scripts.gpu_packages gather wheels 3.12     with network, where fedlit is installed: the wheels
    python -m scripts.gpu_packages install wheels TARGET  without: those that this Python lacks, into the folder TARGET

torch and torchvision are never among them: a machine with a GPU has its own. What no check needs is left out, so that
the folder stays below 55 MiB.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterable, Sequence
from email.parser import Parser
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from zipfile import ZipFile

from scripts.lower_bounds import lower_bounds

CHECKOUT = Path(__file__).parents[1]
LEFT_OUT = {"torch", "torchvision", "scikit-learn", "pandas", "grpcio", "hatchling", "hypothesis"}
SOURCE_ONLY = {"antlr4-python3-runtime"}  # pure Python, but PyPI has no wheel of it
PLATFORMS = [f"manylinux{name}_x86_64" for name in ("_2_28", "_2_27", "_2_24", "_2_17", "2014", "2010", "1")]

RequirementsOf = Callable[[str], tuple[str, list[str]]]
"""Package -> its version and its requirements, as in its metadata."""


def closure(roots: Iterable[str], requirements_of: RequirementsOf, python: str) -> dict[str, str]:
    """Package -> version, of the roots and all that they require on a Python version, without `LEFT_OUT`."""
    from packaging.requirements import Requirement
    from packaging.utils import canonicalize_name

    environment = {"python_version": python, "python_full_version": f"{python}.0", "extra": ""}
    versions: dict[str, str] = {}
    waiting = list(roots)
    while waiting:
        requirement = Requirement(waiting.pop())
        name = canonicalize_name(requirement.name)
        needed = requirement.marker is None or requirement.marker.evaluate(environment)
        if name in versions or name in LEFT_OUT or not needed:
            continue
        versions[name], required = requirements_of(name)
        waiting += required
    return versions


def roots() -> list[str]:
    """fedlit's dependencies and pytest, with the lowest versions that are allowed."""
    bounds = lower_bounds((CHECKOUT / "pyproject.toml").read_text(encoding="utf-8"))
    return [f"{name}>={version}" for name, version in bounds.items()]


def installed(name: str) -> tuple[str, list[str]]:
    found_distribution = distribution(name)
    return found_distribution.version, found_distribution.requires or []


class Wheels:
    """The wheels of a folder: their versions and requirements."""

    def __init__(self, folder: Path):
        from packaging.utils import parse_wheel_filename

        self.files = {str(parse_wheel_filename(file.name)[0]): file for file in sorted(folder.glob("*.whl"))}

    def requirements(self, name: str) -> tuple[str, list[str]]:
        with ZipFile(self.files[name]) as wheel:
            (metadata,) = (entry for entry in wheel.namelist() if entry.endswith(".dist-info/METADATA"))
            fields = Parser().parsestr(wheel.read(metadata).decode("utf-8"))
        return fields["Version"], fields.get_all("Requires-Dist") or []


def gather(folder: Path, python: str) -> None:
    """Download wheels of the versions that are installed in this environment, for a Python version on x86-64 Linux."""
    versions = closure(roots(), installed, python)
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    target = ["--only-binary=:all:", "--implementation=cp", f"--python-version={python}"]
    target += [f"--platform={platform}" for platform in PLATFORMS]
    binary = [f"{name}=={version}" for name, version in versions.items() if name not in SOURCE_ONLY]
    source = [f"{name}=={version}" for name, version in versions.items() if name in SOURCE_ONLY]
    for old in folder.glob("*.whl"):
        old.unlink()
    subprocess.run([*pip, "download", "--no-deps", *target, "--dest", str(folder), *binary], check=True)
    subprocess.run([*pip, "wheel", "--no-deps", "--wheel-dir", str(folder), *source], check=True)
    files = list(folder.glob("*.whl"))
    size = sum(file.stat().st_size for file in files) / 2**20
    print(f"{len(files)} wheels for Python {python}, {size:.0f} MiB, in {folder}/")


def missing(wheels: Wheels) -> list[str]:
    """Packages that this Python lacks, or has in a version that is too old; they come from the wheels.

    Raises:
        SystemExit: a package is in neither.
    """
    from packaging.requirements import Requirement
    from packaging.utils import canonicalize_name

    bounds = {canonicalize_name(r.name): r.specifier for r in map(Requirement, roots())}
    absent: list[str] = []
    unavailable: list[str] = []

    def here_or_wheel(name: str) -> tuple[str, list[str]]:
        try:
            version, required = installed(name)
            if name not in bounds or bounds[name].contains(version, prereleases=True):
                return version, required
        except PackageNotFoundError:
            pass
        if name not in wheels.files:
            unavailable.append(name)
            return "", []
        absent.append(name)
        return wheels.requirements(name)

    closure(roots(), here_or_wheel, f"{sys.version_info[0]}.{sys.version_info[1]}")
    if unavailable:
        raise SystemExit(
            f"This Python lacks {', '.join(sorted(unavailable))}; on a machine with network write: "
            f"scripts/on_gpu.sh wheels {sys.version_info[0]}.{sys.version_info[1]}"
        )
    return sorted(absent)


def import_packaging(folder: Path) -> None:
    """Import packaging, which this file uses, from its wheel where this Python lacks it."""
    wheels = [str(file) for file in folder.glob("packaging-*.whl")]  # one of pure Python can be imported
    sys.path += wheels
    import packaging.requirements
    import packaging.utils  # noqa: F401

    for wheel in wheels:
        sys.path.remove(wheel)  # there `installed` would take it for installed


def install(folder: Path, target: Path) -> None:
    """Install what is missing into a folder for PYTHONPATH: no other environment changes, and none has to be
    writable."""
    import_packaging(folder)
    wheels = Wheels(folder)
    absent = missing(wheels)
    if absent:
        pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", "install"]
        options = ["--no-index", "--no-deps", "--no-compile", "--no-cache-dir", "--target", str(target)]
        subprocess.run([*pip, *options, *(str(wheels.files[name]) for name in absent)], check=True)
    print(f"installed from {folder}/: {', '.join(absent) or 'nothing, all is there'}")


def main(words: Sequence[str]) -> int:
    command, folder, last = words
    Path(folder).mkdir(exist_ok=True)
    try:
        if command == "gather":
            gather(Path(folder), last)
        else:
            install(Path(folder), Path(last))
    except subprocess.CalledProcessError as error:
        return error.returncode
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
