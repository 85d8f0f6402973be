"""Whether the hook `setup` has to be called for each client, which trains the clients one by one."""

from __future__ import annotations

import torch
from lightning.pytorch.utilities.model_helpers import is_overridden

from fedlit.data.fit_data_module import with_hooks_of
from fedlit.errors import one_line
from fedlit.global_generators import generator_states, isolated_generators
from fedlit.quiet import silent
from fedlit.training.made_layers import done
from fedlit.training.module_host import ModuleHost
from fedlit.training.stacked.stack_data import StackData
from fedlit.user_module.module_snapshot import ModuleSnapshot, copied
from fedlit.user_module.trainer_stub import DiffersByClient, TrainerStub


def why_for_each_client(host: ModuleHost) -> str:
    """Why `setup`, which has been called once, has to be called for each client; empty where one call is enough.

    One call is enough if another one, of a copy with other weights, in another round and with other facts of a trainer,
    changes nothing, draws nothing, and reads nothing that differs by client.
    """
    module = host.module
    if is_overridden("teardown", module):
        return "its teardown is called after each fit"
    if not is_overridden("setup", module) or vars(module).get("setup") is done:
        return ""
    try:
        trial = copied(module)
    except Exception as error:
        return f"its setup cannot be tried on a copy: {one_line(error)}"
    with torch.no_grad():
        for t in (*trial.parameters(), *trial.buffers()):
            if t.is_floating_point():
                t.add_(1)
    if host.sets_round:
        trial.round = 7  # type: ignore[assignment]
    snapshot = ModuleSnapshot(trial, [n for n, _ in trial.named_parameters()])
    before = {n: (t, t.detach().clone()) for n, t in (*trial.named_parameters(), *trial.named_buffers())}
    trainer = TrainerStub(7, done)
    trainer.steps = 0
    data = with_hooks_of(StackData(trainer), host.data.users)
    trainer.with_data(data)
    trainer.attach(trial)
    attributes = dict(vars(data))
    with isolated_generators(0):
        states = generator_states()
        try:
            with silent():
                trial.setup("fit")
        except DiffersByClient as error:
            return str(error).replace("the step", "its setup", 1)
        except Exception as error:
            return f"its setup: {one_line(error)}"
        if generator_states() != states:
            return "its setup draws random numbers"
    now = dict((*trial.named_parameters(), *trial.named_buffers()))
    changed = [n for n, (t, value) in before.items() if now.get(n) is not t or not torch.equal(t, value)]
    changed += [n for n in now if n not in before]
    changed += snapshot.changed() if snapshot.structure.is_unchanged() else ["a layer"]
    changed += [n for n, value in vars(data).items() if attributes.get(n, trainer) is not value]
    return f"its setup sets {changed[0]} in each fit" if changed else ""
