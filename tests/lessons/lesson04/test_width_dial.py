"""The mathematics of the third widget of lesson 04 over its whole slider grid."""

import numpy as np
import pytest
import torch

from regimes.theory.min_norm import conditional_law, exponent, random_init_bound, smallest_width
from regimes_course.lesson04.widgets import width_dial
from regimes_course.lesson04.widgets.width_dial import (
    CHOICES,
    DRAWS,
    FLOW,
    HIGH,
    LOOKS,
    LOW,
    STEPS,
    TARGET,
    WIDTHS,
    S,
    _follow,
    _slope,
    compute,
    draw_gram,
)
from tests.lessons.moves import assert_as_a_fresh_widget, panels

FULL = "Gauss-Newton, η = 1"


@pytest.fixture(scope="module")
def runs(grid):
    return {(move.alpha, move.method): move.result for move in grid if move.width == WIDTHS[0]}


def alike(a, b):
    """At a large start the step of Gauss-Newton makes no difference that is seen."""
    near = torch.allclose(a.result.drawn, b.result.drawn, rtol=0.02, atol=0)
    return (a.alpha, a.width) == (b.alpha, b.width) and FLOW not in (a.method, b.method) and near


def show(move):
    return f"α = {move.alpha}, {move.method}, m = {move.width}"


def axes(found):
    return panels(width_dial, found)


def test_everything_is_finite_and_in_the_picture(grid):
    for move in grid:
        found = move.result
        assert found.drawn.shape == (len(WIDTHS), DRAWS), show(move)
        for values in (found.drawn, found.flow, found.full, found.bound[1]):
            assert torch.isfinite(values).all() and (values > LOW).all() and (values < HIGH).all(), show(move)


def test_draws_follow_the_law_of_the_flow(runs):
    """The root mean square of 20 draws of 40 squares each has a relative spread of 2.5 %: four of it are allowed."""
    for (alpha, method), found in runs.items():
        if method == FLOW or (method != FULL and alpha <= 0.6):
            ratio = found.drawn.square().mean(-1).sqrt() / found.flow
            assert (ratio - 1).abs().max() < 0.1, (alpha, method, ratio)
            assert found.slopes[0] == pytest.approx(found.slopes[1], abs=0.01), (alpha, method)


def test_draws_follow_the_law_of_a_full_step(runs):
    for alpha in CHOICES["alpha"].values:
        found = runs[alpha, FULL]
        assert torch.equal(found.law, found.full) and not torch.equal(found.law, found.flow)
        assert (found.drawn.square().mean(-1).sqrt() / found.full - 1).abs().max() < 0.1, alpha
        assert found.slopes[0] == pytest.approx(found.slopes[1], abs=0.01), alpha


def test_given_the_last_layer_the_draws_have_the_spread_of_their_noise():
    """Exactly: sqrt(outside) m^(-alpha) |V|, and networks this wide have the last layer of the law."""
    torch.manual_seed(0)
    for alpha, k in ((0.3, 3), (0.5, 5), (1.0, 4)):
        G = torch.stack([draw_gram(WIDTHS[k], alpha, 7, 200, seed=9)])
        norm = _follow(G, FLOW)[0, :, range(2), range(2)].sum(-1).mean().sqrt()
        law = compute(alpha, FLOW, WIDTHS[0]).flow[k]
        assert conditional_law(WIDTHS[k], alpha, norm, 20).item() == pytest.approx(law.item(), rel=5e-3)


def test_a_small_start_is_worth_less_the_longer_the_steps_of_gauss_newton(runs):
    ends = [runs[1.0, method].drawn.square().mean(-1).sqrt() for method in (FLOW, *STEPS)]
    assert all((a[1:] < b[1:]).all() for a, b in zip(ends, ends[1:], strict=False))
    assert (ends[3][1:] / ends[0][1:] > 7).all()  # 8 at m = 256


def test_training_ended_everywhere(runs):
    for alpha, method in runs:
        G = torch.stack([draw_gram(m, alpha, 7, 2, seed=k) for k, m in enumerate(WIDTHS)])
        error = _follow(G, method)[..., 2:, :2] - TARGET
        start = G[..., 2:, :2] - TARGET
        ratio = torch.linalg.matrix_norm(error) / torch.linalg.matrix_norm(start)
        assert ratio.max() <= 1e-3, (alpha, method, ratio.max())


def test_the_bound_is_drawn_only_where_the_theorem_holds(runs):
    covered = set()
    for (alpha, _), found in runs.items():
        m, bound = found.bound
        if exponent(alpha)[0] is None:
            assert found.begins is None and m.numel() == 0, alpha
            continue
        assert found.begins == smallest_width(alpha, d=25, q=2, s=S)
        assert (m >= found.begins).all() and (m.numel() > 0) == (found.begins <= WIDTHS[-1]), alpha
        for width, value in zip(m.int().tolist(), bound.tolist(), strict=True):
            assert value == random_init_bound(width, alpha, d=25, q=2, s=S, target=TARGET)
            if width in WIDTHS:
                assert found.drawn[WIDTHS.index(width)].max() < value
                covered.add(alpha)
    assert covered == {0.4, 0.45, 0.5}


def test_the_readout_has_the_numbers_and_every_move_is_told(grid):
    for move in grid:
        found, k = move.result, WIDTHS.index(move.width)
        drawn = found.drawn[k]
        assert move.told.startswith(f"α = {move.alpha:g}, {move.method}: the distance goes like m^"), show(move)
        assert f"At m = {move.width:,} it is {drawn.square().mean().sqrt():.2g} (20 draws, {drawn.min():.2g} to " in move.told
        assert f": {found.law[k]:.2g})" in move.told
        assert ("times the law of the flow" in move.told) == (move.method != FLOW)
        assert ("law of one full step" in move.told) == (move.method == FULL)


def test_what_the_theorem_does_not_cover_is_told(grid):
    for move in grid:
        begins = move.result.begins
        outside, narrow = "it covers α above 1/4 up to 1/2." in move.told, "for this α it begins at m = " in move.told
        assert outside == (not 0.25 < move.alpha <= 0.5), show(move)
        assert narrow == (begins is not None and move.width < begins), show(move)
        assert ("The theorem says: below" in move.told) == (not outside and not narrow), show(move)


def test_artists_are_where_they_should_be():
    for method, kind in ((FLOW, "gradient descent"), (FULL, "Gauss-Newton")):
        found = compute(0.5, method, 2**12)
        left, right = axes(found)
        told, *dots, theorem, flow, full = left.lines
        assert list(told.get_xdata()) == [2**12, 2**12]
        (some,) = [line for line in dots if len(line.get_xdata())]
        np.testing.assert_array_equal(np.asarray(some.get_xdata()).reshape(-1, DRAWS)[:, 0], WIDTHS)
        np.testing.assert_array_equal(np.asarray(some.get_ydata()).reshape(-1, DRAWS), found.drawn)
        assert (some.get_color(), some.get_marker()) == LOOKS[kind]
        for line, law in ((flow, found.flow), (full, found.full)):
            np.testing.assert_array_equal(line.get_xdata(), WIDTHS)
            np.testing.assert_array_equal(line.get_ydata(), law)
        np.testing.assert_array_equal(theorem.get_data(), found.bound)
        assert (flow.get_linestyle(), flow.get_color(), full.get_linestyle()) == ("--", "black", "-.")
        (dot,) = [line for line in right.lines[3:] if len(line.get_xdata())]
        assert (dot.get_xdata()[0], dot.get_ydata()[0]) == (0.5, found.slopes[0])
        np.testing.assert_allclose(right.lines[0].get_data(), [[0.25, 0.5], [0, -0.5]], atol=1e-3)


def test_exponents_of_the_laws_tend_to_those_of_the_theory():
    *_, right = axes(compute(0.5, FLOW, 64))
    _, flow, full = (np.stack([np.asarray(values) for values in line.get_data()]) for line in right.lines[:3])
    for alpha, slope in flow.T:
        assert slope == pytest.approx(exponent(alpha)[1], abs=0.04), alpha
    for alpha, slope in full.T:
        assert slope == pytest.approx(max(0.5 - 2 * alpha, -0.5), abs=0.06), alpha


def test_a_fitted_slope_is_that_of_a_power_law():
    m = torch.tensor(WIDTHS, dtype=torch.float64)
    torch.testing.assert_close(_slope(torch.stack([3 * m**-0.7, m**0.2])), torch.tensor([-0.7, 0.2]).double())


def test_the_picture_of_a_move_is_what_a_fresh_widget_draws():
    assert_as_a_fresh_widget(width_dial, alpha=1.0, method=FULL)
