"""All private names of Hydra that fedlit uses, each with the reason; what a new Hydra can break stands in this file."""

from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import hydra.version
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra._internal.hydra import Hydra
from hydra._internal.utils import create_config_search_path, get_args_parser
from hydra.core.config_search_path import SearchPathQuery
from hydra.core.default_element import ResultDefault
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.object_type import ObjectType
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf, open_dict

from fedlit.settings.comments import PUBLISHED

VERSION_BASE = "1.3"  # which of Hydra's behaviours are asked for


def flags_parser() -> ArgumentParser:
    """The parser of Hydra's own flags: there is no public one."""
    return get_args_parser()


@dataclass(frozen=True)
class Ended:
    """How a job ended; no number, which a sweeper that optimises would take for the job's result."""

    code: int


@dataclass(frozen=True)
class Planned:
    """A job that a sweep is going to have."""

    overrides: list[str]
    folder: Path


class Loader(ConfigLoaderImpl):
    """Hydra's loader, which also keeps what a composition passes through.

    The public `compose` gives the result alone. The checks need the files it was composed of, and the keys that there
    were before overrides set any; both would cost a second composition. Published values, which stand in the YAML of an
    experiment, are taken out: they are no setting of a run.
    """

    files: Sequence[ResultDefault] = ()
    before_overrides: dict[str, Any] = {}  # noqa: RUF012  (replaced, never changed)
    published: Any = None
    ready: DictConfig | None = None

    def load_configuration(self, *args: Any, **kwargs: Any) -> DictConfig:
        return super().load_configuration(*args, **kwargs) if self.ready is None else self.ready

    def _compose_config_from_defaults_list(self, defaults: list[ResultDefault], repo: Any) -> DictConfig:
        config = super()._compose_config_from_defaults_list(defaults, repo)
        plain: Any = OmegaConf.to_container(config, resolve=False)
        self.published = plain.pop(PUBLISHED, None)
        with open_dict(config):
            config.pop(PUBLISHED, None)
        self.files, self.before_overrides = tuple(defaults), plain
        return config

    def list_options(self, group: str, kind: ObjectType) -> list[str]:
        """The options of a group, or the groups in it. `get_group_options` copies all sources of files at each call."""
        return self.repository.get_group_options(group, kind)


class Application(Hydra):
    """Hydra's application, which can run a configuration that is composed already."""

    config_loader: Loader

    def run_composed(self, config_name: str, config: DictConfig, job: Callable[[DictConfig], Ended]) -> None:
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

    def sweep(self, config_name: str, overrides: list[str], job: Callable[[DictConfig], Ended]) -> list[Ended]:
        """Run the jobs of a sweep as Hydra's main does; how those ended that ran in another process.

        Hydra's main drops what the jobs return, and prints an exception of one without the others.
        """
        GlobalHydra.instance().clear()
        GlobalHydra.instance().initialize(self)
        try:
            batches = self.multirun(config_name, job, overrides)
        finally:
            GlobalHydra.instance().clear()
        ends = [result.return_value for batch in batches or () for result in batch]
        return [end for end in ends if isinstance(end, Ended)]

    def planned(self, config_name: str, overrides: list[str]) -> Iterator[Planned]:
        """The jobs that a sweep is going to have, with their folders; none if its sweeper chooses them one by one."""
        config = self.compose_config(config_name, overrides, RunMode.MULTIRUN)
        if not str(config.hydra.sweeper._target_).endswith(".BasicSweeper"):
            return
        parser = OverridesParser.create(config_loader=self.config_loader)
        words = [f"{key}={value}" for key, value in (config.hydra.sweeper.params or {}).items()]
        swept = parser.parse_overrides([*words, *config.hydra.overrides.task])
        [jobs] = BasicSweeper.split_arguments(swept, None)
        subdir: Any = OmegaConf.to_container(config.hydra.sweep, resolve=False)
        if subdir["subdir"] == "${hydra.job.num}":  # the default; to compose each job takes its time
            yield from (Planned(job, Path(config.hydra.sweep.dir, str(number))) for number, job in enumerate(jobs))
            return
        before = HydraConfig.instance().cfg
        try:
            for number, job in enumerate(jobs):
                composed = self.config_loader.load_sweep_config(config, list(job))
                with open_dict(composed):
                    composed.hydra.job.id = composed.hydra.job.num = number
                HydraConfig.instance().set_config(composed)
                yield Planned(job, Path(str(composed.hydra.sweep.dir)) / str(composed.hydra.sweep.subdir))
        finally:
            HydraConfig.instance().cfg = before


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
