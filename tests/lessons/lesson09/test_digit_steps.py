"""The mathematics of the third widget of lesson 09: each slider alone, and three positions at random."""

import random

import numpy as np
import pytest
import torch

from regimes.losses import logistic
from regimes.metrics import normalised_margin
from regimes.networks import TwoLayer, fix_signs
from regimes.optimizers import GradientDescent
from regimes.problems import digits_in_the_ball, separation
from regimes.training import train
from regimes_course.lesson09.widgets import digit_steps
from regimes_course.lesson09.widgets.digit_steps import CENTRED, EVERY, HIGH, LOW, RAW, START, STEPS, compute
from tests.lessons.moves import anywhere, each_alone, panels

POSITIONS = [*each_alone(digit_steps), *anywhere(digit_steps, random.Random(0), 3)]


def test_a_run_is_what_the_library_trains():
    data = digits_in_the_ball(n=100, seed=2)
    net = fix_signs(TwoLayer(65, 20, activation="leaky_softplus", bias=False, seed=2))
    measure = {
        "margin": lambda net: normalised_margin(net, data.x, data.y),
        "errors": lambda net: (net(data.x_test).sign() != data.y_test).double().mean(),
    }
    trace = train(net, data.x, data.y, GradientDescent(net, 64.0, loss=logistic), 40, measure=measure)
    digits = compute(CENTRED, 64, 2)
    torch.testing.assert_close(digits.loss[:41], trace.loss)
    torch.testing.assert_close(digits.margin[:11], trace.measured["margin"][::EVERY])
    torch.testing.assert_close(digits.errors[:11], trace.measured["errors"][::EVERY])
    assert digits.plane == pytest.approx(separation(data.x, data.y).margin)


def test_everything_is_finite(grid):
    for move in grid:
        digits = move.result
        assert digits.loss.shape == (STEPS + 1,) and digits.margin.shape == digits.errors.shape == (STEPS // EVERY + 1,)
        assert all(torch.isfinite(v).all() for v in (digits.loss, digits.margin, digits.errors)), move.settings
        assert 0 <= digits.errors.min() and digits.errors.max() <= 1 and 0 < digits.plane < 1


def test_real_data_hardly_oscillate(grid):
    for move in grid:
        if move.pixels == CENTRED:
            assert move.result.last <= 3, move.settings
        elif move.eta <= 8:
            assert move.result.last == 0, move.settings
        elif 64 <= move.eta <= 128:
            assert 2 <= move.result.last <= 4, move.settings


def test_the_readout_has_the_numbers(grid):
    for move in grid:
        digits = move.result
        assert (f"last time at step {digits.last}<" if digits.last else "never rises<") in move.told
        assert (f"below 1/η from step {digits.below} on" if digits.below >= 0 else "not below 1/η") in move.told
        assert f"ends at {digits.loss[-1]:.2g}. The margin ends at {digits.margin[-1]:.3f} " in move.told
        assert f"test error at {digits.errors[-1]:.1%}." in move.told


def test_what_is_drawn():
    digits = compute(**START)
    left, middle, right = panels(digit_steps, digits)
    loss, late, below, last = left.lines
    np.testing.assert_allclose(loss.get_ydata(), digits.loss[1:].clamp(LOW / 10, HIGH * 10))
    np.testing.assert_allclose(late.get_ydata()[9], 1 / (64 * digits.margin[-1] ** 2 * 10), rtol=1e-9)
    assert (late.get_linestyle(), late.get_color()) == ("--", "black")
    assert below.get_xdata()[0] == digits.below and last.get_xdata()[0] == digits.last
    np.testing.assert_allclose(middle.lines[0].get_ydata(), digits.margin[1:].clamp(min=-1.5 * digits.plane))
    np.testing.assert_allclose(middle.lines[1].get_ydata(), 0.75 * digits.plane)
    np.testing.assert_allclose(right.lines[0].get_ydata(), digits.errors[1:].clamp(min=0.002))


def test_a_negative_margin_has_no_prediction():
    digits = compute(RAW, 1, 1)
    assert digits.margin[-1] < 0
    assert not panels(digit_steps, digits)[0].lines[1].get_visible()
