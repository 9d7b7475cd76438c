"""What lesson 03 writes out, and the numbers that its text states, against the library and against plain autograd."""

import numpy as np
import pytest
import torch

from regimes.online_sgd import overlap_chain
from regimes.population_risk import overlap_risk
from regimes.theory import sgd_phases as theory
from regimes.theory.online_sgd import integrate
from regimes.theory.symmetric_committee import escape_time
from regimes_course.lesson03 import experiments, figures
from tests.lessons import cells


@pytest.fixture(scope="module")
def lesson():
    """The names and what is printed after each idea cell, and the text."""
    source = cells.lesson("03")
    after = [names | {"said": said} for names, said in cells.run(source, cells.is_idea, np=np)]
    return after, " ".join(cells.prose(source).replace("# ", "").split())


def test_sgd_of_the_cell_is_that_of_the_pictures(lesson):
    W, T = experiments.beginning(50)
    same = experiments.sgd(W, T, 1.0, 0.004, 7_500, np.random.default_rng(4))
    np.testing.assert_array_equal(lesson[0][0]["P"], same)
    assert "0.3 and 0.1, or 0.1 and 0.2," in lesson[1]
    np.testing.assert_allclose(W @ T.T, [[0.3, 0.1], [0.1, 0.2]])
    np.testing.assert_allclose(W @ W.T - (W @ T.T) @ (W @ T.T).T, np.eye(2))


def test_a_step_is_the_gradient():
    """Of the squared error of one sample, for a mean of units: times the number of units, since eta is gamma / p."""
    rng, T = np.random.default_rng(5), np.eye(2, 7)
    W = rng.standard_normal((3, 7))
    moved = experiments.sgd(W, T, 0.7, 0.0, 1, np.random.default_rng(1))[0]
    x = torch.tensor(np.random.default_rng(1).standard_normal(7))
    start = torch.tensor(W, requires_grad=True)
    error = torch.erf(torch.tensor(T) @ x / 2**0.5).mean() - torch.erf(start @ x / 2**0.5).mean()
    (slope,) = torch.autograd.grad(error**2 / 2, [start])
    np.testing.assert_allclose(moved, W - 0.7 * 3 / 7 * slope.numpy(), atol=1e-14)


def test_the_risk_is_that_of_the_library():
    W, T = np.random.default_rng(2).standard_normal((4, 3, 9)), np.eye(2, 9)
    literal = overlap_risk(torch.tensor(W @ np.swapaxes(W, 1, 2)), torch.tensor(W @ T.T))
    np.testing.assert_allclose(experiments.risk(W, T), literal, rtol=1e-12)


def test_the_equations_of_the_cell_are_those_of_the_library(lesson):
    names = lesson[0][1]
    W, T = experiments.beginning(50)
    exact = integrate(W @ W.T, W @ T.T, names["t"], eta=names["eta"], label_noise=names["noise"])
    assert np.abs(np.array(names["path"]) - exact.M).max() < 0.03  # 40,000 samples, and steps of time 1/2
    assert "40,000" in lesson[1]


def test_sgd_follows_them_at_twice_the_steps():
    """Over 32 runs: the mean overlaps after 60 d steps do not depend on d, and are those of the equations."""
    W, T = experiments.beginning(50)
    exact = integrate(W @ W.T, W @ T.T, [0, 60], eta=1.0, label_noise=0.004).M[-1]
    for d in (50, 100):
        M = overlap_chain(W @ W.T, W @ T.T, d, 1.0, 60 * d, label_noise=0.004, runs=64).measured["M"][-1].mean(0)
        np.testing.assert_allclose(M, exact, atol=0.04)


def test_the_first_rest(lesson):
    names = lesson[0][2]
    assert names["R1"] == pytest.approx(theory.unspecialised_plateau(2), rel=1e-12)
    assert "2.90e-3 for k = 2" in lesson[1] and f"{names['R1']:.2e}" == "2.90e-03"
    for d, path in names["paths"].items():
        assert f"d = {d:,}: the risk is below R1 / 2 at t = {escape_time(d, 2, 2):.0f}" in names["said"]
        np.testing.assert_allclose(path.M[0], np.eye(2) / d**0.5)


def test_the_floor_and_its_pole(lesson):
    names = lesson[0][3]
    A, B = names["A"], names["B"]
    z = torch.tensor(np.polynomial.hermite_e.hermegauss(80)[0])
    weight = torch.tensor(np.polynomial.hermite_e.hermegauss(80)[1]) / (2 * np.pi) ** 0.5
    squared = torch.tensor(experiments.slope(z.numpy())) ** 2
    assert ((weight * squared).sum().item(), (weight * squared**2).sum().item()) == pytest.approx((A, B), rel=1e-6)
    assert 2 * A / B == pytest.approx(np.pi * (5 / 3) ** 0.5)
    assert 2 * A / B == pytest.approx(theory.critical_eta(1), rel=1e-6)
    for eta, measured in names["measured"].items():
        floor = eta * A / 2 / (1 - eta * B / (2 * A)) / 2
        ode = integrate(np.eye(1), np.eye(1), [0, 1000], eta=eta, label_noise=1e-5, rtol=1e-9).risk[-1]
        assert ode == pytest.approx(1e-5 * floor, rel=2e-3)
        assert f"R2 = {0.004 * floor:.2e}" in names["said"] and measured == pytest.approx(0.004 * floor, rel=0.1)


def test_for_many_units_the_fraction_is_that_of_the_library():
    """An approximation: the ODE over it comes near to one as units are added."""
    off = []
    for k in (1, 4, 8):
        ode = integrate(np.eye(k), np.eye(k), [0, 600], eta=1.0, label_noise=1e-3).risk[-1]
        off.append(abs(ode / theory.noise_plateau(1.0, 1e-3) - 1))
    assert off[0] > 0.07 > 0.02 > off[1] > off[2]


def test_a_sum_is_a_mean_with_a_larger_step():
    """With the learning rate gamma: p times a mean with eta = gamma p and labels p times smaller, sample by sample."""
    p, d, gamma, rng = 4, 6, 0.3, np.random.default_rng(3)
    W, x, label = torch.tensor(rng.standard_normal((p, d)), requires_grad=True), torch.tensor(rng.standard_normal(d)), 0.8
    total = torch.erf(W @ x / 2**0.5).sum()
    (slope,) = torch.autograd.grad((label - total) ** 2 / 2, [W])
    mean = torch.erf(W @ x / 2**0.5).mean()
    step = gamma * p * (label / p - mean) * torch.outer(torch.tensor(experiments.slope((W @ x).detach().numpy())), x)
    torch.testing.assert_close(-gamma * slope, step)


def test_the_first_picture_is_no_lucky_seed():
    T = np.eye(2, 50)
    for seed in (0, 1, 2, 6):
        plain, early, late = figures.cuts(seed)
        R = [experiments.risk(path, T) for path in (plain, early, late)]
        level = theory.unspecialised_plateau(2)
        assert R[0][1_500:2_500].mean() > 1.4 * level and R[0][11_500:].mean() < level / 4  # leaves rest 1, reaches rest 2
        assert R[1][-500:].min() > level / 2 and R[1][-500:].mean() < 0.8 * R[1][:50].mean()  # lower at once, then it stays
        assert R[2][-500:].mean() < R[0][-500:].mean() / 4


def test_past_the_pole_the_units_grow():
    for eta, runs in figures.past().items():
        ends = [experiments.risk(path[-1], np.eye(2, 50)) for path in runs]
        sizes = [np.linalg.norm(path[-1], axis=1).max() for path in runs]
        above = eta > theory.critical_eta(2)
        assert min(ends) > 1e-3 and min(sizes) > 1.1 if above else max(ends) < 1e-7 and max(sizes) < 1.01
    assert 4.4 < theory.critical_eta(2) < 5.0 < np.pi * 3**0.5  # both are below the pole of the formula for many units
