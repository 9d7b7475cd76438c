import math

import numpy as np
import pytest
import torch

from regimes.theory.edge_of_stability import (
    catapult_limit,
    degree_four_end,
    degree_four_number,
    degree_four_swing,
    imbalance_after,
    quadratic_factor,
    valley,
)


def descend(x, y, eta, steps):
    """Gradient descent on (x^2 y^2 - 1)^2 / 4, by its partial derivatives as they are."""
    points = [(x, y)]
    for _ in range(steps):
        x, y = x - eta * (x**2 * y**2 - 1) * x * y**2, y - eta * (x**2 * y**2 - 1) * x**2 * y
        points.append((x, y))
    return np.array(points)


@pytest.mark.parametrize("eta", [0.3, 1.1, 1.9, 2.0, 2.0002, 2.3])
def test_a_quadratic_by_stepping(eta):
    lam, step = 1.7, eta / 1.7
    x, path = 0.6, []
    for _ in range(200):
        path.append(abs(x))
        x = x - step * lam * x
    got = quadratic_factor(torch.arange(200), step, lam)
    np.testing.assert_allclose(got, np.array(path) / 0.6, rtol=1e-9)
    assert (got[-1] > 1 + 1e-9) == (eta > 2)


@pytest.mark.parametrize("start", [(4.0, 0.2), (1.3, -0.7), (0.2, 2.1)])
def test_the_imbalance_of_a_product_by_stepping(start):
    eta, (u, v) = 0.2, start
    path, residuals = [u * u - v * v], []
    for _ in range(40):
        r = u * v - 1
        residuals.append(r)
        u, v = u - eta * r * v, v - eta * r * u
        path.append(u * u - v * v)
    got = imbalance_after(path[0], torch.tensor(residuals, dtype=torch.float64), eta)
    np.testing.assert_allclose(got, path, rtol=0, atol=1e-12 * abs(path[0]) * 40)


def test_the_catapult_without_target_falls_up_to_its_limit():
    for share, falls in ((0.98, True), (1.02, False)):
        u, v = 3.0, 0.7
        eta = share * catapult_limit(u * u + v * v)
        f = u * v
        u, v = u - eta * f * v, v - eta * f * u
        assert (u * u + v * v < 3.0**2 + 0.7**2) == falls


@pytest.mark.parametrize("number", [0.41, 0.9, 1.7])
def test_the_valley_has_the_number(number):
    x = torch.tensor([valley(number, 0.2), 1 / valley(number, 0.2)], dtype=torch.float64)
    H = torch.autograd.functional.hessian(lambda x: (x.prod() ** 2 - 1) ** 2 / 4, x)
    assert 0.2 * torch.linalg.eigvalsh(H)[-1].item() / 2 == pytest.approx(number) and x[0] >= 1


def test_no_valley_is_flatter_than_its_flattest_place():
    assert valley(0.4, 0.2) == 1.0
    with pytest.raises(ValueError, match="flattest at \\(1, 1\\), with the stability number 2 eta = 0.4; got 0.3"):
        valley(0.3, 0.2)


def settled(eta, number=1.3):
    x = valley(number, eta)
    points = descend(x, 1.01 / x, eta, round(30 / eta**2))
    return points.prod(1), eta * (points**2).sum(1)


def test_the_place_of_rest_is_right_to_leading_order():
    """The measured gaps of the reference: 0.00016, 0.00061, 0.0023; the error of eta^2 / 4 falls as eta^4."""
    errors = []
    for eta, known in ((0.05, 0.99939), (0.1, 0.99769), (0.2, 0.99274)):
        end = settled(eta)[1][-1]
        assert end == pytest.approx(known, abs=2e-5)
        errors.append((end - degree_four_end(eta)) / eta**4)
    assert all(0.1 < error < 3 for error in errors)


def test_the_number_falls_as_predicted():
    _, number = settled(0.03)
    pairs = (number[1:] + number[:-1]) / 2
    first = np.flatnonzero(pairs < 1.005)[0]
    t = torch.arange(0, round(3 / 0.03**2), 100)
    got, start = pairs[first + t.numpy()], pairs[first]
    wanted = degree_four_number(t, 0.03, start)
    left = degree_four_end(0.03)
    np.testing.assert_allclose(got - left, wanted - left, rtol=0.15)
    assert degree_four_number(0, 0.03, 1.01).item() == pytest.approx(1.01)


def test_the_swing_is_as_predicted():
    product, number = settled(0.05)
    for level in (1.05, 1.02, 1.005):
        k = np.flatnonzero(number < level)[0]
        low, high = degree_four_swing(number[k : k + 2].mean(), 0.05)
        np.testing.assert_allclose(np.sort(product[k : k + 2]) - 1, [low - 1, high - 1], rtol=0.12)
    assert [s.item() for s in degree_four_swing(degree_four_end(0.1), 0.1)] == [1.0, 1.0]


def test_two_steps_change_the_oscillation_as_derived():
    """The coefficients 8, -32 and -8 of the docstring, from the exact steps at small numbers."""
    eta, delta, e = 1e-3, 2e-3, 2e-3
    p, q = 1 + e, (1 + delta) / eta
    for _ in range(2):
        g = p * (p * p - 1)
        p, q = p * (1 + eta**2 * g**2) - eta * g * q, q * (1 + eta**2 * g**2) - 4 * eta * g * p
    a = e * e
    assert ((p - 1) ** 2 - a) / a == pytest.approx(8 * delta - 32 * a, rel=0.1)
    assert math.isclose(eta * q - 1 - delta, -8 * eta**2 * (a - 2 * delta * e), rel_tol=0.1)
