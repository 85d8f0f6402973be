"""The text of `--version`, from the metadata of the installed packages: nothing is imported."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version

from fedlit import __version__

PACKAGES = ("torch", "lightning", "hydra-core")


def version_text() -> str:
    """Such as `fedlit 0.2.0 (torch 2.12.0, lightning 2.6.0, hydra-core 1.3.2)`."""
    return f"fedlit {__version__} ({', '.join(f'{name} {_version(name)}' for name in PACKAGES)})"


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "is not installed"
