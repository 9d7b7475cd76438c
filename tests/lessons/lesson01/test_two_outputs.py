"""The mathematics of the widget of lesson 01: two runs in the plane of two outputs."""

import random

import numpy as np
import torch

from regimes.theory.gauss_newton import steps_to
from regimes_course.lesson01.widgets import two_outputs
from regimes_course.lesson01.widgets.two_outputs import CEILING, ENOUGH, FLOOR, LONG, STEPS, compute
from tests.lessons.moves import anywhere, each_alone, panels, start

FROZEN, ALL = two_outputs.choices["trained"].values
CLOSE = [
    start(two_outputs) | {"distance": 0.01, "trained": ALL, "damping": eps} for eps in two_outputs.choices["damping"].values
]
POSITIONS = [*each_alone(two_outputs), *CLOSE, *anywhere(two_outputs, random.Random(1), 40)]


def alike(a, b):
    """Where dampings far below the eigenvalues, or curves beyond the axes, leave the pictures as good as equal."""
    seen = [torch.cat([r.gauss_newton.loss, r.descent.loss, r.law]) for r in (a.result, b.result)]
    if seen[0].shape != seen[1].shape:
        return False
    one, other = (curve.clamp(FLOOR / 10, CEILING * 10).log() for curve in seen)
    return torch.allclose(one, other, atol=0.1)


def test_paths_start_at_zero_and_are_finite(grid):
    for move in grid:
        for path, steps in ((move.result.gauss_newton, STEPS), (move.result.descent, LONG)):
            assert path.loss[0] == 1 and torch.isfinite(path.loss).all() and len(path.f) == len(path.loss) <= steps + 1
        assert 0 < move.result.lam[0] < move.result.lam[1] < 1, move.settings


def test_frozen_features_obey_the_law_to_rounding(grid):
    moves = [move for move in grid if move.trained == FROZEN and move.distance >= 0.1]
    assert len(moves) > 15
    for move in moves:
        loss, law = (c.clamp(min=1e-12) for c in (move.result.gauss_newton.loss, move.result.law))
        assert torch.allclose(loss, law, rtol=1e-6), move.settings


def test_without_damping_the_count_is_that_of_theory_at_every_distance(grid):
    moves = [m for m in grid if m.trained == FROZEN and m.damping == 0 and m.eta == 0.1 and m.distance >= 0.1]
    assert len({move.distance for move in moves}) > 4
    for move in moves:
        assert move.result.gauss_newton.steps_to(ENOUGH) == steps_to(ENOUGH, 0.1) and "after 33 steps" in move.told


def test_the_answers_to_the_tasks():
    asks = {d: compute(d, 0.0, 0.1, FROZEN).slow for d in (0.3, 0.15, 0.1)}
    assert asks == {0.3: 181, 0.15: 730, 0.1: 1645}
    assert compute(0.3, 0.0, 0.1, FROZEN).descent.steps_to(ENOUGH) == asks[0.3]
    angles = [compute(0.3, eps, 0.1, FROZEN).angle for eps in (0.03, 1.0)]
    assert round(angles[0]) == 27 and 63 < angles[1] < 66
    one, zigzag, away = (compute(0.3, 0.0, eta, FROZEN).gauss_newton for eta in (1.0, 1.9, 2.2))
    assert one.steps_to(ENOUGH) == 1 and zigzag.steps_to(ENOUGH) == 33 and away.loss[-1] > 1e6
    assert ((zigzag.f[1:10] - zigzag.f[:9])[:, 0].sign().diff().abs() == 2).all()


def test_damping_shortens_the_first_move_and_turns_it(grid):
    moves = sorted((m for m in grid if m.settings == start(two_outputs) | {"damping": m.damping}), key=lambda m: m.damping)
    lengths, angles = ([getattr(m.result, name) for m in moves] for name in ("length", "angle"))
    assert len(moves) == 8 and lengths == sorted(lengths, reverse=True) and angles == sorted(angles)
    assert lengths[4] / lengths[0] < 0.4, "at 0.03 a third, says the lesson"


def test_descent_at_half_its_current_limit_falls_whatever_is_trained(grid):
    for move in grid:
        assert (move.result.descent.loss.diff() < 1e-9).all(), move.settings


def test_a_run_that_diverges_is_told(grid):
    for move in grid:
        run = move.result.gauss_newton
        lost = len(run.loss) <= STEPS or run.loss[-1].item() > 1
        assert ("<b>Gauss-Newton diverged</b>" in move.told) == lost, move.settings


def test_dots_are_outputs_and_the_law_is_dashed():
    paths = compute(**start(two_outputs))
    plane, losses = panels(two_outputs, paths)
    descent, straight = plane.lines[-2:]
    np.testing.assert_allclose(straight.get_xydata(), paths.gauss_newton.f)
    np.testing.assert_allclose(descent.get_xydata(), paths.descent.f)
    law = losses.lines[-1]
    assert law.get_linestyle() == "--" and law.get_color() == "black"
    np.testing.assert_allclose(law.get_ydata(), paths.law.clamp(FLOOR / 10, CEILING * 10))
