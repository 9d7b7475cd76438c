"""The mathematics of the widget of lesson 06. Its grid has 440 positions: all 40 runs are visited at their end, each slider is
moved alone from where it starts, and 20 positions are drawn at random (with a fixed seed)."""

import random

import numpy as np
import pytest
import torch

from regimes.kernels import LazyScaling, neural_tangent_kernel
from regimes.metrics import kernel_distance
from regimes.networks import TwoLayer
from regimes.optimizers import GradientDescent
from regimes.theory.lazy import kernel_regression, relu_kernel
from regimes.training import train
from regimes_course.lesson06.widgets import lazy_dial
from regimes_course.lesson06.widgets.lazy_dial import CHOICES, DATA, ERROR, FAR, SORTED, START, STEPS, N, compute, sentence
from tests.lessons.moves import anywhere, assert_as_a_fresh_widget, each_alone, panels

ALPHAS, WIDTHS = CHOICES["alpha"].values, CHOICES["width"].values
_ends = [{"alpha": a, "width": m, "moment": 1.0} for a in ALPHAS for m in WIDTHS]
_all = [*_ends, *each_alone(lazy_dial), *anywhere(lazy_dial, random.Random(0), 20)]
POSITIONS = sorted(_all, key=lambda p: (p["width"], p["alpha"]))  # those of one run together


def alike(a, b):
    """Parts of the steps that end at the same one of a short run."""
    return (a.alpha, a.width, a.result.k) == (b.alpha, b.width, b.result.k)


told_alike = alike


@pytest.fixture(scope="module")
def ends(grid):
    return {(move.alpha, move.width): move.result for move in grid if move.moment == 1}


def axes(found):
    return panels(lazy_dial, found)


def test_everything_is_finite(grid):
    for move in grid:
        found = move.result
        for values in (found.run.loss, found.run.right, found.start, found.now):
            assert torch.isfinite(values).all(), move.settings
        assert found.now.shape == found.start.shape == (N, N), move.settings
        assert found.run.loss[0] == 1 and (found.run.loss < FAR).all() and found.run.right[0] == 0.5, move.settings


def test_runs_end_trained_or_are_told(grid):
    told = {"ended": 0, "<b>The run has not ended</b>": 0, "<b>The run diverges</b>": 0}
    for move in grid:
        run = move.result.run
        if run.diverged is not None:
            expected = "<b>The run diverges</b>"
            assert f"{expected} at step {run.diverged}" in move.told
        elif run.steps[-1] == STEPS:
            expected = "<b>The run has not ended</b>"
        else:
            expected = "ended"
            assert run.loss[-1] < 2 * ERROR, move.settings
        assert (expected in move.told) != (expected == "ended") and move.told.count("<b>") == (expected != "ended")
        told[expected] += 1
    assert min(told.values()) >= 1 and told["ended"] > 40, told


def test_a_run_is_that_of_the_library(ends):
    found = ends[0.3, 64]
    start = TwoLayer(16, 64, activation="relu", scaling="ntk", bias=False, output_std=1.0, seed=0)
    net, K0 = LazyScaling(start, 0.3), neural_tangent_kernel(start, DATA.x)
    rule = GradientDescent(net, 0.6 * N / torch.linalg.eigvalsh(K0)[-1].item())
    trace = train(net, DATA.x, DATA.y, rule, int(found.run.steps[-1]))
    K = neural_tangent_kernel(net.net, DATA.x)
    assert trace.relative[-1].item() == pytest.approx(found.run.loss[-1].item(), rel=1e-9)
    assert found.drift == pytest.approx(kernel_distance(K, K0).item(), rel=1e-9)
    torch.testing.assert_close(found.now, K[SORTED][:, SORTED])
    right = (net(DATA.x_test).sign() == DATA.y_test).double().mean().item()
    assert found.run.right[-1].item() == pytest.approx(right)


def test_a_small_alpha_is_rich_and_a_large_one_is_kernel_regression(ends):
    kernels = (relu_kernel(x, DATA.x) for x in (DATA.x, DATA.x_test))
    limit = (kernel_regression(*kernels, DATA.y).sign() == DATA.y_test).double().mean().item()
    for m in WIDTHS:
        rich, lazy = ends[0.1, m], ends[30.0, m]
        assert rich.lazy == pytest.approx(limit) and rich.run.right[-1] > 0.95 > 0.8 > lazy.run.right[-1]
        assert rich.drift > 2 and lazy.drift < 0.05 and rich.aligned > 1.7 * lazy.aligned
        drifts = [ends[alpha, m].drift for alpha in ALPHAS[3:]]
        assert drifts == sorted(drifts, reverse=True), m
    assert ends[30.0, 256].run.right[-1].item() == pytest.approx(limit, abs=0.07)


def test_what_the_lesson_found(ends):
    """The answers under the widget."""
    assert ends[0.05, 32].run.diverged is not None
    at_one = {m: ends[1.0, m].drift for m in WIDTHS}
    assert [m for m in WIDTHS if at_one[m] < 0.25] == [256] and at_one[32] > 3 * at_one[256]
    for alpha, there in ((0.1, True), (0.3, True), (3.0, False), (30.0, False)):
        for moment in (0.5, 1.0):
            found = compute(alpha, 128, moment)
            gain, groups = found.now - found.start, (DATA.y[SORTED] < 0).nonzero().flatten()
            block = gain[groups][:, groups]
            first = DATA.x[SORTED][groups, 0] < 0
            same, other = first[:, None] == first, first[:, None] != first
            same &= ~torch.eye(len(groups), dtype=torch.bool)
            assert ((block[same].mean() - block[other].mean()) > 0.1 * found.start.diag().mean()) == there, (alpha, moment)


def test_rows_are_sorted_into_four_groups():
    signs = torch.stack([DATA.y[SORTED], DATA.x[SORTED, 0].sign()], 1)
    assert len(torch.unique_consecutive(signs, dim=0)) == 4


def test_the_readout_has_the_numbers_and_every_move_is_told(grid):
    for move in grid:
        found, run = move.result, move.result.run
        assert move.told.startswith(f"α = {move.alpha:g}, m = {move.width}, step {run.steps[found.k]}: drift of the kernel ")
        assert f"{run.right[found.k]:.0%} of new samples right (kernel regression: {found.lazy:.0%})" in move.told
    assert "drift of the kernel 0, " in sentence(compute(**START | {"moment": 0.0}))


def test_the_picture_has_kernel_eigenvalues_and_curves():
    found = compute(**START)
    now, gained, spectrum, curves = axes(found)
    off = found.now - found.now.diag().diag()
    np.testing.assert_allclose(now.images[0].get_array(), found.now / off.abs().max(), rtol=1e-6)
    assert gained.images[0].get_array().diagonal().sum() > 0
    before, after = spectrum.lines
    np.testing.assert_allclose(after.get_ydata(), torch.linalg.eigvalsh(found.now).flip(0))
    np.testing.assert_allclose(before.get_ydata(), torch.linalg.eigvalsh(found.start).flip(0))
    assert after.get_marker() != before.get_marker()
    loss, right, limit, moment = curves.lines
    np.testing.assert_allclose(loss.get_data(), (found.run.steps + 1, found.run.loss))
    np.testing.assert_allclose(right.get_data(), (found.run.steps + 1, found.run.right))
    assert (limit.get_linestyle(), limit.get_color()) == ("--", "black") and set(limit.get_ydata()) == {found.lazy}
    assert list(moment.get_xdata()) == [found.run.steps[-1] + 1] * 2


def test_a_move_gives_what_a_fresh_widget_gives():
    assert_as_a_fresh_widget(lazy_dial, alpha=10.0, moment=0.3)
