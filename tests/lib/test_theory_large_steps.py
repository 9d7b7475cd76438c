"""Thresholds, bounds and rates of large steps against brute force, and against random runs that must respect them."""

import math

import pytest
import torch
from scipy.special import lambertw

from regimes.losses import logistic
from regimes.metrics import phase_switch, rises, sharpness
from regimes.networks import ACTIVATIONS, TwoLayer, fix_signs, leaky
from regimes.optimizers import GradientDescent
from regimes.problems import digits_in_the_ball, separation, tug_of_war, two_points
from regimes.theory import large_steps as theory
from regimes.training import train
from regimes_course.lesson09.experiments import walk

DOUBLE = torch.float64
LEAKY = theory.CONSTANTS["leaky_softplus"]


def descend(net, x, y, eta, steps, **measure):
    return train(net, x, y, GradientDescent(net, eta, loss=logistic), steps, measure=measure)


def network(d, m, runs, seed, activation="leaky_softplus", **start):
    return fix_signs(TwoLayer(d, m, runs=runs, seed=seed, activation=activation, bias=False, **start))


# Constants of activations.


@pytest.mark.parametrize("name", theory.CONSTANTS)
def test_constants_are_those_on_a_fine_grid(name):
    z = torch.linspace(-60, 60, 480001, dtype=DOUBLE).requires_grad_()
    constants = theory.CONSTANTS[name]
    phi, slope = ACTIVATIONS[name](z)
    bend = torch.autograd.grad(slope.sum(), z)[0] if slope.requires_grad else torch.zeros_like(z)
    gap = (phi - z * slope).detach().abs()
    if math.isfinite(constants.kappa):
        assert gap.max().item() == pytest.approx(constants.kappa, abs=1e-6)
    else:
        assert gap.max() > 1000
    if math.isfinite(constants.beta):
        assert bend.abs().max().item() == pytest.approx(constants.beta, abs=1e-6)
    if math.isfinite(constants.lip):
        assert slope.max().item() == pytest.approx(constants.lip, abs=1e-6)
        assert slope.min().item() == pytest.approx(constants.alpha, abs=1e-6)
    if 0 < constants.at < 10:
        assert abs(z[gap.argmax()].abs().item() - constants.at) < 1e-3


def test_known_constants():
    wanted = {"softplus": 0.693147, "gelu": 0.293525, "silu": 0.439229, "leaky_softplus": 0.346574, "leaky_gelu": 0.146763}
    for name, kappa in wanted.items():
        assert theory.CONSTANTS[name].kappa == pytest.approx(kappa, abs=1e-6)
    assert [name for name, c in theory.CONSTANTS.items() if c.suits] == ["identity", "leaky_softplus", "leaky_gelu"]


@pytest.mark.parametrize("slope", [0.2, 0.5])
def test_the_constants_of_a_leak(slope):
    z = torch.linspace(-30, 30, 120001, dtype=DOUBLE)
    phi, dphi = leaky("silu", slope)(z)
    constants = theory.leaky(theory.CONSTANTS["silu"], slope)
    assert (phi - z * dphi).abs().max().item() == pytest.approx(constants.kappa, abs=1e-6)
    assert (dphi.min().item(), dphi.max().item()) == pytest.approx((constants.alpha, constants.lip), abs=1e-6)
    assert dphi.diff().abs().max().item() / (z[1] - z[0]).item() == pytest.approx(constants.beta, abs=1e-4)


# Thresholds.


@pytest.mark.parametrize(("eta", "lip", "beta"), [(1.0, 1.0, 0.0), (48.0, 1.0, 0.125), (7.0, 1.3, 0.4)])
def test_thresholds(eta, lip, beta):
    c = eta * (lip**2 + beta) * theory.stable_threshold(eta, lip, beta)
    assert c * math.exp(c) == pytest.approx(2, rel=1e-12)
    assert theory.local_threshold(eta, lip, beta) == pytest.approx(2 / (eta * (lip**2 + beta)))


def test_known_thresholds_and_many_at_once():
    assert theory.stable_threshold(1.0) == pytest.approx(0.8526055)
    assert theory.stable_threshold(2.0, 1.0, 0.125) == pytest.approx(0.7578716 / 2, rel=1e-6)
    eta = torch.tensor([1.0, 4.0], dtype=DOUBLE)
    assert torch.allclose(theory.stable_threshold(eta), 0.8526055 / eta)


@pytest.mark.parametrize("call", [theory.stable_threshold, theory.local_threshold])
@pytest.mark.parametrize("eta", [0.0, -1.0, torch.tensor([1.0, -2.0])])
def test_a_step_is_positive(call, eta):
    with pytest.raises(ValueError, match="the step eta must be positive; got"):
        call(eta)


@pytest.fixture(scope="module")
def logistic_runs():
    """Logistic regression on 200 random pairs of points."""
    u, v = torch.rand(2, 200, generator=torch.Generator().manual_seed(1), dtype=DOUBLE)
    gamma, eta = 0.02 + 0.5 * u, 10 ** (0.3 + 3 * v)
    net = network(2, 1, (200,), torch.arange(200), "identity", std=4.0)
    x, y = two_points(gamma)
    S = {"S": lambda net: sharpness(net, x, y, loss=logistic)}
    return eta, descend(net, x, y, eta, 200, **S), 1.0


@pytest.fixture(scope="module")
def network_runs():
    """Networks on the tug-of-war data and on digits, which the theory takes as they are: inputs of length at most one."""
    eta = 10 ** (0.5 + 2.5 * torch.rand(60, generator=torch.Generator().manual_seed(2), dtype=DOUBLE))
    net = network(2, 8, (60,), torch.arange(60), std=2.0)
    x, y = tug_of_war(torch.linspace(0.05, 0.5, 60, dtype=DOUBLE))
    return eta, descend(net, x, y, eta, 200), LEAKY.lip**2 + LEAKY.beta


@pytest.mark.parametrize("runs", ["logistic_runs", "network_runs"])
def test_nothing_rises_from_below_the_stable_threshold(runs, request):
    eta, trace, factor = request.getfixturevalue(runs)
    L, rose = trace.loss, rises(trace.loss)
    assert rose.any(0).sum() > 20  # there is something to hold against
    below = L[:-1] <= theory.stable_threshold(eta, 1.0, factor - 1)
    assert below.any(0).sum() > 20 and not (rose & below).any()
    assert not (~below[1:] & below[:-1]).any()  # once below, for ever
    assert (eta * factor * L[:-1])[rose].min() > 3  # and it is careful


@pytest.mark.parametrize("runs", ["logistic_runs", "network_runs"])
def test_no_step_raises_the_risk_by_more_than_the_exponential_of_c(runs, request):
    eta, trace, factor = request.getfixturevalue(runs)
    c = eta * factor * trace.loss[:-1]
    assert ((trace.loss[1:] / trace.loss[:-1]).log() <= c * (1 + 1e-9)).all()


def test_curvature_is_bounded_by_the_risk(logistic_runs):
    _, trace, factor = logistic_runs
    assert (trace.measured["S"] <= factor * trace.loss * (1 + 1e-9)).all()


@pytest.mark.parametrize("activation", ["leaky_softplus", "gelu", "silu", "tanh"])
def test_curvature_is_bounded_by_the_risk_in_networks(activation):
    constants = theory.CONSTANTS[activation]
    std = torch.logspace(-1, 1.5, 20, dtype=DOUBLE)
    net = network(5, 7, (20,), torch.arange(20), activation, std=std)
    x = torch.randn(12, 5, generator=torch.Generator().manual_seed(3), dtype=DOUBLE)
    x, y = x / x.norm(dim=-1).max(), torch.tensor([1.0, -1.0] * 6, dtype=DOUBLE)
    with torch.no_grad():
        L = logistic.value(net(x), y, 12)
    assert (sharpness(net, x, y, loss=logistic) <= (constants.lip**2 + constants.beta) * L).all()


# Two points.


@pytest.mark.parametrize("gamma", [0.025, 0.05, 0.1, 0.2, 0.3])
def test_the_first_rise_against_the_first_step(gamma):
    eta = theory.first_rise(gamma)
    for factor, up in ((1 - 1e-6, False), (1 + 1e-6, True)):
        L = walk(gamma, factor * eta, 1)
        assert (L[1] > L[0]) == up


@pytest.mark.parametrize(("gamma", "largest"), [(0.025, 14.26), (0.05, 14.72), (0.1, 16.68)])
def test_the_first_step_decides_for_small_margins(gamma, largest):
    eta = theory.first_rise(gamma)
    assert eta == pytest.approx(largest, abs=0.02)
    assert not rises(walk(gamma, 0.999 * eta, 3000)).any()


def test_a_later_step_decides_at_a_larger_margin():
    assert not rises(walk(0.2, 21.85, 500)).any() and rises(walk(0.2, 21.95, 500)).any()
    assert theory.first_rise(0.2) > 26


@pytest.mark.parametrize("bad", [0.0, -0.1, 1 / 3, 0.9])
def test_the_first_rise_needs_a_small_margin(bad):
    with pytest.raises(ValueError, match="strictly between 0 and 1/3; got"):
        theory.first_rise(bad)


def test_the_transition_bound_literally():
    for eta, gamma, n in ((0.5, 0.1, 4), (16.0, 0.05, 2), (1e-3, 0.2, 50)):
        r = (eta + n) / eta
        wanted = 60 / gamma**2 * max(eta, n, math.e, r * math.log(r))
        assert theory.transition_bound(eta, gamma, n).item() == pytest.approx(wanted, rel=1e-12)
    eta = torch.tensor([4.0, 1024.0], dtype=DOUBLE)
    assert theory.transition_bound(eta, 0.1, 2).shape == (2,)


@pytest.mark.parametrize("gamma", [0.05, 0.1, 0.2])
def test_the_first_phase_is_over_long_before_its_bound(gamma):
    for eta in (16.0, 64.0, 1024.0):
        L = walk(gamma, eta, 2500)
        last = phase_switch(L, 1 / eta).last_increase.item()
        assert last * 1000 < theory.transition_bound(eta, gamma, 2) and last < 0.17 / gamma**2


def test_the_asymptote_is_the_late_risk_of_a_recursion():
    """``q <- q + eta gamma^2 e^-q``, to which the two points settle."""
    q, eta, gamma = 0.0, 3.0, 0.4
    for _ in range(200_000):
        q += eta * gamma**2 * math.exp(-q)
    assert math.exp(-q) / theory.asymptotic_risk(200_000, eta, gamma).item() == pytest.approx(1, rel=1e-3)


def test_the_asymptote_of_two_points():
    for gamma, eta, steps, within in ((0.05, 32.0, 20000, 0.005), (0.1, 32.0, 8000, 0.005), (0.1, 4.0, 8000, 0.02)):
        ratio = walk(gamma, eta, steps)[-1] / theory.asymptotic_risk(steps, eta, gamma)
        assert ratio.item() == pytest.approx(1, abs=within)


# Bounds along runs.


def test_the_average_bounds_literally():
    t, eta, gamma, alpha, kappa, start = 700, 5.0, 0.3, 0.5, 0.35, 1.7
    x = gamma**2 * eta * t
    top = 1 + 4 * math.log(x) ** 2 / alpha**2 + 4 * kappa**2 / alpha**2 + eta**2 / (2 * alpha**2)
    wanted = top / x + start / (eta * t)
    assert theory.average_risk_bound(t, eta, gamma, alpha, kappa, start).item() == pytest.approx(wanted, rel=1e-12)
    wanted = (1 + math.log(x) ** 2 + eta**2 / 4) / x
    assert theory.logistic_average_bound(t, eta, gamma).item() == pytest.approx(wanted, rel=1e-12)


@pytest.mark.parametrize("bound", [theory.average_risk_bound, theory.logistic_average_bound])
def test_a_bound_that_does_not_hold_yet_is_infinite(bound):
    t = torch.tensor([1, 19, 21])
    assert bound(t, 5.0, 0.1).isinf().tolist() == [True, True, False]


@pytest.mark.parametrize("gamma", [0.05, 0.2])
def test_the_average_risk_of_logistic_regression(gamma):
    t = torch.arange(1, 2001)
    for eta in (4.0, 14.0, 32.0, 256.0, 1024.0):
        average = walk(gamma, eta, 1999).cumsum(0) / t
        assert (average <= theory.logistic_average_bound(t, eta, gamma)).all()


@pytest.mark.parametrize("data", ["tug 0.1", "tug 0.2", "digits"])
def test_the_average_risk_of_networks(data):
    """Twenty runs in all, with small and with large steps."""
    if data == "digits":
        problem = digits_in_the_ball(n=40, seed=0)
        x, y = problem.x, problem.y
    else:
        x, y = tug_of_war(float(data[-3:]))
    gamma, eta = separation(x, y).margin, torch.tensor([4.0, 16.0, 48.0, 96.0, 256.0, 512.0, 1024.0], dtype=DOUBLE)
    net = network(x.shape[-1], 10, (7,), torch.arange(7))
    start = net.W.detach().square().sum((-1, -2)) / 10
    t = torch.arange(1, 301)[:, None]
    average = descend(net, x, y, eta, 299).loss.cumsum(0) / t
    bound = theory.average_risk_bound(t, eta, gamma, LEAKY.alpha, LEAKY.kappa, start)
    assert (average <= bound).all() and (bound < math.inf).any()


def test_the_stable_bound_is_that_of_its_recursion():
    L, eta, gamma, alpha = 0.3, 2.0, 0.2, 0.5
    for t in range(1, 2000):
        L -= eta * (alpha * gamma * L) ** 2 / 8
        assert L <= theory.stable_risk_bound(t, eta, gamma, alpha).item()
    assert L / theory.stable_risk_bound(1999, eta, gamma, alpha).item() > 0.1


@pytest.mark.parametrize("g", [0.2, 0.4])
def test_the_stable_bound_along_runs(g):
    x, y = tug_of_war(g)
    eta = torch.tensor([8.0, 48.0, 256.0], dtype=DOUBLE)
    L = descend(network(2, 10, (3,), torch.arange(3)), x, y, eta, 1500).loss
    safe = (float(lambertw(1).real) / (eta * (LEAKY.lip**2 + LEAKY.beta))).clamp(max=math.log(2) / 4)
    since = phase_switch(L, safe).first_below
    assert (since >= 0).all()
    for i, s in enumerate(since.tolist()):
        late = L[s + 1 :, i]
        bound = theory.stable_risk_bound(torch.arange(1, len(late) + 1), eta[i].item(), separation(x, y).margin, LEAKY.alpha)
        assert (late <= bound).all() and not rises(L[s:, i]).any()
