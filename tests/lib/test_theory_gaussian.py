"""Closed forms of Gaussian integrals against quadrature and against the formulas of the literature."""

import math
from itertools import product

import numpy as np
import pytest
from scipy.special import erf

from regimes.theory.gaussian import I2, I3, I4, J2, tilt
from tests.lib.overlap_cases import fields, i2, i3, i4, j2

NODES, WEIGHTS = np.polynomial.hermite_e.hermegauss(30)
WEIGHTS = WEIGHTS / math.sqrt(2 * math.pi)


def slope(u):
    return math.sqrt(2 / math.pi) * np.exp(-u * u / 2)


def unit(u):
    return erf(u / math.sqrt(2))


class Quadrature:
    """Expectations over Gaussian fields by a tensor product of Gauss-Hermite rules."""

    def __init__(self, omega):
        n = len(omega)
        z = np.stack(np.meshgrid(*[NODES] * n, indexing="ij")).reshape(n, -1)
        self.weights = np.stack(np.meshgrid(*[WEIGHTS] * n, indexing="ij")).reshape(n, -1).prod(0)
        self.u = np.linalg.cholesky(omega) @ z
        self.g, self.slope = unit(self.u), slope(self.u)

    def of(self, *factors):
        return np.prod(factors, 0) @ self.weights


OMEGA = 0.4 * np.array([[0.9, 0.25, -0.3, 0.1], [0.25, 0.5, 0.2, -0.15], [-0.3, 0.2, 0.7, 0.05], [0.1, -0.15, 0.05, 0.4]])
THREE = fields(1, 2, seed=3)
GRID = Quadrature(OMEGA)


@pytest.mark.parametrize(("a", "b"), [(0, 1), (1, 0), (2, 3), (0, 0), (2, 2)])
def test_two_fields(a, b):
    assert I2(OMEGA, a, b) == pytest.approx(GRID.of(GRID.g[a], GRID.g[b]), abs=1e-12)
    assert J2(OMEGA, a, b) == pytest.approx(GRID.of(GRID.slope[a], GRID.slope[b]), abs=1e-12)


@pytest.mark.parametrize("index", [(0, 1, 2), (3, 0, 1), (1, 1, 2), (1, 2, 1), (2, 1, 1), (0, 0, 0)])
def test_three_fields(index):
    j, b, a = index
    assert I3(OMEGA, j, b, a) == pytest.approx(GRID.of(GRID.slope[j], GRID.u[b], GRID.g[a]), abs=1e-12)


@pytest.mark.parametrize(
    "index", [(0, 1, 2, 3), (3, 1, 0, 2), (1, 1, 2, 3), (0, 2, 3, 3), (0, 2, 0, 3), (1, 1, 2, 2), (0, 0, 0, 0)]
)
def test_four_fields(index):
    i, j, a, b = index
    assert I4(OMEGA, i, j, a, b) == pytest.approx(GRID.of(GRID.slope[i], GRID.slope[j], GRID.g[a], GRID.g[b]), abs=1e-12)


def test_all_indices_agree_with_the_formulas_of_the_literature():
    for i, j in product(range(3), repeat=2):
        assert I2(THREE, i, j) == pytest.approx(i2(THREE, i, j), abs=1e-15)
        assert J2(THREE, i, j) == pytest.approx(j2(THREE, i, j), abs=1e-15)
    for j, b, a in product(range(3), repeat=3):
        assert I3(THREE, j, b, a) == pytest.approx(i3(THREE, j, b, a), abs=1e-15)
    for i, j, a, b in product(range(3), repeat=4):
        assert I4(THREE, i, j, a, b) == pytest.approx(i4(THREE, i, j, a, b), abs=2e-15)


@pytest.mark.parametrize("units", [(2,), (0, 3), (1, 1)])
def test_tilting_is_what_exponentials_do_to_a_gaussian(units):
    tilted, mass = tilt(OMEGA, *units)
    factor = np.exp(-(GRID.u[list(units)] ** 2).sum(0) / 2)
    assert mass == pytest.approx(GRID.of(factor), abs=1e-12)
    for a, b in product(range(4), repeat=2):
        assert mass * tilted[a, b] == pytest.approx(GRID.of(factor, GRID.u[a], GRID.u[b]), abs=1e-12)
    assert np.linalg.eigvalsh(tilted)[0] > 0 and np.linalg.eigvalsh(OMEGA - tilted)[0] > -1e-15


def test_index_arrays_and_leading_axes_are_stacks_of_tilts():
    omega = np.stack([fields(2, 3, seed) for seed in (1, 2)])
    i, j = np.array([0, 1, 4]), np.array([2, 1, 0])
    tilted, mass = tilt(omega, i, j)
    assert tilted.shape == (2, 3, 5, 5) and mass.shape == (2, 3)
    for b, s in product(range(2), range(3)):
        one, lost = tilt(omega[b], int(i[s]), int(j[s]))
        np.testing.assert_allclose(tilted[b, s], one, rtol=0, atol=1e-15)
        assert mass[b, s] == pytest.approx(lost, abs=1e-15)
    np.testing.assert_allclose(I3(omega, 0, 1, 3), [i3(o, 0, 1, 3) for o in omega], atol=1e-15)
    np.testing.assert_allclose(tilt(omega, i)[0][1, 2], tilt(omega[1], 4)[0], atol=1e-15)
