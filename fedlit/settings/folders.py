"""The folder of the shipped configuration, and its groups."""

from __future__ import annotations

from pathlib import Path

import fedlit

CONFIG_NAME = "config"  # conf/config.yaml: the defaults and the few top-level keys


def conf_folder() -> Path:
    """The folder of shipped options: `fedlit/conf` in an installed wheel, else the checkout's `conf/`."""
    package = Path(fedlit.__file__).resolve().parent
    inside = package / "conf"  # first: next to an installed package, `conf` may belong to another one
    return inside if inside.is_dir() else package.parent / "conf"


def groups(folder: Path) -> dict[str, list[str]]:
    """Each group under `folder` (as Hydra writes it, `a/b` for a nested one) and the sorted names of its options."""
    options: dict[str, list[str]] = {}
    for file in sorted(folder.rglob("*.yaml")):
        if file.parent != folder:
            options.setdefault(file.parent.relative_to(folder).as_posix(), []).append(file.stem)
    return options
