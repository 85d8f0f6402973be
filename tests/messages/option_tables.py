"""README's tables of what travels: `python -m tests.messages.option_tables` prints them.

What an option does, its paper, place and cost come from the head of its YAML. The bytes of a stage are counted, in the
second round of a small federation with a model of 60,010 weights.
"""

from __future__ import annotations

import contextlib
import io
import re
import tempfile
from functools import cache
from pathlib import Path

from fedlit.attacks.collusion import CollusiveAttack
from fedlit.attacks.data_attack import DataAttack
from fedlit.attacks.transit import TransitAttack
from fedlit.settings.classes import locate
from fedlit.settings.comments import OptionFile, read_file
from fedlit.settings.folders import conf_folder
from fedlit.settings.option_names import STAGES, choosing
from tests.small_runs import OPTIONS, command, composed, numbers

BEGIN = "<!-- messages: made by `python -m tests.messages.option_tables` -->\n"
END = "\n<!-- end of messages -->"
HEADERS = {
    "uplink": "| uplink= | place | what travels | paper | bytes |",
    "downlink": "| downlink= | what travels | paper | bytes |",
    "reduction": "| reduction= | what it makes of n messages | paper | cost |",
    "attack": "| attack= | what malicious clients do | paper | changed are | cost |",
}
_RUN = ["clients=2", "rounds=2", "local_updates=1", "batch_size=8", "model.hidden=[800]", "evaluation.every=2"]
_RUN += ["evaluation.clients=0", "threads=1", "device=cpu", "progress=none", "logger=none", "data=digits"]
_NAME = r"(?:El )?[A-Z][a-z][\w-]*"
_PAPER = re.compile(rf"{_NAME}(?:(?:, | and ){_NAME})*(?: et al\.)? (?:19|20)\d\d")


def head(group: str, option: str) -> OptionFile:
    """The head of an option's YAML."""
    return read_file(conf_folder() / group / f"{option}.yaml")


def field(group: str, option: str, name: str) -> str:
    """`limit` of the line `# Place: limit.`; `-` without such a line."""
    match = re.search(rf"\b{name}: ([^.]+)\.", head(group, option).source)
    return match[1] if match else "-"


def about(group: str, option: str) -> str:
    """The first sentence, without its papers."""
    return re.sub(r" \([^()]*\b(?:19|20)\d\d\b[^()]*\)", "", head(group, option).about).rstrip(".")


def papers(group: str, option: str) -> str:
    """Such as `Seide et al. 2014; Karimireddy et al. 2019`."""
    file = head(group, option)
    return "; ".join(dict.fromkeys(_PAPER.findall(f"{file.about} {file.source}"))) or "-"


@cache
def bytes_of(*words: str) -> dict[str, float]:
    """The bytes of the second round, both ways, one client."""
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
        assert command(*_RUN, *words, f"hydra.run.dir={folder}/run") == 0
        row = numbers(Path(folder) / "run")[-1]
    return {way: row[f"comm/bytes_{way}"] / 2 for way in ("up", "down")}


def counted(group: str, option: str) -> str:
    """The bytes of a message for a model of P weights, as `0.8 P`; without stages it is 4 P."""
    way = {"uplink": "up", "downlink": "down"}[group]
    return f"{4 * bytes_of(choosing(group, option))[way] / bytes_of()[way]:.2g} P"


def changed(option: str) -> str:
    """What an attack changes."""
    target = composed(f"attack={option}").config.attack.get("_target_")
    kind = locate(target, "attack") if target else object
    if issubclass(kind, TransitAttack):
        return "messages on their way"
    is_own = not issubclass(kind, CollusiveAttack)
    return "samples" if issubclass(kind, DataAttack) else "their own messages" if is_own else "messages, by agreement"


def row(group: str, option: str) -> str:
    """The option's row of its table."""
    cells = [f"`{option}`", about(group, option), papers(group, option)]
    if group in STAGES:
        cells.append(counted(group, option))
    if group == "uplink":
        cells.insert(1, field(group, option, "Place"))
    if group == "attack":
        cells.append(changed(option))
    if group not in STAGES:
        cells.append(field(group, option, "Cost"))
    return f"| {' | '.join(cells)} |"


def shown(group: str) -> list[str]:
    """The options of a group that the table has."""
    return [option for option in OPTIONS[group] if option != "none"]


def tables() -> str:
    blocks = []
    for group, header in HEADERS.items():
        rows = [row(group, option) for option in shown(group)]
        blocks.append("\n".join([header, "|" + "---|" * (header.count("|") - 1), *rows]))
    return "\n\n".join(blocks)


if __name__ == "__main__":
    print(tables())
