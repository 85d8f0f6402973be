"""The values that the steps of a stack log, by client."""

import torch

from fedlit.training.stacked.step_log import StepLog


def test_each_client_has_the_numbers_that_it_logged_and_no_others():
    log = StepLog(3)
    for rows, values, size in ((slice(0, 2), [1.0, 2.0], 4), (torch.tensor([0]), [4.0], 2)):
        log.log("l", torch.tensor(0.0), on_step=True, on_epoch=True)
        log.log("s", 1)
        log.add(rows, {"l": torch.tensor(values), "s": torch.ones(len(values))}, size)
    log.end_epoch()
    assert log.metrics() == [
        {"l": 2.0, "l_step": 4.0, "l_epoch": 2.0, "s": 1.0},
        {"l": 2.0, "l_step": 2.0, "l_epoch": 2.0, "s": 1.0},
        {},
    ]
