"""What a list of words composes to, and which files it was composed of. Nothing is run."""

from __future__ import annotations

import importlib.resources
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import hydra.version
from hydra import compose
from hydra._internal.hydra import Hydra
from hydra._internal.utils import create_config_search_path
from hydra.core.config_loader import ConfigLoader
from hydra.core.config_search_path import SearchPathQuery
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.object_type import ObjectType
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from fedlit.errors import InputError
from fedlit.settings import comments, folders
from fedlit.settings.overrides import parse

_SEARCHPATH = "hydra.searchpath="


@dataclass(frozen=True)
class Part:
    """One file of a composed configuration and where its keys went."""

    name: str  # "partition/dirichlet"
    package: str  # "partition"; empty for the whole configuration
    comments: comments.OptionFile


@dataclass(frozen=True)
class Composed:
    """A composed configuration (not resolved), in parts and as a whole."""

    config: DictConfig  # what a run is given
    whole: DictConfig  # the same with Hydra's own settings under `hydra`
    parts: tuple[Part, ...]  # in the order in which they were laid over each other
    choices: dict[str, Any]  # "optimizer" or "optimizer@aggregator.server_optimizer" -> the option chosen, or None

    @property
    def mounts(self) -> dict[str, str]:
        """Where options stand: package (`aggregator.server_optimizer`) -> what chooses it (`optimizer@...`)."""
        split = {choice: choice.partition("@") for choice in self.choices if not choice.startswith("hydra/")}
        return {package or group.replace("/", "."): choice for choice, (group, _, package) in split.items()}


class Composer:
    """Composes words with Hydra's own loader; made by `composer`."""

    def __init__(self, loader: ConfigLoader, config_name: str, config_dir: Path | None) -> None:
        self.loader = loader
        self._config_name = config_name
        self.config_dir = config_dir
        self._composed: dict[tuple[str, ...], Composed] = {}

    def compose(self, words: Sequence[str]) -> Composed:
        """What the words compose to; InputError with Hydra's reason where they do not."""
        if (key := tuple(words)) not in self._composed:
            self._composed[key] = self._compose(words)
        return self._composed[key]

    def _compose(self, words: Sequence[str]) -> Composed:
        _check_search_path(words)
        try:
            whole = compose(self._config_name, overrides=list(words), return_hydra_config=True)
            defaults = self.loader.compute_defaults_list(self._config_name, list(words), RunMode.RUN).defaults
        except (HydraException, OmegaConfBaseException, ValueError) as error:
            raise InputError(_reason(error)) from error
        sources = [(source.schema, source.path) for source in whole.hydra.runtime.config_sources]
        parts = tuple(
            Part(default.config_path, default.package or "", read)
            for default in defaults
            if default.config_path is not None and not default.config_path.startswith("hydra/")
            for read in _comments(default.config_path, sources)
        )
        choices = dict(OmegaConf.to_container(whole.hydra.runtime.choices))  # type: ignore[arg-type]
        task = OmegaConf.masked_copy(whole, [str(key) for key in whole if key != "hydra"])
        return Composed(task, whole, parts, choices)

    def groups(self, words: Sequence[str] = (), parent: str = "") -> list[str]:
        """Every group of options, Hydra's own among them, with those of the person's folders."""
        found = []
        for name in self._options(parent, words, groups=True):
            inner = f"{parent}/{name}" if parent else name
            found += [inner, *self.groups(words, inner)]
        return found

    def options(self, group: str, words: Sequence[str] = ()) -> list[str]:
        """The options of a group; empty where there is no such group."""
        return self._options(group, words, groups=False)

    def _options(self, group: str, words: Sequence[str], *, groups: bool) -> list[str]:
        kind = ObjectType.GROUP if groups else ObjectType.CONFIG
        searched = [word for word in words if word.startswith(_SEARCHPATH)]
        _check_search_path(searched)
        # a person's own primary config may name folders; loading fedlit's for each group takes half of all the time
        primary = None if self._config_name == folders.CONFIG_NAME else self._config_name
        return self.loader.get_group_options(group, kind, primary, searched)


@contextmanager
def composer(config_name: str = folders.CONFIG_NAME, config_dir: Path | None = None) -> Iterator[Composer]:
    """A Composer over fedlit's options and those under `config_dir`; Hydra's global state is put back after it.

    The search path is made as Hydra's main makes it: `hydra.initialize_config_dir` knows no second folder.
    """
    if config_dir is not None and not config_dir.is_dir():
        raise InputError(f"--config-dir: there is no folder {config_dir}; give one that holds groups of options.")
    before = GlobalHydra.instance().hydra  # Hydra's own, inside a job of a sweep
    GlobalHydra.instance().clear()
    hydra.version.setbase("1.3")
    path = create_config_search_path(str(folders.conf_folder()))
    if config_dir is not None:
        path.prepend("command-line", f"file://{config_dir.resolve()}", SearchPathQuery(provider="schema"))
    try:
        loader = Hydra.create_main_hydra2(task_name="run", config_search_path=path).config_loader
        yield Composer(loader, config_name, config_dir)
    finally:
        GlobalHydra.instance().hydra = before


def _check_search_path(words: Sequence[str]) -> None:
    for word in words:
        if not word.startswith(_SEARCHPATH):
            continue
        value = parse([word])[0].value()
        if not isinstance(value, list):
            raise InputError(f"{word}: this is a list of folders; write for example {_SEARCHPATH}[mine].")
        for folder in map(str, value):
            plain = folder.removeprefix("file://")
            if "://" not in plain and not Path(plain).is_dir():
                raise InputError(f"{word}: there is no folder {plain}; give one that holds groups of options.")


def resolved(composed: Composed, key: str) -> Any:
    """The value of a key such as `hydra.run.dir`, its interpolations resolved."""
    before = HydraConfig.instance().cfg
    try:
        HydraConfig.instance().set_config(composed.whole)
        return OmegaConf.select(composed.whole, key)
    finally:
        HydraConfig.instance().cfg = before


def _comments(name: str, sources: list[tuple[str, str]]) -> Iterator[comments.OptionFile]:
    """The comments of the first file of that name on the search path (none for Hydra's structured options)."""
    for schema, place in sources:
        if schema == "structured":
            continue
        root = importlib.resources.files(place.replace("/", ".")) if schema == "pkg" else Path(place)
        file = root.joinpath(f"{name}.yaml")
        if file.is_file():
            yield comments.read_file(file) if isinstance(file, Path) else comments.read(file.read_text("utf-8"))
            return


def _reason(error: Exception) -> str:
    """Hydra's words for why it does not compose, on one line."""
    said = [str(error), *([str(error.__cause__)] if isinstance(error.__cause__, OmegaConfBaseException) else [])]
    lines = [line.strip() for words in said for line in words.splitlines() if line.strip()]
    return "The configuration does not compose: " + " ".join(lines)
