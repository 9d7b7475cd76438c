"""Numbers at the edge: nothing, duplicates, and sizes at which squares leave the range. The exact limit, or a refusal."""

import numpy as np
import pytest
import torch
from scipy.optimize import linprog
from torch import nn

from regimes.metrics import (
    cka,
    condition_number,
    feature_movement,
    hessian_eigenvalues,
    hessian_trace,
    kernel_cosine,
    kernel_distance,
    largest_fall,
    participation_ratio,
    reconstruction,
    refit,
    rises,
    row_space,
    sharpness,
    weighted_cosine_distance,
)
from regimes.network import Network
from regimes.networks import Reversible, TwoLayer
from regimes.optimizers import EdgeFraction, GradientDescent
from regimes.problems import is_separable, two_points
from regimes.problems.separation import NotSeparable, separation
from tests.lib.cases import relative
from tests.lib.foreign.modules import curvature, numbers, rows

SCALES = [1e-150, 1e-30, 1e-9, 1.0, 1e16, 1e150]


def dead():
    """A network whose hidden units are all off: its Hessian is zero."""
    net = nn.Sequential(nn.Linear(3, 10), nn.ReLU(), nn.Linear(10, 1, bias=False)).double()
    nn.init.constant_(net[0].bias, -100.0)
    return net


@pytest.mark.parametrize("method", ["auto", "dense", "lanczos"])
def test_the_sharpness_of_a_dead_network_is_zero(method):
    assert sharpness(dead(), numbers(5, 3), numbers(5, 1), method=method).item() == 0.0


@pytest.mark.parametrize("scale", [1e-200, 1e-30, 1e-9, 1.0, 1e9, 1e30, 1e150])
def test_sharpness_at_any_scale_of_the_loss(scale):
    net, x = nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 1)).double(), numbers(7, 3)
    y = numbers(7, 1, seed=2)
    H = curvature(net, x, y)

    class Scaled:
        def value(self, f, y, n):
            return scale * (f - y).square().sum(-1) / (2 * n)

    lam = torch.linalg.eigvalsh(H).flip(0)
    assert relative(sharpness(net, x, y, loss=Scaled(), method="lanczos") / scale, lam[0]) < 1e-6
    assert relative(hessian_eigenvalues(net, x, y, 3, loss=Scaled(), method="lanczos") / scale, lam[:3]) < 1e-6
    value, error = hessian_trace(net, x, y, loss=Scaled(), samples=30)
    assert abs(value / scale - lam.sum()) < 5 * error / scale


class Quadratic(nn.Module):
    """With target -1 its squared loss is sum(lam w^2) / 2 + 1/2 at small w: a Hessian of known eigenvalues, of any sign."""

    def __init__(self, lam):
        super().__init__()
        self.lam, self.w = lam, nn.Parameter(torch.zeros(len(lam), dtype=torch.float64))

    def forward(self, x):
        return (self.lam @ self.w.square() / 2).expand(len(x))


@pytest.mark.parametrize(
    "lam",
    [
        -torch.linspace(1e-13, 2, 60),  # the largest is nothing beside the size of all
        -torch.linspace(1, 2, 60),
        -torch.ones(60),
        torch.cat([torch.tensor([1e-8]), -torch.linspace(0.1, 1, 60)]),
        torch.cat([torch.ones(3), torch.zeros(60)]),
        torch.cat([-1e3 * torch.ones(1), torch.ones(2), torch.zeros(60)]),
    ],
)
def test_largest_eigenvalues_near_zero_of_any_sign_and_repeated(lam):
    lam = lam.double()
    net, x, y = Quadratic(lam), numbers(4, 2), -torch.ones(4, dtype=torch.float64)
    wanted, size = lam.sort(descending=True).values, lam.abs().max()
    assert (sharpness(net, x, y, method="lanczos") - wanted[0]).abs() < 1e-7 * size
    assert (hessian_eigenvalues(net, x, y, 5, method="lanczos") - wanted[:5]).abs().max() < 1e-6 * size


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_dtypes_are_those_of_the_parameters(dtype):
    """The inputs are whole numbers, in which 0.9 would be 0."""
    net = nn.Sequential(nn.Embedding(11, 4), nn.Flatten(), nn.Tanh(), nn.Linear(12, 1)).to(dtype)
    x, y = torch.arange(15).reshape(5, 3) % 11, numbers(5, 1).to(dtype)
    wanted = torch.linalg.eigvalsh(curvature(net.double(), x, y.double()))[-1]
    net.to(dtype)
    for method in ("dense", "lanczos"):
        found = sharpness(net, x, y, method=method)
        assert found.dtype == dtype and abs(found.double() - wanted) < 4 * torch.finfo(dtype).eps ** 0.75 * wanted


@pytest.mark.parametrize("seed", range(12))
def test_a_duplicated_sample_makes_the_condition_number_infinite(seed):
    net, x = TwoLayer(3, 40, seed=seed), numbers(6, 3, seed=seed)
    assert np.isfinite(condition_number(net, x).item())
    assert condition_number(net, torch.cat([x, x[:1]])).item() == np.inf


@pytest.mark.parametrize("seed", range(6))
def test_also_of_a_module_in_float32(seed):
    torch.manual_seed(seed)
    net, x = nn.Sequential(nn.Linear(3, 40), nn.Tanh(), nn.Linear(40, 1)), numbers(6, 3, seed=seed).float()
    J = rows(net.double(), x.double())
    assert relative(condition_number(net.float(), x).double(), torch.linalg.cond(J) ** 2) < 1e-2
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
    assert relative(feature_movement(scale * A, scale * B), (A - B).norm() / B.norm()) < 1e-12
    assert relative(weighted_cosine_distance(scale * A, B), weighted_cosine_distance(A, B)) < 1e-12
    assert row_space(scale * torch.cat([A, A[:2] + A[2:4]])).rank == 4


def test_a_sum_of_rows_is_dependent_in_float32_too():
    x = numbers(5, 8).float()
    assert row_space(torch.cat([x, x.sum(0, keepdim=True)])).rank == 5


def test_nothing_rises_and_falls_by_nothing():
    flat = torch.tensor([[0.0, -3.0, 2.0]] * 4, dtype=torch.float64)  # the second is a logarithm
    assert not rises(flat).any() and torch.equal(largest_fall(flat, 0), torch.zeros(3, dtype=torch.float64))


@pytest.mark.parametrize("scale", [1e-170, 1e150])
def test_refit_at_any_scale_of_the_features(scale):
    net, x = TwoLayer(3, 30, activation="identity", std=scale), numbers(5, 3)
    assert relative(refit(net, x, x.sum(1))(x).detach(), x.sum(1)) < 1e-10
    assert not refit(dead(), x, numbers(5, 1))[2].weight.any()


def test_nothing_is_relative_to_zero():
    for call in (
        lambda: feature_movement(torch.eye(3), torch.zeros(3, 3)),
        lambda: reconstruction(Reversible(4, 2, 5), torch.zeros(3, 4, dtype=torch.float64)),
    ):
        with pytest.raises(ValueError, match="that is zero has no direction"):
            call()


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


def known_margin(seed, gamma):
    """Signed samples of the largest margin ``gamma`` in a random position: 0 is in the hull of what is across the normal."""
    random = np.random.default_rng(seed)
    d, more = int(random.integers(2, 8)), int(random.integers(0, 12))
    across, share = random.standard_normal((int(random.integers(2, d + 1)), d - 1)), random.random((d, 1)) + 0.1
    across[-1] = -(share[: len(across) - 1] * across[:-1]).sum(0)
    others = np.c_[gamma * (1 + random.random(more) * random.choice([1e-3, 1, 100], more)), random.random((more, d - 1)) - 0.5]
    z = np.vstack([np.c_[np.full(len(across), gamma), across / np.linalg.norm(across, axis=1).max()], others])
    return torch.from_numpy(random.permutation(z) @ np.linalg.qr(random.standard_normal((d, d)))[0])


@pytest.mark.parametrize("gamma", [1e-1, 1e-5, 1e-7, 1e-9, 1e-11])
def test_margins_in_any_position(gamma):
    for seed in range(20):
        z, y = known_margin(seed, gamma), numbers(1).sign()
        assert is_separable(z * y, y.expand(len(z)))
        assert separation(1e5 * z * y, y.expand(len(z))).margin == pytest.approx(1e5 * gamma, rel=1e-8 + 1e-15 / gamma)


def test_margins_of_samples_of_very_different_lengths():
    x = torch.tensor([[1.0, 0.0], [0.0, 1e-12]], dtype=torch.float64)
    found = separation(x, torch.ones(2, dtype=torch.float64))
    assert found.margin == pytest.approx(1e-12, rel=1e-6) and found.direction.tolist() == pytest.approx([1e-12, 1])
    assert is_separable(x * torch.tensor([[1e150], [1e-150]], dtype=torch.float64), torch.ones(2))


def test_what_is_separable_is_what_a_linear_program_says():
    for seed in range(150):
        random = np.random.default_rng(seed)
        z = random.integers(-2, 3, (random.integers(1, 12), random.integers(1, 5))) + random.integers(0, 3)  # with duplicates
        feasible = linprog(np.zeros(z.shape[1]), -z, -np.ones(len(z)), bounds=(None, None)).status == 0
        assert is_separable(torch.from_numpy(z).double(), torch.ones(len(z))) == feasible


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


class Waves(Network):
    """A stack that somebody wrote, with a buffer: one for each run, or one for all, which may look like one for each run."""

    def __init__(self, k, a, shift):
        super().__init__()
        self.runs, self.k, self.a = tuple(k.shape[:-1]), nn.Parameter(k), nn.Parameter(a)
        self.register_buffer("shift", shift)

    def forward(self, x):
        return (self.a[..., None, :] * torch.sin(self.k[..., None, :] * x[..., :1] + self.shift[..., None, :])).sum(-1)


@pytest.mark.parametrize("method", ["dense", "lanczos"])
@pytest.mark.parametrize("x", [(5, 1), (3, 5, 1), (2, 3, 5, 1)])
@pytest.mark.parametrize("y", [(5,), (3, 5), (2, 3, 5)])
@pytest.mark.parametrize("shift", [(2, 3, 12), (12,)])
def test_a_stack_with_buffers_is_its_runs(shift, y, x, method):
    shift, y, x = (numbers(*shape, seed=s) for s, shape in enumerate((shift, y, x)))
    k, a = numbers(2, 3, 12, seed=5), numbers(2, 3, 12, seed=6)
    found = hessian_eigenvalues(Waves(k, a, shift), x, y, 2, method=method)
    each = [(k, 1), (a, 1), (shift, 1), (x, 2), (y, 1)]
    k, a, shift, x, y = (t.expand(2, 3, *t.shape[t.ndim - own :]).flatten(0, 1) for t, own in each)
    for i, got in enumerate(found.flatten(0, 1)):
        assert relative(got, torch.linalg.eigvalsh(curvature(Waves(k[i], a[i], shift[i]), x[i], y[i])).flip(0)[:2]) < 1e-6


def test_a_shared_buffer_that_looks_like_one_for_each_run():
    k, a, shift = (numbers(*shape, seed=s) for s, shape in enumerate(((12, 12), (12, 12), (12,))))
    x, y = numbers(5, 1), numbers(5, seed=2)
    found = sharpness(Waves(k, a, shift), x, y, method="lanczos")
    for i in range(12):
        assert relative(found[i], torch.linalg.eigvalsh(curvature(Waves(k[i], a[i], shift), x, y))[-1]) < 1e-6


@pytest.mark.parametrize("method", ["dense", "lanczos"])
def test_a_stack_of_reversible_networks_is_its_runs(method):
    stack, x = Reversible(4, 2, 5, runs=(2,), std=0.3), numbers(5, 4)
    y = numbers(5, 2, seed=2)
    found = sharpness(stack, x, y, method=method)
    for i in range(2):
        assert relative(found[i], torch.linalg.eigvalsh(curvature(Reversible(4, 2, 5, std=0.3, seed=i), x, y))[-1]) < 1e-6
