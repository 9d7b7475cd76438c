"""Figures of lesson 06: what is on the axes, and that each sentence has the numbers of its data."""

from functools import cache

import numpy as np
import pytest
import torch

from regimes_course.lesson06 import figures as lesson06
from regimes_course.lesson06.experiments import CORNERS, TENT, path, tent
from tests.kit.test_plotting import is_marks, is_measured, is_predicted, labels
from tests.lessons.figure_data import drawn, named, runs, shows, table

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


GRID = torch.linspace(-1, 1, 21, dtype=torch.float64)
SEEN = {10: (0.2 + 0 * GRID, 0.21 + 0 * GRID), 1000: (0.9 * tent(GRID), 0.9 * tent(GRID) + 0.002)}
SIGNS = table([1, 1], [-1, 1], [1, -1], [-1, -1], [-1, 1]) / 2**0.5
KERNELS = {
    0.1: (torch.outer(*2 * [2 * SIGNS.prod(1)]) + torch.eye(5).double(), torch.tensor(0.98)),
    30: (SIGNS @ SIGNS.T, torch.tensor(0.71)),
}
SHARES = {15: [(0.2, 0.55), (1.2, 0.94)], 20: [(0.4, 0.66), (0.6, 0.75)], 30: [(0.1, 0.5)], 45: [(2.0, 0.99)]}
UNITS = table([1.0, 0.5], [1.0, 0.0], [-2.0, 1.0], [1.0, 5.0]), table(1.0, 2.0, -1.0, 9.0)  # the last bends far outside
RUNS = {(name, m): (*UNITS, tent(GRID), 1 / m) for m in (50, 1000) for name in ("NTK scaling", "mean-field scaling")}


@cache
def hero():
    return lesson06.hero()


@cache
def learned():
    return lesson06.learned(GRID, SEEN)


@cache
def pairs():
    return lesson06.pairs(SIGNS, KERNELS, SHARES)


@cache
def two_scalings():
    return lesson06.two_scalings(GRID, RUNS)


@cache
def mirror():
    return lesson06.mirror([1.0, 0.49, 0.02])


FIGURES = named(kernel_error, frozen, widths, signs, dial, scalings, hero, learned, pairs, two_scalings, mirror)


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
    hero: [
        f"After 3,000 steps the rich network (α = 0.1) has moved its weights by {path(0.1).moved[-1]:.2g} times their length, "
        f"and {path(0.1).at_corners():.0%} of its bends",
        f"(α = 10) has moved by {path(10.0).moved[-1]:.2g}, and {path(10.0).at_corners():.0%} do.",
    ],
    learned: ["by 0.01 after 10, 0.002 after 1,000 steps"],
    pairs: [
        "four blocks at α = 0.1, where 98% of new samples are right",
        "at α = 30, where 71% are right, a trace was there at the start",
        "gets at most 66% right with half a sample for each pair or less, at least 94% with one or more.",
    ],
    two_scalings: ["NTK scaling, 50 units 2 %; mean-field scaling, 50 units 2 %; NTK scaling, 1,000 units 0.1 %;"],
    mirror: ["100% of the training samples, 49% of new ones, and 2% of the training samples with"],
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
    flat, fall = drawn(scalings()[0].axes[0], is_predicted)
    assert (slope(flat), slope(fall)) == pytest.approx((0, -1), abs=1e-9)


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


def test_the_hero_has_a_world_line_for_each_unit_under_its_function():
    figure, _ = hero()
    for run, function, lines in zip((path(0.1), path(10.0)), figure.axes[:2], figure.axes[2:], strict=True):
        shows(*drawn(function, is_measured), lesson06.LINE, run.outputs(lesson06.LINE))
        shows(*drawn(function, is_marks), TENT, tent(TENT))
        assert f"weights moved {run.moved[-1]:.2g} × their length" in [text.get_text() for text in function.texts]
        (world,) = lines.collections
        segments = np.stack(world.get_segments())
        time = np.log1p(run.step.numpy()) / np.log1p(3000)
        np.testing.assert_allclose(segments[..., 1], np.broadcast_to(time, (200, len(time))))
        np.testing.assert_allclose(segments[..., 0], run.bends.T.clamp(-9, 9))
        opacity, size = world.get_color()[:, 3], run.sizes[-1].numpy()
        assert (np.diff(opacity[size.argsort()]) >= 0).all() and opacity.min() < 0.11 < 0.79 < opacity.max()
        assert [line.get_xdata()[0] for line in drawn(lines, is_predicted)] == list(CORNERS)


def test_learned_stands_beside_its_prediction():
    for ax, (f, law) in zip(learned()[0].axes, SEEN.values(), strict=True):
        shows(*drawn(ax, is_measured), GRID, f)
        shows(*drawn(ax, is_predicted), GRID, law)


def test_pairs_sorts_the_kernel_by_two_signs():
    *heats, ax = pairs()[0].axes
    rich = heats[0].images[0].get_array()
    product = np.array([1, -1, -1, -1, 1])  # of −−, −+, −+, +−, ++
    off = ~np.eye(5, dtype=bool)
    mean = np.outer(product, product)[off].mean()
    np.testing.assert_allclose(rich[off], (np.outer(product, product) - mean)[off], atol=1e-12)
    assert (rich.diagonal() == 0).all()
    assert list(heats[0].get_xticks()) == [0, 1.5, 3, 4]  # the middles of the groups
    for line, values in zip(drawn(ax, is_measured), SHARES.values(), strict=True):
        shows(line, *zip(*values, strict=True))


def test_spikes_stand_where_units_bend_inside():
    for ax, (_, _, f, _) in zip(two_scalings()[0].axes, RUNS.values(), strict=True):
        shows(*drawn(ax, is_measured), GRID, f)
        spikes = np.stack(ax.collections[0].get_segments())
        np.testing.assert_allclose(spikes[:, 0, 0], [-0.5, 0.0, 0.5])
        heights = spikes[:, 1, 1] - spikes[:, 0, 1]
        np.testing.assert_allclose(heights / heights.max(), np.array([1.25**0.5, 2, 5**0.5]) / 5**0.5)


def test_mirror_has_the_three_shares():
    left, right = mirror()[0].axes
    np.testing.assert_allclose([bar.get_width() for bar in right.patches], [1.0, 0.49, 0.02])
    one, other = drawn(left, is_measured)
    np.testing.assert_allclose(one.get_ydata(), -np.asarray(other.get_ydata()))
