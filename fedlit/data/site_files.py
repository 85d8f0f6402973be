"""The files of a data set with one file a site."""

from __future__ import annotations

import glob
from collections.abc import Sequence
from pathlib import Path

from fedlit.errors import InputError
from fedlit.readable_names import utf8_name


def site_files(pattern: str, sites: Sequence[str] | None, download_from: str | None) -> dict[str, Path]:
    """The files by the names of their sites."""
    folder, file_name = str(Path(pattern).parent), Path(pattern).name
    before, star, after = file_name.partition("*")
    if not star or "*" in after or any(mark in pattern for mark in "?[") or "*" in folder:
        raise InputError(
            f"data.path={pattern} needs one * in the file's name, in place of the site's name; "
            "write data.path='<folder>/*.csv'."
        )
    if sites is None:
        matching = sorted(Path(file) for file in glob.glob(pattern))
        files = {
            utf8_name(file.name[len(before) : len(file.name) - len(after)]): file for file in matching if file.is_file()
        }
        if not files:
            raise InputError(
                f"There is no file {pattern}; data.path is one file a site, such as data.path='<folder>/*.csv'."
            )
        return files
    files = {site: Path(folder, f"{before}{site}{after}") for site in sites}
    absent = [site for site, file in files.items() if not file.is_file()]
    if absent:
        listed = ", ".join(str(files[site]) for site in absent)
        remedy = "remove them from data.sites, or set data.root to the folder that has them."
        if download_from is not None:
            target = Path(folder, f"{before}#1{after}")  # curl replaces #1 by the name from the braces
            address = download_from.replace("*", "{" + ",".join(absent) + "}")
            remedy = f"get them by: curl --create-dirs -o '{target}' '{address}'"
        raise InputError(f"{'These files do' if len(absent) > 1 else 'This file does'} not exist: {listed}; {remedy}")
    return files
