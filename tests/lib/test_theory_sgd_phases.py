"""Regions, times and heights of plateaus, against the ODE and against values from elsewhere."""

import math
from itertools import pairwise

import numpy as np
import pytest

from regimes.theory import online_sgd
from regimes.theory.sgd_phases import (
    PHASES,
    critical_eta,
    fluctuation_exponent,
    noise_plateau,
    phase,
    published_phase,
    specialisation_rate,
    start_risk,
    step_to_time,
    unspecialised_plateau,
)

PERFECT, PLATEAU, BAD, NONE = PHASES
SEVEN = [
    ((0.0, 0.0), PLATEAU),
    ((0.1, 0.2), PERFECT),
    ((1.5, -1.5), PLATEAU),
    ((1.25, -1.5), BAD),
    ((1.1, -2.2), NONE),
    ((0.0, -0.5), NONE),
    ((0.3, -(0.1 + 0.2)), PLATEAU),  # 5.6e-17 in floating point
]


@pytest.mark.parametrize(("point", "name"), [*SEVEN, ((0.2, -0.7), NONE), ((0.7, -1.2 + 1e-9), BAD), ((0.0, -1e-9), BAD)])
def test_phase(point, name):
    assert phase(*point) == name


def test_the_published_rule_is_another_one_at_positive_kappa():
    for delta in (-0.6, -0.5, -0.3, 0.0, 0.3):
        assert published_phase(0.0, delta) == phase(0.0, delta)
    assert published_phase(1.25, -1.5) == NONE != phase(1.25, -1.5)
    assert published_phase(0.5, -0.8) == NONE and published_phase(0.5, -0.7) == BAD
    assert {published_phase(1.0, -1 - x) for x in (0.05, 0.2, 0.45)} == {NONE}


def test_a_width_does_not_shrink():
    with pytest.raises(ValueError, match="kappa >= 0; got -0.1"):
        phase(-0.1, 0.0)


@pytest.mark.parametrize(
    ("kappa", "delta", "time"), [(0.0, 0.0, 50.0), (0.25, 0.25, 5.0), (0.0, -0.25, 500.0), (1.0, -1.375, 5000 / 100**0.25)]
)
def test_step_to_time(kappa, delta, time):
    assert step_to_time(5000, 100, kappa, delta) == pytest.approx(time)


def test_there_is_no_time_without_an_ode():
    for delta in (-0.5, -2.0):
        with pytest.raises(ValueError, match="single steps are of order one"):
            step_to_time(5000, 100, 0.0, delta)


def test_time_is_the_sum_of_the_steps_and_in_bad_learning_that_times_eta():
    for delta, power in ((0.0, 0), (0.5, 0), (-0.3, 1)):
        eta = 100.0**-delta
        assert step_to_time(700, 100, 0.0, delta) == pytest.approx(eta * 700 / 100 * eta**power)


@pytest.mark.parametrize(("total", "exponent"), [(0.25, -0.625), (0, -0.5), (-0.125, -0.375), (-0.375, -0.125), (-0.5, 0)])
def test_fluctuations_are_the_root_of_a_step(total, exponent):
    assert fluctuation_exponent(total) == pytest.approx(exponent)
    if total > -0.5:
        one_step = [step_to_time(1, d, 0.0, total) for d in (1e3, 1e5)]
        assert math.log(one_step[1] / one_step[0]) / math.log(100) / 2 == pytest.approx(exponent)


def test_plateaus_in_numbers():
    heights = {2: 2.90271e-3, 3: 2.25518e-3, 4: 1.77358e-3, 8: 9.25991e-4}
    for k, height in heights.items():
        assert unspecialised_plateau(k) == pytest.approx(height, rel=2e-6)
    assert start_risk(8, 4) == 0.0625


@pytest.mark.parametrize(("k", "eta"), [(1, 4.0558), (2, 4.6137), (4, 4.9976)])
def test_critical_eta(k, eta):
    assert critical_eta(k) == pytest.approx(eta, abs=6e-5)


def test_below_the_critical_step_the_solution_attracts_and_beyond_it_repels():
    Q, M, k = 1.01 * np.eye(2), 0.99 * np.eye(2), 2
    for eta, low, high in ((0.97 * critical_eta(k), 0, 1e-5), (1.05 * critical_eta(k), 1e-3, 1)):
        path = online_sgd.integrate(Q, M, np.array([0.0, 600.0]), eta=eta)
        assert low <= path.risk[-1] <= high


@pytest.mark.parametrize(("p", "k"), [(4, 4), (8, 4)])
@pytest.mark.parametrize("eta", [0.1, 1.0])
def test_noise_plateau_is_where_the_ode_ends(p, k, eta):
    M = np.tile(np.eye(k), (p // k, 1))
    path = online_sgd.integrate(M @ M.T, M, np.array([0.0, 2000.0]), eta=eta, label_noise=1e-3)
    assert path.risk[-1] == pytest.approx(noise_plateau(eta, 1e-3), rel=0.02)


def test_noise_plateau_in_numbers():
    path = online_sgd.integrate(np.eye(4), 0.1 * np.eye(4), np.array([0.0, 2e4]), eta=1.0, label_noise=1e-3)
    assert path.risk[-1] == pytest.approx(1.14525e-4, rel=5e-3)
    assert noise_plateau(1.0, 1e-3) == pytest.approx(1.1258e-4, rel=1e-4)
    assert noise_plateau(2.0, 0.3) == pytest.approx(3 * noise_plateau(2.0, 0.1)) and noise_plateau(0.0, 1.0) == 0
    assert noise_plateau(1e-5, 1.0) == pytest.approx(0.091888e-5, rel=1e-4)


def test_noise_plateau_of_many_steps():
    etas = np.array([0.1, 1.0, 3.0])
    np.testing.assert_allclose(noise_plateau(etas, 0.2), [noise_plateau(float(e), 0.2) for e in etas], rtol=1e-15)
    with pytest.raises(ValueError, match="has no noise plateau"):
        noise_plateau(np.array([1.0, 6.0]), 0.2)


@pytest.mark.parametrize("eta", [math.pi * math.sqrt(3), 6.0, -0.1, math.nan])
def test_noise_plateau_refuses(eta):
    with pytest.raises(ValueError, match="has no noise plateau"):
        noise_plateau(eta, 1e-3)


def test_specialisation_grows_at_the_rate_of_the_linearised_flow():
    """From a start a little off the plateau the differences between teacher units grow by e^(rate t)."""
    p, k, rng = 3, 2, np.random.default_rng(0)
    off = 1e-6 * rng.standard_normal((p, k))
    M = np.full((p, k), (k * (2 * k - 1)) ** -0.5) + off  # on the plateau the units lie in the span of the teacher
    time = np.array([0.0, 60.0, 100.0])
    path = online_sgd.integrate(M @ M.T, M, time, eta=1.0, keep="drift", rtol=1e-10)
    split = np.abs(path.M[:, :, 0] - path.M[:, :, 1]).max(1)
    assert math.log(split[2] / split[1]) / 40 == pytest.approx(specialisation_rate(p, k), rel=0.01)


def test_specialisation_takes_longer_with_more_teachers():
    rates = [specialisation_rate(4, k) for k in (2, 3, 4)]
    assert all(a > b > 0 for a, b in pairwise(rates))
