"""All private names of Hydra that fedlit uses, each with the reason; what a new Hydra can break stands in this file."""

from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import hydra.version
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.hydra import Hydra
from hydra._internal.utils import create_config_search_path, get_args_parser
from hydra.core.config_search_path import SearchPathQuery
from hydra.core.default_element import ResultDefault
from hydra.core.global_hydra import GlobalHydra
from hydra.core.object_type import ObjectType
from omegaconf import DictConfig, OmegaConf

VERSION_BASE = "1.3"  # which of Hydra's behaviours are asked for


def flags_parser() -> ArgumentParser:
    """The parser of Hydra's own flags: there is no public one."""
    return get_args_parser()


class Loader(ConfigLoaderImpl):
    """Hydra's loader, which also keeps what a composition passes through.

    The public `compose` gives the result alone. The checks need the files it was composed of, and the keys that there
    were before overrides set any; both would cost a second composition.
    """

    files: Sequence[ResultDefault] = ()
    before_overrides: dict[str, Any] = {}  # noqa: RUF012  (replaced, never changed)
    ready: DictConfig | None = None

    def load_configuration(self, *args: Any, **kwargs: Any) -> DictConfig:
        return super().load_configuration(*args, **kwargs) if self.ready is None else self.ready

    def _compose_config_from_defaults_list(self, defaults: list[ResultDefault], repo: Any) -> DictConfig:
        config = super()._compose_config_from_defaults_list(defaults, repo)
        plain: Any = OmegaConf.to_container(config, resolve=False)
        self.files, self.before_overrides = tuple(defaults), plain
        return config

    def list_options(self, group: str, kind: ObjectType) -> list[str]:
        """The options of a group, or the groups in it. `get_group_options` copies all sources of files at each call."""
        return self.repository.get_group_options(group, kind)


class Application(Hydra):
    """Hydra's application, which can run a configuration that is composed already."""

    config_loader: Loader

    def run_composed(self, config_name: str, config: DictConfig, job: Callable[[DictConfig], None]) -> None:
        """Run a job as Hydra's main does, with its logging, record and callbacks.

        Hydra's main takes overrides and would compose them again, twice.
        """
        self.config_loader.ready = config
        GlobalHydra.instance().clear()
        GlobalHydra.instance().initialize(self)
        try:
            self.run(config_name, job, [])
        finally:
            self.config_loader.ready = None
            GlobalHydra.instance().clear()


def make_application(conf_folder: Path, config_dir: Path | None) -> Application:
    """Hydra's application over these folders, set as the global one.

    The search path is made as Hydra's main makes it: the public `initialize_config_dir` has no second folder.
    """
    hydra.version.setbase(VERSION_BASE)
    path = create_config_search_path(str(conf_folder))
    if config_dir is not None:
        path.prepend("command-line", f"file://{config_dir.resolve()}", SearchPathQuery(provider="schema"))
    application = Application(task_name="run", config_loader=Loader(path))
    GlobalHydra.instance().initialize(application)
    return application
