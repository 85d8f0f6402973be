"""Synthetic(alpha, beta)."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from fedlit.data.synthetic import synthetic


def per_site(sites: int, **options: float) -> list[tuple[np.ndarray, np.ndarray]]:
    source = synthetic(sites=sites, **options)
    x, y = (t.numpy() for t in source.train.tensors)
    return [(x[source.train_sites == k], y[source.train_sites == k]) for k in range(sites)]


def test_each_site_has_its_share_of_test_samples() -> None:
    source = synthetic(sites=12)
    assert source.input_shape == (60,) and source.classes == 10
    assert source.train.tensors[0].dtype == torch.float32 and source.train.tensors[1].dtype == torch.int64
    train, test = np.bincount(source.train_sites, minlength=12), np.bincount(source.test_sites, minlength=12)
    assert (train + test >= 50).all() and (np.abs(test / (train + test) - 0.1) < 0.02).all()
    assert len(source.train) == train.sum() and len(source.test) == test.sum()


def test_sizes_are_log_normal_above_min_size() -> None:
    source = synthetic(sites=600, size_log_mean=3.0, size_log_std=0.5, min_size=5, alpha=0, beta=0)
    sizes = np.bincount(source.train_sites) + np.bincount(source.test_sites) - 5
    logs = np.log(sizes + 0.5)  # sizes are rounded down
    assert logs.mean() == pytest.approx(3, abs=0.08) and logs.std() == pytest.approx(0.5, abs=0.06)
    equal = synthetic(sites=4, size_log_std=0, min_size=50)
    assert len(set(np.bincount(equal.train_sites))) == 1


def test_inputs_have_the_variances_of_the_paper_around_the_centre_of_the_site() -> None:
    sites = per_site(3, size_log_mean=9.0, size_log_std=0.0)
    for x, _ in sites:
        np.testing.assert_allclose(x.var(0), np.arange(1, 61) ** -1.2, rtol=0.1)


@pytest.mark.parametrize("beta", [0.0, 2.0])
def test_beta_is_the_standard_deviation_of_the_centres(beta: float) -> None:
    centres = np.stack([x.mean(0) for x, _ in per_site(300, beta=beta, size_log_std=0.0)])
    of_sites = centres.mean(1)  # B_k and the mean of 60 numbers of deviation 1
    assert of_sites.std() == pytest.approx(np.hypot(beta, 60**-0.5), rel=0.12)
    assert (centres - of_sites[:, None]).std() == pytest.approx(1, rel=0.1)


def test_each_site_has_one_linear_rule() -> None:
    """A linear classifier fitted to one site fails on another site, except with `iid`."""

    def right(iid: bool) -> tuple[float, float]:
        sites = [
            (torch.cat([torch.from_numpy(x), torch.ones(len(x), 1)], 1), torch.from_numpy(y))
            for x, y in per_site(6, size_log_mean=8.0, size_log_std=0.0, iid=iid)
        ]
        weight = torch.zeros(61, 10, requires_grad=True)
        optimizer = torch.optim.Adam([weight], lr=0.1)
        for _ in range(300):
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(sites[0][0] @ weight, sites[0][1]).backward()
            optimizer.step()
        shares = [((x @ weight).argmax(1) == y).float().mean().item() for x, y in sites]
        return shares[0], sum(shares[1:]) / 5

    own_rule, elsewhere = right(iid=False)
    assert own_rule > 0.95 and elsewhere < 0.6
    own_rule, elsewhere = right(iid=True)
    assert own_rule > 0.95 and elsewhere > 0.85


def test_a_site_does_not_depend_on_the_number_of_sites() -> None:
    few, many = per_site(2), per_site(5)
    assert all(np.array_equal(a[0], b[0]) and np.array_equal(a[1], b[1]) for a, b in zip(few, many[:2], strict=True))


def test_the_seed_changes_the_data_set() -> None:
    a, b, c = (synthetic(sites=2, seed=seed).train.tensors[0] for seed in (0, 0, 1))
    assert torch.equal(a, b) and a[:40].ne(c[:40]).any()
