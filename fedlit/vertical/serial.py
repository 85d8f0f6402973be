"""engine=serial: all parties in the main process, stepped in a fixed order."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from fedlit import interrupts
from fedlit.vertical.engine import ALIGN, Engine, PhaseEnd
from fedlit.vertical.mail import Letter, Mail, deadlock
from fedlit.vertical.party import Facts, Recv
from fedlit.vertical.party_steps import Exchange, PartySteps


@dataclass
class Serial(Engine):
    """Each message becomes bytes and is read again, as if it had travelled."""

    def run_phase(self, phase: str, number: int, states: Mapping[str, bytes], mail: Mail) -> PhaseEnd:
        if phase == ALIGN:
            self._parties = {name: PartySteps(self.plan, name, self.data.get(name)) for name in self.plan.parties}
        running = {name: party.phase(phase, number, states[name]) for name, party in self._parties.items()}
        waiting: dict[str, Recv | None] = dict.fromkeys(running)  # None: not begun
        ended: dict[str, tuple[bytes, Facts]] = {}
        try:
            while running:
                moved = False
                for name in list(running):
                    wanted = waiting[name]
                    content = None if wanted is None else mail.take(name, wanted)
                    if wanted is not None and content is None:
                        continue
                    moved = True
                    waiting[name], end = _advance(running[name], content, mail)
                    if end is not None:
                        ended[name] = end
                        del running[name]
                if not moved:
                    raise deadlock({name: wanted for name in running if (wanted := waiting[name]) is not None})
        finally:
            for exchange in running.values():
                exchange.close()
        return PhaseEnd({name: ended[name][0] for name in states}, {name: ended[name][1] for name in states})


def _advance(exchange: Exchange, content: bytes | None, mail: Mail) -> tuple[Recv | None, tuple[bytes, Facts] | None]:
    """Step a party until it waits for a message, or ends.

    Args:
        content: the message that it has waited for.
    """
    while True:
        interrupts.check()
        try:
            step = exchange.send(content)
        except StopIteration as end:
            return None, end.value
        if isinstance(step, Recv):
            return step, None
        assert isinstance(step, Letter)
        mail.post(step)
        content = None
