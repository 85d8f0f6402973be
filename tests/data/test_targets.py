"""The labels of a user's samples: in whichever part, of whichever type, and compared with the data set's attribute."""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import ConcatDataset, DataLoader, Dataset, Subset, TensorDataset

from fedlit.data import DataSource, TensorSamples, adopt, count_classes
from fedlit.errors import InputError

N = 40
X = torch.randn(N, 3, generator=torch.Generator().manual_seed(0))
Y = torch.arange(N) % 4
LABELS = Y.tolist()


class Form(Dataset[Any]):
    """`form(i)` is sample i."""

    def __init__(self, form: Callable[[int], Any], **attributes: Any):
        self.form = form
        self.__dict__.update(attributes)

    def __len__(self) -> int:
        return N

    def __getitem__(self, i: int) -> Any:
        return self.form(i)


class Both:
    """The same Dataset for training and, as another object, for testing."""

    def __init__(self, make: Callable[[], Any]):
        self.train, self.test = make(), make()


def pair(i: int) -> Any:
    return X[i], LABELS[i]


Named = namedtuple("Named", "image label number")
AMBIGUOUS = {
    "a label and a number": lambda: Form(lambda i: (X[i], LABELS[i], i)),
    "the label last": lambda: Form(lambda i: (X[i], i, LABELS[i])),
    "a label and a weight": lambda: Form(lambda i: (X[i], LABELS[i], 0.5)),
    "a number and a target": lambda: Form(lambda i: (X[i], 0.5 * i, i)),
    "tensors": lambda: TensorDataset(X, Y, torch.arange(N)),
    "a subset of tensors": lambda: Subset(TensorDataset(X, Y, torch.arange(N)), range(N)),
    "a list": lambda: Form(lambda i: [X[i], LABELS[i], i, i]),
    "a named tuple": lambda: Form(lambda i: Named(X[i], LABELS[i], i)),
    "a dict": lambda: Form(lambda i: {"x": X[i], "label": LABELS[i], "y": i}),
}


@pytest.mark.parametrize("make", AMBIGUOUS.values(), ids=AMBIGUOUS)
def test_samples_of_which_the_label_is_not_known_are_refused(make: Callable[[], Any]) -> None:
    with pytest.raises(InputError, match=r"a sample of Both.train has .*; write data.target="):
        adopt(Both(make))


@pytest.mark.parametrize(
    ("name", "target"),
    [
        ("a label and a number", 1),
        ("a label and a number", -2),
        ("the label last", 2),
        ("a label and a weight", 1),
        ("tensors", 1),
        ("a subset of tensors", 1),
        ("a list", 1),
        ("a named tuple", "label"),
        ("a named tuple", 1),
        ("a dict", "label"),
    ],
)
def test_data_target_names_the_part_for_labels_and_metrics(name: str, target: Any) -> None:
    source = adopt(Both(AMBIGUOUS[name]), target)
    assert source.classes == 4 and source.input_shape == (None if name == "a dict" else (3,))
    index = np.array([5, 2, 7])
    for samples in (source.train, source.test):
        assert samples.labels().tolist() == LABELS
        assert samples.measured_targets(samples.batch(index)).tolist() == [LABELS[i] for i in index]
    moved = source.train.to("meta") if isinstance(source.train, TensorSamples) else source.train
    assert moved.target == target


@pytest.mark.parametrize(
    ("form", "target", "message"),
    [
        (lambda i: (X[i], 0, i), 5, "has 3 parts; write a number from 0 to 2"),
        (lambda i: (X[i], 0, i), "label", "has 3 parts"),
        (lambda i: {"x": X[i], "id": i}, "label", "with the keys x, id"),
        (lambda i: X[i], "y", "is a Tensor without it"),
    ],
)
def test_a_part_that_does_not_exist_is_refused(form: Any, target: Any, message: str) -> None:
    with pytest.raises(InputError, match=f"data.target={target}: .*{message}"):
        adopt(Both(lambda: Form(form)), target)


@pytest.mark.parametrize("name", ["id", "idx", "index", "sample_id", "uid", "Number", "patient_ids"])
def test_numbers_of_samples_in_a_dict_are_no_targets_of_metrics(name: str) -> None:
    source = adopt(Both(lambda: Form(lambda i: {"x": X[i], name: i})))
    assert source.train.measured_targets(source.train.batch(np.arange(4))) is None
    source = adopt(Both(lambda: Form(lambda i: {"x": X[i], name: i, "covid": LABELS[i]})))
    assert source.train.measured_targets(source.train.batch(np.arange(4))).tolist() == LABELS[:4]


def test_an_attribute_says_which_part_is_the_label() -> None:
    source = adopt(Both(lambda: Form(lambda i: (X[i], i, LABELS[i], 3 * i), targets=LABELS)))
    assert source.train.target == 2 and source.train.labels().tolist() == LABELS


@pytest.mark.parametrize(
    "form",
    [
        lambda i: {"x": X[i], "y": 0.5, "label": LABELS[i]},
        lambda i: {"x": X[i], "label": LABELS[i], "number": i},
        lambda i: {"x": X[i], "target": LABELS[i], "label": LABELS[i]},
    ],
)
def test_one_usual_name_in_a_dict_is_the_label(form: Any) -> None:
    source = adopt(Both(lambda: Form(form)))
    assert source.train.labels().tolist() == LABELS
    assert source.train.measured_targets(source.train.batch(np.arange(4))).tolist() == LABELS[:4]


@pytest.mark.parametrize(
    "form",
    [
        lambda i: (X[i], X[i]),
        lambda i: X[i],
        lambda i: (X[i], X[i], 0.5),
        lambda i: {"x": X[i], "price": 0.1 * i},
    ],
)
def test_samples_without_classes_need_no_target(form: Any) -> None:
    source = adopt(Both(lambda: Form(form)))
    assert source.classes is None and source.train.labels() is None


def test_test_samples_of_another_form_have_the_target_of_the_training_samples() -> None:
    data = Both(lambda: Form(pair))
    data.test = Form(lambda i: (X[i], LABELS[i], i))
    assert adopt(data).test.labels().tolist() == LABELS


TYPES = {
    "int32": lambda: TensorDataset(X, Y.int()),
    "uint8": lambda: TensorDataset(X, Y.byte()),
    "column": lambda: TensorDataset(X, Y[:, None]),
    "read column": lambda: Form(lambda i: (X[i], Y.numpy()[i : i + 1])),
    "column attribute": lambda: Form(lambda i: (X[i], Y.numpy()[i : i + 1]), labels=Y.numpy()[:, None]),
    "uint64": lambda: Form(pair, targets=np.array(LABELS, dtype=np.uint64)),
    "list of tensors": lambda: Form(pair, targets=list(Y)),
}


@pytest.mark.parametrize("make", TYPES.values(), ids=TYPES)
def test_labels_of_any_integer_type_or_in_a_column(make: Callable[[], Any]) -> None:
    source = adopt(Both(make))
    assert source.train.labels().tolist() == LABELS and source.train.labels().dtype == np.int64 and source.classes == 4


def test_bools_are_two_classes_and_floats_are_none() -> None:
    assert adopt(Both(lambda: TensorDataset(X, Y > 1))).classes == 2
    assert adopt(Both(lambda: TensorDataset(X, Y.float()))).classes is None


def test_the_step_gets_a_column_as_a_plain_loader_gives_it() -> None:
    samples = adopt(Both(TYPES["column attribute"])).train
    plain = next(iter(DataLoader(TYPES["column attribute"](), batch_size=5)))
    assert torch.equal(samples.batch(np.arange(5))[1], plain[1]) and plain[1].shape == (5, 1)


@pytest.mark.parametrize("wrapped", [lambda d: d, lambda d: Subset(d, range(N)), lambda d: ConcatDataset([d])])
@pytest.mark.parametrize("changed", [lambda y: 3 - y, lambda y: 0 if y == 2 else y, lambda y: y + 5])
def test_labels_that_the_samples_change_are_read_from_the_samples(
    wrapped: Any, changed: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """A target_transform, for example: one class of the attribute is another class in the samples."""
    make = lambda: wrapped(Form(lambda i: (X[i], changed(LABELS[i])), targets=LABELS))  # noqa: E731
    source = adopt(Both(make))
    assert source.train.labels().tolist() == [changed(y) for y in LABELS]
    assert sum("the labels are read from the samples" in message for message in caplog.messages) == 2


def test_an_attribute_is_trusted_where_samples_have_no_labels(caplog: pytest.LogCaptureFixture) -> None:
    source = adopt(Both(lambda: Form(lambda i: X[i], targets=LABELS)))
    assert source.train.labels().tolist() == LABELS and not caplog.records


@pytest.mark.parametrize("labels", [Y + 10**9, torch.where(Y > 2, 10**6, Y), Y + 2**62], ids=["all", "some", "large"])
@pytest.mark.parametrize("only_test", [False, True])
def test_labels_of_too_wide_a_range_are_refused(labels: Any, only_test: bool) -> None:
    data = Both(lambda: Form(pair, targets=LABELS))
    data.test = Form(lambda i: (X[i], int(labels[i])), targets=labels)
    data.train = data.train if only_test else data.test
    with pytest.raises(InputError, match="the labels of 40 samples are whole numbers from .* to .*, too wide a range"):
        adopt(data)


def test_labels_in_memory_of_too_wide_a_range_are_refused() -> None:
    with pytest.raises(InputError, match="whole numbers from 1000000000 to 1000000003"):
        adopt(Both(lambda: TensorDataset(X, Y + 10**9)))


def test_unsigned_labels_beyond_int64_are_refused() -> None:
    """As int64 they would be negative, which is no class."""
    labels = np.full(N, 2**63 + 5, dtype=np.uint64)
    with pytest.raises(InputError, match="too wide a range"):
        adopt(Both(lambda: Form(lambda i: X[i], targets=labels)))


def test_numbers_with_gaps_are_classes() -> None:
    assert adopt(Both(lambda: TensorDataset(X, 10 + 10 * Y))).classes == 41


@pytest.mark.parametrize("make", [lambda y: TensorDataset(X, y), lambda y: Form(lambda i: (X[i], y[i]))])
def test_a_class_that_only_the_test_set_has_is_a_class(make: Any) -> None:
    data = Both(lambda: make(Y % 2))
    data.test = make(Y)
    assert adopt(data).classes == 4


@pytest.mark.parametrize("ignored", [-1, -100])
def test_labels_below_zero_are_no_classes(ignored: int) -> None:
    some = torch.where(Y == 3, ignored, Y)
    source = adopt(Both(lambda: TensorDataset(X, some)))
    assert source.classes == 3 and torch.equal(source.train.batch(np.arange(N))[1], some)
    assert adopt(Both(lambda: TensorDataset(X, torch.full((N,), ignored)))).classes is None


def test_fewer_classes_than_labels_are_raised_with_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    tensors = TensorSamples(X, Y)
    source = DataSource("mine", tensors, tensors, classes=2, label_names=["cat", "dog"])
    count_classes(source)
    assert source.classes == 4 and source.label_names == ["cat", "dog", "2", "3"] and len(caplog.records) == 1
    count_classes(source)
    assert len(caplog.records) == 1
