"""Half precision on a GPU: close to float32, but not equal; the loss scale starts again with each client."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from tests import small_runs
from tests.gpu.federation import COMMON, DEVICE, TRAINERS, Net, run, state

pytestmark = pytest.mark.gpu


def weights(folder: Path) -> torch.Tensor:
    """(P,) of the global model."""
    (path,) = (path for path in state(folder) if path.startswith("server/model") and path.endswith("/0"))
    return state(folder)[path].double()


def trained(folder: Path, trainer: str, precision: str, *words: str, **changes: Any) -> torch.Tensor:
    given = {"optimizer.lr": 0.05, **changes, "trainer.precision": precision}
    return weights(run(folder / f"{trainer}-{precision}", *TRAINERS[trainer], *words, **given))


@pytest.mark.parametrize(
    ("trainer", "precision"),
    [*((trainer, "bf16-mixed") for trainer in TRAINERS), ("lightning", "16-mixed")],
)
def test_mixed_precision_trains_as_float32_does_within_its_rounding(
    tmp_path: Path, request: pytest.FixtureRequest, trainer: str, precision: str
) -> None:
    if precision == "16-mixed":
        request.getfixturevalue("real_gpu")
    plain, mixed = (trained(tmp_path, trainer, p) for p in ("32-true", precision))
    start = trained(tmp_path / "start", trainer, "32-true", **{"optimizer.lr": 0.0})
    relative = float((mixed - plain).norm() / (plain - start).norm())
    assert 0 < relative < 0.1


def test_each_client_starts_with_the_first_loss_scale(tmp_path: Path) -> None:
    """A large loss overflows in the first steps of a fit: they are skipped, and the scale falls. Clients with the same
    samples, in one batch, take equally many steps only if none of them begins with the lowered scale."""
    words = ("aggregator=local", "+data.same=true", "+data.sites=4", "+model.loss_scale=100.0", "+model.dropout=0.0")
    changes = {"clients": 4, "batch_size": 8, "local_epochs": 12, "evaluation.client_validation": 0.0}
    precision = "32-true" if DEVICE == "cpu" else "16-mixed"  # the CPU tries this test, without a scale
    changes |= {"participation": 1.0, "rounds": 1, "trainer.precision": precision, "optimizer.lr": 1e-4}
    saved = state(run(tmp_path / "run", *words, **changes), 1)
    models = [tensor for path, tensor in saved.items() if path.startswith("clients/") and path.endswith("/0")]
    start = torch.cat([p.detach().flatten() for p in Net().parameters() if p.requires_grad])
    moved = [model - start for model in models]
    assert len(moved) == 4 and moved[0].norm() > 0
    assert all((other - moved[0]).norm() < 0.1 * moved[0].norm() for other in moved)


def test_the_stacked_trainer_refuses_loss_scaling(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    words = ("trainer=vectorized", "trainer.precision=16-mixed", "threads=1", "progress=none", "hydra.run.dir=run")
    assert small_runs.command(*COMMON, "clients=5", *words) == 2
    printed = capsys.readouterr()
    assert "16-mixed" in printed.err + printed.out
