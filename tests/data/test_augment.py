"""Crop and flip: the expected images, drawn for each sample."""

from __future__ import annotations

import numpy as np
import torch

from fedlit.data.augment import Augment

KEY = 12345678901234567


def call(
    augment: Augment, images: torch.Tensor, index: torch.Tensor, key: int = KEY, stage: str = "train"
) -> torch.Tensor:
    lead = index.shape[:-1]
    client = torch.zeros(*lead, 1, dtype=torch.int64)
    out, targets = augment((images, index), index, client, stage, torch.full((*lead, 1), key))
    assert torch.equal(targets, index)
    return out


def every_view(image: np.ndarray, crop: int, flip: bool) -> list[np.ndarray]:
    """All crops of a padded image, and their mirror images, by plain slicing."""
    padded = np.pad(image, ((0, 0), (crop, crop), (crop, crop)))
    h, w = image.shape[1:]
    shown = [padded[:, i : i + h, j : j + w] for i in range(2 * crop + 1) for j in range(2 * crop + 1)]
    return shown + ([view[:, :, ::-1] for view in shown] if flip else [])


def test_every_crop_and_flip_occurs_equally_often_and_nothing_else() -> None:
    image = np.random.default_rng(0).normal(size=(2, 5, 6)).astype(np.float32)
    n = 9000
    out = call(Augment(1, True), torch.from_numpy(image).expand(n, 2, 5, 6), torch.arange(n)).numpy()
    views = every_view(image, 1, True)
    counts = np.array([(out == view).all((1, 2, 3)).sum() for view in views])
    assert counts.sum() == n
    expected = n / len(views)
    assert ((counts - expected) ** 2 / expected).sum() < 41  # chi-square of 17 degrees: 0.001


def test_flip_without_crop_mirrors_half_of_the_images() -> None:
    image = torch.arange(12.0).reshape(1, 3, 4)
    out = call(Augment(flip=True), image.expand(2000, 1, 3, 4), torch.arange(2000))
    mirrored = (out == image.flip(-1)).all(-1).all(-1).all(-1)
    assert ((out == image).all(-1).all(-1).all(-1) | mirrored).all()
    assert 900 < mirrored.sum() < 1100


def test_a_sample_gets_the_same_draw_in_any_batch_and_stack() -> None:
    augment = Augment(2, True)
    images = torch.randn(12, 3, 6, 6)
    index = torch.randperm(100)[:12]
    batched = call(augment, images, index)
    single = torch.cat([call(augment, images[i : i + 1], index[i : i + 1]) for i in range(12)])
    stacked = call(augment, images.view(3, 4, 3, 6, 6), index.view(3, 4))
    assert torch.equal(batched, single) and torch.equal(batched, stacked.view(12, 3, 6, 6))


def test_each_client_of_a_stack_has_its_own_key() -> None:
    augment = Augment(2)
    images, index = torch.randn(1, 8, 1, 6, 6).expand(2, 8, 1, 6, 6), torch.arange(8).expand(2, 8)
    key = torch.tensor([[KEY], [KEY + 1]])
    out, _ = augment((images, index), index, torch.zeros(2, 1, dtype=torch.int64), "train", key)
    assert torch.equal(out[0], call(augment, images[0], index[0], KEY))
    assert torch.equal(out[1], call(augment, images[1], index[1], KEY + 1))
    assert not torch.equal(out[0], out[1])


def test_row_and_column_shifts_are_independent() -> None:
    image = torch.arange(81.0).reshape(1, 9, 9)
    out = call(Augment(1), image.expand(300, 1, 9, 9), torch.arange(300))
    middle = out[:, 0, 4, 4]
    assert set(middle.tolist()) == {40.0 + 9 * i + j for i in (-1, 0, 1) for j in (-1, 0, 1)}


def test_only_training_batches_change_and_global_generators_do_not() -> None:
    images, index = torch.randn(4, 1, 5, 5), torch.arange(4)
    state = torch.get_rng_state()
    augment = Augment(2, True)
    for stage in ("test", "validation"):
        assert torch.equal(call(augment, images, index, stage=stage), images)
    before = images.clone()
    assert not torch.equal(call(augment, images, index), images)
    assert torch.equal(images, before)
    assert torch.equal(torch.get_rng_state(), state)
