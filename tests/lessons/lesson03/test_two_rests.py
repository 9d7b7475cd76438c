"""The mathematics of the widget of lesson 03: two rests, and a change of the step size."""

import random

import numpy as np
import pytest

from regimes.online_sgd import overlap_chain
from regimes.theory.online_sgd import integrate
from regimes.theory.sgd_phases import unspecialised_plateau
from regimes_course.lesson03.widgets import two_rests
from regimes_course.lesson03.widgets.two_rests import CEILING, END, FLOOR, NEVER, START, compute, sentence
from tests.lessons.moves import anywhere, each_alone, panels

BEYOND = START | {"eta": 4.0, "by": 0.5}
POSITIONS = [*each_alone(two_rests), BEYOND, START | {"cut": NEVER, "by": 0.5}, *anywhere(two_rests, random.Random(3), 40)]


def told_alike(a, b):
    """A step size that is never changed is divided by nothing."""
    return a.cut == b.cut == NEVER and a.settings | {"by": 0} == b.settings | {"by": 0}


alike = told_alike


def run(**settings):
    return compute(**START | settings)


def test_the_change_goes_on_from_where_the_run_was(grid):
    for move in grid:
        here = move.result
        assert (here.changed is None) == (move.cut == NEVER)
        assert all(np.isfinite(path.risk).all() for path in (here.plain, here.changed) if path)
        if here.changed:
            (place,) = np.flatnonzero(here.steps == here.then[0])
            np.testing.assert_allclose(here.changed.M[0], here.plain.M[place], atol=1e-12)
            assert here.later == pytest.approx(move.eta / move.by) and here.then[-1] == here.steps[-1] == END


def test_it_is_the_equation_of_the_library():
    here = run(eta=2.0, by=2.0)
    M = np.array([[0.3, 1.0], [1.0, -0.2]]) / 50**0.5
    path = integrate(np.eye(2), M, np.array([0, 80.0]), eta=2.0, label_noise=4e-3, rtol=1e-8)
    after = integrate(path.Q[-1], path.M[-1], np.array([0, END - 40.0]), eta=1.0, label_noise=4e-3, rtol=1e-8)
    assert here.changed.risk[-1] == pytest.approx(after.risk[-1], rel=1e-3)


def test_sgd_does_what_the_picture_shows():
    """Sixteen runs, cut by two at step 40 d: the mean risk 150 d steps later is that of the equations."""
    here, d = run(d=1_000, by=2.0), 1_000
    M = np.array([[0.3, 1.0], [1.0, -0.2]]) / d**0.5
    first = overlap_chain(np.eye(2), M, d, 1.0, 40 * d, label_noise=4e-3, runs=16).measured
    sgd = overlap_chain(first["Q"][-1], first["M"][-1], d, 0.5, 20 * d, label_noise=4e-3, seed=1).loss[-1].mean().item()
    assert sgd == pytest.approx(np.interp(60, here.then, here.changed.risk), rel=0.05)


def test_what_the_lesson_says_of_its_tasks():
    leaves = {by: run(by=by).leaves() for by in (0.5, 2.0, 10.0)}
    assert [round(before) for before, _ in leaves.values()] == [125] * 3
    assert {by: round(after) for by, (_, after) in leaves.items()} == {0.5: 114, 2.0: 188, 10.0: 675}
    floors = [run(cut="240 d", by=by).changed.risk[-1] for by in (10.0, 2.0, 0.5)]
    assert [f"{floor:.1e}" for floor in floors] == ["4.1e-05", "2.1e-04", "1.3e-03"]
    assert f"{run().plain.risk[-1]:.1e}" == "4.7e-04"
    assert f"{run(eta=3.0).plain.risk[-1]:.2e}" == "2.88e-03" and f"{unspecialised_plateau(2):.2e}" == "2.90e-03"


def test_what_is_told(grid):
    for move in grid:
        assert ("pole" in move.told) == (max(move.result.eta, move.result.later) > 4.61), move.settings
        assert ("with the change" in move.told) == (move.cut != NEVER)
    assert "rest 1 ends at step 125 d" in sentence(run()) and "<b>rest 1 ends at step 675 d</b>" in sentence(run())
    assert "not below half of R₁" in sentence(run(eta=3.0, cut=NEVER))
    assert run(cut="240 d").leaves()[0] == run(cut="240 d").leaves()[1]


def test_curves_are_what_was_computed():
    for settings in ({}, {"cut": NEVER}):
        here = run(**settings)
        left, right = panels(two_rests, here)
        level, plain, changed, _ = left.lines
        assert level.get_ydata()[0] == unspecialised_plateau(2)
        np.testing.assert_allclose(plain.get_ydata(), here.plain.risk.clip(FLOOR / 10, CEILING * 10))
        assert len(changed.get_xdata()) == len(here.then)
        np.testing.assert_allclose(right.lines[1].get_xydata(), here.plain.M[:, 0])
