"""A wrong override and the overrides that may be meant. A proposal is printed only if it composes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from fedlit.errors import InputError
from fedlit.settings.overrides import for_shell


class WrongValue(InputError):
    """A value of a known key is out of range."""

    def __init__(self, key: str, sentence: str):
        self.key = key
        super().__init__(sentence)


@dataclass(frozen=True)
class Proposal:
    """Overrides that may be meant in place of a wrong one.

    Args:
        words: the overrides; empty if the wrong one is left out.
        phrase: the advice, with `{}` where the overrides are written.
        name: the key or group that is surely meant, even if its value is wrong as well.
    """

    words: tuple[str, ...]
    phrase: str = "did you mean {}?"
    name: str = ""

    def sentence(self, problem: InputError | None = None) -> str:
        """The advice, with the overrides as a shell takes them, and what is wrong with the value."""
        if problem is not None:
            return f"did you mean {self.name}? {problem}"
        return self.phrase.replace("{}", for_shell(*self.words))


Problem = Callable[[Proposal], InputError | None]


class Misfit(InputError):
    """An override that fits nothing.

    Args:
        text: the override as the user wrote it.
        reason: what is wrong with it.
        proposals: in the order in which they are tried; the first that composes is printed.
        otherwise: the advice if none does.
    """

    def __init__(self, text: str, reason: str, proposals: Sequence[Proposal], otherwise: str = ""):
        self.text, self.reason, self.otherwise = text, reason, otherwise
        self.proposals = tuple(dict.fromkeys(p for p in proposals if p.words != (text,)))
        super().__init__(self.sentence(lambda _: None))

    def sentence(self, problem: Problem) -> str:
        """The whole sentence, with the first proposal that composes or whose name is surely meant.

        Args:
            problem: from a proposal to what is wrong with it; None if it composes.
        """
        advice = self.otherwise
        for proposal in self.proposals:
            error = problem(proposal)
            if error is None or proposal.name:
                advice = proposal.sentence(error)
                break
        sentence = f"{self.text}: {self.reason}" + (f"; {advice}" if advice else "")
        return sentence if sentence.endswith((".", "?")) else f"{sentence}."


def meant(text: str) -> Proposal:
    """`text` in place of the wrong override."""
    return Proposal((text,))


def surely_meant(name: str, text: str) -> Proposal:
    """`text`, in which the key or group `name` is meant, whatever its value is."""
    return Proposal((text,), name=name)
