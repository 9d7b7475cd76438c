"""Slips and solutions that the exercises of lesson 09 do not list: rejected and accepted all the same."""

import math
from functools import cache

import numpy as np
import pytest
import torch
from scipy.optimize import fsolve
from scipy.special import lambertw

from regimes.metrics import phase_switch
from regimes.problems import two_points
from regimes.theory import large_steps as theory
from regimes_course.lesson09 import experiments
from regimes_course.lesson09.checks import best, largest
from regimes_course.lesson09.checks.perceptron import PERCEPTRON_STEPS, two
from regimes_course.lesson09.experiments import descend, walk


def gap(value=lambda phi, dphi, z: phi(z) - z * dphi(z), end=lambda g: g.abs().max()):
    return lambda phi, dphi, z: end(value(phi, dphi, z))


def verdicts(**changes):
    right = {"softplus": "c", "GELU": "c", "SiLU": "c", "tanh": "c", "ReLU": "bc", "z**2": "ac", "leaky softplus": ""}
    return lambda: right | {name.replace("leaky", "leaky softplus"): value for name, value in changes.items()}


def switched(
    up=lambda L: L[1:] > L[:-1] * (1 + 1e-10), below=lambda L, eta: L <= 1 / eta, make=lambda last, first: (last, first)
):
    def answer(L, eta):
        rose, low = torch.nonzero(up(L))[:, 0], torch.nonzero(below(L, eta))[:, 0]
        return make(rose[-1].item() + 1 if len(rose) else 0, low[0].item() if len(low) else -1)

    return answer


def loop(L, eta):
    values, last, first = L.tolist(), 0, -1
    for t in range(1, len(values)):
        if values[t] / values[t - 1] > 1 + 1e-10:
            last = t
    for t in reversed(range(len(values))):
        if values[t] <= 1 / eta:
            first = t
    return [last, first]


def library(L, eta):
    return tuple(k.item() for k in phase_switch(L, 1 / eta))


def scan(start=8.0, step=0.02, rises=lambda L: bool((L[1:] > L[:-1] * (1 + 1e-10)).any()), steps=400):
    def answer(gamma):
        eta = start
        while not rises(walk(gamma, eta, steps)):
            eta += step
        return eta - step

    return answer


scanned = cache(scan())


def threshold(c):
    return lambda eta, lip, beta: c / (eta * (lip**2 + beta))


def perceptron(Z, push, most=20_000):
    w = torch.zeros(Z.shape[1], dtype=Z.dtype)
    for steps in range(most):
        if (Z @ w > 0).all():
            return steps
        w = w + push(Z @ w).to(Z.dtype) @ Z / len(Z)
    return most


def numpy_perceptron(Z):
    w, steps = np.zeros(Z.shape[1]), 0
    while not (Z @ w > 0).all():
        w, steps = w + np.heaviside(-(Z @ w), 0.5) @ Z, steps + 1
    return steps


W2 = float(lambertw(2).real)

# What is wrong, the mistake it is recognised as (None: the general diagnosis), the answer.
WRONG = {
    "near_homogeneity_gap": [
        ("at one", None, lambda phi, dphi, z: (phi(torch.ones_like(z[0])) - dphi(torch.ones_like(z[0]))).abs()),
        ("squared", "squared", gap(end=lambda g: g.square().max())),
        ("range", None, gap(end=lambda g: g.max() - g.min())),
        ("where it is", "where it is", lambda phi, dphi, z: z[(phi(z) - z * dphi(z)).abs().argmax()]),
        ("own grid", None, lambda phi, dphi, z: gap()(phi, dphi, torch.linspace(-2.5, 2.5, 501, dtype=z.dtype))),
        ("positive half", "another grid", lambda phi, dphi, z: gap()(phi, dphi, z[z >= 0])),
        ("smallest", None, gap(end=lambda g: g.abs().min())),
        ("signed smallest", None, gap(end=lambda g: g.min())),
    ],
    "classify": [
        ("a list", None, lambda: ["c"] * 7),
        ("sets", None, verdicts(ReLU={"b", "c"})),
        ("a missing key", None, lambda: {"softplus": "c"}),
        ("another letter", None, verdicts(tanh="d")),
        ("all fail", "ReLU has a gap", lambda: dict.fromkeys(verdicts()(), "abc")),
        ("none fails", "tanh suits", lambda: dict.fromkeys(verdicts()(), "")),
        ("tanh has a gap", "a gap without a bound", verdicts(tanh="ac")),
        ("SiLU only", "GELU or SiLU suits", verdicts(SiLU="")),
        ("GELU with a kink", "smooth ones with a kink", verdicts(GELU="bc")),
        ("leaky has a gap", "a gap without a bound", verdicts(leaky="a")),
    ],
    "phase_switch": [
        ("a tolerance of a percent", "a rise too few", switched(up=lambda L: L[1:] > 1.05 * L[:-1])),
        ("against the start", "above the start", switched(up=lambda L: L[1:] > L[0])),
        ("largest", None, switched(up=lambda L: L[1:] == L.max())),
        ("half of 1/eta", "the threshold", switched(below=lambda L, eta: L <= 0.5 / eta)),
        ("threshold of the lemma", "the threshold", switched(below=lambda L, eta: L <= 0.8526 / eta)),
        ("falls", "a rise too many", switched(up=lambda L: L[1:] < L[:-1])),
        ("the first phase is not looked for", "a rise too few", switched(make=lambda last, first: (0, first))),
    ],
    "largest_monotone_eta": [
        ("negative", None, lambda gamma: -14 - gamma),
        ("rounded", None, lambda gamma: round(scanned(gamma))),
        ("steps of one half", None, scan(step=0.5)),
        ("a smaller start", None, lambda gamma: 0.95 * scanned(gamma)),
        ("theory", "the first step only", lambda gamma: theory.first_rise(min(gamma, 0.3))),
        ("curvature with the margin", "one over the curvature", lambda gamma: largest._start(gamma, 1.0)),
        ("one number", "the same for every margin", lambda gamma: 16),
        ("three percent too far", "a step too far", lambda gamma: 1.03 * scanned(gamma)),
        ("1 / gamma^2", None, lambda gamma: 1 / gamma**2),
    ],
    "perceptron_steps": [
        ("nothing", "undecided points are right", lambda Z: 0),
        ("the bound", None, lambda Z: round(len(Z) / Z[:, 0].min().item() ** 2)),
        ("a quarter of undecided ones", None, lambda Z: perceptron(Z, lambda q: (q < 0) + 0.25 * (q == 0))),
        ("soft", None, lambda Z: perceptron(Z, lambda q: torch.sigmoid(-10 * q))),
        ("the hinge", None, lambda Z: perceptron(Z, lambda q: (q < 1).double())),
        ("how far they are wrong", None, lambda Z: perceptron(Z, lambda q: (0.01 - q).clamp(min=0))),
    ],
    "best_eta": [
        ("zero", "not a step", lambda gamma, T, risk: 0.0),
        ("a constant", None, lambda gamma, T, risk: 20.0),
        ("14", "monotone", lambda gamma, T, risk: 14),
        ("2 over it", "too bold", lambda gamma, T, risk: 2 / (gamma**2 * T * risk)),
        ("huge", "too bold", lambda gamma, T, risk: 1e5),
        ("tiny", "too timid", lambda gamma, T, risk: 0.1),
        ("the corollary", "too timid", lambda gamma, T, risk: gamma**2 * T / 120),
        ("a quarter too large", "too bold", lambda gamma, T, risk: 1.25 / (gamma**2 * T * risk)),
    ],
    "stable_threshold": [
        ("W(2) squared", "another constant", threshold(W2**2)),
        ("two digits", None, threshold(0.85)),
        ("e^W", "another constant", threshold(math.exp(W2))),
        ("a half", "another constant", threshold(0.5)),
        ("beta squared", "right without an activation", lambda eta, lip, beta: W2 / (eta * (lip**2 + beta**2))),
        ("the product", "right without an activation", lambda eta, lip, beta: W2 / (eta * (lip**2 * (1 + beta)))),
        ("without the square and the beta", "right without an activation", lambda eta, lip, beta: W2 / (eta * lip)),
        ("the other bound", "local", lambda eta, lip, beta: theory.local_threshold(eta, lip, beta)),
    ],
}
RIGHT = {
    "near_homogeneity_gap": {
        "both signs": gap(end=lambda g: torch.stack([g, -g]).max()),
        "sorted": gap(end=lambda g: g.abs().sort().values[-1]),
        "numpy": lambda phi, dphi, z: torch.tensor(np.abs((phi(z) - z * dphi(z)).numpy()).max()),
    },
    "classify": {"with spaces of time": verdicts(), "upside down": verdicts(ReLU="cb", **{"z**2": "ca"})},
    "phase_switch": {"a loop": loop, "the library": library, "a list": switched(make=lambda last, first: [last, first])},
    "largest_monotone_eta": {
        "a scan": scanned,
        "a scan from above the start": scan(start=13.0),
        "naive rises": scan(rises=lambda L: bool((L.diff() > 0).any())),
        "NumPy's number": lambda gamma: np.float64(scanned(gamma)),
        "fewer steps": scan(steps=120),
    },
    "perceptron_steps": {
        "by signs": lambda Z: perceptron(Z, lambda q: 1 - q.sign()),
        "NumPy": lambda Z: numpy_perceptron(Z.numpy()),
    },
    "best_eta": {
        "a little smaller": lambda gamma, T, risk: 0.98 / (gamma**2 * T * risk),
        "a tenth larger": lambda gamma, T, risk: 1.1 / (gamma**2 * T * risk),
        "NumPy's": lambda gamma, T, risk: np.float64(1 / (gamma**2 * T * risk)),
        "rounded": lambda gamma, T, risk: round(1 / (gamma**2 * T * risk)),
        "the best of a grid": lambda gamma, T, risk: min(range(8, 50), key=lambda eta: abs(walk(gamma, eta, T)[-1] - risk)),
    },
    "stable_threshold": {
        "the constant": threshold(0.852605502),
        "fsolve": lambda eta, lip, beta: float(fsolve(lambda c: c * math.exp(c[0]) - 2, 1.0)[0]) / (eta * (lip**2 + beta)),
        "the library": theory.stable_threshold,
        "NumPy's": lambda eta, lip, beta: np.float64(threshold(W2)(eta, lip, beta)),
    },
}


def test_the_walk_is_gradient_descent():
    """Against autograd and a step by hand."""
    x, y = two_points(0.07)
    w, losses = torch.zeros(2, dtype=torch.float64, requires_grad=True), []
    for _ in range(30):
        L = torch.nn.functional.softplus(-y * (x @ w)).mean()
        losses.append(L.item())
        (slope,) = torch.autograd.grad(L, w)
        w = (w - 20.0 * slope).detach().requires_grad_()
    np.testing.assert_allclose(walk(0.07, 20.0, 29), losses, rtol=1e-9)


def test_the_runs_of_the_third_exercise_are_those_of_the_statement():
    assert library(walk(0.05, 32.0, 600), 32.0) == (63, 401)
    L = descend(((1.0, 0.1), (-2.0, 0.1)), 128.0, 20000)
    assert library(L, 128.0) == (60, 63) and L[-1] < 1e-16
    naive = (L[1:] > L[:-1]).nonzero()[:, 0] + 1
    assert len(naive) > 500 and naive[-1] > 15000  # how many exactly is a matter of rounding


@pytest.mark.parametrize(("gamma", "wanted"), [(0.025, 14.26), (0.05, 14.72), (0.1, 16.68), (0.2, 21.89)])
def test_the_largest_monotone_steps(gamma, wanted):
    assert largest.largest(gamma) == pytest.approx(wanted, abs=0.02)


def test_what_a_step_buys():
    """The law's step ends within the tolerance, and not at its edge; a fifth off does not."""
    ratios = [run.ratio for run in best.observe(best.law)]
    assert all(0.95 < ratio < 1.06 for ratio in ratios)
    for factor in (0.8, 1.25):
        assert not best.solved(best.observe(lambda *wanted, factor=factor: factor * best.law(*wanted)))


def test_the_exercises_perceptron_is_that_of_the_lesson():
    for gamma in (0.03, 0.07, 0.15):
        assert PERCEPTRON_STEPS.reference(two(gamma)) == experiments.perceptron(gamma)


def test_the_perceptron_predicts_the_last_rise():
    for gamma in (0.0125, 0.025, 0.05, 0.1, 0.2):
        last = phase_switch(walk(gamma, 4096.0, 1500), 1.0).last_increase.item()
        assert 0.7 < last / experiments.perceptron(gamma) < 1.4
