"""The mathematics of the second widget of lesson 09: each slider alone, and six positions at random."""

import math
import random

import numpy as np
import pytest
import torch

from regimes.losses import logistic
from regimes.metrics import normalised_margin, sharpness, smoothed_margin
from regimes.networks import TwoLayer, fix_signs
from regimes.optimizers import GradientDescent
from regimes.problems import tug_of_war as data
from regimes.training import train
from regimes_course.kit.stack_of_snapshots import moments_of
from regimes_course.lesson09.widgets import tug_of_war
from regimes_course.lesson09.widgets.tug_of_war import HIGH, LOW, SHARP, START, STEPS, compute
from tests.lessons.moves import anywhere, each_alone, panels

DIPS = [START | {"g": 0.2, "eta": eta, "seed": seed} for eta in (150, 192) for seed in (0, 1)]
STUCK = [START | {"activation": "tanh", "eta": eta, "g": g} for eta, g in ((16, 0.1), (512, 0.2))]
POSITIONS = [*each_alone(tug_of_war), *anywhere(tug_of_war, random.Random(0), 6), *DIPS, *STUCK]


def told_alike(a, b):
    """Runs that end alike, to the digits that are told."""
    return a.result.last == b.result.last and abs(a.result.loss[-1] / b.result.loss[-1] - 1) < 0.01


def axes(tug):
    return panels(tug_of_war, tug)


def test_moments_of_a_run_are_measured_as_the_run_itself_would():
    x, y = data(0.2)
    net = fix_signs(TwoLayer(2, 6, activation="gelu", bias=False, seed=3))
    measure = {
        "S": lambda net: sharpness(net, x, y, loss=logistic),
        "margin": lambda net: normalised_margin(net, x, y),
        "smooth": lambda net: smoothed_margin(net, x, y, 0.293525),
        "W": lambda net: net.W,
    }
    trace = train(net, x, y, GradientDescent(net, 48.0, loss=logistic), 60, measure=measure)
    tug = compute(0.2, 48, 6, "gelu", 3)
    for values, name, factor in ((tug.stability, "S", 24), (tug.margin, "margin", 1), (tug.smooth, "smooth", 1)):
        torch.testing.assert_close(values[:61], factor * trace.measured[name], rtol=1e-5, atol=1e-9)
    stack = moments_of(net, trace.measured["W"][:7])
    assert stack.runs == (7,) and torch.equal(stack.W.detach(), trace.measured["W"][:7])
    assert stack.activation.name == "gelu" and not stack.v.requires_grad


def test_everything_is_finite(grid):
    for move in grid:
        tug = move.result
        for values in (tug.loss, tug.stability, tug.margin, tug.smooth):
            assert values.shape == (STEPS + 1,) and torch.isfinite(values).all(), move.settings


def test_the_known_runs(grid):
    for move in grid:
        if (move.g, move.activation, move.eta) == (0.1, "leaky_softplus", 48):
            assert move.result.last in range(63, 67), move.settings
        if (move.g, move.activation, move.eta) == (0.1, "leaky_softplus", 256):
            assert move.result.last in (50, 51, 52) and move.result.below in range(52, 60), move.settings
        if (move.g, move.activation) == (0.1, "leaky_softplus") and move.eta <= 24 and move.width == 20:
            assert move.result.last == 0, move.settings


def test_a_margin_that_falls_and_one_that_does_not(grid):
    dips = [move for move in grid if move.settings in DIPS]
    for move in dips:
        raw, smooth = (move.result.fall(m) for m in (move.result.margin, move.result.smooth))
        assert smooth < 1e-12, move.settings
        assert (0.02 < raw < 0.04) if move.eta == 192 else raw < 1e-12, move.settings
        assert f"falls by {raw:.1%}</b> on the way, the smoothed margin never falls" in move.told or move.eta == 150


def test_a_bounded_activation_is_stuck(grid):
    stuck = [move for move in grid if move.activation == "tanh"]
    assert len(stuck) >= 3
    for move in stuck:
        assert move.result.loss.min() > math.log1p(math.exp(-1)) and move.result.threshold == pytest.approx(
            0.8526055 / (move.eta * (1 + 4 / (3 * math.sqrt(3))))
        )
        assert move.result.below >= 0 or "With tanh no risk can be below 0.313." in move.told, move.settings


def test_nothing_rises_below_the_threshold(grid):
    for move in grid:
        safe = (move.result.loss <= move.result.threshold).nonzero()
        assert not len(safe) or move.result.last <= safe[0].item(), move.settings


def test_the_readout_has_the_numbers(grid):
    for move in grid:
        tug = move.result
        assert (f"for the last time at step {tug.last}<" if tug.last else "never rises<") in move.told
        if tug.below >= 0:
            assert f"below 1/η from step {tug.below} on and ends at {tug.loss[-1]:.2g}." in move.told
        else:
            assert f"ends at {tug.loss[-1]:.3g}." in move.told and tug.fall(tug.margin) == 0


def test_what_is_drawn():
    tug = compute(**START | {"eta": 256})
    left, middle, right = axes(tug)
    loss, safe, last, below = left.lines
    np.testing.assert_allclose(loss.get_ydata(), tug.loss[1:])
    np.testing.assert_allclose(safe.get_ydata(), tug.threshold)
    assert (safe.get_linestyle(), safe.get_color()) == ("--", "black")
    assert last.get_xdata()[0] == tug.last and below.get_xdata()[0] == tug.below
    np.testing.assert_allclose(middle.lines[0].get_ydata(), tug.stability[1:].clamp(SHARP[0] / 10, SHARP[1] * 10))
    margin, smooth = right.lines[:2]
    high = tug.margin.max().item()
    np.testing.assert_allclose(margin.get_ydata(), tug.margin[1:].clamp(-2 * high, 2 * high))
    np.testing.assert_allclose(smooth.get_ydata(), tug.smooth[1:].clamp(-2 * high, 2 * high))
    assert left.get_ylim() == (LOW, HIGH)


def test_marks_are_there_only_if_there_is_something_to_mark():
    for settings, there in ((START | {"eta": 8}, (False, False)), (START, (True, False)), (START | {"eta": 256}, (True, True))):
        for ax in axes(compute(**settings)):
            assert tuple(line.get_visible() for line in ax.lines[-2:]) == there
