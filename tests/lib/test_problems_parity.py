"""Sparse parity, and digits of unit length."""

import pytest
import torch

from regimes.problems import digits, parity

SEEDS = torch.arange(6).reshape(2, 3)


def test_parity_by_hand():
    data = parity(50, 7, k=3, n_test=20, seed=4)
    assert data.x.shape == (50, 7) and data.x_test.shape == (20, 7) and data.y.shape == (50,) and data.y_test.shape == (20,)
    for x, y in ((data.x, data.y), (data.x_test, data.y_test)):
        assert x.dtype == y.dtype == torch.float64
        torch.testing.assert_close(x.norm(dim=-1), torch.ones(len(x)).double())
        assert all(y[i] == x[i, 0].sign() * x[i, 1].sign() * x[i, 2].sign() for i in range(len(x)))


def test_no_smaller_set_of_bits_says_anything():
    data = parity(40_000, 4, n_test=1)
    bits = data.x.sign()
    for feature in (bits[:, 0], bits[:, 1], bits[:, 2], bits[:, 0] * bits[:, 2], torch.ones(40_000)):
        assert (feature * data.y).mean().abs() < 0.02
    assert (bits[:, 0] * bits[:, 1] * data.y).mean() == 1
    assert (parity(40_000, 4, k=1, n_test=1).y * parity(40_000, 4, k=1, n_test=1).x[:, 0]).mean() == 0.5


def test_parity_has_run_axes():
    stack = parity(30, 5, n_test=9, seed=SEEDS)
    assert stack.x.shape == (2, 3, 30, 5) and stack.y_test.shape == (2, 3, 9)
    one = parity(30, 5, n_test=9, seed=5)
    assert torch.equal(stack.x[1, 2], one.x) and torch.equal(stack.y_test[1, 2], one.y_test)
    assert not torch.equal(stack.x[0, 0], stack.x[0, 1])


@pytest.mark.parametrize("options", [{"n": 0}, {"d": 0}, {"n_test": 0}, {"k": 0}, {"d": 3, "k": 4}])
def test_parity_refuses(options):
    with pytest.raises(ValueError, match="sizes must be at least one and k from 1 to d; got"):
        parity(**options)


def test_digits_of_unit_length():
    data, plain = digits(n=40, unit=True, seed=SEEDS), digits(n=40, seed=SEEDS)
    assert torch.equal(data.y, plain.y)
    for x in (data.x, data.x_test):
        assert x.mean(-1).abs().max() < 1e-15
        torch.testing.assert_close(x.norm(dim=-1), torch.ones(x.shape[:-1]).double())
    correlation = torch.corrcoef(torch.stack([data.x[0, 1, 3], plain.x[0, 1, 3]]))[0, 1]
    assert 0.2 < correlation < 0.999  # the same image, centred in another way
