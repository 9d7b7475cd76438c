"""Slips and solutions that the exercises of lesson 08 do not list: rejected and accepted all the same."""

import math

import numpy as np
import torch
from torch.nn import functional as F

from regimes.directions import time_scale
from regimes.metrics import sharpness
from regimes_course.exercises import check
from regimes_course.lesson08.checks.largest import ALLOWED, observe
from regimes_course.lesson08.experiments import network_hessian

METER, LOSS, SHIFT, STEP, CLOSED, CURVATURE = (
    f"08/{name}"
    for name in ("edge_meter", "logistic_loss_and_weight", "shifted_power", "largest_sgd_step", "closed_step", "sharpness")
)


def wrong(key, answer, mistake=None):
    result = check(key, answer)
    assert (result.status, result.mistake) == ("wrong", mistake), result
    return result.diagnosis


# The edge meter.


def test_a_meter_in_numpy_and_one_that_is_a_tensor_pass():
    def by_parts(before, after):
        a, b = before.numpy(), after.numpy()
        return float(np.dot(a, a - b) / np.dot(a, a) / 2)

    assert check(METER, by_parts).status == "passed"
    assert check(METER, lambda before, after: (1 - after @ before / (before @ before)) / 2).status == "passed"


def test_other_slips_with_the_meter():
    wrong(METER, lambda before, after: after @ before / (before @ before))
    wrong(METER, lambda before, after: ((before - after).norm() ** 2 / (2 * before.norm() ** 2)).item())


# The shift.


def test_a_matrix_that_is_built_and_a_bound_that_is_ignored_pass():
    def whole(hvp, dim, size):
        return torch.linalg.eigvalsh(torch.stack([hvp(e) for e in torch.eye(dim, dtype=torch.float64)]))[-1].item()

    assert check(SHIFT, whole).status == "passed"


def test_other_slips_with_the_shift():
    wrong(SHIFT, lambda hvp, dim, size: None, "no number")
    wrong(SHIFT, lambda hvp, dim, size: size, "no product")
    assert "is 3.70718, and your" in wrong(SHIFT, lambda hvp, dim, size: 2 * hvp(torch.ones(dim).double())[0].item())


# The logistic loss.


def test_a_loss_written_with_numbers_passes():
    def by_numbers(q):
        def one(t):
            small = math.exp(-abs(t))
            return max(-t, 0.0) + math.log1p(small), -(small if t > 0 else 1.0) / (1 + small)

        values = torch.tensor([one(t) for t in q.flatten().tolist()], dtype=q.dtype)
        return values[:, 0].reshape(q.shape), values[:, 1].reshape(q.shape)

    assert check(LOSS, by_numbers).status == "passed"
    assert check(LOSS, lambda q: list(by_numbers(q))).status == "passed"


def test_other_slips_with_the_loss():
    assert "Value number 2" in wrong(LOSS, lambda q: (-F.logsigmoid(q), -2 * torch.sigmoid(-q)))
    wrong(LOSS, lambda q: (torch.log(1 + torch.exp(-q)), -(1 - torch.sigmoid(q))))


# The largest eigenvalue.


def shifted(hvp, dim):
    """Power iteration with the norm as a shift, then Rayleigh."""
    if dim < 20:
        return torch.linalg.eigvalsh(torch.stack([hvp(e) for e in torch.eye(dim, dtype=torch.float64)]))[-1].item()
    v = torch.sin(torch.arange(1.0, dim + 1, dtype=torch.float64))
    for _ in range(57):
        v = hvp(v) + 0.007 * v
        v = v / v.norm()
    return (v @ hvp(v)).item()


def test_a_number_of_numpy_and_a_shift_pass():
    assert check(CURVATURE, shifted).status == "passed"
    assert check(CURVATURE, lambda hvp, dim: np.float64(shifted(hvp, dim))).status == "passed"


def test_products_are_counted_and_shapes_are_asked_for():
    seen = observe(shifted)
    assert [s.products for s in seen] == [7, 2, 9, 5, 2, 2, 58] and all(s.right and s.cheap for s in seen)
    assert "shape (7,); got (7, 1)" in wrong(CURVATURE, lambda hvp, dim: hvp(torch.ones(dim, 1)))


def test_other_slips_with_eigenvalues():
    wrong(CURVATURE, lambda hvp, dim: 0.5 * shifted(hvp, dim))
    assert "-3" in wrong(CURVATURE, lambda hvp, dim: min(shifted(hvp, dim), -3.0))
    wrong(CURVATURE, lambda hvp, dim: None, "no number")


def test_the_network_is_one_on_which_sixty_products_suffice_and_five_do_not():
    H = network_hessian()
    assert H.size == 660 > ALLOWED

    def hasty(hvp, dim):
        if dim < 20:
            return shifted(hvp, dim)
        v = torch.ones(dim, dtype=torch.float64)
        for _ in range(12):
            v = hvp(v) / hvp(v).norm()
        return (v @ hvp(v)).item()

    wrong(CURVATURE, hasty, "stopped early")


# The closed step.


def test_a_step_written_with_sums_and_differences_passes():
    def answer(p, q, eta):
        g = eta * (p**3 - p)
        plus, minus = (q + 2 * p) * (1 - g).square(), (q - 2 * p) * (1 + g).square()
        return [(plus - minus) / 4, (plus + minus) / 2]

    assert check(CLOSED, answer).status == "passed"


def test_other_slips_with_the_step():
    assert "Value number 1" in wrong(CLOSED, lambda p, q, eta: (p, q))
    wrong(
        CLOSED,
        lambda p, q, eta: (
            p - eta * p * (p * p - 1) * q,
            q * (1 + (eta * p * (p * p - 1)) ** 2) - 4 * eta * p**2 * (p * p - 1),
        ),
        "q' alone is right",
    )


# The step of SGD.


def test_a_step_found_by_trying_passes():
    """By bisection: the largest step at which a quadratic with this Hessian does not grow."""

    def answer(net, x, y):
        lam = 2 * sharpness(net, x, y).item() / time_scale(net)
        low, high = 0.0, 1e4
        for _ in range(80):
            middle = (low + high) / 2
            low, high = (middle, high) if abs(1 - middle * lam) <= 1 else (low, middle)
        return low

    assert check(STEP, answer).status == "passed"


def test_other_slips_with_the_step_of_sgd():
    assert "the largest stable step is" in wrong(STEP, lambda net, x, y: 0.1)
    wrong(STEP, lambda net, x, y: 4 * time_scale(net) / sharpness(net, x, y))
    assert "step" in wrong(STEP, lambda net, x, y: sharpness(net, x, y), "the sharpness itself")
