"""The mathematics of the widget of lesson 00 over its whole slider grid."""

from dataclasses import replace

import numpy as np
import torch

from regimes.problems import wave
from regimes_course.lesson00.widgets import four_regimes
from regimes_course.lesson00.widgets.four_regimes import CEILING, CHOICES, FLOOR, FRAMES, STEPS, compute
from tests.lessons.moves import panels


def told_alike(a, b):
    """Runs that diverge are told as such, without numbers."""
    return a.told.startswith("<b>Diverged</b>")


def show(move):
    return f"{move.scaling}, width {move.width}, step {move.fraction} of the limit"


def test_losses_are_finite_and_the_curve_is_on_the_grid(grid):
    for move in grid:
        fit = move.result
        assert fit.loss[0] == 1 and torch.isfinite(fit.loss).all() and (fit.loss >= 0).all(), show(move)
        assert fit.x.shape == fit.f.shape == (200,), show(move)
        assert abs(fit.edge[0] - 2 * move.fraction) < 1e-12 and (fit.edge > 0).all(), show(move)
        assert fit.units.shape[1:] == (move.width, 3) and len(fit.units) == len(fit.edge), show(move)
        diverged = bool((fit.loss > CEILING).any())
        assert diverged or (len(fit.loss) == STEPS + 1 and torch.isfinite(fit.f).all() and 0 < fit.moved < 20), show(move)


def test_steps_below_the_limit_fit_the_data(grid):
    moves = [move for move in grid if move.fraction <= 0.5]
    assert len(moves) == 40
    for move in moves:
        assert move.result.loss[-1] < 0.05, show(move)
    for move in (m for m in moves if m.fraction == 0.1):
        assert (move.result.loss.diff() < 1e-12).all(), f"{show(move)}: a small step never raises the loss"
        assert move.result.edge[-1] < 2, show(move)


def test_steps_far_beyond_the_limit_diverge_and_say_so(grid):
    for move in grid:
        diverged = bool((move.result.loss > CEILING).any())
        assert diverged or move.fraction < 2.5, show(move)
        assert not diverged or move.fraction >= 1.0, show(move)
        assert move.told.startswith("<b>Diverged</b>") == diverged, show(move)
        assert not diverged or "Choose a smaller step" in move.told


def test_the_readout_has_the_numbers_and_never_a_nan(grid):
    for move in grid:
        fit = move.result
        if not move.told.startswith("<b>"):
            assert f"loss is {fit.loss[-1]:.1e}" in move.told and f"{100 * fit.moved:.0f} % of their length" in move.told
            assert f"from {fit.edge[0]:.2g} to {fit.edge[-1]:.2g} (limit 2)" in move.told


def test_wide_networks_are_lazy_in_ntk_scaling_and_not_in_mean_field_scaling(grid):
    moved = {(m.scaling, m.width): m.result.moved for m in grid if m.fraction == 0.1}
    widths = CHOICES["width"].values
    ntk, mean_field = ([moved[scaling, width] for width in widths] for scaling in ("ntk", "mean_field"))
    assert all(narrow > wide for narrow, wide in zip(ntk, ntk[1:], strict=False))
    assert moved["ntk", 300] < moved["ntk", 10] / 2 and min(mean_field) > 1
    assert [round(100 * share) for share in ntk] == [47, 43, 29, 22]  # the folded answer


def test_at_half_the_limit_mean_field_training_ends_at_the_edge_of_stability(grid):
    ends = {m.width: m.result.edge[-1].item() for m in grid if (m.scaling, m.fraction) == ("mean_field", 0.5)}
    assert all(1.8 < end < 2.2 for end in ends.values()), ends


def test_a_loss_that_is_no_longer_finite_is_drawn_and_told():
    fit = compute("mean_field", 10, 1e6)
    assert len(fit.loss) < STEPS and four_regimes.sentence(fit).startswith("<b>Diverged</b>")
    odd = replace(fit, f=torch.tensor([torch.nan, torch.inf, -1e30]), x=fit.x[:3])
    assert np.asarray(panels(four_regimes, odd)[1].lines[-1].get_ydata()).tolist() == [0, 9, -9]


def test_units_target_data_and_fit_are_drawn(grid):
    for move in grid:
        if move.settings in FRAMES.values():
            fit = move.result
            plane, left, loss, edge = panels(four_regimes, fit)
            start, up, down = plane.lines
            np.testing.assert_array_equal(start.get_xydata(), fit.units[0, :, :2])
            assert len(up.get_xdata()) == (fit.units[-1, :, 0] * fit.units[-1, :, 2] > 0).sum()
            assert len(up.get_xdata()) + len(down.get_xdata()) == move.width
            assert [line.get_label() for line in left.lines] == ["target", "data", "network"]
            np.testing.assert_array_equal(left.lines[1].get_ydata(), wave().y)
            np.testing.assert_allclose(left.lines[2].get_ydata(), fit.f)
            np.testing.assert_allclose(loss.lines[0].get_ydata(), fit.loss.clamp(FLOOR / 10, CEILING * 10))
            assert loss.get_yscale() == "log" and loss.get_xlim() == (0, STEPS)
            np.testing.assert_allclose(edge.lines[-1].get_ydata(), fit.edge.clamp(max=9))
