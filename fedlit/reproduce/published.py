"""Published values: what the YAML of an experiment says that a paper, or its code, has reached.

```yaml
published:
  - metric: global/test/accuracy  # of the last round
    value: 0.779
    std: 0.015        # over seeds, of a sample; leave it out where the source has none
    seeds: 5          # of the source, and as many runs of fedlit: seed=0 and so on; 1 by default
    source: Ogier du Terrail et al. 2022, table 2
    tolerance: 0.01   # largest difference of a reproduced value; leave it out where std and seeds give one
    words: [aggregator=fedadam, aggregator.eta=0.01]  # overrides that give this value; none by default
    target: 0.97      # then the value is the round in which the metric first reaches the target; none by default
    evaluations: 5    # then the value is a mean over the last five evaluations; 1 by default
```

They are no settings: a run's configuration, its record and its checkpoints are without them, and no override sets them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

from fedlit.errors import InputError
from fedlit.metric_names import METRICS, global_metric
from fedlit.settings.check import check
from fedlit.settings.closest import closest
from fedlit.settings.compose import Composer
from fedlit.settings.overrides import key_of, parse

_NO_WORDS = ("experiment", "seed", "resume", "hydra", "name")
_LAST_ROUND = global_metric("<split>", "<metric>")


@dataclass(frozen=True)
class Published:
    """One published value (see above); `words` tell values of one metric apart."""

    metric: str
    value: float
    source: str
    std: float | None = None
    seeds: int = 1
    tolerance: float | None = None
    words: tuple[str, ...] = ()
    target: float | None = None
    evaluations: int = 1

    @property
    def key(self) -> tuple[tuple[str, ...], str, float | None, int]:
        """What is measured."""
        return self.words, self.metric, self.target, self.evaluations

    @property
    def quantity(self) -> str:
        """What is measured, for a table."""
        if self.target is not None:
            return f"round in which {self.metric} reaches {self.target:g}"
        return self.metric if self.evaluations == 1 else f"{self.metric}, mean of the last {self.evaluations}"


@dataclass(frozen=True)
class Experiment:
    """A preset with published values.

    Attributes:
        name: `experiment=<name>`.
        about: the sentence at the head of its YAML.
        values: its published values; empty if it has none.
    """

    name: str
    about: str
    values: tuple[Published, ...]


def read_experiment(name: str, composer: Composer, search: Sequence[str] = ()) -> Experiment:
    """The published values in the YAML of an experiment.

    Args:
        name: of the experiment.
        composer: of the configuration.
        search: an override that names folders of the user's, hydra.searchpath=[...].

    Raises:
        InputError: there is no such experiment, or a field of a value cannot be used; one sentence.
    """
    where = f"experiment={name}"
    composed = composer.compose([where, *search])
    [about] = [part.comments.about for part in composed.parts if part.name == f"experiment/{name}"]
    return Experiment(name, about, tuple(read_values(composed.published, where)))


def check_words(experiment: Experiment, composer: Composer, search: Sequence[str] = ()) -> None:
    """InputError if the words of a published value do not compose."""
    for number, value in enumerate(experiment.values, 1):
        try:
            check([f"experiment={experiment.name}", *search, *value.words], composer)
        except InputError as error:
            raise InputError(f"experiment={experiment.name}, published value {number}: {error}") from None


def read_values(content: Any, where: str) -> list[Published]:
    """The values under `published`, each field checked; their words are read and not composed.

    Args:
        content: as YAML has it; None for an experiment without published values.
        where: what a sentence begins with.
    """
    if content is None:
        return []
    if not isinstance(content, list):
        raise InputError(f"{where}: published is no list of values; write published: [{{metric: ...}}].")
    values = [_read(entry, f"{where}, published value {number}") for number, entry in enumerate(content, 1)]
    keys = [value.key for value in values]
    for number, key in enumerate(keys, 1):
        if (first := keys.index(key) + 1) < number:
            raise InputError(f"{where}, published value {number} measures the same as value {first}; leave one out.")
    return values


def experiments_with_values(composer: Composer, search: Sequence[str] = ()) -> list[Experiment]:
    """The experiments that have published values."""
    experiments = [read_experiment(name, composer, search) for name in composer.options("experiment", search)]
    return [experiment for experiment in experiments if experiment.values]


def _read(entry: Any, where: str) -> Published:
    if not isinstance(entry, dict):
        raise InputError(f"{where}: {entry!r} is no mapping; write metric, value and source.")
    known = [field.name for field in fields(Published)]
    for name in entry:
        if name not in known:
            near = closest(str(name), known)
            raise InputError(f"{where}: there is no field {name}; {f'did you mean {near}?' if near else _all(known)}")
    for name in ("metric", "value", "source"):
        if entry.get(name) in (None, ""):
            raise InputError(f"{where}: {name} is missing; write metric, value and source.")
    metric, source = entry["metric"], entry["source"]
    if not isinstance(metric, str) or not any(declared.matches(metric) for declared in METRICS):
        near = closest(str(metric), [declared.name for declared in METRICS]) or _LAST_ROUND
        raise InputError(f"{where}: metric={metric} is no name of a metric; write for example {near}.")
    if not isinstance(source, str):
        raise InputError(f"{where}: source={source} is no text; name the paper and the table.")
    seeds = _count(entry, "seeds", "the number of runs", where)
    evaluations = _count(entry, "evaluations", "the number of the last ones in a mean", where)
    std = _number(entry, "std", where, least=0.0)
    tolerance = _number(entry, "tolerance", where, least=0.0)
    if tolerance is None and (not std or seeds < 2):
        raise InputError(
            f"{where}: a tolerance follows from a std above 0 of at least 2 seeds alone; write tolerance: <largest "
            "difference of a reproduced value>."
        )
    value, target = _number(entry, "value", where), _number(entry, "target", where)
    assert value is not None  # it is not missing
    if target is not None and evaluations > 1:
        raise InputError(f"{where}: a value with a target is a round, and no mean; leave out target or evaluations.")
    words = _words(entry.get("words"), where)
    return Published(metric, value, source, std, seeds, tolerance, words, target, evaluations)


def _count(entry: dict[str, Any], name: str, what: str, where: str) -> int:
    count = entry.get(name, 1)
    if isinstance(count, bool) or not isinstance(count, int) or count < 1:
        raise InputError(f"{where}: {name}={count} has to be an integer of at least 1, {what}.")
    return count


def _number(entry: dict[str, Any], name: str, where: str, least: float = -math.inf) -> float | None:
    number = entry.get(name)
    if number is None:
        return None
    if isinstance(number, bool) or not isinstance(number, int | float) or not math.isfinite(number) or number < least:
        bound = f" of at least {least:g}" if math.isfinite(least) else ""
        raise InputError(f"{where}: {name}={number} has to be a number{bound}; write for example {name}: 0.5.")
    return float(number)


def _words(words: Any, where: str) -> tuple[str, ...]:
    if words is None:
        return ()
    if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
        raise InputError(f"{where}: words={words} is no list of overrides; write for example [aggregator=fedadam].")
    for override in parse(words):
        if key_of(override).partition(".")[0] in _NO_WORDS:
            raise InputError(f"{where}: {override.input_line} is not for words, which give settings; leave it out.")
    return tuple(words)


def _all(known: Sequence[str]) -> str:
    return f"write {', '.join(known)}."
