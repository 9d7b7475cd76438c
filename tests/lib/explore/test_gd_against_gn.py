"""The widget of lesson 01 over its whole slider grid, without a browser."""

import numpy as np
import pytest
import torch
from moves import assert_in_words, assert_quick, strip, visit

from regimes.explore import gd_against_gn
from regimes.explore.gd_against_gn import CEILING, CHOICES, FLOOR, FRAMES, STEPS, compute, sentence


@pytest.fixture(scope="module")
def grid():
    return visit(gd_against_gn.explorer())


def show(move):
    return f"κ = {move.kappa}, ε = {move.damping}, η = {move.eta}"


def test_every_position_was_visited(grid):
    assert len(grid) == np.prod([len(choice.values) for choice in CHOICES.values()]) >= 100


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
        assert move.told == sentence(move.result)
        assert f"{move.result.descent[-1]:.2f} with gradient descent" in move.told
        end = move.result.gauss_newton[-1].item()
        assert (f"is {end:.1e} with" if end >= FLOOR else f"is below {FLOOR:.0e} with") in move.told, show(move)
        assert "nan" not in move.told and "inf" not in move.told


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


def test_the_pictures_differ_wherever_the_curves_do(grid):
    pictures = {}
    for move in grid:
        curves = torch.cat([move.result.gauss_newton, move.result.descent, move.result.high]).clamp(FLOOR / 10, CEILING * 10)
        pictures.setdefault(move.png, []).append(curves)
    assert len(pictures) > 0.9 * len(grid)
    for same in pictures.values():
        assert all(torch.allclose(same[0].log(), curves.log(), atol=0.5) for curves in same)


def test_a_move_is_quick_enough(grid):
    assert_quick(gd_against_gn, grid, median=0.3, worst=1, first=0)


def test_a_loss_that_is_no_longer_finite_is_told_in_words():
    race = compute(kappa=1, damping=0.0, eta=100.0)
    assert race.diverged == len(race.gauss_newton) < STEPS
    assert sentence(race) == f"κ = 1, ε = 0, η = 100: <b>Gauss-Newton diverged</b> at step {race.diverged}."
    widget = gd_against_gn.explorer()
    assert widget.update(race) == sentence(race) and widget._render().startswith(b"\x89PNG")


def test_compute_is_pure():
    state = torch.get_rng_state()
    first, again = (compute(kappa=10, damping=1e-3, eta=0.5) for _ in range(2))
    assert torch.equal(first.gauss_newton, again.gauss_newton) and torch.equal(first.descent, again.descent)
    assert torch.equal(torch.get_rng_state(), state)


def test_moving_the_slider_of_the_lesson_changes_picture_and_readout():
    widget = gd_against_gn.explorer()
    before, told = widget.png(), widget.readout.value
    widget.sliders["eta"].value = 0.02
    assert widget.readout.value != told and widget.png() != before


def test_sliders_have_distinct_visible_labels_and_values_in_words():
    assert_in_words(CHOICES)


def test_the_filmstrip_shows_slider_positions_with_the_same_lines(grid):
    races = {(move.kappa, move.damping, move.eta): move.result for move in grid}
    assert len(FRAMES) in (3, 4)
    for part, settings in strip(gd_against_gn, size=(3, 2.5)):
        (ax,) = part.axes
        race = races[settings["kappa"], settings["damping"], settings["eta"]]
        gn, gd, low, high = ax.lines
        assert [line.get_label() for line in (gn, gd, low)] == ["Gauss-Newton", "gradient descent", "predicted"]
        for line, curve in ((gn, race.gauss_newton), (gd, race.descent), (low, race.low), (high, race.high)):
            np.testing.assert_allclose(line.get_ydata(), curve.clamp(FLOOR / 10, CEILING * 10))
        assert all(line.get_linestyle() == "--" and line.get_color() == "black" for line in (low, high))
        assert {gn.get_linestyle(), gd.get_linestyle()} == {"-"} and gn.get_marker() != gd.get_marker()
        assert ax.get_ylim() == (FLOOR, CEILING) and ax.get_yscale() == "log"


def test_every_move_of_a_slider_changes_the_sentence(grid):
    """So that who hears the page rather than sees it knows that something happened."""
    assert len({move.told for move in grid}) == len(grid)
