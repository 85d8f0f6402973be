"""Change each constant, operator and sign of the algorithms, one at a time: an oracle or a limit must fail.

    python -m scripts.mutants              every file of fedlit/aggregators/, and those of TESTS: `make mutants`
    python -m scripts.mutants fedprox      the files of these options
    python -m scripts.mutants shamir       the files of TESTS with these names, or in folders with these names

A mutant that survives its tests is equivalent, or the tests have a gap. Those of `tests/aggregators/survivors.yaml` and
`tests/messages/secure/survivors.yaml` are explained there. The script ends with 1 if another one survives, or if an
explained one is killed or has gone.

Mutants run in the process of their tests: functions of the file get the code of its mutated copy. Tools such as mutmut
start a test session a mutant, which takes ten times as long as the tests that are needed here.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import logging
import os
import signal
import sys
import tempfile
import time
import types
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import yaml

from scripts.mutations import mutations

CHECKOUT = Path(__file__).parents[1]
FOLDER = CHECKOUT / "fedlit" / "aggregators"
SURVIVORS = [CHECKOUT / "tests" / room / "survivors.yaml" for room in ("aggregators", "messages/secure")]
NOT_MUTATED = ("__init__", "base", "kept_models", "signatures")  # the last two compute no number: they refuse
SECONDS = 120  # after which a mutant counts as killed: it may never end

SUMS = "tests/messages/secure/test_secure_sum.py"
ENCRYPTED = "tests/messages/secure/test_encrypted_sums.py"
SEEN = "tests/messages/secure/test_what_is_seen.py"
SHAMIR = "tests/messages/secure/test_shamir.py"
SEAL = "tests/messages/secure/test_seal.py"
PROTOCOLS = "tests/messages/test_protocol_mistakes.py"
TRANSIT = "tests/attacks/test_transit.py"
TESTS = {  # file of fedlit/ that is no option of aggregator= -> the files of its tests, the quickest to fail first
    "messages/secure/agreement.py": (SHAMIR, SEAL, SUMS, SEEN),
    "messages/secure/ckks.py": (ENCRYPTED, SEEN),
    "messages/secure/fixed_base.py": (ENCRYPTED,),
    "messages/secure/fixed_point.py": (SUMS, ENCRYPTED),
    "messages/secure/keys.py": (SUMS, SEAL),
    "messages/secure/masked_sum.py": (SUMS, SEEN),
    "messages/secure/masking_clients.py": (SUMS, SEEN),
    "messages/secure/packed_paillier.py": (ENCRYPTED,),
    "messages/secure/paillier.py": (ENCRYPTED,),
    "messages/secure/shamir.py": (SHAMIR, SUMS),
    "messages/secure/texts.py": (SUMS,),
    "messages/secure/unmasking_server.py": (SUMS, SEEN),
    "messages/secure/weighted_sums.py": (SUMS, ENCRYPTED),
    "messages/reductions/hidden_sum.py": (SUMS, ENCRYPTED, PROTOCOLS),
    "messages/reductions/secure_sum.py": (SUMS, PROTOCOLS),
    "messages/reductions/encrypted_sum.py": (ENCRYPTED,),
    "messages/reductions/ckks.py": (ENCRYPTED,),
    "messages/reductions/paillier.py": (ENCRYPTED,),
    "messages/reductions/protocol.py": (PROTOCOLS,),
    "messages/stages/seal.py": (SEAL,),
    "attacks/transit.py": (TRANSIT,),
    "attacks/man_in_the_middle.py": (TRANSIT,),
    "attacks/replay.py": (TRANSIT,),
}


def options_of(file: Path) -> list[str]:
    """The options that test a file: those whose class it defines, else those that import it."""
    from fedlit.settings.classes import locate
    from tests.small_runs import OPTIONS, composed

    name = f"fedlit.aggregators.{file.stem}"
    modules = {
        option: locate(composed(f"aggregator={option}").config.aggregator._target_, "aggregator").__module__
        for option in OPTIONS["aggregator"]
    }

    def reaches(module: str, seen: set[str]) -> bool:
        seen.add(module)
        values = vars(importlib.import_module(module)).values()
        used = {getattr(value, "__module__", None) or "" for value in values} - seen
        return name in used or any(reaches(m, seen) for m in used if m.startswith("fedlit.aggregators."))

    return [o for o, module in modules.items() if module == name] or [
        o for o, module in modules.items() if reaches(module, set())
    ]


def checks(option: str) -> Iterator[Callable[[Path], None]]:
    """The tests of an option, the quickest to fail first."""
    from tests.aggregators import test_limits, test_oracles

    def reaches_limit(limit: test_limits.Limit) -> None:
        test_limits.OUTCOMES.clear()  # kept ones are those of another mutant
        test_limits.test_an_algorithm_becomes_another_one(limit, "lightning")

    # stacks have K > 1 clients, and so an axis that one Trainer a client cannot confuse with another
    for setting, trainer in (("momentum", "vectorized"), ("norm", "lightning"), ("plain", "vectorized")):
        for case in test_oracles.oracle(option).CASES:
            yield partial(test_oracles.check, option, case, setting, trainer)
    for limit in test_limits.LIMITS:
        if limit.option == option:
            yield lambda folder, limit=limit: reaches_limit(limit)


def _too_long(*_: object) -> None:
    raise TimeoutError


def fails(tests: Sequence[str]) -> bool:
    """Whether a test of these files fails. They run in this process, so that they see the mutated functions."""
    import pytest

    signal.signal(signal.SIGALRM, _too_long)
    options = ["-x", "-q", "-m", "not slow", "--tb=no", "-p", "no:cacheprovider", "--rootdir", str(CHECKOUT)]
    with open(os.devnull, "w") as nowhere, redirect_stdout(nowhere), redirect_stderr(nowhere):
        for file in tests:
            signal.alarm(SECONDS)
            try:
                if pytest.main([*options, str(CHECKOUT / file)]):
                    return True
            except TimeoutError:
                return True
            finally:
                signal.alarm(0)
    return False


def is_killed(options: Sequence[str], folder: Path) -> bool:
    """Whether a test of one of the options fails."""
    import pytest

    signal.signal(signal.SIGALRM, _too_long)
    for option in options:
        for test in checks(option):
            signal.alarm(SECONDS)
            try:
                test(folder)
            except (Exception, pytest.fail.Exception):
                return True
            finally:
                signal.alarm(0)
    return False


@contextmanager
def mutated(module: types.ModuleType, tree: ast.Module) -> Iterator[None]:
    """The module's functions run the code of `tree` inside; numbers and bools of module and classes are its own."""
    copy: dict[str, Any] = {"__name__": module.__name__}
    exec(compile(tree, str(module.__file__), "exec"), copy)
    undo: list[Callable[[], None]] = []

    def take(owner: Any, name: str, new: Any) -> None:
        old = vars(owner).get(name)
        if hasattr(old, "cache_clear"):  # it holds the results of another mutant
            old.cache_clear()
            undo.append(old.cache_clear)
        for function, changed in zip(_functions(old), _functions(new), strict=True):
            undo.append(lambda function=function, code=function.__code__: setattr(function, "__code__", code))
            function.__code__ = changed.__code__
        if isinstance(new, bool | int | float | dict) and new != old:
            undo.append(lambda: setattr(owner, name, old))
            setattr(owner, name, new)

    try:
        for name, value in copy.items():
            if inspect.isclass(value) and value.__module__ == module.__name__:
                for attribute, new in list(vars(value).items()):
                    if not attribute.startswith("__") or inspect.isfunction(new):
                        take(vars(module)[name], attribute, new)
            elif not inspect.isclass(value) and not name.startswith("__") and _defined_in(module, value):
                take(module, name, value)
        yield
    finally:
        for step in reversed(undo):
            step()


def _defined_in(module: types.ModuleType, value: Any) -> bool:
    return bool(getattr(value, "__module__", module.__name__) == module.__name__)


def _functions(value: Any) -> list[types.FunctionType]:
    if isinstance(value, property):
        return [f for f in (value.fget, value.fset) if isinstance(f, types.FunctionType)]
    value = inspect.unwrap(getattr(value, "__func__", value))  # of a cache, the function
    return [value] if isinstance(value, types.FunctionType) else []


def survivors(file: Path) -> tuple[int, list[str]]:
    """The number of a file's mutants, and those that its tests do not kill, in words."""
    warnings.simplefilter("ignore")
    name = place(file)
    module = importlib.import_module(f"fedlit.{name.removesuffix('.py').replace('/', '.')}")
    killed_by: Callable[[Path], bool] = lambda folder: fails(TESTS[name])  # noqa: E731
    if file.parent == FOLDER:
        logging.disable(logging.WARNING)
        killed_by = partial(is_killed, options_of(file))
    text = file.read_text(encoding="utf-8")
    tree, lines = ast.parse(text), text.splitlines()
    seen: Counter[str] = Counter()
    alive = []
    with tempfile.TemporaryDirectory() as folder:
        if killed_by(Path(folder)):
            tests = " ".join(TESTS.get(name, ["tests/aggregators/test_oracles.py"]))
            raise SystemExit(f"{name}: its tests fail without a mutation; run {tests}")
        for mutation in mutations(tree):
            words = f"{mutation.before}  ->  {mutation.after}  in  {lines[mutation.line - 1].strip()}"
            seen[words] += 1
            words += f"  ({seen[words]})" if seen[words] > 1 else ""
            with mutation.applied():
                try:
                    with mutated(module, tree):
                        killed = killed_by(Path(folder))
                except Exception:  # the file cannot be imported
                    killed = True
            if not killed:
                alive.append(words)
    return sum(seen.values()), alive


def place(file: Path) -> str:
    """The file's path below fedlit/, as TESTS has it."""
    return file.relative_to(CHECKOUT / "fedlit").as_posix()


def is_chosen(file: Path, options: Sequence[str]) -> bool:
    names = options_of(file) if file.parent == FOLDER else [file.stem, *Path(place(file)).parts[:-1]]
    return not options or bool(set(names) & set(options))


def main(options: Sequence[str]) -> int:
    files = [file for file in sorted(FOLDER.glob("*.py")) if file.stem not in NOT_MUTATED]
    files = [file for file in [*files, *(CHECKOUT / "fedlit" / name for name in TESTS)] if is_chosen(file, options)]
    explained: dict[str, dict[str, str]] = {}
    for path in SURVIVORS:
        explained |= yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    wrong = 0
    started = time.monotonic()
    with ProcessPoolExecutor(os.cpu_count(), mp_context=get_context("spawn")) as pool:
        for file, (count, alive) in zip(files, pool.map(survivors, files), strict=True):
            name = file.name if file.parent == FOLDER else place(file)
            known = explained.get(name, {})
            print(f"{name}: {count} mutants, {len(alive)} survive", flush=True)
            for words in alive:
                print(f"    {words}\n        {known.get(words, 'NOT EXPLAINED')}")
            gone = [words for words in known if words not in alive]
            for words in gone:
                print(f"    explained in survivors.yaml, but it does not survive: {words}")
            wrong += len(gone) + sum(words not in known for words in alive)
    print(f"{time.monotonic() - started:.0f} s")
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
