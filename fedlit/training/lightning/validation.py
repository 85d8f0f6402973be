"""Whether clients have validation passes in their fits: where the fit asks for one."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from lightning.pytorch.utilities.model_helpers import is_overridden

from fedlit.errors import InputError
from fedlit.training.fit_wishes import FitWishes
from fedlit.training.module_host import ModuleHost

log = logging.getLogger(__name__)

VALIDATION_OPTIONS = ("limit_val_batches", "check_val_every_n_epoch", "val_check_interval")


def validates(options: Mapping[str, Any], wishes: FitWishes, host: ModuleHost) -> bool:
    """
    Args:
        options: of the user, for a Trainer.

    Raises:
        InputError: a fit follows a metric that nothing logs, or a validation metric where clients cannot validate.
    """
    module, name, missing = host.module, type(host.module).__name__, host.data.no_validation
    for folder in wishes.folders:
        log.warning(
            "%s: the checkpoints of all clients go to %s, because ModelCheckpoint has this dirpath", name, folder
        )
    decision = is_overridden("validation_step", module) and _is_asked_for(options, wishes, name, missing)
    wishes.check_logged(module, decision)
    return decision


def _is_asked_for(options: Mapping[str, Any], wishes: FitWishes, name: str, missing: str) -> bool:
    """
    Args:
        missing: why a client cannot validate, with the remedy.
    """
    if options.get("limit_val_batches", 1) == 0:
        missing = "trainer.options.limit_val_batches=0 leaves no batch; leave it out"
    for follower in wishes.of_validation:
        sentence = f"{name}: its {follower.name} follows {follower.metric}, which validation_step logs"
        if missing and follower.is_strict and wishes.is_complete:
            raise InputError(f"{sentence}, and {missing}.")
        if missing:
            log.warning("%s, and %s. It does nothing as it is.", sentence, missing)
    asked = [option for option in VALIDATION_OPTIONS if options.get(option, 0) != 0]
    if asked and missing:
        raise InputError(
            f"trainer.options.{asked[0]}={options[asked[0]]} asks for a validation pass in each fit, and {missing}."
        )
    if wishes.acts and missing and not wishes.of_validation:
        log.warning("%s has no validation pass in its fits, and %s: %s.", name, wishes.acts, missing)
    return not missing and bool(wishes.of_validation or asked or wishes.acts)
