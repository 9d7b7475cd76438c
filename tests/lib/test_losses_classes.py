"""Cross entropy of several classes against torch's own, autograd and dense pseudo-inverses."""

import math

import pytest
import torch
from torch.func import grad, hessian
from torch.nn import functional as F

from regimes.linalg import Unsolvable
from regimes.losses import CrossEntropy, Overflow
from tests.lib.cases import N, normal, relative

Q = 4
LOSS = CrossEntropy(Q)
f, LABELS = normal(N, Q, std=2.1), torch.arange(N) % Q
Y = F.one_hot(LABELS, Q).double()
SOFT = torch.softmax(normal(N, Q, seed=3), -1)


def total(f, y):
    """The sum over samples, written down with logarithms."""
    return -(y * (f - torch.logsumexp(f, -1, keepdim=True))).sum()


@pytest.mark.parametrize("y", [Y, SOFT], ids=["labels", "probabilities"])
def test_value_and_slope(y):
    assert LOSS.value(f.flatten(), y.flatten(), N).item() == pytest.approx(F.cross_entropy(f, y).item(), rel=1e-13)
    assert relative(LOSS.grad(f.flatten(), y.flatten()), grad(total)(f, y).flatten()) < 1e-13


@pytest.mark.parametrize("y", [Y, SOFT], ids=["labels", "probabilities"])
def test_curvature_is_the_diagonal_and_newton_the_shortest_solution(y):
    H = torch.stack([hessian(total)(a, b) for a, b in zip(f, y, strict=True)])
    assert relative(LOSS.hessian_diag(f.flatten(), y.flatten()), H.diagonal(dim1=1, dim2=2).flatten()) < 1e-12
    slope = LOSS.grad(f.flatten(), y.flatten()).reshape(N, Q, 1)
    assert relative(LOSS.newton(f.flatten(), y.flatten()), (torch.linalg.pinv(H, rtol=1e-10) @ slope).flatten()) < 1e-9


def test_runs_side_by_side():
    g, y = normal(2, 3, N * Q), Y.flatten()
    together = LOSS.value(g, y, N), LOSS.grad(g, y.expand_as(g)), LOSS.newton(g, y.expand_as(g))
    for i in range(2):
        for j in range(3):
            assert together[0][i, j].item() == pytest.approx(F.cross_entropy(g[i, j].reshape(N, Q), LABELS).item(), rel=1e-13)
            assert relative(together[1][i, j], LOSS.grad(g[i, j], y)) < 1e-14
            assert relative(together[2][i, j], LOSS.newton(g[i, j], y)) < 1e-14


def test_large_logits_are_no_problem_until_newton_overflows():
    g = torch.tensor([[800.0, 0, 0, 0]], dtype=torch.float64)
    right, wrong = Y[:1].flatten(), Y[1:2].flatten()
    assert LOSS.value(g.flatten(), right, 1).item() == 0 and LOSS.value(g.flatten(), wrong, 1).item() == 800
    assert torch.isfinite(LOSS.grad(g.flatten(), wrong)).all() and torch.isfinite(LOSS.newton(g.flatten(), right)).all()
    with pytest.raises(
        Overflow, match=rf"10 to the power {-800 / math.log(10):.0f}: .*smaller step \(0.1 or less\), or newton=False"
    ):
        LOSS.newton(g.flatten(), wrong)
    assert issubclass(Overflow, Unsolvable) and issubclass(Overflow, ValueError)


@pytest.mark.parametrize("method", ["grad", "newton", "hessian_diag"])
@pytest.mark.parametrize("bad", [2 * Y - 1, 2 * Y, Y - 0.25, normal(N, Q)])
def test_targets_that_are_no_probabilities(method, bad):
    with pytest.raises(ValueError, match=r"4 probabilities that sum to one; use one_hot\(labels\)"):
        getattr(LOSS, method)(f.flatten(), bad.flatten())
    with pytest.raises(ValueError, match="4 probabilities"):
        LOSS.value(f.flatten(), bad.flatten(), N)
