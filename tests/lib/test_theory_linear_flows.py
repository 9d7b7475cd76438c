import math

import pytest
import torch

from regimes.theory.linear_flows import half_time, orthogonal_flow, plane_path, scalar_flow, scalar_rate
from tests.lib.cases import normal, relative

DOUBLE = torch.float64
STARTS = [  # u0, v0, y
    (0.3, 0.2, 1.0),
    (1.5, 0.0, 1.0),  # v starts at zero
    (0.7, -0.7, 1.3),  # runs into the saddle
    (0.5, -0.5 + 1e-6, 1.0),  # passes close to it
    (-1.2, 0.4, 0.8),
    (0.6, 0.6, -1.1),  # runs into the saddle, y < 0
    (0.9, 0.3, -2.0),
    (-0.4, -1.7, 0.3),  # from beyond the target
    (0.8, 0.5, 0.0),
    (1e-3, 1e-3, 2.0),  # small and balanced
]
SADDLE = {(0.7, -0.7, 1.3), (0.6, 0.6, -1.1)}


def rk4_scalar(u, v, y, t, steps):
    """Runge-Kutta on plain floats."""
    h = t / steps
    for _ in range(steps):
        a, b = (y - u * v) * v, (y - u * v) * u
        p, q = u + h / 2 * a, v + h / 2 * b
        c, d = (y - p * q) * q, (y - p * q) * p
        p, q = u + h / 2 * c, v + h / 2 * d
        e, f = (y - p * q) * q, (y - p * q) * p
        p, q = u + h * e, v + h * f
        g, k = (y - p * q) * q, (y - p * q) * p
        u, v = u + h / 6 * (a + 2 * c + 2 * e + g), v + h / 6 * (b + 2 * d + 2 * f + k)
    return u, v


def rk4(rates, state, h, steps):
    """Runge-Kutta on a tuple of tensors."""
    for _ in range(steps):
        k1 = rates(*state)
        k2 = rates(*(x + h / 2 * k for x, k in zip(state, k1, strict=True)))
        k3 = rates(*(x + h / 2 * k for x, k in zip(state, k2, strict=True)))
        k4 = rates(*(x + h * k for x, k in zip(state, k3, strict=True)))
        state = tuple(x + h / 6 * (a + 2 * b + 2 * c + d) for x, a, b, c, d in zip(state, k1, k2, k3, k4, strict=True))
    return state


@pytest.mark.parametrize(("u0", "v0", "y"), STARTS)
def test_scalar_flow_is_what_runge_kutta_finds(u0, v0, y):
    u, v, now = u0, v0, 0.0
    for t in (0.4, 2.0, 6.0):
        u, v = rk4_scalar(u, v, y, t - now, int(2000 * (t - now)))
        now, got = t, scalar_flow(u0, v0, y, t)
        assert got[0].item() == pytest.approx(u, abs=1e-11) and got[1].item() == pytest.approx(v, abs=1e-11)


@pytest.mark.parametrize(("u0", "v0", "y"), STARTS)
def test_scalar_flow_stays_on_its_hyperbola_and_ends_without_overflow(u0, v0, y):
    t = torch.tensor([0.0, 1e-9, 1.0, 30.0, 400.0 / max(abs(y), 0.1), 1e6, torch.inf], dtype=DOUBLE)
    if y == 0:
        t = t[:-1]
    u, v = scalar_flow(u0, v0, y, t)
    assert torch.allclose(u**2 - v**2, torch.full_like(t, u0**2 - v0**2), rtol=0, atol=1e-12)
    assert (u[0].item(), v[0].item()) == pytest.approx((u0, v0), abs=1e-15)
    end = 0.0 if (u0, v0, y) in SADDLE else y
    assert torch.allclose((u * v)[4:], torch.full_like(t[4:], end), rtol=0, atol=1e-12)


def test_scalar_flow_without_target_and_gap_falls_like_a_power():
    u, v = scalar_flow(0.8, torch.tensor([0.8, -0.8], dtype=DOUBLE), 0.0, 3.0)
    wanted = 0.8 / math.sqrt(1 + 2 * 0.8**2 * 3)
    assert u.tolist() == pytest.approx([wanted] * 2, rel=1e-14) and v.tolist() == pytest.approx([wanted, -wanted], rel=1e-14)
    assert [x.item() for x in scalar_flow(0.0, 0.0, 1.0, 400.0)] == [0.0, 0.0]


def test_scalar_flow_from_a_balanced_start_is_the_sigmoid():
    t, y, start = torch.linspace(0, 12, 50, dtype=DOUBLE), 1.7, 1e-4
    u, v = scalar_flow(math.sqrt(start), math.sqrt(start), y, t)
    sigmoid = y * torch.exp(2 * y * t) / (torch.exp(2 * y * t) - 1 + y / start)
    assert torch.equal(u, v) and torch.allclose(u * v, sigmoid, rtol=1e-13, atol=0)


@pytest.mark.parametrize(("u0", "v0", "y"), [s for s in STARTS if s not in SADDLE and s[2]])
def test_scalar_rate_is_how_fast_the_loss_falls_at_the_end(u0, v0, y):
    rate = scalar_rate(u0, v0, y)
    late = half_time(u0, v0, y) + 14 / rate  # loss near 1e-6
    (u, v), (u1, v1) = scalar_flow(u0, v0, y, late), scalar_flow(u0, v0, y, late + 2 / rate)
    measured = torch.log(((u * v - y) / (u1 * v1 - y)) ** 2) / (2 / rate)
    assert measured.item() == pytest.approx(rate.item(), rel=5e-3)
    assert rate.item() == pytest.approx(2 * sum(x.item() ** 2 for x in scalar_flow(u0, v0, y, torch.inf)), rel=1e-12)


@pytest.mark.parametrize(("u0", "v0", "y"), STARTS)
def test_half_time_is_when_half_the_target_is_reached(u0, v0, y):
    if y == 0:
        with pytest.raises(ValueError, match="y is not zero; got y = 0"):
            half_time(u0, v0, y)
        return
    t = half_time(u0, v0, y)
    if (u0, v0, y) in SADDLE:
        assert t == torch.inf
    elif u0 * v0 / y > 0.5:
        assert t == 0
    else:
        u, v = scalar_flow(u0, v0, y, t)
        assert t > 0 and (u * v).item() == pytest.approx(y / 2, rel=1e-12)


@pytest.mark.parametrize("v0", [0.8, 1.4, 3.0])
@pytest.mark.parametrize("sign", [1, -1])
def test_half_time_is_zero_from_half_of_the_target_on(v0, sign):
    assert half_time(0.9, sign * v0, 1.0 * sign) == 0  # u v from 0.72 y to 2.7 y


def test_half_time_close_to_the_saddle_grows_with_the_logarithm():
    eps = torch.tensor([1e-1, 1e-3, 1e-6, 1e-9], dtype=DOUBLE)
    times = half_time(0.5, -0.5 + eps, 1.0)
    assert times.tolist() == pytest.approx([2.90, 7.49, 14.40, 21.30], abs=6e-3)
    for e, t in list(zip(eps.tolist(), times.tolist(), strict=True))[:2]:
        u, v = rk4_scalar(0.5, -0.5 + e, 1.0, t, 20000)
        assert u * v == pytest.approx(0.5, abs=1e-10)


@pytest.mark.parametrize(("a", "b", "r", "q"), [(1.0, 1.0, 5, 2), (0.9, 0.2, 4, 3), (0.1, 0.7, 2, 4)])
def test_orthogonal_flow_is_what_runge_kutta_finds(a, b, r, q):
    m, k = r + q + 2, min(r, q)
    frame = torch.linalg.qr(normal(m, r + q))[0].T
    U1, V, target = a * frame[:r], b * frame[r:], normal(r, q, seed=3)
    left, sigma, right = torch.linalg.svd(target)
    U1, V = rk4(lambda U, V: ((target - U @ V.T) @ V, (target - U @ V.T).T @ U), (U1, V), 1e-3, 1500)
    modes = orthogonal_flow(a, b, sigma, 1.5)
    u, v = left.T @ U1, right @ V
    assert relative(modes.u, u[:k].square().sum(1)) < 1e-11 and relative(modes.v, v[:k].square().sum(1)) < 1e-11
    assert relative(modes.product, (u[:k] * v[:k]).sum(1)) < 1e-11
    padded = orthogonal_flow(a, b, torch.cat([sigma, torch.zeros(q - k, dtype=DOUBLE)]), 1.5)  # rows of V without a partner
    assert padded.v.sum().item() == pytest.approx(V.square().sum().item(), rel=1e-11)


def test_orthogonal_flow_at_its_start_and_its_end():
    sigma = torch.tensor([2.0, 0.3, 0.0], dtype=DOUBLE)
    start, end = orthogonal_flow(0.9, 0.2, sigma, 0.0), orthogonal_flow(0.9, 0.2, sigma, torch.inf)
    assert torch.allclose(torch.stack(start), torch.tensor([[0.81], [0.04], [0.0]], dtype=DOUBLE).expand(3, 3), atol=1e-15)
    assert relative(end.product, sigma) < 1e-14
    root = ((0.81 + 0.04) ** 2 + 4 * sigma**2).sqrt()
    assert relative(end.v, (root - 0.77) / 2) < 1e-14 and relative(end.u, (root + 0.77) / 2) < 1e-14


def path_of_the_network(u0, v0, u2, y, angle, h, steps):
    """Runge-Kutta on the whole network, with two inputs and one sample; the path of ``U V^T``."""
    x = torch.tensor([math.cos(angle), math.sin(angle)], dtype=DOUBLE)
    U, v = torch.outer(x, u0) + torch.outer(torch.stack([-x[1], x[0]]), u2), v0
    path = [U @ v]
    for _ in range(steps):
        U, v = rk4(lambda U, v: ((y - x @ U @ v) * torch.outer(x, v), (y - x @ U @ v) * (x @ U)), (U, v), h, 1)
        path.append(U @ v)
    return torch.stack(path), x


@pytest.mark.parametrize(("y", "angle"), [(1.4, 0.6), (-0.9, 2.5)])
def test_plane_path_is_where_the_network_goes(y, angle):
    u0, v0, u2 = normal(3, std=0.4), normal(3, seed=1, std=0.4), normal(3, seed=2)
    trained, x = path_of_the_network(u0, v0, u2, y, angle, 1e-2, 1400)
    path = plane_path(u0, v0, u2, y, angle, points=20001)
    assert relative(path[0], trained[0]) < 1e-14 and relative(path[-1], trained[-1]) < 1e-9
    assert torch.allclose(path @ x, torch.linspace((u0 @ v0).item(), y, 20001, dtype=DOUBLE), atol=1e-14)
    nearest = torch.cdist(trained[::20], path).amin(1)
    assert nearest.max() < 3e-4  # the spacing of the points
    theta = torch.tensor(0.3 * math.copysign(1, y - (u0 @ v0).item()), dtype=DOUBLE)  # the same path, by rapidity
    u1, v = theta.cosh() * u0 + theta.sinh() * v0, theta.sinh() * u0 + theta.cosh() * v0
    here = u1 @ v * x + u2 @ v * torch.stack([-x[1], x[0]])
    assert torch.cdist(here[None], path).min() < 3e-4


def test_plane_path_depends_on_both_inner_products_of_what_the_data_cannot_see():
    u0, v0 = torch.tensor([0.5, 0.0, 0.0], dtype=DOUBLE), torch.tensor([0.0, 0.4, 0.0], dtype=DOUBLE)
    for u2, inside in (([0.0, 0.0, 1.1], True), ([1.1, 0.0, 0.0], False), ([0.0, 1.1, 0.0], False)):
        end = plane_path(u0, v0, torch.tensor(u2, dtype=DOUBLE), 1.5, 0.0)[-1]
        assert end[0].item() == pytest.approx(1.5) and (end[1].abs().item() < 1e-15) == inside


@pytest.mark.parametrize("sign", [1, -1])
def test_plane_path_that_runs_into_the_saddle_ends_at_zero(sign):
    u0, u2 = normal(3), normal(3, seed=2)
    path = plane_path(u0, -sign * u0, u2, 1.2 * sign, 0.4)
    assert path.isfinite().all() and path[-1].norm() < 1e-15 and path[0].norm() > 0.5
    trained, _ = path_of_the_network(u0, -sign * u0, u2, 1.2 * sign, 0.4, 5e-3, 400)
    assert torch.cdist(trained, plane_path(u0, -sign * u0, u2, 1.2 * sign, 0.4, 20001)).amin(1).max() < 3e-2
