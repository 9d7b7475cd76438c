# ruff: noqa: E501 - a table, one answer a line
"""Answers as learners write them, which no exercise lists: wrong ones are told what is wrong with them, and right ones pass."""

import copy
import math

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from regimes.optimizers import GaussNewton
from regimes.training import train
from regimes_course.exercises import EXERCISES, Function, check
from regimes_course.lesson04.checks.verdicts import change
from regimes_course.lesson09.experiments import walk


def alternative(key, i=0):
    return EXERCISES[key].alternatives[i]


def enlarged(net, x, y):
    with torch.no_grad():
        net.W.mul_(5)
    return train(net, x, y, GaussNewton(net, 0.05), 200)


def full_step_first(net, x, y):
    train(net, x, y, GaussNewton(net, 1.0), 1)
    return train(net, x, y, GaussNewton(net, 0.05), 200)


def below(tolerance, step, lambda_min, damping):
    return tuple(
        math.floor(math.log(tolerance) / math.log((1 - step * rate) ** 2)) + 1
        for rate in (1.0, lambda_min / (lambda_min + damping))
    )


def height(gamma, p, label_noise, eta=None, beyond=None):
    a = (gamma / p if eta is None else eta) / (math.pi * math.sqrt(3))
    if a >= 1:
        if beyond is not None:
            raise beyond
        return None
    return label_noise / 2 * a / (1 - a)


def guarded(gamma, p, label_noise):
    return height(gamma, p, label_noise, eta=gamma, beyond=ValueError("no plateau"))


def phase(kappa, delta, labels=("perfect learning", "plateau", "bad learning", "no ODE")):
    s = round(kappa + delta, 9)
    return labels[0] if s > 0 else labels[1] if s == 0 else labels[2] if s > -0.5 else labels[3]


class NoODE(ValueError):
    pass


def time_of(steps, d, kappa, delta, missing=NoODE, instead=None):
    s = kappa + delta
    if s <= -0.5 + 1e-12:
        if missing is None:
            return instead
        raise missing
    return steps / d ** (1 + 2 * s if s < 0 else 1 + s)


def asserted(steps, d, kappa, delta):
    assert kappa + delta > -0.5 + 1e-12
    return time_of(steps, d, kappa, delta)


def first_rows(X, U, V):
    """An orthonormal basis of the row space from the first r rows, which may be repeated."""
    r = int(torch.linalg.matrix_rank(X))
    Q = torch.linalg.qr(X.T).Q[:, :r]
    return torch.linalg.norm((U - Q @ (Q.T @ U)) @ V.T)


def regular(X, U, V):
    return torch.linalg.norm((U - X.T @ torch.linalg.inv(X @ X.T) @ X @ U) @ V.T)


def diagonal_of_lambda(X, coarse, fine, inside):
    frozen, kept, _ = alternative("04/what_is_kept")(X, coarse, fine, inside)
    P = torch.linalg.pinv(X, rtol=1e-10) @ X

    def drift(U, V):
        return change((U.mT @ P @ U - V.mT @ V).diagonal(dim1=-2, dim2=-1)[:, None])

    return frozen, kept, drift(*fine) < 1e-9 or drift(*fine) < drift(*coarse) / 2


def unclamped(X, Z, clean=lambda theta: theta, most=math.inf):
    size = torch.outer(X.norm(dim=1), Z.norm(dim=1))
    cos = X @ Z.T / size
    theta = clean(torch.arccos(cos.clamp(max=most)))
    return (size * (torch.sin(theta) + (math.pi - theta) * cos) + X @ Z.T * (math.pi - theta)) / (2 * math.pi)


def labelled(gap, gain):
    return ("hidden learning" if gap else "visible learning") if gain else ("gap only" if gap else "lazy")


def sharing(net, k, eta):
    new = copy.deepcopy(net)
    new.W = net.W
    new.v = torch.nn.Parameter(net.v.detach() / (1 - (1 - eta) ** k))
    return new


def in_single(net, k, eta):
    return alternative("05/rescale")(net, k, eta).float()


def scaled(net, start, x, y, alpha):
    return ((alpha * (net(x) - start(x).detach()) - y) ** 2).mean() / (2 * alpha**2)


def backward(net, start, x, y, alpha):
    loss = scaled(net, start, x, y, alpha)
    loss.backward()
    return loss


def on_y(net, start, x, y, alpha):
    loss = scaled(net, start, x, y, alpha)
    y += 1
    return loss


def switch(L, eta, first):
    up = torch.nonzero(L[1:] > L[:-1] * (1 + 1e-10))[:, 0]
    below = torch.nonzero(first(L, 1 / eta))[:, 0]
    return up[-1].item() + 1 if len(up) else 0, below[0].item() if len(below) else -1


def from_there_on(L, level):
    """Whether the risk stays at or below the level."""
    return (L > level).flip(0).cumsum(0).flip(0) == 0


def by_halves(rises, ends=(8.0, 40.0)):
    def answer(gamma):
        low, high = ends
        while high - low > 0.01:
            eta = (low + high) / 2
            low, high = (low, eta) if rises(walk(gamma, eta, 400)) else (eta, high)
        return low

    return answer


def inner_stub(*args):
    raise NotImplementedError


def logarithm(q):
    return F.logsigmoid(q.long()), -torch.sigmoid(-q)


# The exercise, what the answer does, the answer, the mistake by name (None: no name), and a part of the diagnosis.
WRONG = [
    ("01/find_the_bug", "larger hidden weights", enlarged, "hidden weights changed", "hidden weights were changed before"),
    ("01/find_the_bug", "a full step first", full_step_first, "another start", "a full one before it included"),
    ("01/find_the_bug", "a list", lambda net, x, y: [1], None, "Your function must return the Trace"),
    ("01/steps_to", "below for at most", below, "below for at most", "at most the tolerance"),
    ("01/gn_direction", "a stub within", lambda J, r, d: inner_stub(J), None, "Your function raised NotImplementedError"),
    ("02/duplication_test", "trained on new inputs", None, "other data", "other data than x and y"),
    ("03/plateau", "None beyond the pole", height, "beyond the pole", "return math.inf or raise"),
    ("03/plateau", "gamma for eta, guarded", guarded, "gamma for eta", "A committee is a mean of p units"),
    ("03/classify", "another spelling", lambda k, d: phase(k, d).replace(" ", "_"), None, "'perfect_learning', which is right but"),
    ("03/classify", "capitals", lambda k, d: phase(k, d).capitalize(), None, "which is right but spelt otherwise"),
    ("03/step_to_time", "NaN", lambda *a: time_of(*a, missing=None, instead=math.nan), None, "xpected a ValueError; your function returned nan"),
    ("03/step_to_time", "the error returned", lambda *a: time_of(*a, missing=None, instead=ValueError()), None, "xpected a ValueError"),
    ("03/step_to_time", "an assertion", asserted, None, "xpected a ValueError; your function raised AssertionError"),
    ("04/distance_from_last_layer", "the first rows", first_rows, None, "is not right"),
    ("04/distance_from_last_layer", "an inverse", regular, None, "case: "),
    ("04/distance_from_last_layer", "two numbers", lambda X, U, V: [1.0, 2.0], None, "Your function returned a tuple; expected a number"),
    ("04/what_is_kept", "the diagonal of Lambda", diagonal_of_lambda, "diagonal of Lambda", "off the diagonal"),
    ("04/scalar_flow", "divides by zero", lambda u, v, y, t: (t / (u + v), 1 / (u + v)), None, None),
    ("05/diagnose", "at least", lambda t, r, f: labelled(t >= 10 * r, f >= 3 * r), "at least for above", "exactly 10"),
    ("05/diagnose", "whole", lambda t, r, f: labelled(t // r > 10, f // r > 3), "whole ratios", "10.4"),
    ("05/diagnose", "rounded", lambda t, r, f: labelled(round(t / r) > 10, round(f / r) > 3), "whole ratios", "10.4"),
    ("05/refit_last_layer", "its own cut-off", lambda P, y, c: torch.linalg.pinv(P / P.shape[1], rtol=1e-3) @ y, "cut-off ignored", "does not use"),
    ("05/rescale", "shared weights", sharing, None, "shares weights"),
    ("05/rescale", "single precision", in_single, None, "Your network is torch.float32"),
    ("05/break_it", "a tuple", lambda: (1, 2, 3), None, "Your function must return {"),
    ("06/relu_limit", "clamped above", lambda X, Z: unclamped(X, Z, most=1.0), "not clamped", "smaller than minus one"),
    ("06/relu_limit", "zero for NaN", lambda X, Z: unclamped(X, Z, torch.nan_to_num), "zero for NaN", "clamp the cosine"),
    ("06/relu_limit", "not clamped", unclamped, "not clamped", "larger than one"),
    ("06/scaled_loss", "goes backward", backward, None, "calls backward() itself"),
    ("06/scaled_loss", "changes y", on_y, "changes a network", "x or y"),
    ("07/changes", "rounded", lambda L: tuple(round(c, 3) for c in alternative("07/changes")(L)), None, "7 are asked"),
    ("07/cka", "single precision", lambda X, Y: round(alternative("07/cka")(X, Y), 4), None, "digits, 7 are asked"),
    ("08/logistic_loss_and_weight", "softplus", lambda q: (F.softplus(-q), -torch.sigmoid(-q)), "threshold of softplus", "threshold of 20"),
    ("08/logistic_loss_and_weight", "whole numbers", logarithm, None, "Your function raised NotImplementedError: "),
    ("08/sharpness", "a length", lambda hvp, n: hvp(torch.ones(n).double()).norm().item(), "one product", "the length of Hv"),
    ("08/sharpness", "nothing", lambda hvp, n: None, "no number", "one number"),
    ("08/largest_sgd_step", "nothing", lambda net, x, y: None, None, "Your function must return a number"),
    ("09/phase_switch", "below", lambda L, eta: switch(L, eta, torch.lt), "below for at most", "exactly"),
    ("09/phase_switch", "for good", lambda L, eta: switch(L, eta, from_there_on), "last crossing", "the first such step"),
    ("09/classify", "a list", lambda: ["c"] * 7, None, "Your function must return a dictionary"),
    ("09/classify", "a key missing", lambda: {"ReLU": "bc"}, None, "missing"),
    ("09/largest_monotone_eta", "end against start", by_halves(lambda L: L[-1] > L[0]), "no rise found", "upper end"),
    ("09/largest_monotone_eta", "the last step", by_halves(lambda L: L[-1] > L[-2]), None, None),
    ("09/largest_monotone_eta", "upside down", by_halves(lambda L: not (L[1:] > L[:-1]).any()), "no rise found", "upper"),
    ("09/largest_monotone_eta", "falls", by_halves(lambda L: L[-1] < L[0]), "a rise everywhere", "lower end"),
    ("09/largest_monotone_eta", "a tuple", lambda gamma: (1, 2), None, "Your function must return a finite number"),
    ("09/best_eta", "a text", lambda *wanted: "large", None, "Your function must return a number"),
    ("09/stable_threshold", "three digits", lambda e, l, b: 0.853 / (e * (l**2 + b)), None, "right to 3 digits, 5 are asked"),
]  # fmt: skip


@pytest.mark.parametrize(("key", "does", "answer", "mistake", "says"), WRONG, ids=[f"{w[0]}-{w[1]}" for w in WRONG])
def test_a_wrong_answer_is_told_why(key, does, answer, mistake, says):
    if answer is None:
        answer = next(m.example for m in EXERCISES[key].mistakes if m.name == mistake)
    result = check(key, answer)
    assert result.status == "wrong", result
    if says is not None:
        assert (result.mistake, says in result.diagnosis) == (mistake, True), result
    if mistake is None:
        assert result.mistake is None or says is None, result


RIGHT = [
    ("03/classify", "a text of NumPy", lambda k, d: np.array([phase(k, d)])[0]),
    ("03/step_to_time", "a subclass of ValueError", time_of),
    ("05/diagnose", "a text of NumPy", lambda t, r, f: np.str_(labelled(t / r > 10, f / r > 3))),
    ("04/distance_from_last_layer", "one row", lambda X, U, V: alternative("04/distance_from_last_layer")(X, U, V)[None]),
    ("05/break_it", "tensors", lambda: {name: torch.tensor(v) for name, v in alternative("05/break_it")().items()}),
    ("07/cka", "a NumPy float", lambda X, Y: np.float64(alternative("07/cka")(X, Y))),
    ("09/stable_threshold", "an array", lambda *a: np.array([alternative("09/stable_threshold")(*a)])),
    ("09/best_eta", "a tensor", lambda *wanted: torch.tensor(alternative("09/best_eta")(*wanted))),
]  # fmt: skip


@pytest.mark.parametrize(("key", "does", "answer"), RIGHT, ids=[f"{r[0]}-{r[1]}" for r in RIGHT])
def test_a_right_answer_passes_in_whatever_form(key, does, answer):
    result = check(key, answer)
    assert result.status == "passed", result.diagnosis


FUNCTIONS = [key for key, e in EXERCISES.items() if isinstance(e, Function)]


@pytest.mark.parametrize("key", FUNCTIONS)
def test_drawn_cases_are_twenty_different_ones_and_catch_every_mistake(key):
    exercise = EXERCISES[key]
    assert len(exercise.drawn) == 20
    blind = Function.__dict__["_judge_drawn"]
    caught = [m for m in exercise.mistakes if blind(exercise, m.example).status == "wrong"]
    assert len(caught) >= 0.5 * len(exercise.mistakes), [m.name for m in exercise.mistakes if m not in caught]
