"""All private names of Hydra that fedlit uses, each with the reason; what a new Hydra can break stands in this file."""

from __future__ import annotations

import copy
import pickle
from argparse import ArgumentParser
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import hydra.version
from hydra._internal.callbacks import Callbacks
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.config_repository import ConfigRepository
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra._internal.hydra import Hydra
from hydra._internal.utils import create_config_search_path, get_args_parser
from hydra.core.config_search_path import ConfigSearchPath, SearchPathQuery
from hydra.core.default_element import ResultDefault
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.object_type import ObjectType
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.core.plugins import Plugins
from hydra.core.utils import JobReturn, JobRuntime
from hydra.plugins.config_source import ConfigResult
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, RunMode
from hydra.version import VersionBase
from omegaconf import DictConfig, OmegaConf, open_dict

from fedlit.settings.comments import PUBLISHED
from fedlit.settings.overrides import single_overrides
from fedlit.settings.protocols import PROTOCOL

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
    config: DictConfig  # of the task, not resolved
    subdir: str  # hydra.sweep.subdir


@dataclass(frozen=True)
class Swept:
    """What the command line of a sweep asks for.

    Attributes:
        values: key -> the values that it takes, as they are written; an interval is one text.
        jobs: the words of each job; None if the sweeper chooses its jobs as it goes on.
        subdir: hydra.sweep.subdir, not resolved.
        batch: the number of jobs that are launched at once; None: all.
        runs_here: whether the launcher runs them in this process, one after the other.
    """

    values: dict[str, list[str]]
    jobs: list[list[str]] | None
    subdir: str
    batch: int | None
    runs_here: bool


class Files(ConfigRepository):
    """Hydra's repository of option files, which parses a file once in a process as long as it is the same: reading YAML
    takes most of a composition's time. What is kept is a pickle, because Hydra changes what it loads, and copies of
    OmegaConf's nodes take five times as long."""

    _parsed: ClassVar[dict[tuple[object, ...], bytes]] = {}
    _listed: ClassVar[dict[tuple[object, ...], list[str]]] = {}  # of Hydra's own package

    def __deepcopy__(self, memo: dict[int, Any]) -> Files:
        """For each composition Hydra copies the repository, since it may give the copy other sources. These themselves
        never change."""
        copied = copy.copy(self)
        copied.sources = list(self.sources)
        return copied

    def load_config(self, config_path: str) -> ConfigResult | None:
        source = self._find_object_source(config_path, ObjectType.CONFIG)
        if source is None or source.scheme() not in ("file", "pkg"):
            return super().load_config(config_path)
        key: tuple[object, ...] = (source.path, config_path, source.provider)
        if source.scheme() == "file":  # those of a package stay the same
            file = Path(source.path.removeprefix("file://"), source._normalize_file_name(config_path)).absolute()
            state = file.stat()
            key = (*key, file, state.st_mtime_ns, state.st_size, state.st_ino)
        if key not in self._parsed:
            self._parsed[key] = pickle.dumps(super().load_config(config_path))
        loaded: ConfigResult = pickle.loads(self._parsed[key])
        return loaded

    def get_group_options(self, group_name: str, results_filter: ObjectType | None = ObjectType.CONFIG) -> list[str]:
        options: set[str] = set()
        for source in self.sources:
            key = (source.path, group_name, results_filter)
            if key not in self._listed:
                listed = source.list(group_name, results_filter) if source.is_group(group_name) else []
                if source.scheme() != "pkg":
                    options.update(listed)
                    continue
                self._listed[key] = listed
            options.update(self._listed[key])
        return sorted(options)


class Loader(ConfigLoaderImpl):
    """Hydra's loader, which also keeps what a composition passes through.

    The public `compose` gives the result alone. The checks need the files it was composed of, and the keys that there
    were before overrides set any; both would cost a second composition. Published values, which are in the YAML of an
    experiment, are taken out: they are no setting of a run.
    """

    files: Sequence[ResultDefault] = ()
    before_overrides: dict[str, Any] = {}  # noqa: RUF012  (replaced, never changed)
    published: Any = None
    ready: DictConfig | None = None

    def __init__(self, config_search_path: ConfigSearchPath) -> None:
        self.config_search_path = config_search_path
        self.repository = Files(config_search_path)

    def load_configuration(self, *args: Any, **kwargs: Any) -> DictConfig:
        if self.ready is None:
            return super().load_configuration(*args, **kwargs)
        return copy.deepcopy(self.ready)  # hydra.verbose=true loads another to print it, and deletes its key hydra

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


Launch = Callable[[Launcher, Sequence[Sequence[str]], int], Sequence[JobReturn]]
"""`launch(launcher, jobs, first)` runs jobs, given by their words and the number of the first, by Hydra's launcher."""


class CheckedLauncher(Launcher):
    """A launcher within a `Launch`, which keeps how the jobs ended: a sweeper that optimises returns nothing."""

    def __init__(self, launcher: Launcher, launch: Launch, config: DictConfig):
        self.launcher, self._launch, self.config = launcher, launch, config
        self.ended: list[Ended] = []

    def setup(self, **kwargs: Any) -> None:
        self.launcher.setup(**kwargs)

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        returned = self._launch(self.launcher, job_overrides, initial_job_idx)
        self.ended += [value for job in returned if isinstance(value := job.return_value, Ended)]
        return returned


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

    def sweep(
        self,
        config_name: str,
        overrides: list[str],
        job: Callable[[DictConfig], Ended],
        batches: Sequence[tuple[int, Sequence[list[str]]]] | None,
        launch: Launch,
    ) -> list[Ended]:
        """Run jobs of a sweep as Hydra's main does; how those ended that were launched.

        Hydra's main drops what the jobs return, and prints an exception of one without the others. Its BasicSweeper
        launches all jobs, also those that are finished.

        Args:
            config_name: the primary configuration.
            overrides: the words of the sweep.
            job: the task.
            batches: (number of the first job, words of each job) of what is launched at once, one after the other;
                None: the sweeper of the configuration chooses.
            launch: how jobs are launched.
        """
        GlobalHydra.instance().clear()
        GlobalHydra.instance().initialize(self)
        try:
            config = self._compose_sweep(config_name, overrides, with_log_configuration=True)
            callbacks = Callbacks(config)
            callbacks.on_multirun_start(config=config, config_name=config_name)
            context = HydraContext(config_loader=self.config_loader, callbacks=callbacks)
            launcher = CheckedLauncher(Plugins.instance().instantiate_launcher(context, job, config), launch, config)
            if batches is None:
                sweeper: Any = Plugins.instance().instantiate_sweeper(
                    config=config, hydra_context=context, task_function=job
                )
                getattr(sweeper, "sweeper", sweeper).launcher = launcher  # Optuna's sweeper is within another object
                task: Any = OmegaConf.to_container(config.hydra.overrides.task, resolve=False)
                sweeper.sweep(arguments=task)
            else:
                OmegaConf.save(config, Path(config.hydra.sweep.dir) / "multirun.yaml")
                for first, jobs in batches:
                    launcher.launch(jobs, first)
            callbacks.on_multirun_end(config=config, config_name=config_name)
        finally:
            GlobalHydra.instance().clear()
        return launcher.ended

    def _compose_sweep(
        self, config_name: str, overrides: list[str], with_log_configuration: bool = False
    ) -> DictConfig:
        """The configuration of a sweep itself. Hydra leaves out the words with several values. Without a protocol, the
        others would choose from groups that the default one lacks: so the first protocol is taken."""
        words = [_first_protocol(word) for word in overrides]
        config = self.compose_config(
            config_name, words, RunMode.MULTIRUN, with_log_configuration=with_log_configuration
        )
        written = dict(zip(words, overrides, strict=True))
        task: Any = OmegaConf.to_container(config.hydra.overrides.task, resolve=False)  # words may interpolate
        config.hydra.overrides.task = [written.get(word, word) for word in task]
        return config

    def swept(self, config_name: str, overrides: list[str]) -> Swept:
        """What the words of a sweep ask for, read as its sweeper reads them."""
        config = self._compose_sweep(config_name, overrides)
        sweeper = config.hydra.sweeper
        parser = OverridesParser.create(config_loader=self.config_loader)
        params: Any = OmegaConf.to_container(sweeper, resolve=False)
        words = [f"{key}={value}" for key, value in (params.get("params") or {}).items()]
        task: Any = OmegaConf.to_container(config.hydra.overrides.task, resolve=False)
        parsed = parser.parse_overrides([*words, *task])
        by_key = {override.get_key_element(): override for override in parsed}
        values = {key: _values(override) for key, override in by_key.items() if override.is_sweep_override()}
        subdir: Any = OmegaConf.to_container(config.hydra.sweep, resolve=False)
        runs_here = str(config.hydra.launcher._target_).endswith(".BasicLauncher")
        if not str(sweeper._target_).endswith(".BasicSweeper"):
            return Swept(values, None, subdir["subdir"], None, runs_here)
        [jobs] = BasicSweeper.split_arguments(parsed, None)
        return Swept(values, jobs, subdir["subdir"], sweeper.max_batch_size, runs_here)

    def planned(
        self, config_name: str, overrides: list[str], jobs: Sequence[list[str]], first: int = 0
    ) -> Iterator[Planned]:
        """The jobs of a sweep from number `first` on, each with its configuration."""
        config = self._compose_sweep(config_name, overrides)
        before = HydraConfig.instance().cfg
        try:
            for number, job in enumerate(jobs, first):
                composed = self.config_loader.load_sweep_config(config, list(job))
                with open_dict(composed):
                    composed.hydra.job.id = composed.hydra.job.num = number
                HydraConfig.instance().set_config(composed)
                task = OmegaConf.masked_copy(composed, [str(key) for key in composed if key != "hydra"])
                yield Planned(list(job), task, str(composed.hydra.sweep.subdir))
        finally:
            HydraConfig.instance().cfg = before


def _first_protocol(word: str) -> str:
    if not word.startswith(f"{PROTOCOL}="):
        return word
    return single_overrides(OverridesParser.create().parse_override(word))[0]


def _values(override: Override) -> list[str]:
    if override.is_discrete_sweep():
        return list(override.sweep_string_iterator())
    return [(override.input_line or "").partition("=")[2]]


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


@contextmanager
def global_state_kept() -> Iterator[None]:
    """In the block, Hydra has not been initialised; on exit its global objects are those of before, as in the job of an
    application of the user's. Hydra's own `Singleton.get_state` makes copies, and loads all plugins again."""
    application, record = GlobalHydra.instance(), HydraConfig.instance()
    version, runtime = VersionBase.instance(), JobRuntime.instance()
    before = application.hydra, record.cfg, version.version_base, runtime.conf.copy()
    application.hydra = record.cfg = None
    try:
        yield
    finally:
        application.hydra, record.cfg, version.version_base, runtime.conf = before
