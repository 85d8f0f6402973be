"""Composes a list of overrides: the configuration, and the files it is made of. Nothing is run."""

from __future__ import annotations

import importlib.resources
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from hydra import compose
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.object_type import ObjectType
from omegaconf import DictConfig, OmegaConf

from fedlit.errors import InputError
from fedlit.settings import comments, folders
from fedlit.settings.hydra_compat import Application, Loader, make_application
from fedlit.settings.hydra_reasons import COMPOSING_ERRORS, reason
from fedlit.settings.option_names import LISTS
from fedlit.settings.overrides import parse
from fedlit.settings.protocols import PROTOCOL, place_of
from fedlit.settings.table import Part, Table, dotted, make_table

SEARCH_PATH = "hydra.searchpath="


@dataclass(frozen=True, eq=False)
class Composed:
    """A composed configuration (not resolved)."""

    config: DictConfig  # for the run
    with_hydra: DictConfig  # the same with Hydra's own settings under `hydra`
    parts: tuple[Part, ...]  # its files, in the order in which they were laid over each other
    choices: dict[
        str, Any
    ]  # "optimizer" or "optimizer@aggregator.server_optimizer" -> the option chosen, a list, or None
    keys: dict[str, Any]  # dotted key -> value, as the files alone give it: before overrides set any
    published: Any  # as an experiment's file has them (`fedlit.reproduce.published`)

    @cached_property
    def table(self) -> Table:
        """What is allowed for each key."""
        return make_table(self.parts)

    @property
    def mounts(self) -> dict[str, str]:
        """Package (`aggregator.server_optimizer`) -> the choice that is mounted there (`optimizer@...`)."""
        return {place_of(choice): choice for choice in self.choices if not choice.startswith("hydra/")}

    @property
    def protocol(self) -> Part | None:
        """The file of the option that is chosen from the group `protocol`; None without one."""
        return next((part for part in self.parts if part.name.startswith(f"{PROTOCOL}/")), None)


class Composer:
    """Composes overrides with Hydra's own loader; made by `composer`."""

    def __init__(self, application: Application, config_name: str, config_dir: Path | None) -> None:
        self.application = application
        self._config_name = config_name
        self.config_dir = config_dir
        self._composed: dict[tuple[str, ...], Composed] = {}
        self._listed: dict[tuple[str, ObjectType], list[str]] = {}  # options and groups of the folders of this line

    @property
    def loader(self) -> Loader:
        """Knows the options of each group."""
        return self.application.config_loader

    def compose(self, overrides: Sequence[str]) -> Composed:
        """What the overrides compose to; InputError with Hydra's reason if they do not compose."""
        if (key := tuple(overrides)) not in self._composed:
            self._composed[key] = self._compose(overrides)
        return self._composed[key]

    def _compose(self, overrides: Sequence[str]) -> Composed:
        _check_search_path(overrides)
        try:
            config = compose(self._config_name, overrides=list(overrides), return_hydra_config=True)
        except COMPOSING_ERRORS as error:
            raise InputError(reason(error, self._places(overrides))) from error
        sources = [(source.schema, source.path) for source in config.hydra.runtime.config_sources]
        parts = tuple(
            Part(file.config_path, file.package or "", option_file)
            for file in self.loader.files
            if file.config_path is not None and not file.config_path.startswith("hydra/")
            for option_file in _comments(file.config_path, sources)
        )
        choices = dict(OmegaConf.to_container(config.hydra.runtime.choices))  # type: ignore[arg-type]
        for group in LISTS:  # Hydra notes no choice where a list was chosen
            if group in config and isinstance(choices.setdefault(group, []), list):
                choices[group] += _chosen(parts, group)
        task = OmegaConf.masked_copy(config, [str(key) for key in config if key != "hydra"])
        if self._config_name != folders.CONFIG_NAME and not _top_level_keys() <= set(task):
            raise InputError(
                f"--config-name {self._config_name}: keys of fedlit are missing in it; begin its defaults list with "
                f"- {folders.CONFIG_NAME}, and write override before an option, - override /model: <option>."
            )
        keys, published = dotted(self.loader.before_overrides), self.loader.published
        return Composed(task, config, parts, choices, keys, published)

    def _places(self, overrides: Sequence[str]) -> list[str]:
        """The groups, and the places where options are mounted by default."""
        shipped = bool(overrides) and self._config_name == folders.CONFIG_NAME
        return [*self.groups(overrides), *(self.compose([]).choices if shipped else [])]

    def groups(self, overrides: Sequence[str] = (), parent: str = "") -> list[str]:
        """Every group of options, also those of Hydra and of the user's folders."""
        names = []
        for name in self._options(parent, overrides, ObjectType.GROUP):
            inner = f"{parent}/{name}" if parent else name
            names += [inner, *self.groups(overrides, inner)]
        return names

    def options(self, group: str, overrides: Sequence[str] = ()) -> list[str]:
        """The options of a group; empty if there is no such group."""
        return self._options(group, overrides, ObjectType.CONFIG)

    def _options(self, group: str, overrides: Sequence[str], kind: ObjectType) -> list[str]:
        search_path = [override for override in overrides if override.startswith(SEARCH_PATH)]
        _check_search_path(search_path)
        try:
            return self._options_of_folders(group, kind, search_path)
        except COMPOSING_ERRORS as error:
            raise InputError(reason(error)) from error

    def _options_of_folders(self, group: str, kind: ObjectType, search_path: list[str]) -> list[str]:
        if self._config_name == folders.CONFIG_NAME and not search_path:
            if (group, kind) not in self._listed:
                self._listed[group, kind] = self.loader.list_options(group, kind)
            return self._listed[group, kind]
        # a primary config of the user's may name further folders
        primary = None if self._config_name == folders.CONFIG_NAME else self._config_name
        return self.loader.get_group_options(group, kind, primary, search_path)


@contextmanager
def composer(config_name: str = folders.CONFIG_NAME, config_dir: Path | None = None) -> Iterator[Composer]:
    """A Composer over fedlit's options and those under `config_dir`; Hydra's global state is put back after it."""
    if config_dir is not None and not config_dir.is_dir():
        raise InputError(f"--config-dir: there is no folder {config_dir}; give one that holds groups of options.")
    before = GlobalHydra.instance().hydra  # that of Hydra's main, inside a job of a sweep
    GlobalHydra.instance().clear()
    try:
        yield Composer(make_application(folders.conf_folder(), config_dir), config_name, config_dir)
    finally:
        GlobalHydra.instance().hydra = before


def _check_search_path(overrides: Sequence[str]) -> None:
    for override in overrides:
        if not override.startswith(SEARCH_PATH):
            continue
        value = parse([override])[0].value()
        if not isinstance(value, list):
            raise InputError(f"{override}: this is a list of folders; write for example {SEARCH_PATH}[mine].")
        for folder in map(str, value):
            plain = folder.removeprefix("file://")
            if "://" not in plain and not Path(plain).is_dir():
                raise InputError(f"{override}: there is no folder {plain}; give one that holds groups of options.")


def _chosen(parts: Sequence[Part], group: str) -> list[str]:
    """The options of a list, in its order; InputError for a file whose keys would not stand under a name."""
    of_group = [part for part in parts if part.name.startswith(f"{group}/")]
    for part in of_group:
        if part.comments.entries and not part.package.startswith(f"{group}."):
            name = part.name.rpartition("/")[2]
            raise InputError(
                f"{part.name}.yaml: an option of {group} has its keys under a name, because there may be several; "
                f"write `# @package {group}.{name}` as the first line of the file."
            )
    return [part.name.removeprefix(f"{group}/") for part in of_group]


def _top_level_keys() -> set[str]:
    """`clients`, `rounds`, and the others of the shipped config.yaml that are no option of a group."""
    entries = comments.read_file(folders.conf_folder() / f"{folders.CONFIG_NAME}.yaml").entries
    return {entry.key.partition(".")[0] for entry in entries}


def resolved(composed: Composed, key: str) -> Any:
    """The value of a key such as `hydra.run.dir`, its interpolations resolved."""
    before = HydraConfig.instance().cfg
    try:
        HydraConfig.instance().set_config(composed.with_hydra)
        return OmegaConf.select(composed.with_hydra, key)
    finally:
        HydraConfig.instance().cfg = before
        OmegaConf.set_readonly(composed.with_hydra.hydra, False)  # set_config makes it read-only


def _comments(name: str, sources: list[tuple[str, str]]) -> Iterator[comments.OptionFile]:
    """The comments of the first file of that name on the search path (none for Hydra's structured options)."""
    for schema, place in sources:
        if schema == "structured":
            continue
        root = importlib.resources.files(place.replace("/", ".")) if schema == "pkg" else Path(place)
        file = root.joinpath(f"{name}.yaml")
        if file.is_file():
            yield (
                comments.read_file(file)
                if isinstance(file, Path)
                else comments.read(file.read_text("utf-8"), of_protocol=name.startswith(f"{PROTOCOL}/"))
            )
            return
