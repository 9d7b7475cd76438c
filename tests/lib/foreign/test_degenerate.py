"""Numbers at the edge: nothing, duplicates, and sizes at which squares leave the range. The exact limit, or a refusal."""

import numpy as np
import pytest
import torch
from torch import nn

from regimes.metrics import cka, condition_number, kernel_cosine, kernel_distance, participation_ratio, sharpness
from regimes.networks import TwoLayer
from regimes.optimizers import EdgeFraction, GradientDescent
from regimes.problems import two_points
from regimes.problems.separation import NotSeparable, separation
from tests.lib.cases import relative, reversible
from tests.lib.foreign.modules import curvature, numbers

SCALES = [1e-150, 1e-30, 1e-9, 1.0, 1e16, 1e150]


def dead():
    """A network whose hidden units are all off: its Hessian is zero."""
    net = nn.Sequential(nn.Linear(3, 10), nn.ReLU(), nn.Linear(10, 1, bias=False)).double()
    nn.init.constant_(net[0].bias, -100.0)
    return net


@pytest.mark.parametrize("method", ["auto", "dense", "lanczos"])
def test_the_sharpness_of_a_dead_network_is_zero(method):
    assert sharpness(dead(), numbers(5, 3), numbers(5, 1), method=method).item() == 0.0


@pytest.mark.parametrize("scale", [1e-30, 1e-9, 1.0, 1e9, 1e30])
def test_sharpness_at_any_scale_of_the_loss(scale):
    net, x = nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 1)).double(), numbers(7, 3)
    y = numbers(7, 1, seed=2)
    H = curvature(net, x, y)

    class Scaled:
        def value(self, f, y, n):
            return scale * (f - y).square().sum(-1) / (2 * n)

    assert relative(sharpness(net, x, y, loss=Scaled(), method="lanczos") / scale, torch.linalg.eigvalsh(H)[-1]) < 1e-6


@pytest.mark.parametrize("seed", range(12))
def test_a_duplicated_sample_makes_the_condition_number_infinite(seed):
    net, x = TwoLayer(3, 40, seed=seed), numbers(6, 3, seed=seed)
    assert np.isfinite(condition_number(net, x).item())
    assert condition_number(net, torch.cat([x, x[:1]])).item() == np.inf


@pytest.mark.parametrize("scale", SCALES)
def test_what_has_no_unit_does_not_depend_on_the_scale(scale):
    A, B = numbers(6, 4), numbers(6, 4, seed=2)
    K, K0 = A @ A.T, B @ B.T
    cosine = (K * K0).sum() / (K.norm() * K0.norm())
    assert relative(kernel_cosine(scale * K, scale * K0), cosine) < 1e-12
    assert relative(kernel_distance(scale * K, scale * K0), (K - K0).norm() / K0.norm()) < 1e-12
    assert relative(cka(scale * A, scale * B), cka(A, B)) < 1e-12
    assert relative(participation_ratio(scale * A), participation_ratio(A)) < 1e-12


@pytest.mark.parametrize("compare", [kernel_cosine, kernel_distance])
def test_a_zero_kernel_is_refused(compare):
    with pytest.raises(ValueError, match="a kernel that is zero has no direction"):
        compare(torch.eye(3), torch.zeros(3, 3))


@pytest.mark.parametrize("scale", [1e-12, 1e-9, 1e-6, 1.0, 1e9, 1e12, 1e16])
@pytest.mark.parametrize("gamma", [0.3, 1e-3, 1e-7, 1e-9])
def test_margins_of_data_of_any_size(scale, gamma):
    x, y = two_points(gamma)[:2]
    found = separation(scale * x, y)
    assert found.margin == pytest.approx(scale * gamma, rel=1e-6)
    assert found.margin == pytest.approx((scale * (y[:, None] * x) @ found.direction).min().item(), rel=1e-9)


def test_a_margin_that_float64_does_not_resolve_is_none():
    x = torch.tensor([[1e-17, 1.0], [1e-17, -1.0]], dtype=torch.float64)
    with pytest.raises(NotSeparable, match="what float64 resolves"):
        separation(x, torch.ones(2, dtype=torch.float64))


def test_the_edge_of_a_zero_kernel():
    net = TwoLayer(3, 5, output_std=0.0)
    net.v.requires_grad_(False)
    before, x, y = net.W.clone(), numbers(4, 3), numbers(4)
    with pytest.raises(ValueError, match="give EdgeFraction an at_most"):
        GradientDescent(net, EdgeFraction()).step(x, y)
    assert torch.equal(net.W, before)
    GradientDescent(net, EdgeFraction(at_most=0.5)).step(x, y)
    assert torch.isfinite(net.W).all()


@pytest.mark.parametrize("method", ["auto", "dense", "lanczos"])
def test_sharpness_of_a_stack_with_buffers(method):
    stack = reversible(2, runs=(2,), seed=torch.arange(2))
    x = numbers(5, stack.inputs)
    y = numbers(*stack(x).shape, seed=2)
    found = sharpness(stack, x, y, method=method)
    dense = sharpness(stack, x, y, method="dense")
    assert found.shape == (2,) and relative(found, dense) < 1e-6
