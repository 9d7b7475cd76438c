"""Slips and solutions that the exercises of lesson 05 do not list: rejected and accepted all the same."""

import copy
import math

import numpy as np
import pytest
import torch

from regimes.metrics import refit
from regimes.networks import TwoLayer
from regimes.problems import teacher_student
from regimes_course.exercises import check
from regimes_course.lesson05.checks import explode
from regimes_course.lesson05.checks.refit import REFIT_LAST_LAYER
from regimes_course.lesson05.checks.rescale import observe


def spectral(Phi, y, weight):
    """v from the singular values of Phi / m, each weighted by some function of all of them."""
    U, s, Vh = torch.linalg.svd(Phi / Phi.shape[1], full_matrices=False)
    return Vh.T @ (weight(s) * (U.T @ y))


def last_layer(keep=lambda s, c: s**2 > c * s.max() ** 2, inverse=lambda s: 1 / s):
    return lambda Phi, y, c: spectral(Phi, y, lambda s: torch.where(keep(s, c), inverse(s), 0.0))


def centred(Phi, y, c):
    return last_layer()(Phi - Phi.mean(0), y, c)


def by_features(Phi, y, c):
    m = Phi.shape[1]
    lam, Q = torch.linalg.eigh(Phi.T @ Phi / m**2)
    Q, lam = Q[:, lam > c * lam[-1]], lam[lam > c * lam[-1]]
    return Q @ ((Q.T @ (Phi.T @ y / m)) / lam)


def label(hidden=lambda G, F: G > 10 and F > 3, visible=lambda G, F: F > 3, gap=lambda G, F: G > 10):
    def answer(test, refit, rf):
        G, F = test / refit, rf / refit
        if hidden(G, F):
            return "hidden learning"
        return "visible learning" if visible(G, F) else "gap only" if gap(G, F) else "lazy"

    return answer


def divided(number, change=lambda new: None, make=copy.deepcopy):
    def answer(net, k, eta):
        new = make(net)
        with torch.no_grad():
            new.v.copy_(net.v / number(k, eta))
            change(new)
        return new

    return answer


def share(k, eta):
    return 1 - (1 - eta) ** k


def another_network(net):
    return TwoLayer(net.inputs, net.width, seed=1)


def shallow(net, k, eta):
    new = copy.copy(net)
    new.v.data.div_(share(k, eta))
    return new


def plain_tensor(net, k, eta):
    new = copy.deepcopy(net)
    new.v = net.v / share(k, eta)
    return new


def twice_as_wide(net, k, eta):
    new = net.units(torch.arange(net.width).repeat(2))
    new.v.data.div_(share(k, eta))
    return new


def by_state(net, k, eta):
    state = {name: value.clone() for name, value in net.state_dict().items()}
    state["v"] *= 1 / share(k, eta)
    new = copy.deepcopy(net)
    new.load_state_dict(state)
    return new


def by_parameter(net, k, eta):
    new = copy.deepcopy(net)
    new.v = torch.nn.Parameter(net.v.detach() / share(k, eta))
    return new


def last_above(refits, factor):
    above = (refits > factor * refits[-1]).nonzero()
    return int(above.max()) + 1 if len(above) else 0


def settings(std, lr, damping):
    return lambda: {"std": std, "lr": lr, "damping": damping}


# What is wrong, the mistake it is recognised as (None: the general diagnosis), the answer.
WRONG = {
    "refit_last_layer": [
        ("eigenvalues not inverted", None, last_layer(inverse=lambda s: s)),
        ("divided by eigenvalues", None, last_layer(inverse=lambda s: 1 / s**2)),
        ("cut-off of the mean", "share of the sum", last_layer(keep=lambda s, c: s**2 > c * (s**2).mean())),
        ("cut-off of the sum", "share of the sum", last_layer(keep=lambda s, c: s**2 > c * (s**2).sum())),
        ("absolute cut-off on singular values", None, last_layer(keep=lambda s, c: s > c)),
        ("small ones kept", None, last_layer(keep=lambda s, c: s**2 <= c * s.max() ** 2)),
        ("small ones lifted", None, lambda Phi, y, c: spectral(Phi, y, lambda s: 1 / s.clamp(min=c**0.5 * s.max()))),
        ("features centred", None, centred),
        ("labels centred", None, lambda Phi, y, c: last_layer()(Phi, y - y.mean(), c)),
        ("a fixed cut-off", "cut-off ignored", lambda Phi, y, c: last_layer()(Phi, y, 1e-6)),
        ("normal equations", None, lambda Phi, y, c: Phi.shape[1] * torch.linalg.solve(Phi.T @ Phi, Phi.T @ y)),
        (
            "solve with the Gram matrix",
            "cut-off ignored",
            lambda Phi, y, c: Phi.T @ torch.linalg.solve(Phi @ Phi.T / Phi.shape[1], y),
        ),
        (
            "least squares by default",
            "cut-off ignored",
            lambda Phi, y, c: torch.linalg.lstsq(Phi / Phi.shape[1], y, driver="gelsd").solution,
        ),
        ("pinv with rtol", "cut-off on singular values", lambda Phi, y, c: torch.linalg.pinv(Phi / Phi.shape[1], rtol=c) @ y),
        ("transposed", None, lambda Phi, y, c: torch.linalg.pinv(Phi.T / len(Phi), rtol=c**0.5) @ y),
    ],
    "diagnose": [
        ("gap of 3", "thresholds swapped", label(hidden=lambda G, F: G > 3 and F > 3, gap=lambda G, F: G > 3)),
        ("gain of 10", "thresholds swapped", label(hidden=lambda G, F: G > 10 and F > 10, visible=lambda G, F: F > 10)),
        ("gain of 10 without a gap", None, label(visible=lambda G, F: F > 10)),
        ("losses below one assumed", None, lambda *losses: label()(*losses) if losses[0] < 1 else "lazy"),
        ("gap of 100", None, label(hidden=lambda G, F: G > 100 and F > 3, gap=lambda G, F: G > 100)),
        ("gain above 1", None, label(hidden=lambda G, F: G > 10 and F > 1, visible=lambda G, F: F > 1)),
        ("gain above gap", None, label(hidden=lambda G, F: F > G)),
        ("the product", None, label(hidden=lambda G, F: G * F > 30)),
        ("visible first", "cases thrown together", lambda *losses: label(hidden=lambda G, F: False)(*losses)),
        ("gap and gain", None, lambda test, refit, rf: (test / refit, rf / refit)),
        ("refit and rf exchanged", "gap to random features", lambda test, refit, rf: label()(test, rf, refit)),
        ("always hidden", "cases thrown together", lambda *losses: "hidden learning"),
    ],
    "learned_at": [
        ("counted from one", "one step off", lambda refits, factor: last_above(refits, factor) + 1),
        ("strictly from the end", None, lambda refits, factor: len(refits) - 1),
        ("the start", None, lambda refits, factor: 0),
        ("factor divided", "factor turned round", lambda refits, factor: last_above(refits, 1 / factor)),
        ("the next to last", None, lambda refits, factor: last_above(refits[:-1], factor)),
        ("the mean", None, lambda refits, factor: int((refits > factor * refits.mean()).sum())),
        ("how many are too high", "steps counted", lambda refits, factor: int((refits > factor * refits[-1]).sum())),
        ("a share of the run", None, lambda refits, factor: last_above(refits, factor) / len(refits)),
    ],
    "rescale": [
        ("a constant", None, divided(lambda k, eta: 0.5)),
        ("eta to the k", None, divided(lambda k, eta: 1 - eta**k)),
        ("root", None, divided(lambda k, eta: math.sqrt(share(k, eta)))),
        ("loss in continuous time", "loss for residual", divided(lambda k, eta: 1 - math.exp(-2 * k * eta))),
        ("one step fewer", "one step more or less", divided(lambda k, eta: share(k - 1, eta) if k > 1 else math.inf)),
        ("negative", "wrong sign", divided(lambda k, eta: -share(k, eta))),
        ("shallow copy", "in place", shallow),
        ("the outputs", "no network", lambda net, k, eta: lambda x: net(x) / share(k, eta)),
        ("fresh hidden weights", "all parameters", divided(share, make=another_network)),
        ("biases moved too", "all parameters", divided(share, lambda new: new.W[:, -1].add_(0.1))),
        ("hidden weights nudged", "all parameters", divided(share, lambda new: new.W.add_(1e-6))),
        ("a tensor for a parameter", None, plain_tensor),
        ("twice as wide", "all parameters", twice_as_wide),
        ("itself", "nothing done", lambda net, k, eta: net),
        ("a little off", None, divided(lambda k, eta: share(k, eta) * (1 + 1e-6))),
    ],
    "break_it": [
        ("the safe settings", "step too small", settings(0.1, 0.05, 5e-3)),
        ("a tuple", None, lambda: (0.05, 1.0, 1e-4)),
        ("texts", None, settings("0.05", "1", "1e-4")),
        ("another name", None, lambda: {"std": 0.05, "step": 1.0, "damping": 1e-4}),
        ("one more", None, lambda: {**settings(0.05, 1.0, 1e-4)(), "seed": 3}),
        ("not a number", "out of range", settings(math.nan, 1.0, 1e-4)),
        ("no spread", "out of range", settings(0.0, 1.0, 1e-4)),
        ("a step back", "out of range", settings(0.05, -1.0, 1e-4)),
        ("infinite damping", "out of range", settings(0.05, 1.0, math.inf)),
        ("a step of 2", "beyond the stability limit", settings(0.05, 2.0, 1e-4)),
        ("near the limit", "not converged", settings(0.05, 1.95, 1e-4)),
        ("lazy", "start too large", settings(10.0, 1.0, 1e-4)),
        ("lazy and undamped", "start too large", settings(1.0, 1.0, 0.0)),
        ("lazy with a large step", "start too large", settings(0.5, 1.5, 1e-6)),
        ("much damping", "damping too large", settings(0.05, 1.0, 1.0)),
        ("damping for a tiny start", "damping too large", settings(1e-3, 1.0, 1e-3)),
        ("hardly any start", "damping too large", settings(1e-9, 1.0, 1e-4)),
        ("hardly any damping", "diverged for good", settings(0.05, 1.0, 1e-10)),
        ("slow, hardly damped", "not converged", settings(0.05, 0.1, 1e-6)),
        ("undamped, smaller steps", "undamped on a singular kernel", settings(0.1, 0.1, 0.0)),
        ("a huge start", "damping below the precision", settings(1e200, 1.0, 1e-4)),
    ],
}
RIGHT = {
    "refit_last_layer": {
        "singular values": last_layer(),
        "in feature space": by_features,
        "gelss": lambda Phi, y, c: torch.linalg.lstsq(Phi / Phi.shape[1], y, rcond=c**0.5, driver="gelss").solution,
        "numpy": lambda Phi, y, c: torch.from_numpy(np.linalg.pinv(Phi.numpy() / Phi.shape[1], rcond=math.sqrt(c)) @ y.numpy()),
    },
    "diagnose": {
        "products": lambda test, refit, rf: label()(test * 3, refit * 3, rf * 3),
        "table": lambda test, refit, rf: [["lazy", "visible learning"], ["gap only", "hidden learning"]][test > 10 * refit][
            rf > 3 * refit
        ],
    },
    "learned_at": {
        "every step asked": lambda refits, factor: next(
            k for k in range(len(refits)) if (refits[k:] <= factor * refits[-1]).all()
        ),
        "NumPy's": lambda refits, factor: max([0, *(np.flatnonzero(refits.numpy() > factor * refits.numpy()[-1]) + 1)]),
    },
    "rescale": {"by state": by_state, "a new parameter": by_parameter},
    "break_it": {
        "NumPy's numbers": lambda: dict(zip(["std", "lr", "damping"], np.array([0.05, 1.0, 1e-4]), strict=True)),
        "a whole number": settings(0.05, 1, 1e-4),
        "little damping": settings(0.1, 1.0, 1e-7),
        "long steps": settings(0.05, 1.5, 1e-4),
        "short steps": settings(0.05, 0.3, 1e-5),
        "a smaller start": settings(0.01, 1.0, 1e-5),
    },
}


def test_the_librarys_refit_is_the_exercises():
    data, net = teacher_student(50, 3, teacher_width=2, seed=0), TwoLayer(3, 100, std=0.1, seed=50)
    v = REFIT_LAST_LAYER.reference(net.hidden(data.x)[0].detach(), data.y, 1e-6)
    torch.testing.assert_close(refit(net, data.x, data.y).v.detach(), v, rtol=0, atol=1e-7 * v.abs().max().item())


def test_one_number_takes_the_shrinkage_out():
    """As the statement promises: exact after one step, within 10 % after 5, 3 % after 50 (after 200 for smaller steps)."""
    limits = {1: 1e-8, 5: 0.1, 50: 0.03, 8: 0.1, 200: 0.03}
    for seen in observe(divided(share)):
        assert seen.deviation < limits[seen.k]
    assert all(seen.deviation > 0.3 for seen in observe(divided(lambda k, eta: 1.0)))


def test_outputs_that_are_no_multiple_are_told_so():
    result = check("05/rescale", divided(share, lambda new: new.v[0].add_(1e-6)))
    assert "not those of the old one times one number" in result.diagnosis


@pytest.mark.parametrize("seed", range(2, 6))
def test_the_explosion_does_not_hang_on_the_two_seeds(seed):
    run = explode.attempt(0.05, 1.0, 1e-4, seed)
    assert run.peak > explode.PEAK and run.end < explode.END and run.worse > explode.WORSE
    assert explode.attempt(0.1, 0.05, 5e-3, seed).peak < 1.01


def test_a_run_says_how_it_went():
    assert "ends at 2.1e-03 of it" in str(explode.attempt(0.1, 0.05, 5e-3))
    assert "less than 1e-12 of it" in str(explode.attempt(0.05, 1.0, 1e-4))
    assert str(explode.attempt(0.1, 1.0, 1e-9)) == "The run has diverged at step 1."
    assert "No step can be computed" in str(explode.attempt(0.1, 1.0, 0.0))
