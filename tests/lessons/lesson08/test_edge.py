"""The mathematics of the lesson's own widget: each slider alone, and 15 positions at random."""

import random

import numpy as np
import pytest
import torch

from regimes.networks import TwoLayer
from regimes.optimizers import GradientDescent
from regimes.problems import chebyshev
from regimes.training import train
from regimes_course.lesson08.climb import Task, descend, flow, start
from regimes_course.lesson08.widgets import edge
from regimes_course.lesson08.widgets.edge import EVERY, MOMENTS, START, compute
from tests.lessons.moves import anywhere, assert_as_a_fresh_widget, each_alone, panels

SURVIVES = START | {"eta": 3.0}
POSITIONS = [*each_alone(edge), *anywhere(edge, random.Random(0), 15), START | {"eta": 0.2}, SURVIVES]
POSITIONS += [START | {"eta": eta, "push": 1.0} for eta in (0.2, 4.0)]


def alike(a, b):
    """A push happens at the crossing: without one, or where the run is lost anyway, it may change nothing that is seen."""
    return a.settings | {"push": 0.0} == b.settings | {"push": 0.0} and (
        a.result.crossed is None or a.result.diverged is not None
    )


def test_everything_is_finite(grid):
    for move in grid:
        run = move.result
        assert torch.isfinite(run.loss).all() and torch.isfinite(run.S).all() and torch.isfinite(run.flow).all(), move.settings
        assert len(run.time) == len(run.S) and run.time[1] == pytest.approx(EVERY * run.eta)


def test_a_run_is_that_of_the_library_until_it_swings():
    data, net = chebyshev(3), TwoLayer(1, 20, activation="tanh", output_std=1.0, seed=1)
    trace = train(net, data.x + 0.5, data.y, GradientDescent(net, 0.4), 300)
    torch.testing.assert_close(compute(0.4, 0.5, 0.0, 1).loss[:301], trace.loss, rtol=1e-8, atol=0)


@pytest.mark.parametrize("eta, shift", [(0.6, 1.0), (0.4, 1.0), (0.6, 0.0)])
def test_the_edge_is_crossed_where_the_eigenvalue_says_so(eta, shift):
    task = Task(shift)
    beyond = (task.sharpness(descend(task, start(0), eta, 400)[::2]) > 2 / eta).nonzero()
    assert compute(eta, shift, 0.0, 0).crossed == (2 * int(beyond[0]) if len(beyond) else None)


def test_the_flow_is_that_of_its_task_and_its_start():
    path = flow(Task(0.5), start(1), 30.0)[::10]
    both = torch.stack([Task(0.5).sharpness(path), Task(0.5).loss(path)])
    torch.testing.assert_close(compute(0.6, 0.5, 0.0, 1).flow[:, : len(path)], both)


def test_a_small_step_never_meets_its_edge_and_a_larger_one_crosses_it_and_comes_back(grid):
    alone = {move.eta: move.result for move in grid if move.settings == START | {"eta": move.eta}}
    for eta in (0.2, 0.25):
        assert alone[eta].crossed is None and (eta * alone[eta].S / 2 < 1).all()
    for eta in (0.4, 0.6, 0.8):
        run = alone[eta]
        number = eta * run.S / 2
        assert 1.2 < number.max() < 2 and number[-10:].mean() == pytest.approx(1.06, abs=0.06)
        assert run.meter == pytest.approx(1, abs=0.01)
    assert alone[4.0].diverged is not None and alone[3.0].diverged is None


def test_what_the_lesson_says_of_its_three_tasks():
    centred = compute(**START | {"shift": 0.0})
    assert centred.crossed is None and 0.6 * centred.S.max() / 2 < 0.8
    for seed in (0, 1, 2):
        assert compute(3.0, 1.0, 0.0, seed).diverged is None and compute(4.0, 1.0, 0.0, seed).diverged is not None
        late = [compute(eta, 1.0, 0.0, seed).loss[-50:].mean().item() for eta in (0.2, 0.3, 0.6, 1.2, 3.0)]
        assert late == sorted(late)


def test_a_push_that_changes_nothing_says_so(grid):
    pushed = [move for move in grid if move.push]
    for move in grid:
        idle, lost = move.result.crossed is None, move.result.diverged is not None
        assert ("(so nothing is pushed)" in move.told) == bool(move.push and idle and not lost)
        assert ("in spite of the push" in move.told) == bool(move.push and not idle and lost)
    assert any(move.result.crossed is None for move in pushed) and any(move.result.diverged for move in pushed)


def test_a_push_tames_the_overshoot():
    alone, pushed = compute(**START), compute(**START | {"push": 1.0})
    assert torch.equal(alone.loss[: alone.crossed], pushed.loss[: alone.crossed])
    assert 0.6 * pushed.S.max() / 2 < 1.2 < 1.5 < 0.6 * alone.S.max() / 2


def test_divergence_is_told_at_its_step(grid):
    lost = [move for move in grid if move.result.diverged is not None]
    assert lost
    for move in lost:
        assert f"<b>the run diverges</b>, from step {move.result.diverged} on" in move.told
        assert len(move.result.loss) == move.result.diverged


def test_curves_are_data():
    run = compute(**START)
    left, right = panels(edge, run)
    smooth, level, line = left.lines
    np.testing.assert_allclose(smooth.get_ydata(), run.flow[0])
    np.testing.assert_allclose(smooth.get_xdata(), MOMENTS)
    assert set(level.get_ydata()) == {2 / 0.6}
    np.testing.assert_allclose(line.get_ydata(), run.S)
    smooth, line, cross = right.lines
    np.testing.assert_allclose(line.get_ydata(), run.loss)
    np.testing.assert_allclose(smooth.get_ydata(), run.flow[1])
    assert set(cross.get_xdata()) == {0.6 * run.crossed}


def test_every_move_is_told(grid):
    for move in grid:
        assert move.told.startswith(f"η = {move.eta:g}, edge ")


def test_the_picture_of_a_move_is_what_a_fresh_widget_draws():
    assert_as_a_fresh_widget(edge, eta=4.0)
