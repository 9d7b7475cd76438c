"""Eigenvalues, trace and density of the Hessian, against the dense matrix of row-by-row autograd."""

import pytest
import torch
from torch import nn

from regimes.metrics import hessian_density, hessian_eigenvalues, hessian_eigenvectors, hessian_trace
from regimes.networks import TwoLayer
from tests.lib.cases import relative
from tests.lib.foreign.modules import curvature, numbers

X, Y = numbers(9, 3), numbers(9, 1, seed=2)


@pytest.fixture
def net():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 30), nn.Tanh(), nn.Linear(30, 1)).double()


@pytest.mark.parametrize("method", ["dense", "lanczos"])
@pytest.mark.parametrize("k", [1, 3, 7])
def test_the_largest_eigenvalues_and_their_vectors(net, k, method):
    H = curvature(net, X, Y)
    lam, Q = hessian_eigenvectors(net, X, Y, k, method=method)
    assert relative(lam, torch.linalg.eigvalsh(H).flip(0)[:k]) < 1e-8
    assert relative(H @ Q, Q * lam) < 1e-5 and relative(Q.T @ Q, torch.eye(k, dtype=Q.dtype)) < 1e-8
    assert relative(hessian_eigenvalues(net, X, Y, k, method=method), lam) < 1e-8


def test_multiple_eigenvalues_are_all_found():
    net, x = nn.Linear(30, 3, bias=False).double(), torch.diag(torch.arange(1.0, 31.0)).double()
    found = hessian_eigenvalues(net, x, torch.zeros(30, 3, dtype=torch.float64), 7, method="lanczos") * 30
    assert relative(found, torch.tensor([900.0, 900, 900, 841, 841, 841, 784], dtype=torch.float64)) < 1e-8


def test_the_trace_and_its_error(net):
    exact = curvature(net, X, Y).trace()
    assert relative(hessian_trace(net, X, Y, samples=200).value, exact) < 1e-12
    for seed in range(5):
        value, error = hessian_trace(net, X, Y, samples=30, seed=seed)
        assert 0 < error < 0.2 * exact and (value - exact).abs() < 5 * error


def test_the_density_has_the_moments_of_the_spectrum(net):
    lam = torch.linalg.eigvalsh(curvature(net, X, Y))
    for options in ({}, {"samples": 60, "steps": 2}):  # all eigenvalues; two nodes a vector, exact to the third moment
        nodes, weights = hessian_density(net, X, Y, **options)
        assert relative(weights.sum(), torch.ones((), dtype=weights.dtype)) < 1e-12
        for power in (1, 2):
            assert relative((weights * nodes**power).sum(), (lam**power).mean()) < (0.2 if options else 1e-10)


def test_units_are_those_of_sharpness_and_runs_are_kept():
    stack = TwoLayer(3, 20, runs=(2,), seed=0)
    y = numbers(9, seed=2)
    found = hessian_eigenvalues(stack, X, y, 2)
    for i in range(2):
        assert relative(found[i], hessian_eigenvalues(TwoLayer(3, 20, seed=i), X, y, 2)) < 1e-8


@pytest.mark.parametrize("k", [0, 152, -1])
def test_how_many(net, k):
    with pytest.raises(ValueError, match="has 151 eigenvalues, from k=1 to k=151"):
        hessian_eigenvalues(net, X, Y, k)
