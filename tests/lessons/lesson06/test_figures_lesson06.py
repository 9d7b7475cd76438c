"""Figures of lesson 06: what is on the axes, and that each sentence has the numbers of its data."""

from functools import cache

import numpy as np
import pytest
import torch

from regimes_course.lesson06 import figures as lesson06
from tests.kit.test_plotting import is_measured, is_predicted, labels
from tests.lessons.figure_data import drawn, runs, shows

M = [64, 128, 256, 512]
WIDE = torch.tensor(M, dtype=torch.float64)


def law(level, power, wiggle=(1.0, 1.1, 0.95, 1.05)):
    """Medians near a power law in the width, three runs each."""
    return runs(*(level * w * (m / 64) ** power for w, m in zip(wiggle, M, strict=True)))


ERRORS = {"erf": law(0.2, -0.5), "relu": law(0.3, -0.5)}
FOUND = {
    name: {what: law(level * size, power) for what, (level, power) in measures.items()}
    for size, (name, measures) in enumerate(
        {
            "erf": {"weights": (0.1, -0.5), "features": (0.2, -0.5), "drift": (0.15, -1), "outputs": (0.05, -0.9)},
            "relu": {"weights": (0.1, -0.5), "features": (0.3, -0.4), "drift": (0.2, -0.8), "outputs": (0.07, -0.5)},
        }.items(),
        1,
    )
}
DRIFTS = {"erf": (law(0.1, -1), law(0.12, -1)), "relu": (law(0.2, -0.9), law(0.22, -0.5))}
T = torch.linspace(0, 9, 31, dtype=torch.float64)[:, None] * torch.tensor([1.0, 1.2, 0.9]).double()
LAM = torch.logspace(1.5, -2, 64, dtype=torch.float64)
FORMULA = torch.exp(-LAM * T[..., None]) * torch.linspace(1, 2, 64).double()
TEST = torch.linspace(-1, 1, 40).double() * torch.tensor([[1.0], [2.0], [3.0]]).double()
ALPHAS = [0.1, 0.3, 1.0, 3.0, 10.0]
RIGHT, DRIFT = runs(0.248, 0.24, 0.2, 0.19, 0.18), runs(4.0, 1.5, 0.4, 0.1, 0.02)


@cache
def kernel_error():
    return lesson06.kernel_error(M, ERRORS)


@cache
def frozen():
    return lesson06.frozen(T, 1.01 * FORMULA, FORMULA, TEST, TEST + 0.1)


@cache
def widths():
    return lesson06.widths(M, FOUND)


@cache
def signs():
    return lesson06.signs(M, DRIFTS)


@cache
def dial():
    return lesson06.dial(ALPHAS, RIGHT, torch.tensor([0.70, 0.71, 0.75]).double(), DRIFT)


@cache
def scalings():
    return lesson06.scalings(M, law(0.2, -0.8), law(4.0, 0))


FIGURES = {f.__name__: f for f in (kernel_error, frozen, widths, signs, dial, scalings)}


SAYS = {
    kernel_error: ["From 64 to 512 units", "from 20% to 7.4% for erf, from 30% to 11.1% for ReLU (medians of 3 seeds)"],
    frozen: ["are off the formula by 0.1.", "of 3 is drawn", "size 0.59 to 1.8"],
    widths: ["from 64 to 512 units (median): erf: features 2.7, weights 2.7, kernel 7.6; ReLU:", "would be 2.8."],
    signs: ["by a factor of 7.6 for erf (with random signs 7.6) and 2.7 for ReLU (with random signs 6.2)"],
    dial: [
        "At α = 0.1, 12% to 99% of",
        "2 to 16; at α = 10 it is 9% to 72% and 0.01 to 0.08 (3 seeds)",
        "on 70% to 75%",
    ],
    scalings: ["From 64 to 512 units the drift goes from 4 to 4.2 in mean-field", "from 0.2 to 0.04 in NTK", "of 3 seeds"],
}


def slope(line):
    return np.polyfit(np.log(np.asarray(line.get_xdata(), float)), np.log(np.asarray(line.get_ydata(), float)), 1)[0]


def level(line):
    return np.log(np.asarray(line.get_ydata(), float)).mean()


def test_power_laws_have_the_predicted_slope_and_the_level_of_the_medians():
    for line, error in zip(drawn(kernel_error()[0].axes[0], is_predicted), ERRORS.values(), strict=True):
        assert slope(line) == pytest.approx(-0.5) and level(line) == pytest.approx(error[:, 1].log().mean().item())
    for ax, values in zip(widths()[0].axes, FOUND.values(), strict=True):
        lines = drawn(ax, is_predicted)
        assert [slope(line) for line in lines] == pytest.approx([-0.5, -0.5, -1])
        for line, what in zip(lines, ("features", "weights", "drift"), strict=True):
            assert level(line) == pytest.approx(values[what][:, 1].log().mean().item())
    for ax, power in zip(signs()[0].axes, (-1, -0.5), strict=True):
        assert slope(*drawn(ax, is_predicted)) == pytest.approx(power)
    flat, bound = drawn(scalings()[0].axes[0], is_predicted)
    assert (slope(flat), slope(bound)) == pytest.approx((0, -0.5), abs=1e-9) and bound.get_ydata()[0] == pytest.approx(0.2)


def test_measurements_are_the_medians():
    for line, error in zip(drawn(kernel_error()[0].axes[0], is_measured), ERRORS.values(), strict=True):
        shows(line, M, error[:, 1])
    for ax, values in zip(widths()[0].axes, FOUND.values(), strict=True):
        for line, what in zip(drawn(ax, is_measured), ("features", "weights", "drift", "outputs"), strict=True):
            shows(line, M, values[what][:, 1])
    for ax, (random, alike) in zip(signs()[0].axes, DRIFTS.values(), strict=True):
        for line, values in zip(drawn(ax, is_measured), (random, alike), strict=True):
            shows(line, M, values[:, 1])
    left, right = dial()[0].axes
    shows(*drawn(left, is_measured), ALPHAS, RIGHT[:, 1])
    shows(*drawn(right, is_measured), ALPHAS, DRIFT[:, 1])
    shows(*drawn(left, is_predicted), ALPHAS, [0.71] * 5)
    shows(*drawn(right, is_predicted), ALPHAS[2:], [0.2, 0.2 / 3, 0.02])


def test_frozen_has_groups_of_modes_beside_their_exponentials():
    left, right = frozen()[0].axes
    for line, theory, (first, last) in zip(drawn(left, is_measured), drawn(left, is_predicted), lesson06.MODES, strict=True):
        part = FORMULA[:, 0, first:last].norm(dim=-1)
        shows(theory, T[1:, 0], part[1:] / part[0])
        shows(line, T[1:, 0], part[1:] / part[0])
    assert labels(left)[0] == "eigenvector 1" and "eigenvectors 17–64" in labels(left)
    shows(*drawn(right, is_measured), TEST[0] + 0.1, TEST[0])
    shows(*drawn(right, is_predicted), [-1, 1], [-1, 1])
