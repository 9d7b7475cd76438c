"""The mathematics of the first widget of lesson 08: every step and start, and from one start every distance from the valley."""

import numpy as np
import pytest
import torch

from regimes.optimizers import GradientDescent
from regimes.theory.edge_of_stability import degree_four_end, degree_four_number, degree_four_swing
from regimes_course.lesson08.experiments import descend
from regimes_course.lesson08.widgets import degree_four
from regimes_course.lesson08.widgets.degree_four import START, STEPS, compute
from tests.lessons.moves import everywhere, panels

POSITIONS = [p for p in everywhere(degree_four) if p["product"] == 1.01 or p["number"] == 1.6]


def test_everything_is_finite(grid):
    for move in grid:
        assert np.isfinite(move.result.loss).all() and np.isfinite(move.result.number).all()


def test_it_is_gradient_descent_from_where_the_sliders_say():
    rest = compute(**START)
    p, q = rest.product[:2], rest.number[:2] / rest.eta
    g = p[0] * (p[0] ** 2 - 1)
    assert p[1] == pytest.approx(p[0] * (1 + 0.01 * g**2) - 0.1 * g * q[0])
    assert q[1] == pytest.approx(q[0] * (1 + 0.01 * g**2) - 0.4 * g * p[0])
    assert rest.product[0] == pytest.approx(1.01) and rest.number[0] == pytest.approx(1.3, rel=0.01)


def test_it_is_the_training_of_a_network_whose_output_is_the_square_of_x_y():
    """The library's squared loss is twice that of the widget."""

    class Square(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.w = torch.nn.Parameter(torch.tensor([4.0, 0.26], dtype=torch.float64))

        def forward(self, x):
            return x[:, 0] * self.w.prod() ** 2

    net, one = Square(), torch.ones(1, 1, dtype=torch.float64)
    optimizer = GradientDescent(net, 0.05)
    for point in descend(4.0, 0.26, 0.1, 20)[0][1:]:
        optimizer.step(one, one[0])
        np.testing.assert_allclose(point, net.w.detach(), rtol=1e-8)


def test_below_the_edge_the_loss_never_rises_and_the_valley_is_kept(grid):
    calm = [move for move in grid if move.number <= 0.9 and move.product == 1.01]
    assert len(calm) == 10
    for move in calm:
        assert move.result.increases == 0 and "without an increase" in move.told and move.result.settling is None
        assert abs(move.result.number[-1] - move.number) < 0.01


def test_beyond_the_edge_it_comes_to_rest_just_below_or_diverges(grid):
    for move in grid:
        rest = move.result
        if move.number <= 1 or rest.diverged is not None:
            continue
        if "just below" in move.told:
            assert 0 < 1 - rest.number[-1] < 1.1 * (1 - degree_four_end(move.eta)), move.settings
        else:
            assert "not settled" in move.told and move.eta <= 0.05, move.settings
    ends = {
        move.number: move.result.number[-1] for move in grid if (move.eta, move.product) == (0.1, 1.01) and 1 < move.number < 2
    }
    assert np.ptp(list(ends.values())) < 1e-5  # wherever it starts


def test_divergence_is_told_at_its_step_with_the_sharpness_then(grid):
    lost = [move for move in grid if move.result.diverged is not None]
    assert len(lost) >= 15 and {move.number for move in lost} >= {2.3, 2.6, 3.0}
    for move in lost:
        assert f"<b>the run diverges</b> at step {move.result.diverged}; the last stability number was" in move.told
        assert len(move.result.loss) == move.result.diverged <= STEPS


def test_curves_are_data_and_predictions():
    rest = compute(**START)
    number, plane, loss = panels(degree_four, rest)
    edge, line, fall = number.lines
    np.testing.assert_array_equal(line.get_ydata(), rest.number)
    t = np.asarray(fall.get_xdata())
    np.testing.assert_allclose(fall.get_ydata(), degree_four_number(t - t[0], 0.1, rest.number[t[0]]))
    assert (fall.get_linestyle(), fall.get_color()) == ("--", "black") and t[0] == rest.settling
    _, dots, first, swing = plane.lines
    np.testing.assert_array_equal(dots.get_xdata(), rest.product)
    assert first.get_xdata() == rest.product[:1]
    y = np.asarray(swing.get_ydata())[100:]
    np.testing.assert_allclose(np.asarray(swing.get_xdata())[100:], degree_four_swing(y, 0.1)[1])
    np.testing.assert_allclose(loss.lines[0].get_ydata(), rest.loss.clip(1e-9, 1e2))


def test_in_the_other_valley_the_swing_is_drawn_there():
    rest = compute(**START | {"eta": 0.2, "number": 1.9})
    swing = panels(degree_four, rest)[1].lines[-1]
    assert rest.product[-1] == pytest.approx(-1, abs=1e-3) and np.asarray(swing.get_xdata()).max() < 0


def test_what_is_left_is_about_one_over_e():
    assert compute(0.05, 1.3, 1.01).left == pytest.approx(1 / np.e, rel=0.1)


def test_every_move_is_told(grid):
    for move in grid:
        assert move.told.startswith(f"η = {move.eta:g}, from ηS/2 = {move.number:g}:")
