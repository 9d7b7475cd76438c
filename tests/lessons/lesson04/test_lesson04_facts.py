"""Whether what exercises 1 to 4 of lesson 04 say is true: the rate, the distance, where a start ends, the hints."""

import numpy as np
import pytest
import torch

from regimes.linear_network import imbalance as spectrum
from regimes.metrics import row_space
from regimes.theory import min_norm
from regimes_course.kit.checking import random
from regimes_course.kit.numbers import numbers
from regimes_course.lesson04.checks import invariant, starts
from regimes_course.lesson04.checks.distance import DISTANCE_FROM_LAST_LAYER
from regimes_course.lesson04.checks.imbalance import IMBALANCE_LEVEL, levels, rank
from regimes_course.lesson04.checks.invariant import trained
from regimes_course.lesson04.checks.sizes import START_SIZES

LEVELS, DISTANCE = IMBALANCE_LEVEL.reference, DISTANCE_FROM_LAST_LAYER.reference


@pytest.mark.parametrize("seed", range(20))
def test_the_reference_is_the_theory(seed):
    n, d, m, q = (int(a) for a in torch.randint(1, 9, (4,), generator=torch.Generator().manual_seed(seed)))
    X, U, V = random(seed, n, d), random(seed + 100, d, m), random(seed + 200, q, m)
    theory = min_norm.imbalance_levels(spectrum(row_space(X).split(U)[0], V), rank(X), q)
    assert LEVELS(X, U, V) == pytest.approx(numbers(tuple(theory)), rel=1e-10, abs=1e-10)


def rate_over_bound(X, U, V, Y, level):
    """``-(dL/dt) / (L - L*)`` of the gradient flow over ``2 s_r^2 level``."""
    s = row_space(X).s
    R = X @ (row_space(X).min_norm(Y) - U @ V.T)
    rate = 2 * ((X.T @ R @ V).square().sum() + (R.T @ X @ U).square().sum()) / R.square().sum()
    return (rate / (2 * s[-1] ** 2 * level)).item()


def test_the_level_is_a_rate_that_is_kept_and_that_of_the_whole_u_is_not():
    right, whole = [], []
    for seed in range(200):
        X, U, V = random(seed, 3, 40), random(seed + 1000, 40, 12), random(seed + 2000, 2, 12)
        states = X, U, V, random(seed + 3000, 3, 2)
        right.append(rate_over_bound(*states, LEVELS(X, U, V)[0]))
        whole.append(rate_over_bound(*states, levels(U.T @ U - V.T @ V, rank(X), 2)[0]))
    assert min(right) >= 1 - 1e-12
    assert sum(ratio < 1 for ratio in whole) > 150


@pytest.mark.parametrize("label", list(START_SIZES.cases()))
def test_chosen_sizes_are_as_fast_and_as_near_as_asked(label):
    """Twenty starts: the slowest rate at the start is that of the last layer at least, and training ends as far away."""
    m, r, d, rate, distance = START_SIZES.cases()[label]
    (first, last), rates, ends = START_SIZES.reference(m, r, d, rate, distance), [], []
    for seed in range(20):
        X, U, V = torch.linalg.qr(random(0, d, r)).Q.T, first * random(seed + 1, d, m), last * random(seed + 100, 1, m)
        rates.append(2 * V.square().sum().item())
        Y = random(200, r, 1) / r**0.5 * rate / 20  # labels small enough for V to stay as long as it is
        ends.append(DISTANCE(X, U, trained(X, Y, U, V)[1]))
    assert np.mean(rates) == pytest.approx(rate, rel=0.1)
    assert np.mean(np.square(ends)) ** 0.5 == pytest.approx(distance, rel=0.15)


def steps(kind, X, Y, U, V):
    """U and V after training: "gradient descent", "stochastic", "momentum" or "Adam"."""
    U, V = torch.nn.Parameter(U), torch.nn.Parameter(V)
    make = {"momentum": lambda p: torch.optim.SGD(p, 0.01, momentum=0.9), "Adam": lambda p: torch.optim.Adam(p, 0.01)}
    optimizer = make.get(kind, lambda p: torch.optim.SGD(p, 0.01))([U, V])
    for k in range(1500):
        rows = [k % len(X)] if kind == "stochastic" else slice(None)
        optimizer.zero_grad()
        (0.5 * (X[rows] @ U @ V.T - Y[rows]).square().sum()).backward()
        optimizer.step()
    return U.detach(), V.detach()


@pytest.mark.parametrize("kind", ["gradient descent", "stochastic", "momentum", "Gauss-Newton", "Adam"])
def test_the_last_layer_tells_the_distance(kind):
    X, Y, U, V = random(0, 3, 7), random(1, 3, 2), 0.5 * random(2, 7, 12), 0.5 * random(3, 2, 12)
    U_end, V_end = trained(X, Y, U, V) if kind == "Gauss-Newton" else steps(kind, X, Y, U.clone(), V.clone())
    distance = (U_end @ V_end.T - torch.linalg.pinv(X) @ Y).norm().item()
    assert (X @ U_end @ V_end.T - Y).norm() < (1e-3 if kind == "Adam" else 1e-10)
    gap = abs(DISTANCE(X, U, V_end) - distance)
    assert gap > 0.05 if kind == "Adam" else gap < 1e-9


def test_a_step_of_the_check_is_the_shortest(monkeypatch):
    monkeypatch.setattr(invariant, "STEPS", 1)
    X, Y, U, V = random(0, 4, 7), random(1, 4, 2), random(2, 7, 3), random(3, 2, 3)

    def outputs(w):
        return (X @ w[:21].reshape(7, 3) @ w[21:].reshape(2, 3).T).reshape(-1)

    w = torch.cat([U.reshape(-1), V.reshape(-1)])
    J = torch.autograd.functional.jacobian(outputs, w)
    w = w + invariant.STEP * torch.linalg.pinv(J) @ (Y.reshape(-1) - outputs(w))
    U, V = trained(X, Y, U, V)
    torch.testing.assert_close(torch.cat([U.reshape(-1), V.reshape(-1)]), w, rtol=0, atol=1e-12)


OUTSIDE = {
    "generic": starts.random_pair,
    "zero output": starts.antisymmetric,
    "V = 0": starts.after(lambda X, U, V: (U, 0 * V), starts.random_pair),
    "only V U2^T": starts.only_vu,
    "only U1 U2^T": starts.only_uu,
    "coordinates": starts.by_coordinates,
}


@pytest.mark.parametrize("name", OUTSIDE)
def test_a_start_outside_the_set_ends_elsewhere(name):
    for seen in invariant.observe(OUTSIDE[name]):
        assert seen.residual < 1e-12 and seen.distance > 0.1


@pytest.mark.parametrize("shift", range(5))
def test_right_starts_do_not_hang_on_the_seed(shift):
    for start in (starts.split, starts.projected, starts.one_unit_outside, starts.only_last):
        seen = invariant.observe(lambda X, m, q, seed, start=start: start(X, m, q, seed + 10 * shift))
        assert invariant.solved(seen)


def test_numbers_come_in_many_forms():
    one = torch.tensor(2.0, dtype=torch.float64)
    assert numbers(one) == numbers(2) == numbers(2.0) == numbers(np.float64(2)) == numbers(one.clone().requires_grad_()) == 2.0
    assert numbers([one, 1e-20, 3, -1e-9]) == (2.0, 0.0, 3.0, -1e-9)
    assert numbers((0.0, 0.0)) == (0.0, 0.0) and numbers(()) == ()
    assert numbers(True) is True and numbers("2") == "2" and numbers(None) is None
    assert isinstance(numbers((one, torch.ones(2)))[1], torch.Tensor)


def test_the_hints_hold():
    cases = [exercise.cases() for exercise in (IMBALANCE_LEVEL, DISTANCE_FROM_LAST_LAYER)]
    (network, *_), (line, *_) = (list(c.values()) for c in cases)
    assert LEVELS(*network) == pytest.approx((5, 8, 12), rel=1e-12)
    assert DISTANCE(*line) == pytest.approx(5, rel=1e-12)
    assert spectrum(network[1][:2], network[2]).tolist() == pytest.approx([-16, -4, 1, 9], abs=1e-12)
