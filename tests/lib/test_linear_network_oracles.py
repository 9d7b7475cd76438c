"""Facts about two linear layers that lesson 04 stands on, each at its tolerance."""

import pytest
import torch

from regimes.directions import gauss_newton, gradient
from regimes.flows import Lorentz, RungeKutta4
from regimes.linear_network import draw_gram, follow_gram, gauss_newton_factor, gradient_factor, six_inits
from regimes.metrics import loss_on, row_space
from regimes.networks import TwoLayerLinear
from regimes.optimizers import GaussNewton, GradientDescent
from tests.lib.cases import normal, relative
from tests.lib.linear_cases import DATA, FACTORS, D, M, N, data, gram_of, lambda_of, network, state

# ---- what gradient descent and Gauss-Newton leave alone


class HeavyBall:
    """Torch's own, by autograd."""

    def __init__(self, net, lr):
        self.net, self.optimizer = net, torch.optim.SGD(net.parameters(), lr, momentum=0.9)

    def step(self, x, y):
        self.optimizer.zero_grad()
        ((self.net(x) - y).square().sum() / (2 * len(x))).backward()
        self.optimizer.step()


OPTIMIZERS = {
    "gradient descent": lambda net: GradientDescent(net, 0.05),
    "heavy ball": lambda net: HeavyBall(net, 0.01),
    "gauss-newton": lambda net: GaussNewton(net, 0.1, singular="drop"),
    "gauss-newton, damped": lambda net: GaussNewton(net, 0.1, damping=0.1),
}


@pytest.mark.parametrize("batches", [1, 2])
@pytest.mark.parametrize("q", [1, 3])
@pytest.mark.parametrize("name", ["independent rows", "dependent rows"])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_oracle_01_what_is_outside_the_row_space_never_moves(optimizer, name, q, batches):
    x, y = data(name, q)
    net, space = network(x, q), row_space(x)
    (inside, outside, _), first, optimizer = state(net, space), loss_on(net, x, y), OPTIMIZERS[optimizer](net)
    for k in range(60):
        rows = slice(k % batches, None, batches)
        optimizer.step(x[rows], y[rows])
    assert (state(net, space)[1] - outside).abs().max() < 1e-12
    assert relative(state(net, space)[0], inside) > 0.05 and loss_on(net, x, y) < first


def test_adam_moves_what_is_outside_the_row_space():
    x, y = data("independent rows", 3)
    net, space = network(x, 3), row_space(x)
    outside, adam = state(net, space)[1], torch.optim.Adam(net.parameters(), 1e-3)
    for _ in range(20):
        adam.zero_grad()
        loss = (net(x) - y).square().sum()
        loss.backward()
        adam.step()
    assert (state(net, space)[1] - outside).abs().max() > 1e-3


@pytest.mark.parametrize("q", [1, 3])
@pytest.mark.parametrize("name", DATA)
@pytest.mark.parametrize("make", [lambda net: GradientDescent(net, 0.2), lambda net: GaussNewton(net, 0.5, singular="drop")])
def test_oracle_02_the_drift_of_the_imbalance_is_the_square_of_the_step(make, name, q):
    x, y = data(name, q)
    net, space = network(x, q), row_space(x)
    (U1, _, V), optimizer = state(net, space), make(net)
    start, drift = lambda_of(U1, V), torch.zeros(M, M, dtype=torch.float64)
    for _ in range(30):
        optimizer.step(x, y)
        dU, dV = optimizer.last.tensors
        drift += optimizer.dt**2 * lambda_of(space.split(dU)[0], dV)
    U1, _, V = state(net, space)
    assert (lambda_of(U1, V) - start - drift).norm() < 1e-11
    assert drift.norm() > 1e-3 * start.norm()  # there is something to explain


def drift_of(make, steps):
    """``|Lambda(T) - Lambda(0)|`` of runs to the same time in ``steps`` steps, for each of them."""
    x, y = data("independent rows", 3)
    space, drifts = row_space(x), []
    for k in steps:
        net = network(x, 3)
        (U1, _, V), flow = state(net, space), make(net, 4.0 / k)
        for _ in range(k):
            flow.step(x, y)
        end = state(net, space)
        drifts.append((lambda_of(end[0], end[2]) - lambda_of(U1, V)).norm().item())
    return torch.tensor(drifts)


def test_oracle_03_the_drift_is_of_first_order_for_gradient_descent_and_of_fourth_for_runge_kutta():
    euler = drift_of(GradientDescent, [40, 80, 160, 320]).log2()
    runge_kutta = drift_of(lambda net, dt: RungeKutta4(net, gradient, dt), [20, 40, 80, 160]).log2()
    assert ((-euler.diff() > 0.9) & (-euler.diff() < 1.3)).all()
    assert ((-runge_kutta.diff() > 3.8) & (-runge_kutta.diff() < 5)).all()


def test_oracle_03_the_lorentz_step_does_not_drift_whatever_its_size():
    assert drift_of(Lorentz, [5, 40, 80]).max() < 1e-11


@pytest.mark.parametrize("q", [1, 3])
@pytest.mark.parametrize("name", ["independent rows", "dependent rows"])
@pytest.mark.parametrize(
    ("make", "steps"), [(lambda net: GradientDescent(net, 0.2), 3000), (lambda net: GaussNewton(net, 1.0, singular="drop"), 8)]
)
def test_oracle_04_the_distance_from_min_norm_is_what_the_last_layer_makes_of_the_frozen_part(make, steps, name, q):
    x, y = data(name, q)
    net, space = network(x, q), row_space(x)
    outside, optimizer = state(net, space)[1], make(net)
    for _ in range(steps):
        optimizer.step(x, y)
        if (x @ (net.predictor - space.min_norm(y))).square().sum() < 1e-21:
            break
    V, miss = net.V.detach(), net.predictor - space.min_norm(y)
    assert (x @ miss).square().sum() < 1e-20  # nothing is left to learn
    assert relative(miss, space.outside @ outside @ V.T) < 1e-9
    assert miss.norm() > 0.1


@pytest.mark.parametrize("make", [lambda net: GradientDescent(net, 0.3), lambda net: GaussNewton(net, 0.2)])
def test_only_starts_inside_the_invariant_set_end_at_min_norm(make):
    x, y = data("independent rows", 3)
    space = row_space(x)
    net = TwoLayerLinear.stack(six_inits(space, 3, M, 0.3, seed=5).values())
    optimizer = make(net)
    for _ in range(3000):
        if optimizer.step(x, y).max() < 1e-21:
            break
    distance = (net.predictor - space.min_norm(y)).norm(dim=(-2, -1))
    assert loss_on(net, x, y).max() < 1e-20
    assert (distance[:3] < 1e-9).all() and (distance[3:] > 0.1).all()


# ---- closing on the Gram matrix


def optimizer_of(name, net, step):
    """In the library's units: the time of the mean loss is ``n`` times that of the sum."""
    return GradientDescent(net, N * step) if name == "gradient descent" else GaussNewton(net, step)


@pytest.mark.parametrize("q", [1, 3])
@pytest.mark.parametrize("m", [5, 40, 256])
@pytest.mark.parametrize(("name", "step", "steps"), [("gradient descent", 0.02, 300), ("gauss-newton", 0.3, 12)])
def test_oracle_08_a_network_of_any_width_is_its_gram_matrix(name, step, steps, m, q):
    x, y = data("independent rows", q)
    net, space = network(x, q, width=m, std=m**-0.5), row_space(x)
    U1, _, V = state(net, space)
    G = follow_gram(gram_of(U1, V), FACTORS[name](space.s, space.target(y)), q, step, steps)
    start, optimizer = loss_on(net, x, y), optimizer_of(name, net, step)
    for _ in range(steps):
        optimizer.step(x, y)
    U1, _, V = state(net, space)
    assert relative(G, gram_of(U1, V)) < 1e-12 and loss_on(net, x, y) < 1e-2 * start


# ---- Gauss-Newton by a Sylvester equation


@pytest.mark.parametrize(("m", "q"), [(2, 1), (3, 3), (9, 1), (9, 3), (40, 1), (40, 3)])
@pytest.mark.parametrize("name", DATA)
def test_oracle_09_the_sylvester_equation_is_the_gauss_newton_direction(name, q, m):
    x, y = data(name, q)
    net, space = network(x, q, width=m, std=0.5), row_space(x)
    U1, _, V = state(net, space)
    F = gauss_newton_factor(space.s, space.target(y))(U1 @ V.T, U1 @ U1.T, V @ V.T)
    assert relative(U1 @ U1.T @ F + F @ V @ V.T, space.target(y) / space.s[:, None] - U1 @ V.T) < 1e-10
    dU, dV = (-t for t in gauss_newton(net, x, y, singular="drop").tensors)
    inside, outside = space.split(dU)
    assert relative(inside, F @ V) < 1e-10 and relative(dV, F.T @ U1) < 1e-10
    assert not outside.numel() or outside.abs().max() < 1e-12


@pytest.mark.parametrize(("a", "b"), [(1.0, 1.0), (1.3, 0.2), (0.01, 0.02)])
@pytest.mark.parametrize("q", [1, 3])
@pytest.mark.parametrize("name", ["independent rows", "dependent rows"])
def test_oracle_10_from_an_orthogonal_start_one_full_gauss_newton_step_is_enough(name, q, a, b):
    x, y = data(name, q)
    net, space = network(x, q), row_space(x)
    r = space.rank
    Q = torch.linalg.qr(normal(M, r + q, seed=6))[0].T
    with torch.no_grad():
        net.U.copy_(a * space.inside @ Q[:r] + space.outside @ normal(D - r, M, seed=7, std=0.1))
        net.V.copy_(b * Q[r:])
    wanted, optimizer = space.min_norm(y), GaussNewton(net, 1.0, singular="drop")
    optimizer.step(x, y)
    scale = (wanted.norm() / min(a, b)) ** 2  # the step overshoots from a small start, and so does its rounding
    assert (x @ (net.predictor - wanted)).square().sum() / (2 * len(x)) < 1e-24 * max(1, scale)
    length = q * b**2 + (a * wanted.norm() / (a**2 + b**2)) ** 2
    assert net.V.detach().square().sum().item() == pytest.approx(length.item(), rel=1e-10)


# ---- one unit, one input


@pytest.mark.parametrize(("u", "v", "y"), [(0.7, -0.4, 1.3), (1.5, 0.2, -0.8)])
@pytest.mark.parametrize(("make", "step"), [(GradientDescent, 0.3), (GaussNewton, 1.0), (GaussNewton, 0.4)])
def test_oracle_11_a_step_damps_the_imbalance_of_a_scalar_network(make, step, u, v, y):
    x, target = torch.ones(1, 1, dtype=torch.float64), torch.full((1, 1), y, dtype=torch.float64)
    net = TwoLayerLinear(1, 1, 1)
    with torch.no_grad():
        net.U.fill_(u), net.V.fill_(v)
    optimizer = make(net, step)
    for _ in range(4):
        u, v = net.U.item(), net.V.item()
        e = y - u * v if make is GradientDescent else (y - u * v) / (u**2 + v**2)
        optimizer.step(x, target)
        wanted = (u**2 - v**2) * (1 - step**2 * e**2)
        assert net.U.item() ** 2 - net.V.item() ** 2 == pytest.approx(wanted, abs=1e-13 * (u**2 + v**2 + wanted**2) + 1e-13)


# ---- how far from min-norm a random start ends


def test_oracle_12_given_the_last_layer_the_distance_has_the_law_of_the_frozen_part():
    """All runs share ``V`` and what is inside; only what is outside is drawn anew: Gaussian given ``V`` at the end."""
    runs, std = 2000, 0.17
    x, y = data("independent rows", 2)
    space, net = row_space(x), network(x, 2, width=15, runs=(runs,), std=std, seed=torch.full((runs,), 5))
    drawn = space.split(TwoLayerLinear(D, 2, 15, runs=(runs,), std=std, seed=torch.arange(runs)).U.detach())[1]
    with torch.no_grad():
        net.U.copy_(space.inside @ space.split(net.U)[0][0] + space.outside @ drawn)
    optimizer = GaussNewton(net, 0.5)
    for _ in range(40):
        optimizer.step(x, y)
    V, distance = net.V.detach()[0], (net.predictor - space.min_norm(y)).square().sum((-2, -1))
    assert loss_on(net, x, y).max() < 1e-20 and (net.V - V).abs().max() < 1e-10
    free, lengths = D - space.rank, torch.linalg.svdvals(V) ** 2
    expected, variance = free * std**2 * lengths.sum(), 2 * free * std**4 * lengths.square().sum()
    assert abs(distance.mean() - expected) < 4 * (variance / runs) ** 0.5
    assert distance.var().item() == pytest.approx(variance.item(), rel=0.2)


@pytest.mark.parametrize(
    ("alpha", "exponent"), [(0.15, 0.2), (0.3, -0.1), (0.4, -0.3), (0.5, -0.5), (0.75, -0.75), (1.0, -1.0)]
)
def test_the_exponent_of_the_distance_in_the_width(alpha, exponent):
    """By the conditional law: ``m ** -alpha |V|``, from Gram matrices followed to the end of training."""
    s, target = torch.ones(20, dtype=torch.float64), normal(20, 3, seed=2, mean=0.0, std=0.2)
    widths, roots = [2**k for k in (9, 11, 13, 15)], []
    for m in widths:
        step = 0.2 / max(1.0, m ** (1 - 2 * alpha))
        G = draw_gram(m, alpha, 23, 4, seed=1)
        G = follow_gram(G, gradient_factor(s, target), 3, step, 400)
        assert (G[..., 3:, :3] - target).abs().max() < 1e-6
        roots.append(m**-alpha * G[..., :3, :3].diagonal(dim1=-2, dim2=-1).sum(-1).mean() ** 0.5)
    k = torch.tensor(widths, dtype=torch.float64).log()
    slope = torch.linalg.lstsq(torch.stack([k, torch.ones_like(k)], 1), torch.stack(roots).log()[:, None]).solution[0].item()
    assert slope == pytest.approx(exponent, abs=0.04)
