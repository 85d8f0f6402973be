"""Modules of transformers, peft, timm, lightly and torchmetrics are trained as docs/any_module.md lists."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from fedlit.errors import InputError
from fedlit.training.lightning import LightningTrainer
from fedlit.training.stacked import VectorizedTrainer
from fedlit.user_module.module_snapshot import counters
from tests.training.module_kinds.case import classes
from tests.training.module_kinds.libraries import LIBRARIES, Hugging, lora, mask, sentences, token_ids
from tests.training.test_module_kinds import assert_same, averaged, jobs, remade, worker

# The versions of torch and of these libraries make rounding errors of their own.
TOLERANCE = 1e-6


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", LIBRARIES)
def test_a_module_of_a_library_is_trained_as_the_docs_list(name: str, caplog: pytest.LogCaptureFixture) -> None:
    library, case = LIBRARIES[name]
    pytest.importorskip(library)
    expected = averaged(worker(LightningTrainer, remade(case), case.samples()))
    assert any(
        not torch.equal(expected["round 1: weights"][row], expected["round 1: weights"][0]) for row in (1, 2)
    )  # clients differ
    if case.plan == "refused":
        with pytest.raises(InputError, match=case.because):
            worker(VectorizedTrainer, remade(case), case.samples(), stack="always")
        return
    vectorized = worker(VectorizedTrainer, remade(case), case.samples(), stack="always")
    assert_same(averaged(vectorized), expected, TOLERANCE)
    messages = [record.getMessage() for record in caplog.records if "one by one" in record.getMessage()]
    assert vectorized.setup.plan.stacked is (case.plan == "stacked"), messages
    assert len(messages) == (case.plan != "stacked")
    assert all(re.search(case.because, message) for message in messages), messages


@pytest.mark.slow
@pytest.mark.parametrize("kind", [LightningTrainer, VectorizedTrainer])
def test_only_the_adapters_of_lora_travel_and_train_as_in_a_plain_loop(kind: Any) -> None:
    pytest.importorskip("peft")

    def make() -> Any:
        torch.manual_seed(0)
        return Hugging(lora(dropout=0.0))

    trained = worker(kind, make(), sentences())
    names = list(trained.host.layout.weights)
    assert names and all("lora_" in name or "classifier" in name for name in names)
    cohort = jobs(1)
    start, counts = trained.host.layout.read(trained.host.module), counters(trained.host.module)
    fits = [trained.client([job], counts, [{}]).fit(start) for job in cohort]
    for job, fitted in zip(cohort, fits, strict=True):
        module = make().double().train()
        optimizer = torch.optim.AdamW([p for p in module.parameters() if p.requires_grad], lr=1e-2)
        for epoch in range(job.epochs):
            for batch in job.batches(0, epoch, False):
                logits = module.net(input_ids=token_ids()[batch], attention_mask=mask()[batch]).logits
                optimizer.zero_grad()
                F.cross_entropy(logits, classes()[batch]).backward()
                optimizer.step()
        by_hand = torch.cat([dict(module.named_parameters())[name].detach().flatten() for name in names])
        np.testing.assert_allclose(fitted.model.weights[0].numpy(), by_hand.numpy(), rtol=0, atol=1e-9)


def test_the_docs_list_every_module_of_a_library() -> None:
    text = (Path(__file__).parents[2] / "docs" / "any_module.md").read_text().partition("## Modules of libraries")[2]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line.startswith("|")]
    listed = [(name, row[1]) for row in rows for name in re.findall(r"\*(.+?)\*", row[3])]
    assert sorted(listed) == sorted((name, case.plan) for name, (_, case) in LIBRARIES.items())
