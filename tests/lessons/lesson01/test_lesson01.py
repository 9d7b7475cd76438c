"""Slips and solutions that the exercises of lesson 01 do not list: rejected and accepted all the same."""

import copy
import math

import numpy as np
import pytest
import torch

from regimes.linalg import SmallestEigenvalue
from regimes.networks import TwoLayer
from regimes.optimizers import GaussNewton, GradientDescent
from regimes.training import train
from regimes_course.exercises import check


def solve(J, r, damping):
    return torch.linalg.solve(J @ J.T + damping * torch.eye(len(J), dtype=J.dtype), r)


def direction(J, r, damping):
    return J.T @ solve(J, r, damping)


def filtered(J, r, damping):
    U, s, Vh = torch.linalg.svd(J, full_matrices=False)
    return Vh.T @ ((U.T @ r) / (s + damping))


def pieces(W, b, v, X):
    Z = X @ W.T + b
    return Z, torch.tanh(Z), X @ X.T, len(v)


def gram(slope=lambda Z, P: 1 - P**2, join=lambda PP, DD, XX, m: (PP + DD * (XX + 1)) / m):
    def answer(W, b, v, X):
        Z, P, XX, m = pieces(W, b, v, X)
        D = slope(Z, P) * v
        return join(P @ P.T, D @ D.T, XX, m)

    return answer


def gram_without_bias(W, b, v, X):
    return gram()(W, 0 * b, v, X)


def gram_by_hand(W, b, v, X):
    Z, P, _, m = pieces(W, b, v, X)
    D = (1 - P**2) * v
    J = torch.cat([(D[:, :, None] * X[:, None, :]).flatten(1), D, P], 1) / m
    return m * J @ J.T


def count(tolerance, step):
    return math.log(tolerance) / (2 * math.log(1 - step))


def counts(rounding=math.ceil, rate=lambda lam, eps: lam / (lam + eps)):
    return lambda t, s, lam, eps: (rounding(count(t, s)), rounding(count(t, s * rate(lam, eps))))


def run(lr, steps, **options):
    return lambda net, x, y: train(net, x, y, GaussNewton(net, lr, **options), steps)


def another_network(net, x, y):
    return run(0.05, 200)(TwoLayer(5, 120, std=0.5, seed=1), x, y)


def a_copy(net, x, y):
    return run(0.05, 200)(copy.deepcopy(net), x, y)


def full_step_first(net, x, y):
    run(1.0, 1)(net, x, y)
    return run(0.05, 100)(net, x, y)


def half_the_data(net, x, y):
    return run(0.05, 200)(net, x[:30], y[:30])


# What is wrong, the mistake it is recognised as (None: the general diagnosis), the answer.
WRONG = {
    "gn_direction": [
        ("multiplied instead of solved", None, lambda J, r, e: J.T @ ((J @ J.T + e * torch.eye(len(J), dtype=J.dtype)) @ r)),
        ("root of the damping", "another damping", lambda J, r, e: direction(J, r, math.sqrt(e))),
        ("damping subtracted", "another damping", lambda J, r, e: direction(J, r, -e)),
        ("damping relative to the trace", None, lambda J, r, e: direction(J, r, e * J.square().sum() / len(J))),
        ("singular values not squared", None, filtered),
        ("diagonal only", None, lambda J, r, e: J.T @ (r / (J.square().sum(1) + e))),
        ("movement of the outputs", None, lambda J, r, e: J @ direction(J, r, e)),
        ("a little damping always", None, lambda J, r, e: direction(J, r, max(e, 1e-3))),
    ],
    "two_layer_gram": [
        ("one added outside", None, gram(join=lambda PP, DD, XX, m: (PP + DD * XX + 1) / m)),
        ("identity for ones", "identity for ones", gram(join=lambda PP, DD, XX, m: (PP + DD * (XX + torch.eye(len(XX)))) / m)),
        ("1/m on one term", "1/m on the output layer alone", gram(join=lambda PP, DD, XX, m: PP / m + DD * (XX + 1))),
        ("1/n", None, gram(join=lambda PP, DD, XX, m: (PP + DD * (XX + 1)) / len(XX))),
        ("1/sqrt(m)", None, gram(join=lambda PP, DD, XX, m: (PP + DD * (XX + 1)) / math.sqrt(m))),
        ("layers multiplied", None, gram(join=lambda PP, DD, XX, m: PP * DD * (XX + 1) / m)),
        ("diagonal", None, gram(join=lambda PP, DD, XX, m: ((PP + DD * (XX + 1)) / m).diagonal())),
        ("slope 1 - tanh", "square missing in the slope", gram(slope=lambda Z, P: 1 - P)),
        ("slope at z", "square of z in the slope", gram(slope=lambda Z, P: 1 - Z**2)),
        ("no bias in z", "bias missing in z", gram_without_bias),
    ],
    "steps_to": [
        ("floor and one", "below for at most", counts(rounding=lambda k: math.floor(k) + 1)),
        ("rounded to the nearest", "rounded to the nearest", counts(rounding=round)),
        ("one more", None, counts(rounding=lambda k: math.ceil(k) + 1)),
        ("only the slowest", "damping in both", lambda t, s, lam, eps: (counts()(t, s, lam, eps)[1],) * 2),
        ("damping squared", None, counts(rate=lambda lam, eps: lam / (lam + eps**2))),
        ("rate squared", None, counts(rate=lambda lam, eps: (lam / (lam + eps)) ** 2)),
        ("two kinds of logarithm", None, counts(rounding=lambda k: math.ceil(k / math.log(10)))),
        ("time instead of steps", None, lambda t, s, lam, eps: tuple(math.ceil(k * s) for k in counts()(t, s, lam, eps))),
    ],
    "find_the_bug": [
        ("another network", "another network trained", another_network),
        ("a copy of the network", "another network trained", a_copy),
        ("a full step first", "another start", full_step_first),
        ("half of the data", "another start", half_the_data),
        ("gradient descent", "small eigenvalues left", lambda net, x, y: train(net, x, y, GradientDescent(net, 0.05), 200)),
        ("stopped at 1e-3", "stopped early", lambda net, x, y: train(net, x, y, GaussNewton(net, 0.05), 200, until=1e-3)),
        ("near the limit", "step still large", run(1.9, 100)),
    ],
}
RIGHT = {
    "gn_direction": {
        "row form": lambda J, r, e: r @ torch.linalg.solve(J @ J.T + e * torch.eye(len(J), dtype=J.dtype), J),
        "inverse": lambda J, r, e: J.mT @ torch.inverse(J @ J.mT + torch.diag(torch.full_like(r, e))) @ r,
        "parameter space, or pinv": lambda J, r, e: (
            torch.linalg.pinv(J) @ r if e == 0 else torch.linalg.solve(J.T @ J + e * torch.eye(J.shape[1]).double(), J.T @ r)
        ),
    },
    "two_layer_gram": {
        "dense Jacobian by hand": gram_by_hand,
        "slope by cosh": gram(slope=lambda Z, P: 1 / torch.cosh(Z) ** 2),
        "signs of v do not matter": lambda W, b, v, X: gram()(W, b, v.abs(), X),
    },
    "steps_to": {
        "a list": lambda *args: list(counts()(*args)),
        "int of np.ceil": counts(rounding=lambda k: int(np.ceil(k))),
    },
    "find_the_bug": {
        "smaller steps": run(0.03, 300),
        "the smallest eigenvalue as damping": run(0.05, 300, damping=SmallestEigenvalue(alpha=1.0, floor=1e-12)),
        "until it fits": lambda net, x, y: train(net, x, y, GaussNewton(net, 0.05), 1000, until=1e-8),
    },
}


def test_an_undamped_branch_of_its_own_is_examined_too():
    answer = lambda J, r, e: J.T @ (r / J.square().sum(1)) if e == 0 else direction(J, r, e)  # noqa: E731
    assert check("01/gn_direction", answer).status == "wrong"


@pytest.mark.parametrize("rounding", [lambda k: np.ceil(k).astype(int), np.ceil], ids=["int64", "float64"])
def test_right_counts_of_another_type_are_not_called_wrong(rounding):
    result = check("01/steps_to", counts(rounding=rounding))
    assert result.status == "passed" or "int" in result.diagnosis.replace("np.int64", "") or result.mistake == "not whole"


@pytest.mark.parametrize("answer", [full_step_first, half_the_data])
def test_untouched_output_weights_are_not_blamed(answer):
    assert check("01/find_the_bug", answer).mistake != "output weights drawn at random"


@pytest.mark.parametrize("answer", [another_network, a_copy])
def test_a_network_that_was_not_trained_is_not_called_frozen(answer):
    assert check("01/find_the_bug", answer).mistake != "hidden layer frozen"
