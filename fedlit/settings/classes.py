"""Classes named by `_target_`: located, their signature compared with the given keys, and called."""

from __future__ import annotations

import dis
import importlib
import importlib.util
import inspect
import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from hydra.errors import InstantiationException
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from fedlit.errors import InputError
from fedlit.settings.closest import closest, listed
from fedlit.user_imports import import_user_module
from fedlit.working_folder import in_folder

_CALL = ("_target_", "_partial_", "_convert_", "_recursive_", "_args_")  # Hydra's own keys
RUN_KEYS = {  # keys of a group that fedlit uses, whatever arguments the class has
    "data": ("seed", "target", "public"),
    "protocol": ("baselines",),
}
_UNSET = {("data", "public"): (0,)}  # defaults of config.yaml, which are no arguments for a class that names the key
_CONTRACTS = {
    "optimizer": "torch.optim.Optimizer",
    "aggregator.server_optimizer": "torch.optim.Optimizer",
    "evaluation": "fedlit.evaluation.Evaluation",
    "partition": "fedlit.partitions.Partition",
    "aggregator": "fedlit.aggregators.Aggregator",
    "sampler": "fedlit.samplers.Sampler",
    "lr_schedule": "fedlit.schedules.RoundSchedule",
    "server_lr_schedule": "fedlit.schedules.RoundSchedule",
    "trainer": "fedlit.training.Trainer",
    "engine": "fedlit.engines.Engine",
    "store": "fedlit.stores.Store",
    "logger.*": "fedlit.tracking.Logger",
    "uplink.*": "fedlit.messages.stages.Stage",
    "downlink.*": "fedlit.messages.downlink.DownlinkStage",
    "reduction": "fedlit.messages.reductions.Reduction",
    "reduction.inner": "fedlit.messages.reductions.Reduction",
    "attack": "fedlit.attacks.Attack",
    "protocol": "fedlit.vertical.protocol.Protocol",
    "cipher": "fedlit.vertical.ciphers.base.Cipher",
}


def check_classes(config: DictConfig, overrides: Sequence[str] = ()) -> None:
    """Check the keys of every class in a configuration that is not fedlit's own against the class's signature.

    InputError if a class cannot be found or has no such argument. An exception from the import of the user's module
    passes through, with its trace.

    `overrides` are those of the run: an option that was chosen beside the user's class keeps its keys.
    """
    for key, node in _classes(OmegaConf.to_container(config, resolve=True), ""):
        if not node["_target_"].startswith("fedlit."):
            target = locate(node["_target_"], key)
            _check_kind(target, node["_target_"], key)
            try:
                check_arguments(target, key, [name for name in passed_on(node, target, key) if name not in _CALL])
            except InputError as error:
                raise InputError(f"{error}{_kept_keys(key, overrides)}") from None


def _kept_keys(key: str, overrides: Sequence[str]) -> str:
    """A sentence on the option that was chosen beside the user's class, whose keys the class gets too."""
    words = [text.lstrip("+") for text in overrides]
    chosen = [text for text in words if text.startswith(f"{key}=") and "{" not in text]
    if not chosen or not any(text.startswith(f"{key}._target_=") for text in words):
        return ""
    return f" The keys of {chosen[0]} are passed as well; leave it out to pass yours alone."


def build(config: DictConfig | Mapping[str, Any], key: str, **offered: Any) -> Any:
    """Call the class that `config` names by `_target_` with its other keys; `key` is where it stands, for messages.

    `offered` holds what fedlit knows (such as input_shape): each is passed if the class has an argument of that name
    and the configuration does not set it. With `_partial_: true` the result waits for its remaining arguments. Lists
    and mappings come as plain ones. InputError where an argument is unknown or missing, where the class
    lacks methods of its base class, and where it raises a ValueError itself; another exception keeps its trace.
    """
    plain: Any = OmegaConf.to_container(config, resolve=True) if isinstance(config, DictConfig) else config
    if not isinstance(plain, Mapping) or "_target_" not in plain:
        raise InputError(f"{key} names no class; write {key}._target_=<module>.<class>.")
    target = locate(plain["_target_"], key)
    plain = passed_on(plain, target, key)
    given = {str(name) for name in plain if name not in _CALL}
    check_arguments(target, key, given)
    takes = _arguments(target)
    extra = {
        name: value for name, value in offered.items() if takes is not None and name in takes and name not in given
    }
    _check_inner(plain, key)
    _check_abstract(target, plain["_target_"], key)
    try:
        waiting = instantiate({"_convert_": "all", **plain, "_partial_": True})
    except InstantiationException as error:
        raise error.__cause__ or error from None
    if plain.get("_partial_"):
        return waiting
    if "_args_" not in plain:
        _check_missing(target, key, {*given, *extra})
    try:
        instance = waiting(**extra)
    except ValueError as error:
        if isinstance(error, InputError) or not _is_raised(error):
            raise
        raise InputError(
            f"{key}._target_={plain['_target_']}: {_name(target)} refuses its arguments: {error}"
        ) from error
    _check_contract(instance, plain["_target_"], key)
    return instance


def build_in(folder: Path, config: Any, key: str, **offered: Any) -> Any:
    """`build`, with relative paths meant from a folder."""
    with in_folder(folder):
        return build(config, key, **offered)


def names_argument(target: Any, name: str) -> bool:
    """Whether a class has an argument of that name: its own, or that of a base class that `**kwargs` lead to."""
    bases = inspect.getmro(target) if inspect.isclass(target) else ()
    constructors: list[Any] = [vars(base)["__init__"] for base in bases if "__init__" in vars(base)]
    for constructor in constructors or [target]:
        parameters = _arguments(constructor) or {}
        if name in parameters:
            return True
        if not any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters.values()):
            return False
    return False


def passed_on(node: Mapping[str, Any], target: Any, key: str) -> dict[str, Any]:
    """The keys for the class: without those of `RUN_KEYS` that it names no argument for, or that are not set."""
    given = [name for name in RUN_KEYS.get(key, ()) if name in node]
    of_run = [n for n in given if not names_argument(target, n) or node[n] in _UNSET.get((key, n), ())]
    return {name: value for name, value in node.items() if name not in of_run}


def locate(path: str, key: str) -> Any:
    """The class or function at an import path such as `mine.Net`; `key` is where the configuration names it."""
    names = path.split(".")
    if len(names) == 1:
        raise InputError(
            f"{key}._target_={path}: this names no module; write {key}._target_=<module>.{path}, such as mine.{path} "
            "for a class in mine.py."
        )
    target: Any = _module(names[0], path, key)
    for count, name in enumerate(names[1:], start=2):
        inner = getattr(target, name, None)
        if inner is None and isinstance(target, ModuleType):
            inner = _module(".".join(names[:count]), path, key, target)
        if inner is None:
            raise InputError(_not_in(path, key, ".".join(names[: count - 1]), name, target))
        target = inner
    if not callable(target):
        raise InputError(f"{key}._target_={path}: this is no class or function; name one, such as {names[0]}.Net.")
    return target


def check_arguments(target: Any, key: str, given: Collection[str]) -> None:
    """InputError where `target` has no argument of a given name; one with `**kwargs` takes every name."""
    takes = _arguments(target)
    if takes is None or any(p.kind is inspect.Parameter.VAR_KEYWORD for p in takes.values()):
        return
    names = [name for name, p in takes.items() if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
    for name in given:
        if name not in names:
            nearest = closest(name, names)
            advice = f"did you mean {key}.{nearest}?" if nearest else f"it takes {listed(names)}."
            raise InputError(f"{key}.{name}: {_name(target)} has no argument {name}; {advice}")


def _check_missing(target: Any, key: str, given: Collection[str]) -> None:
    for name, argument in (_arguments(target) or {}).items():
        needed = argument.default is argument.empty and argument.kind in (
            argument.POSITIONAL_OR_KEYWORD,
            argument.KEYWORD_ONLY,
        )
        if needed and name not in given:
            raise InputError(f"{key}.{name} is missing: {_name(target)} needs it; write {key}.{name}=<value>.")


def _check_abstract(target: Any, path: str, key: str) -> None:
    """InputError where a class lacks methods of its base class."""
    if inspect.isabstract(target):
        names = listed(sorted(target.__abstractmethods__))
        base = next(base for base in reversed(target.__mro__) if getattr(base, "__abstractmethods__", None))
        raise InputError(
            f"{key}._target_={path}: {_name(target)} does not define {names}; write it as {base.__module__}."
            f"{base.__name__} describes."
        )


def _is_raised(error: ValueError) -> bool:
    """Whether a `raise` statement raised the error: a check of arguments, and no accident such as int("x")."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    if trace is None:
        return False
    code, position = trace.tb_frame.f_code, trace.tb_lasti
    return any(i.opname == "RAISE_VARARGS" for i in dis.get_instructions(code) if i.offset == position)


def _check_inner(node: dict[Any, Any], key: str) -> None:
    """InputError where a class within `node`, such as a metric, lacks an argument: Hydra would show a trace."""
    for where, inner in _classes({name: value for name, value in node.items() if name not in _CALL}, key):
        if not inner.get("_partial_") and "_args_" not in inner:
            _check_missing(locate(inner["_target_"], where), where, {name for name in inner if name not in _CALL})


def _check_kind(target: Any, path: str, key: str) -> None:
    """InputError if a class does not inherit from the base class of its group; what a function makes is seen later."""
    contract = _contract(key)
    if contract is None or not inspect.isclass(target) or "__new__" in vars(target):
        return
    is_like = "optimizer" in key and hasattr(target, "step")  # wrappers of an optimiser
    if not issubclass(target, _base(contract)) and not is_like:
        raise InputError(_is_no(contract, path, key, f"{_name(target)} is"))


def _check_contract(instance: Any, path: str, key: str) -> None:
    """InputError if what a class or function of the user's makes does not inherit from the base class of its group."""
    contract = _contract(key)
    if contract is not None and not isinstance(instance, _base(contract)):
        raise InputError(_is_no(contract, path, key, f"it makes an object of type {type(instance).__name__}, which is"))


def _contract(key: str) -> str | None:
    return _CONTRACTS.get(key) or _CONTRACTS.get(f"{key.rpartition('.')[0]}.*")


def _base(contract: str) -> type:
    module, _, name = contract.rpartition(".")
    base: type = getattr(importlib.import_module(module), name)
    return base


def _is_no(contract: str, path: str, key: str, what: str) -> str:
    name = contract.rpartition(".")[2]
    article = "an" if name[0] in "AEIOU" else "a"
    return f"{key}._target_={path}: {what} not {article} {name}; give a class that inherits from {contract}."


def _arguments(target: Any) -> Mapping[str, inspect.Parameter] | None:
    try:
        return inspect.signature(target).parameters
    except (TypeError, ValueError):  # written in C, without a signature
        return None


def _classes(node: Any, key: str) -> Iterator[tuple[str, dict[str, Any]]]:
    if isinstance(node, dict):
        if isinstance(node.get("_target_"), str):
            yield key, node
        for name, inner in node.items():
            yield from _classes(inner, f"{key}.{name}" if key else str(name))
    elif isinstance(node, list):
        for number, inner in enumerate(node):
            yield from _classes(inner, f"{key}[{number}]")


def _module(name: str, path: str, key: str, parent: Any = None) -> ModuleType | None:
    """The module of that name; None where its parent has no such module; its own exceptions pass through."""
    try:
        return import_user_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or not (name == error.name or name.startswith(f"{error.name}.")):
            raise  # another module, which the user's module imports
        if parent is not None:
            return None
    candidates = [file[:-3] for file in sorted(os.listdir()) if file.endswith(".py")]
    nearest = closest(name, candidates)
    advice = (
        f"did you mean {nearest}.{path.partition('.')[2]}?"
        if nearest
        else f"put {name}.py into this folder, or install it."
    )
    raise InputError(
        f"{key}._target_={path}: there is no module {name} in {os.getcwd()} or installed; {advice}"
    ) from None


def _not_in(path: str, key: str, module: str, name: str, parent: Any) -> str:
    names = [n for n in dir(parent) if not n.startswith("_")]
    like = closest(name, names)
    advice = f"did you mean {module}.{like}?" if like else "name a class that stands there."
    return f"{key}._target_={path}: there is no {name} in {module}; {advice}"


def _name(target: Any) -> str:
    return getattr(target, "__qualname__", None) or repr(target)
