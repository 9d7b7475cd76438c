"""The mathematics of the widget of lesson 01 over its whole slider grid."""

import numpy as np
import torch

from regimes_course.lesson01.widgets import gd_against_gn
from regimes_course.lesson01.widgets.gd_against_gn import CEILING, FLOOR, FRAMES, STEPS, compute, sentence
from tests.lessons.moves import panels


def alike(a, b):
    """Where the curves lie on each other."""
    curves = [torch.cat([r.gauss_newton, r.descent, r.high]).clamp(FLOOR / 10, CEILING * 10) for r in (a.result, b.result)]
    return torch.allclose(curves[0].log(), curves[1].log(), atol=0.5)


def show(move):
    return f"κ = {move.kappa}, ε = {move.damping}, η = {move.eta}"


def test_everything_is_finite(grid):
    for move in grid:
        race = move.result
        assert race.diverged is None and len(race.gauss_newton) == STEPS + 1, show(move)
        for curve in (race.gauss_newton, race.descent, race.low, race.high):
            assert curve.shape == (STEPS + 1,) and torch.isfinite(curve).all() and (curve >= 0).all(), show(move)
            assert curve[0] == 1, show(move)
        assert 0 < race.lambda_min < 1 and (race.low <= race.high).all(), show(move)


def test_the_readout_has_the_numbers_and_never_a_nan(grid):
    for move in grid:
        assert f"{move.result.descent[-1]:.2f} with gradient descent" in move.told
        end = move.result.gauss_newton[-1].item()
        assert (f"is {end:.1e} with" if end >= FLOOR else f"is below {FLOOR:.0e} with") in move.told, show(move)


def test_the_readout_tells_what_went_wrong_exactly_where_the_loss_rose(grid):
    for move in grid:
        rose = move.result.gauss_newton.max() > 1.01
        assert ("after a peak of" in move.told) == rose != ("(predicted " in move.told), show(move)
        assert ("beyond 2, the stability limit" in move.told) == (rose and move.eta >= 2), show(move)
        assert rose or move.eta < 2, show(move)


def test_undamped_small_steps_follow_their_prediction_at_every_conditioning(grid):
    """A factor of two, down to the bottom of the axis; and so the conditioning does not matter."""
    moves = [move for move in grid if move.damping == 0 and move.eta <= 0.2]
    assert len(moves) == 12
    for move in moves:
        loss, law = move.result.gauss_newton.clamp(FLOOR), ((1 - move.eta) ** (2.0 * torch.arange(STEPS + 1))).clamp(FLOOR)
        assert (
            torch.allclose(move.result.low, move.result.high) and (move.result.high.clamp(FLOOR) / law - 1).abs().max() < 1e-4
        )
        assert (0.5 < loss / law).all() and (loss / law < 2).all(), show(move)
        assert (loss.diff() <= 0).all(), show(move)


def test_small_steps_stay_in_their_envelope_unless_inputs_are_badly_conditioned(grid):
    moves = [move for move in grid if move.kappa <= 10 and move.eta <= 0.2]
    assert len(moves) == 48
    for move in moves:
        low, high, loss = (curve.clamp(FLOOR) for curve in (move.result.low, move.result.high, move.result.gauss_newton))
        assert (loss <= 1.1 * high).all() and (loss >= low / 1.2).all(), show(move)


def test_more_damping_is_slower_and_never_faster_than_undamped(grid):
    for eta in (0.02, 0.05):
        ends = [m.result.gauss_newton[-1] for m in grid if (m.kappa, m.eta) == (1, eta)]
        assert len(ends) == 6 and all(a <= b for a, b in zip(ends, ends[1:], strict=False))


def test_conditioning_slows_gradient_descent_only(grid):
    descent = {m.kappa: m.result.descent for m in grid}
    assert descent[100][-1] > descent[10][-1] > 5 * descent[1][-1]
    assert all((loss.diff() <= 0).all() for loss in descent.values())
    assert all(torch.equal(m.result.descent, descent[m.kappa]) for m in grid)  # damping and eta are Gauss-Newton's


def test_a_loss_that_is_no_longer_finite_is_told_in_words():
    race = compute(kappa=1, damping=0.0, eta=100.0)
    assert race.diverged == len(race.gauss_newton) < STEPS
    assert sentence(race) == f"κ = 1, ε = 0, η = 100: <b>Gauss-Newton diverged</b> at step {race.diverged}."
    (ax,) = panels(gd_against_gn, race)
    assert len(ax.lines[0].get_ydata()) == race.diverged


def test_measured_is_solid_and_predicted_is_dashed_and_black(grid):
    for move in grid:
        if move.settings in FRAMES.values():
            race, (ax,) = move.result, panels(gd_against_gn, move.result)
            gn, gd, low, high = ax.lines
            assert [line.get_label() for line in (gn, gd, low)] == ["Gauss-Newton", "gradient descent", "predicted"]
            for line, curve in ((gn, race.gauss_newton), (gd, race.descent), (low, race.low), (high, race.high)):
                np.testing.assert_allclose(line.get_ydata(), curve.clamp(FLOOR / 10, CEILING * 10))
            assert all(line.get_linestyle() == "--" and line.get_color() == "black" for line in (low, high))
            assert {gn.get_linestyle(), gd.get_linestyle()} == {"-"} and gn.get_marker() != gd.get_marker()
            assert ax.get_ylim() == (FLOOR, CEILING) and ax.get_yscale() == "log"
