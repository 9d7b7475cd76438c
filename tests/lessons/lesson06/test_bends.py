"""The mathematics of the widget with the first picture of lesson 06. Its grid has 1500 positions: each slider is moved alone
from where it starts, and 16 positions are drawn at random (with a fixed seed)."""

import random

import numpy as np
import pytest
import torch

from regimes.kernels import neural_tangent_kernel
from regimes.networks import TwoLayer
from regimes_course.lesson06 import experiments
from regimes_course.lesson06.experiments import LINE, TENT, path, tent
from regimes_course.lesson06.widgets import bends
from regimes_course.lesson06.widgets.bends import CHOICES, START, compute
from tests.lessons.moves import anywhere, assert_as_a_fresh_widget, each_alone, panels

POSITIONS = [*each_alone(bends), *anywhere(bends, random.Random(0), 16)]


def test_runs_stay_finite_and_fit_or_are_told(grid):
    for move in grid:
        run = move.result.run
        assert torch.isfinite(run.W).all() and torch.isfinite(run.v).all()
        assert run.left[0].item() == pytest.approx(1)
        assert ("<b>This run fails</b>" in move.told) == (run.left[-1] > 0.05)
        left = (run.outputs(TENT) - tent(TENT)).square().sum() / tent(TENT).square().sum()
        assert left.item() == pytest.approx(run.left[-1].item(), abs=1e-9)


def test_the_slider_says_the_step_that_is_told(grid):
    for move in grid:
        step, far = CHOICES["moment"].shown(move.moment), move.result.run.moved[move.result.k]
        assert f"step {step} of 3000: weights moved {far:.2g} times their length" in move.told and "e+" not in move.told


def test_the_answers_to_the_tasks():
    at = {alpha: compute(alpha, 200, 1.0, 0).run.at_corners() for alpha in CHOICES["alpha"].values}
    assert [alpha for alpha, share in at.items() if share < 0.5][0] == 2 and at[1.0] > 0.5
    moved = {m: compute(1.0, m, 1.0, 0).run.moved[-1].item() for m in CHOICES["m"].values}
    assert min(moved, key=moved.get) == 1000


@pytest.mark.parametrize("seed", range(5))
def test_the_run_that_fails_does_so_for_its_step(seed, monkeypatch):
    failed = compute(0.05, 50, 1.0, seed).run
    assert failed.left[-1] > 0.1 and largest(failed, 0) < 1 < 1.9 < largest(failed, -1)
    monkeypatch.setattr(experiments, "RATE", experiments.RATE / 3)
    assert path.__wrapped__(0.05, 50, seed, 9000).left[-1] < 1e-3


def largest(run, k):
    """Step times the largest eigenvalue of the kernel; two is the limit of stability."""
    net = TwoLayer(1, run.v.shape[1], activation="relu", scaling="ntk")
    with torch.no_grad():
        net.W.copy_(run.W[k])
        net.v.copy_(run.v[k])
    return experiments.RATE * torch.linalg.eigvalsh(neural_tangent_kernel(net, TENT[:, None]))[-1].item()


@pytest.mark.parametrize("m, moment", [(200, 0.5), (50, 1.0)])
def test_the_picture_has_the_function_and_the_bends_so_far(m, moment):
    scene = compute(1.0, m, moment, 1)
    function, lines = panels(bends, scene)
    np.testing.assert_allclose(function.lines[1].get_data(), (LINE, scene.run.outputs(LINE, scene.k)))
    segments = lines.collections[0].get_segments()
    assert len(segments) == m and all(len(points) == scene.k + 1 for points in segments)
    np.testing.assert_allclose([points[-1, 0] for points in segments], scene.run.bends[scene.k].clamp(-9, 9))
    now = lines.lines[-1].get_ydata()
    np.testing.assert_allclose(now, segments[0][-1, 1])


def test_a_move_gives_what_a_fresh_widget_gives():
    assert_as_a_fresh_widget(bends, alpha=10.0, moment=0.6)
    assert START["m"] == 200
