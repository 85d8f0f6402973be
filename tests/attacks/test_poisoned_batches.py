"""Batches of malicious clients: labels and patches, for any kind of batch, stack and round."""

from __future__ import annotations

import pickle
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from torch import Tensor

from fedlit.attacks import Backdoor, LabelFlip
from fedlit.attacks.data_attack import DataAttack
from fedlit.data import DataSource, TensorSamples
from fedlit.data.label_axis import SqueezedLabels
from fedlit.errors import InputError
from tests.oracles.attacks.trigger import with_patch

CLIENTS, CLASSES = 6, 10
BAD = [1, 4, 5]


def data(classes: int | None = CLASSES, shape: tuple[int, ...] = (2, 5, 6), labels: Tensor | None = None) -> DataSource:
    rng = torch.Generator().manual_seed(0)
    y = torch.arange(60) % CLASSES if labels is None else labels
    x = torch.randn(len(y), *shape, generator=rng)
    return DataSource("mine", TensorSamples(x, y), TensorSamples(x, y), classes, shape)


def ready(attack: DataAttack, source: DataSource | None = None) -> Any:
    source = source or data()
    attack.setup(CLIENTS, seed=0)
    attack.check(source, "FedAvg", False)
    return attack.poison(source)


def applied(poison: Any, batch: Any, clients: list[int], index: Tensor, round: int = 1) -> Any:
    """A stack of clients."""
    transform = poison.in_round(round)
    key = torch.zeros(len(clients), 1, dtype=torch.int64)
    return batch if transform is None else transform(batch, index, torch.tensor(clients)[:, None], "train", key)


def stacked(clients: int = CLIENTS, samples: int = 8) -> tuple[Tensor, Tensor, Tensor]:
    index = torch.arange(clients * samples).reshape(clients, samples)
    x, y = data().train.batch(index.numpy())
    return x, y, index


@pytest.mark.parametrize("mapping", [None, {7: 1}, {0: 9, 9: 0, 4: 4}])
def test_labels_of_malicious_clients_are_flipped(mapping: dict[int, int] | None) -> None:
    x, y, index = stacked()
    changed_x, changed_y = applied(ready(LabelFlip(BAD, mapping=mapping)), [x, y], list(range(CLIENTS)), index)
    for client in range(CLIENTS):
        honest = y[client].tolist()
        flipped = [mapping.get(c, c) if mapping else CLASSES - 1 - c for c in honest]
        assert changed_y[client].tolist() == (flipped if client in BAD else honest)
    assert changed_x is x and changed_y.dtype == y.dtype


class Pair(NamedTuple):
    x: Tensor
    y: Tensor


@pytest.mark.parametrize(
    ("kind", "part"), [(list, None), (tuple, 1), (Pair._make, "y"), (lambda b: {"x": b[0], "label": b[1]}, None)]
)
def test_batches_keep_their_kind(kind: Any, part: Any) -> None:
    x, y, index = stacked()
    poison = ready(LabelFlip(BAD))
    poison.part = part
    batch = kind([x, y])
    changed = applied(poison, batch, list(range(CLIENTS)), index)
    assert type(changed) is type(batch)
    labels = changed["label"] if isinstance(changed, dict) else changed[1]
    assert torch.equal(labels[1], CLASSES - 1 - y[1]) and torch.equal(labels[0], y[0])


def test_labels_with_an_axis_and_labels_that_are_no_class() -> None:
    labels = torch.arange(60)[:, None] % CLASSES
    labels[0] = -100
    source = data(labels=labels)
    index = torch.arange(8)[None]
    batch = source.train.batch(index.numpy())
    changed = applied(ready(LabelFlip(BAD), source), batch, [4], index)[1]
    assert changed[0, :, 0].tolist() == [-100, *(CLASSES - 1 - c for c in range(1, 8))]
    squeezed = data()
    squeezed.train = SqueezedLabels(source.train)
    assert applied(ready(LabelFlip(BAD), squeezed), squeezed.train.batch(index.numpy()), [4], index)[1].shape == (1, 8)


@pytest.mark.parametrize("corner", ["top_left", "top_right", "bottom_left", "bottom_right"])
@pytest.mark.parametrize(("size", "parts"), [(1, 1), (3, 1), (3, 2), (2, 3)])
def test_patches_of_malicious_clients_are_those_of_the_oracle(corner: Any, size: int, parts: int) -> None:
    x, y, index = stacked()
    attack = Backdoor(BAD, target=3, share=1.0, size=size, corner=corner, value=2.5, parts=parts)
    changed_x, changed_y = applied(ready(attack), [x, y], list(range(CLIENTS)), index)
    for client in range(CLIENTS):
        if client not in BAD:
            assert torch.equal(changed_x[client], x[client]) and torch.equal(changed_y[client], y[client])
            continue
        part = BAD.index(client) % parts
        expected = [with_patch(image, size, corner, 2.5, parts, part) for image in x[client].numpy()]
        np.testing.assert_array_equal(changed_x[client].numpy(), np.stack(expected))
        assert (changed_y[client] == 3).all()


def test_the_parts_of_a_patch_make_up_the_patch_of_the_test_set() -> None:
    attack = Backdoor([0, 1, 2, 3], target=0, share=1.0, size=3, parts=4, value=9.0)
    poison = ready(attack)
    image = torch.zeros(1, 1, 2, 5, 6)
    parts = [applied(poison, [image, torch.ones(1, 1).long()], [c], torch.zeros(1, 1).long())[0] for c in range(4)]
    test = attack.extra_tests(data())["attack success"]
    index = torch.zeros(1, dtype=torch.int64)
    whole, target = test.transform([image[0], torch.ones(1).long()], index, index - 1, "test", index)
    assert torch.equal(torch.stack(parts).sum(0)[0], whole) and target.tolist() == [0]
    assert int((whole == 9).sum()) == 9 * 2 and max(int((part == 9).sum()) for part in parts) <= 6


def test_the_share_is_drawn_by_sample_and_client_and_is_the_same_in_any_batch_and_round() -> None:
    index = torch.arange(4000).reshape(2, 2000)
    x, y = torch.zeros(2, 2000, 1, 3, 3), torch.ones(2, 2000).long()
    source = data(shape=(1, 3, 3))
    poison = ready(Backdoor(BAD, share=0.3, size=1), source)
    hit = applied(poison, [x, y], [1, 4], index)[1] == 0
    assert ((hit.float().mean(1) - 0.3).abs() < 0.04).all()
    other = ready(Backdoor(BAD, share=0.3, size=1), source)
    for round, order in ((1, torch.arange(2000).flip(0)), (7, torch.arange(0, 2000, 3))):
        again = applied(other, [x[:1, order], y[:1, order]], [1], index[:1, order], round)[1] == 0
        assert torch.equal(again[0], hit[0, order])
    same_sample_of_another = applied(poison, [x, y], [4, 4], index)[1] == 0
    assert not torch.equal(same_sample_of_another[0], hit[0]) and torch.equal(same_sample_of_another[1], hit[1])


def test_other_rounds_have_no_poison_and_the_server_is_honest() -> None:
    x, y, index = stacked(1)
    poison = ready(LabelFlip(BAD, rounds=[2]))
    assert poison.in_round(1) is None and poison.in_round(2) is not None
    assert torch.equal(applied(poison, [x, y], [-1], index, 2)[1], y)


def test_a_poison_travels_to_workers() -> None:
    x, y, index = stacked()
    for attack in (LabelFlip(BAD), Backdoor(BAD, share=0.5)):
        poison = ready(attack)
        first = applied(poison, [x, y], list(range(CLIENTS)), index)
        second = applied(pickle.loads(pickle.dumps(poison)), [x, y], list(range(CLIENTS)), index)
        assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


def test_success_never_counts_samples_of_the_target_class() -> None:
    source = data()
    labels = source.test.labels()
    assert labels is not None
    index = np.arange(40)
    for attack, kept in (
        (Backdoor(BAD, target=3), labels[index] != 3),
        (LabelFlip(BAD, mapping={7: 1}), labels[index] == 7),
        (LabelFlip(BAD), np.ones(40, bool)),
    ):
        ready(attack, source)
        (test,) = attack.extra_tests(source).values()
        np.testing.assert_array_equal(test.chosen(index, labels), index[kept])
    odd = data(classes=3, labels=torch.arange(60) % 3)
    ready(attack := LabelFlip(BAD), odd)
    assert set(odd.test.labels()[attack.extra_tests(odd)["attack success"].chosen(index, odd.test.labels())]) == {0, 2}


REGRESSION = data(classes=None, labels=torch.randn(60))
REFUSED: list[tuple[DataAttack, DataSource, str]] = [
    (
        LabelFlip(BAD),
        REGRESSION,
        "label_flip changes classes, and the targets of mine are not one class a sample",
    ),
    (Backdoor(BAD), REGRESSION, "attack=backdoor changes classes"),
    (LabelFlip(BAD, mapping={7: 10}), data(), r"class 10 is none of mine, whose classes are 0 to 9"),
    (Backdoor(BAD, target=10), data(), "attack.target=10 is no class of mine"),
    (Backdoor(BAD), data(shape=(7,)), r"puts a patch on images .* an input of mine has shape \(7,\)"),
    (Backdoor(BAD), data(shape=(4, 3)), "puts a patch on images"),
    (Backdoor(BAD, size=6), data(), "attack.size=6: the images of mine have 5 x 6 pixels; write attack.size=5 or less"),
    (Backdoor(BAD, parts=4), data(), "the 3 malicious clients cannot hold all parts of the trigger"),
]


@pytest.mark.parametrize(("attack", "source", "sentence"), REFUSED)
def test_data_that_an_attack_cannot_change_are_refused(attack: DataAttack, source: DataSource, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        ready(attack, source)


def test_values_that_bytes_cannot_hold_are_refused() -> None:
    images = torch.zeros(20, 1, 5, 5, dtype=torch.uint8)
    samples = TensorSamples(images, torch.arange(20) % 10)
    source = DataSource("bytes", samples, samples, 10, (1, 5, 5))
    for value in (300.0, 2.5, -1.0):
        with pytest.raises(InputError, match=f"attack.value={value}: the inputs of bytes are torch.uint8 and cannot"):
            ready(Backdoor(BAD, value=value), source)
    index = torch.arange(4)[None]
    poison = ready(Backdoor(BAD, value=255.0, share=1.0), source)
    batch = applied(poison, samples.batch(index.numpy()), [1], index)
    assert batch[0].dtype == torch.uint8 and int(batch[0].max()) == 255


def test_options_that_are_no_attack_are_refused() -> None:
    with pytest.raises(
        InputError, match="attack.parts=5: a patch of 2 x 2 has no more parts than pixels; write attack.parts=4"
    ):
        Backdoor(BAD, size=2, parts=5)
    with pytest.raises(InputError, match="no class changes"):
        LabelFlip(BAD, mapping={3: 3})
    with pytest.raises(InputError, match="'a' is no class"):
        LabelFlip(BAD, mapping={"a": 3})  # type: ignore[dict-item]
    with pytest.raises(InputError, match="Centralized trains one model on the data of all clients"):
        attack = LabelFlip(BAD)
        attack.setup(CLIENTS, 0)
        attack.check(data(), "Centralized", True)
