"""Operations that vmap rejects or gets wrong, against torch's own functions run one by one without fedlit."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import nn
from torch.distributions import Distribution, Normal, kl_divergence
from torch.nn import functional as F
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.utils import parametrizations, spectral_norm, weight_norm
from torch.utils.checkpoint import checkpoint

from fedlit.keyed_random.random_mode import RandomMode
from fedlit.torch_patches.vmap_patches import VMAP
from fedlit.user_module.module_snapshot import recomputed_attributes
from tests.torch_patches.rows import ROWS, assert_same, one_by_one, stacked

pytestmark = pytest.mark.usefixtures("double_precision")


class Of(nn.Module):
    def __init__(self, function):
        super().__init__()
        self.function, self.linear = function, nn.Linear(8, 8)

    def forward(self, x):
        return self.function(self.linear(x))


class Mixed(nn.Module):
    """A layer that takes indices, then a linear layer."""

    def __init__(self, layer: nn.Module):
        super().__init__()
        self.layer, self.linear = layer, nn.Linear(4, 3)

    def forward(self, index):
        return self.linear(self.layer(index))


class Loss(nn.Module):
    """Cross-entropy with class weights of the row."""

    def __init__(self, **options):
        super().__init__()
        self.register_buffer("weight", torch.rand(8) + 0.5)
        self.linear, self.options = nn.Linear(8, 8), options

    def forward(self, x):
        target = x[..., 0].detach().abs().mul(3).long().clamp_max(7)
        scores = self.linear(x)
        return F.cross_entropy(
            scores.movedim(-1, 1), torch.where(target == 2, -100, target), weight=self.weight, **self.options
        )


def writes_into_new_tensors(x):
    """New tensors that are written into and added to."""
    matrix, total, seen = torch.zeros(x.shape), torch.tensor(0.0), torch.zeros(2, dtype=torch.bool)
    matrix[:, 0] = x[:, 0]
    total += x.sum()
    seen[0] = x.detach().sum() > 0
    like, new, full = torch.ones_like(x), x.new_zeros(3), torch.full((2,), 2.0)
    like[0] *= x[0]
    new[1] = x.mean()
    full.mul_(x.max())
    return matrix.sum() + total + seen.sum() + like.sum() + new.sum() + full.sum()


class Causal(nn.Module):
    def __init__(self):
        super().__init__()
        self.encoder = nn.TransformerEncoder(nn.TransformerEncoderLayer(8, 2, 16, 0.0, batch_first=True), 2)

    def forward(self, x):
        return self.encoder(x, mask=nn.Transformer.generate_square_subsequent_mask(x.shape[1]))


def evidence(x):
    q = Normal(x, x.exp())
    return kl_divergence(q, Normal(torch.zeros_like(x), 1.0)) + q.log_prob(x * 2)


def guarded(x):
    if torch.isnan(x).any():
        raise ValueError("not a number")
    return x


class Flat(nn.Module):
    """A batch norm over features: its input as (N, 8)."""

    def __init__(self, layer: nn.Module):
        super().__init__()
        self.linear, self.layer = nn.Linear(8, 8), layer

    def forward(self, x):
        return self.layer(self.linear(x.flatten(0, 1)))


SMOOTH = {"label_smoothing": 0.1}
ON_FLOATS = {
    "factories": lambda: Of(writes_into_new_tensors),
    "causal mask": Causal,
    "distributions": lambda: Of(evidence),
    "gaussian likelihood": lambda: Of(lambda x: F.gaussian_nll_loss(x, x.detach() * 2, x.exp())),
    "a condition with the same result in all rows": lambda: Of(guarded),
    "checkpoint": lambda: Of(lambda x: checkpoint(lambda y: y.tanh().exp(), x, use_reentrant=False)),
    "normalize into": lambda: Of(lambda x: F.normalize(x.detach(), dim=-1, out=torch.empty_like(x)) * x),
    **{f"loss, {r}": lambda r=r: Loss(reduction=r, **SMOOTH) for r in ("mean", "sum", "none")},
    "loss without smoothing": Loss,
    "batch norm": lambda: Flat(nn.BatchNorm1d(8)),
    "batch norm, plain mean": lambda: Flat(nn.BatchNorm1d(8, momentum=None)),
    "batch norm, plain mean, evaluated": lambda: Flat(nn.BatchNorm1d(8, momentum=None)).eval(),
    "instance norm": lambda: nn.InstanceNorm1d(4, affine=True, track_running_stats=True),
    "spectral norm": lambda: parametrizations.spectral_norm(nn.Linear(8, 5)),
    "spectral norm, convolution": lambda: parametrizations.spectral_norm(nn.Conv1d(4, 4, 3)),
    "spectral norm, older": lambda: spectral_norm(nn.Linear(8, 5)),
    "weight norm": lambda: parametrizations.weight_norm(nn.Linear(8, 5)),
    "weight norm, older": lambda: weight_norm(nn.Linear(8, 5)),
    "orthogonal": lambda: parametrizations.orthogonal(nn.Linear(8, 8)),
}
EMBEDDINGS = [
    {},
    {"padding_idx": 0},
    {"padding_idx": -2},
    {"max_norm": 1.0},
    {"max_norm": 0.7, "norm_type": 1.0, "padding_idx": 1},
    {"scale_grad_by_freq": True, "padding_idx": 3},
]


@pytest.mark.filterwarnings("error:.*performance drop.*", "ignore:.*weight_norm.*")
@pytest.mark.parametrize("name", ON_FLOATS)
def test_a_stack_equals_torch_one_by_one(name):
    module, inputs = ON_FLOATS[name](), torch.randn(ROWS, 6, 4, 8)
    assert_same(stacked(module, inputs, keyed=False), one_by_one(module, inputs, keyed=False))


@pytest.mark.parametrize("options", EMBEDDINGS, ids=str)
def test_stacked_embeddings_equal_torch_one_by_one(options):
    module, inputs = Mixed(nn.Embedding(9, 4, **options)), torch.randint(0, 9, (ROWS, 5, 3))
    assert_same(stacked(module, inputs, keyed=False), one_by_one(module, inputs, keyed=False))


BAGS = list(itertools.product(["sum", "mean", "max"], [{}, {"padding_idx": 1}, {"max_norm": 1.0}]))


@pytest.mark.parametrize(("mode", "options"), BAGS, ids=str)
def test_stacked_embedding_bags_equal_torch_one_by_one(mode, options):
    inputs = torch.randint(0, 9, (ROWS, 5, 3))
    inputs[:, 0] = 1  # nothing but padding
    module = Mixed(nn.EmbeddingBag(9, 4, mode=mode, **options))
    assert_same(stacked(module, inputs, keyed=False), one_by_one(module, inputs, keyed=False))


def test_stacked_embedding_bags_with_sample_weights_equal_torch_one_by_one():
    class Weighted(nn.EmbeddingBag):
        def forward(self, weights):
            return super().forward(torch.tensor([[0, 1, 2], [4, 4, 8]]), per_sample_weights=weights)

    module, inputs = Weighted(9, 4, mode="sum"), torch.rand(ROWS, 2, 3)
    assert_same(stacked(module, inputs, keyed=False), one_by_one(module, inputs, keyed=False))


def test_plain_means_of_a_batch_norm_continue_from_each_rows_count():
    layer = nn.BatchNorm1d(8, momentum=None)
    x, counts = torch.randn(ROWS, 20, 8), torch.tensor([0, 3, 10])
    means, variances = torch.randn(ROWS, 8), torch.rand(ROWS, 8)

    def step(x, mean, variance, count):
        buffers = {"running_mean": mean, "running_var": variance, "num_batches_tracked": count}
        with RandomMode(0, 0, keyed=False, seed=False, patches=(VMAP,)):
            return torch.func.functional_call(layer, buffers, (x,))

    result = means.clone(), variances.clone(), counts.clone()
    torch.func.vmap(step)(x, *result)
    for row in range(ROWS):
        alone = nn.BatchNorm1d(8, momentum=None)
        alone.running_mean.copy_(means[row])
        alone.running_var.copy_(variances[row])
        alone.num_batches_tracked.copy_(counts[row])
        alone(x[row])
        torch.testing.assert_close(result[0][row], alone.running_mean, rtol=0, atol=1e-12)
        torch.testing.assert_close(result[1][row], alone.running_var, rtol=0, atol=1e-12)
        assert result[2][row] == alone.num_batches_tracked


def test_a_condition_that_differs_by_row_raises_vmaps_error():
    module = Of(lambda x: x if x.sum() > 0 else -x)
    module.linear = nn.Identity()
    with pytest.raises(RuntimeError, match="control flow"):
        stacked(module, torch.tensor([[1.0], [-1.0], [1.0]]), keyed=False)


def test_patched_attributes_are_restored_also_after_an_error():
    before = _BatchNorm.forward, Distribution._validate_args, torch.utils.checkpoint.CheckpointFunction
    with pytest.raises(KeyError), RandomMode(0, 0, keyed=True, seed=False, patches=(VMAP,)):
        assert _BatchNorm.forward is not before[0]
        raise KeyError
    after = _BatchNorm.forward, Distribution._validate_args, torch.utils.checkpoint.CheckpointFunction
    assert all(a is b for a, b in zip(before, after, strict=True))
    assert not torch.overrides._is_torch_function_mode_enabled()


@pytest.mark.filterwarnings("ignore:.*weight_norm.*")
@pytest.mark.parametrize("make", [lambda: spectral_norm(nn.Linear(8, 8)), lambda: weight_norm(nn.Linear(8, 8))])
def test_a_forward_pass_changes_recomputed_attributes_only(make):
    class First(nn.Module):
        def forward(self, outputs):
            return outputs[0]

    module = nn.Sequential(make(), nn.LSTM(8, 4), First())
    before = {(n, k): v for n, m in module.named_modules() for k, v in vars(m).items()}
    stacked(module, torch.randn(ROWS, 6, 4, 8), keyed=False)
    after = {(n, k): v for n, m in module.named_modules() for k, v in vars(m).items()}
    assert {key for key in after if after[key] is not before.get(key)} <= recomputed_attributes(module)
