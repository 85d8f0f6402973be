"""The ready models: published numbers of parameters, valid inputs, clear errors."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from omegaconf import OmegaConf

from fedlit.errors import InputError
from fedlit.models import BinaryLogistic, CharLstm, Cnn, CnnBn, LectureCnn, Logistic, Mlp, ResNet18, TwoNN
from fedlit.settings.classes import build

MNIST, CIFAR, DIGITS = (1, 28, 28), (3, 32, 32), (1, 8, 8)
CONF = Path(__file__).parents[2] / "conf" / "model"
OPTIONS = sorted(file.stem for file in CONF.glob("*.yaml"))
OF_IMAGES = [name for name in OPTIONS if name not in ("binary_logistic", "char_lstm")]


def parameters(module: torch.nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


@pytest.mark.parametrize(
    ("model", "count"),
    [
        (Logistic(MNIST, 10), 7_850),
        (TwoNN(MNIST, 10), 199_210),  # McMahan et al. 2017, section 3
        (Cnn(MNIST, 10), 1_663_370),  # likewise
        (LectureCnn(CIFAR, 10), 3 * 16 * 9 + 16 + 16 * 128 * 9 + 128 + 128 * 64 + 64 + 64 * 10 + 10),
        (ResNet18(CIFAR, 10), 11_173_962),  # the usual ResNet-18 of CIFAR-10
        (Mlp((5,), 3, hidden=(7, 4)), 5 * 7 + 7 + 7 * 4 + 4 + 4 * 3 + 3),
        (Mlp((5,), 3, hidden=()), 18),
        (BinaryLogistic((13,), 2), 14),
        (CharLstm((80,), 80), 80 * 8 + 4 * 256 * (8 + 256 + 2) + 4 * 256 * (256 + 256 + 2) + 257 * 80),
        (CnnBn(MNIST, 10), 1_663_370 + 2 * 32 + 2 * 64),
    ],
    ids=lambda v: type(v).__name__,
)
def test_models_have_the_published_number_of_parameters(model: torch.nn.Module, count: int):
    assert parameters(model) == count


@pytest.mark.parametrize("name", OF_IMAGES)
@pytest.mark.parametrize("input_shape", [DIGITS, MNIST, CIFAR, (2, 5, 9)])
def test_each_option_gives_logits_and_gradients_on_images(name: str, input_shape: tuple[int, ...]):
    model = build(OmegaConf.load(CONF / f"{name}.yaml"), "model", input_shape=input_shape, classes=7)
    x, y = torch.randn(4, *input_shape), torch.tensor([0, 6, 3, 3])
    logits = model(x)
    losses = model.losses(logits, y)
    assert logits.shape == (4, 7)
    picked = torch.exp(logits)[range(4), y] / torch.exp(logits).sum(1)
    assert torch.allclose(losses, -torch.log(picked), atol=1e-5)
    loss = model.training_step((x, y), 0)
    assert torch.allclose(loss, losses.mean(), atol=1e-5)
    loss.backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in model.parameters())


@pytest.mark.parametrize("name", ["logistic", "mlp", "two_nn"])
@pytest.mark.parametrize("input_shape", [(13,), (2, 3)])
def test_dense_models_take_any_shape(name: str, input_shape: tuple[int, ...]):
    model = build(OmegaConf.load(CONF / f"{name}.yaml"), "model", input_shape=input_shape, classes=2)
    assert model(torch.randn(3, *input_shape)).shape == (3, 2)


@pytest.mark.parametrize(
    ("model", "name"), [(Cnn, "cnn"), (CnnBn, "cnn_bn"), (LectureCnn, "lecture_cnn"), (ResNet18, "resnet18")]
)
@pytest.mark.parametrize("input_shape", [(13,), (3, 1, 32)])
def test_convolutional_models_refuse_other_inputs(model: type, name: str, input_shape: tuple[int, ...]):
    with pytest.raises(InputError, match=rf"model={name} needs images .* shape \({input_shape[0]},.*write model=mlp"):
        model(input_shape, 10)


@pytest.mark.parametrize("name", OPTIONS)
@pytest.mark.parametrize(
    ("known", "message"),
    [
        ({"input_shape": MNIST, "classes": None}, "this data set's targets are not classes; write your own"),
        ({"input_shape": None, "classes": 2}, "this data set's inputs are not tensors; write your own model"),
    ],
)
def test_data_without_classes_or_tensors_are_refused(name: str, known: dict, message: str):
    with pytest.raises(InputError, match=message):
        build(OmegaConf.load(CONF / f"{name}.yaml"), "model", **known)


def test_dropout_acts_in_training_only():
    model, x = Mlp((20,), 3, hidden=(50, 50), dropout=0.5), torch.randn(8, 20)
    assert not torch.equal(model(x), model(x))
    model.eval()
    assert torch.equal(model(x), model(x))


@pytest.mark.parametrize("norm", ["group", "batch"])
def test_group_norm_keeps_no_statistics_and_batch_norm_does(norm: str):
    model = ResNet18(CIFAR, 10, norm=norm)
    statistics = [name for name, b in model.named_buffers() if b.is_floating_point()]
    assert len(statistics) == (40 if norm == "batch" else 0)
    assert parameters(model) == 11_173_962
    # the stem keeps the resolution: 32 x 32 before the first stage, 4 x 4 after the last
    seen = []
    model.net.layer1.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].shape))
    model.net.layer4.register_forward_hook(lambda _, __, output: seen.append(output.shape))
    model(torch.randn(2, *CIFAR))
    assert seen == [(2, 64, 32, 32), (2, 512, 4, 4)]


@pytest.mark.parametrize("model", [Logistic, Mlp, TwoNN, Cnn, CnnBn, LectureCnn, ResNet18])
def test_first_weights_depend_on_the_seed_alone(model: type):
    def first(seed: int) -> torch.Tensor:
        torch.manual_seed(seed)
        return torch.cat([p.detach().flatten() for p in model(DIGITS, 10).parameters()])

    assert torch.equal(first(1), first(1))
    assert not torch.equal(first(1), first(2))
