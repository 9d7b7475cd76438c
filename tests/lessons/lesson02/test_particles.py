"""The mathematics of the widget of lesson 02 over its whole slider grid."""

import math

import numpy as np
import pytest
import torch

from regimes.metrics import loss_on, weighted_cosine_distance
from regimes.networks import TwoLayer
from regimes.optimizers import GaussNewton
from regimes.problems import teacher_student
from regimes.theory.gauss_newton import step_loss
from regimes.training import train
from regimes_course.kit.snapshots import at, moments, record
from regimes_course.lesson02.experiments import STEPS
from regimes_course.lesson02.widgets import particles
from regimes_course.lesson02.widgets.particles import CEILING, CHOICES, FLOOR, LARGEST, compute
from tests.lessons.moves import assert_as_a_fresh_widget, panels

NEWTON, DESCENT = "Gauss-Newton", "gradient descent"
MOMENTS = CHOICES["step"].values


@pytest.fixture(scope="module")
def ends(grid):
    return {(move.width, move.std, move.method): move.result for move in grid if move.step == STEPS}


def show(move):
    return f"width {move.width}, std {move.std}, {move.method}, step {move.step}"


def test_everything_is_finite_and_within_the_axes(grid):
    for move in grid:
        history = move.result.history
        assert history.W.shape == (STEPS + 1, move.width, 3) and history.v.shape == (STEPS + 1, move.width), show(move)
        for values in (history.loss, history.test, history.W, history.v, history.time):
            assert torch.isfinite(values).all(), show(move)
        assert len(history.loss) == STEPS + 1 and set(MOMENTS) <= set(history.moments.tolist()), show(move)
        assert max(history.loss.max(), history.test.max()) < CEILING, show(move)
        train, test = move.result.losses
        assert train == history.loss[move.step] and FLOOR < test, show(move)


def test_the_readout_has_the_numbers_and_never_a_nan(grid):
    for move in grid:
        moment, (train, test) = move.result, move.result.losses
        assert move.told.startswith(f"m = {move.width}, std {move.std:g}, step {move.step} of {move.method}: "), show(move)
        assert f"training loss {train:.2g}, test loss {test:.2g}. " in move.told
        assert f"moved by {moment.moved:.2g} times" in move.told
        assert move.told.endswith(f"from {moment.distance[0]:.2f} to {moment.distance[1]:.2f}.")


def test_time_is_that_of_the_flow(grid):
    for move in grid:
        dt = move.result.history.time.diff()
        if move.method == NEWTON:
            torch.testing.assert_close(dt, torch.full_like(dt, 0.05))
        else:
            assert (dt > 0).all() and (dt <= 1).all(), show(move)


def test_numbers_are_those_of_a_network_trained_as_long():
    problem = teacher_student(40, 2, teacher_width=3, seed=293)
    net = TwoLayer(2, 100, std=0.3, seed=1)
    start = net.W.detach().clone()
    last = train(net, problem.x, problem.y, GaussNewton(net, 0.05, damping=5e-3), 20).loss[-1]
    moment = compute(100, 0.3, NEWTON, 20)
    assert moment.losses == pytest.approx((last.item(), loss_on(net, problem.x_test, problem.y_test).item()), rel=1e-12)
    assert moment.moved == pytest.approx(((net.W - start).norm() / start.norm()).item(), rel=1e-12)
    teacher = problem.teacher.W[:, :2]
    assert moment.distance[1] == pytest.approx(weighted_cosine_distance(net.W[:, :2], teacher).item(), rel=1e-12)


def test_the_first_step_moves_the_output_weights_alone(grid):
    for move in grid:
        assert (move.result.moved == 0) == (move.step < 2), show(move)
        W, v = move.result.history.W, move.result.history.v
        assert torch.equal(W[0], W[1]) and v[0].eq(0).all() and v[1].ne(0).all(), show(move)


def test_small_starts_move_and_large_ones_stand_still(ends):
    for width in CHOICES["width"].values:
        for method in (NEWTON, DESCENT):
            moved = [ends[width, std, method].moved for std in CHOICES["std"].values]
            assert all(more > 2 * less for more, less in zip(moved, moved[1:], strict=False)), (width, method, moved)
            assert moved[0] > 5 and moved[-1] < 0.2, (width, method, moved)


def test_a_small_start_finds_the_directions_of_the_teacher_at_every_width(ends):
    for width in CHOICES["width"].values:
        for method in (NEWTON, DESCENT):
            (first, last), (far, still_far) = (ends[width, std, method].distance for std in (0.1, 3.0))
            assert last < 0.25 and last < first / 3, (width, method, first, last)
            assert still_far > 0.85 * far, (width, method, far, still_far)


def test_gauss_newton_follows_its_law_and_gradient_descent_never_rises(ends):
    for (width, std, method), moment in ends.items():
        loss = moment.history.loss / moment.history.loss[0]
        if method == NEWTON:
            law = 0.95 ** (2.0 * torch.arange(51))
            assert ((loss[:51] / law).log().abs() < 0.2).all(), (width, std)
        else:
            assert (loss.diff() <= 0).all() and loss[-1] < 0.05, (width, std)


def axes(moment):
    """The artists of the left and of the right picture after an update."""
    return panels(particles, moment)


@pytest.mark.parametrize("width, std, step", [(100, 0.1, 20), (500, 3.0, 5)])
def test_dots_are_where_the_weights_are_and_grow_with_v(width, std, step):
    moment = compute(width, std, NEWTON, step)
    left, _ = axes(moment)
    run, W, v = moment.history, moment.history.W[step], moment.history.v[step]
    paths, plus, minus = left.collections
    assert [dots.get_label() for dots in (plus, minus)] == ["v > 0", "v < 0"]
    for dots, here in ((plus, v > 0), (minus, v < 0)):
        np.testing.assert_array_equal(dots.get_offsets(), W[here, :2])
        share = 0.25 + 0.75 * (v[here].abs() / run.v.abs().max()).numpy()
        np.testing.assert_allclose(dots.get_sizes(), LARGEST[width] * share)
    assert len(plus.get_offsets()) + len(minus.get_offsets()) == width and plus.get_paths()[0] != minus.get_paths()[0]
    for i, path in enumerate(paths.get_segments()):
        np.testing.assert_array_equal(path, run.W[: step + 1, i, :2])
    assert len(paths.get_segments()) == min(width, 200)
    assert W[:, :2].abs().max() <= left.get_xlim()[1] == left.get_ylim()[1] == -left.get_xlim()[0]


def test_rays_point_along_the_teacher():
    left, _ = axes(compute(100, 0.1, NEWTON, 20))
    teacher = teacher_student(40, 2, teacher_width=3, seed=293).teacher.W.detach()[:, :2].numpy()
    assert len(left.lines) == len(teacher) and left.lines[0].get_label() == "the teacher's units"
    for ray, w in zip(left.lines, teacher, strict=True):
        start, tip = np.stack(ray.get_data(), 1)
        assert (start == 0).all() and ray.get_linestyle() == "--" and np.abs(tip).max() > left.get_xlim()[1]
        assert tip @ w == pytest.approx(np.linalg.norm(tip) * np.linalg.norm(w))  # the same direction, not the opposite


def test_the_moment_is_marked_on_both_curves_and_only_gauss_newton_has_a_law():
    for method in (NEWTON, DESCENT):
        moment = compute(20, 1.0, method, 50)
        _, right = axes(moment)
        train, test, law, *now = right.lines
        assert [line.get_label() for line in (train, test, law)] == ["training", "test", "law: $(1-η)^{2k}$"]
        np.testing.assert_allclose(train.get_ydata(), moment.history.loss)
        np.testing.assert_allclose(test.get_ydata(), moment.history.test)
        assert [(dot.get_xdata()[0], dot.get_ydata()[0]) for dot in now] == [(50, loss) for loss in moment.losses]
        assert right.get_yscale() == "log" and right.get_ylim() == (FLOOR, CEILING)
        assert len(law.get_xdata()) == (STEPS + 1 if method == NEWTON else 0)
    _, right = axes(compute(20, 1.0, NEWTON, 50))
    first = right.lines[0].get_ydata()[0]
    np.testing.assert_allclose(right.lines[2].get_ydata()[:51], first * step_loss(torch.arange(51), 0.05))


def test_the_picture_of_a_move_is_what_a_full_redraw_gives():
    """The axes of the cloud change with std: they must be redrawn too."""
    assert_as_a_fresh_widget(particles, std=3.0)


def test_a_run_is_made_once_and_seen_from_its_start_to_its_end(grid):
    assert MOMENTS[0] == 0 and MOMENTS[-1] == STEPS
    runs = [move.result.history for move in grid]
    assert len({id(history) for history in runs}) == len(grid) / len(MOMENTS)


def test_a_recorded_run_gives_back_the_network_of_any_step():
    problem = teacher_student(20, 2, seed=0)
    net, twin = (TwoLayer(2, 9, std=0.5, seed=3) for _ in range(2))
    trace, diverged = record(GaussNewton(net, 0.1, damping=1e-2), problem.x, problem.y, 12)
    train(twin, problem.x, problem.y, GaussNewton(twin, 0.1, damping=1e-2), 7)
    past = at(net, trace, 7)
    assert diverged is None and len(trace.loss) == 13
    assert torch.equal(past.W, twin.W) and torch.equal(past.v, twin.v) and not torch.equal(net.W, past.W)
    assert torch.equal(at(net, trace, 12).W, net.W)


def test_a_run_that_diverges_keeps_what_came_before():
    problem = teacher_student(20, 2, labels="noise", seed=0)
    net = TwoLayer(2, 9, std=0.5, seed=3)
    trace, diverged = record(GaussNewton(net, 50.0, damping=1e-2), problem.x, problem.y, 500)
    assert diverged == len(trace.loss) == len(trace.measured["W"]) < 500 and torch.isfinite(trace.loss).all()


@pytest.mark.parametrize("steps", [0, 1, 4, 20, 80, 200, 300])
def test_moments_span_the_run_and_are_closest_at_its_start(steps):
    k = moments(steps)
    gaps = np.diff(k)
    assert k[0] == 0 and k[-1] == steps and len(k) <= 25 and (gaps > 0).all()
    assert steps < 25 or (len(k) > 20 and gaps[-1] > 2 * gaps[0] and math.isclose(gaps[-1], steps / 12, rel_tol=0.3))
