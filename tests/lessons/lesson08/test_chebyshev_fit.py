"""The mathematics of the second widget of lesson 08: each slider alone, and 15 positions at random."""

import random

import numpy as np
import pytest
import torch

from regimes.metrics import sharpness
from regimes.networks import TwoLayer
from regimes.problems import chebyshev
from regimes_course.lesson08.widgets import chebyshev_fit
from regimes_course.lesson08.widgets.chebyshev_fit import CHOICES, EVERY, START, STEPS, compute
from tests.lessons.moves import anywhere, assert_as_a_fresh_widget, each_alone, panels

POSITIONS = [*each_alone(chebyshev_fit), *anywhere(chebyshev_fit, random.Random(0), 15)]


def test_everything_is_finite(grid):
    for move in grid:
        fit = move.result
        assert torch.isfinite(fit.loss).all() and torch.isfinite(fit.number).all(), move.settings
        assert len(fit.number) == len(fit.step) and (fit.step == EVERY * torch.arange(len(fit.step))).all()


def test_it_starts_at_the_sharpness_of_the_network():
    fit, data = compute(**START), chebyshev(3)
    net = TwoLayer(1, 20, activation="tanh", output_std=1.0)
    assert fit.number[0].item() == pytest.approx(1.2 * sharpness(net, data.x, data.y).item() / 2)
    assert fit.loss[0].item() == pytest.approx(((net(data.x) - data.y) ** 2).mean().item() / 2)


def test_small_steps_stay_below_the_edge_and_larger_ones_hover(grid):
    alone = {move.eta: move.result for move in grid if move.settings == START | {"eta": move.eta}}
    assert len(alone) == len(CHOICES["eta"].values)
    for eta in (0.2, 0.4, 0.6):
        assert alone[eta].crossing is None and alone[eta].increases == 0
    for eta in (1.0, 1.2, 1.6, 2.0):
        assert alone[eta].crossing > 0 and alone[eta].increases > 50
        assert alone[eta].number[-15:].mean().item() == pytest.approx(1, abs=0.05)


def test_divergence_is_told_at_its_step_with_the_sharpness_then(grid):
    lost = [move for move in grid if move.result.diverged is not None]
    assert len(lost) >= 2
    for move in lost:
        fit = move.result
        assert f"<b>the run diverges</b> at step {fit.diverged}:" in move.told and f"At step {fit.step[-1]} " in move.told
        assert len(fit.loss) == fit.diverged < STEPS and not len(fit.curve) and fit.number[-1] > 1
        axes = panels(chebyshev_fit, fit)
        assert not axes[0].lines[1].get_visible() and len(axes[1].lines[1].get_xdata()) == 1


def test_every_move_is_told(grid):
    for move in grid:
        assert move.told.startswith(f"η = {move.eta:g}:")


def test_curves_are_data():
    fit = compute(**START)
    left, loss, number = panels(chebyshev_fit, fit)
    np.testing.assert_allclose(left.lines[0].get_ydata(), fit.problem.y)
    np.testing.assert_allclose(left.lines[1].get_ydata(), fit.curve)
    np.testing.assert_allclose(loss.lines[0].get_ydata(), fit.loss)
    np.testing.assert_allclose(number.lines[1].get_ydata(), fit.number)
    assert (number.lines[0].get_linestyle(), number.lines[0].get_color()) == ("--", "black")


def test_the_picture_of_a_move_is_what_a_fresh_widget_draws():
    assert_as_a_fresh_widget(chebyshev_fit, eta=8.0)
