"""The mathematics of the widget of lesson 03. Its grid has 31,500 positions: each slider is moved alone from where it starts,
and 60 positions are drawn at random (with a fixed seed), besides the corners of the plane and points where there is no ODE."""

import random

import numpy as np
import pytest

from regimes.theory.online_sgd import integrate
from regimes.theory.sgd_phases import noise_plateau, phase, step_to_time, unspecialised_plateau
from regimes_course.lesson03.widgets import phase_diagram
from regimes_course.lesson03.widgets.phase_diagram import CURVES, HIGH, LOW, START, compute, sentence
from tests.lessons.moves import anywhere, each_alone, panels

CORNERS = [{"kappa": k, "delta": x, "d": d} for k in (0.0, 1.5) for x in (-2.0, 1.0) for d in (100, 10**6)]
EDGE = [{"kappa": 0.5, "delta": -1.0}, {"delta": -0.5}, {"kappa": 1.5, "delta": -1.5, "d": 10**6, "end": 10000.0}]
ENDS = [START | more for more in (*CORNERS, *EDGE)]
POSITIONS = [*each_alone(phase_diagram), *anywhere(phase_diagram, random.Random(0), 60), *ENDS]


def told_alike(a, b):
    """At κ = 0 and δ = 0 nothing depends on d."""
    return a.kappa == a.delta == 0 and a.settings | {"d": b.d} == b.settings


def axes(here):
    return panels(phase_diagram, here)


def test_the_phase_decides_what_is_integrated(grid):
    for move in grid:
        here = move.result
        assert here.phase == phase(move.kappa, move.delta)
        assert (here.both is None) == (here.phase == "no ODE"), move.settings
        assert (here.limit is None) == (here.phase in ("no ODE", "plateau")), move.settings
    assert {move.result.phase for move in grid} == {"perfect learning", "plateau", "bad learning", "no ODE"}


def test_everything_is_finite_and_no_risk_is_negative(grid):
    for move in grid:
        for path in (move.result.both, move.result.limit):
            if path is not None:
                assert all(np.isfinite(values).all() for values in path), move.settings
                assert (path.risk >= 0).all(), move.settings


def test_a_symmetric_student_is_the_full_ode():
    """Against the equations of all overlaps, at the same start, on each side of the plateau line."""
    for delta in (0.25, 0.0, -0.25):
        here = compute(**START | {"delta": delta, "d": 100, "students": 2, "end": 100.0})
        group = np.repeat([0, 1], 2)
        M = np.where(group[:, None] == np.arange(2), 0.1, 0.0)
        time = here.both.time[[0, 60, 120]] / (here.eta if delta < 0 else 1)
        full = integrate(np.eye(4), M, time, eta=here.eta, label_noise=1e-3)
        np.testing.assert_allclose(here.both.risk[[0, 60, 120]], full.risk, rtol=2e-3)
        np.testing.assert_allclose(here.both.m[[60, 120]], full.M[1:, 0, 0], rtol=2e-3)


def test_steps_are_those_of_the_natural_time():
    for delta in (0.5, 0.0, -0.25):
        here = compute(**START | {"delta": delta, "kappa": 0.0})
        assert step_to_time(here.steps * here.d, here.d, 0.0, delta) == pytest.approx(here.end)


def test_the_limit_is_approached_as_inputs_grow():
    for delta in (0.5, -0.375):
        apart = []
        for d in (10**3, 10**6):
            here = compute(**START | {"delta": delta, "d": d, "label_noise": 1e-2, "end": 100.0})
            apart.append(abs(np.log(here.both.risk[-1] / here.limit.risk[-1])))
        assert apart[1] < 0.5 * apart[0]


def test_on_the_plateau_line_the_risk_rests_where_the_formula_says():
    here = compute(**START | {"students": 1, "end": 10000.0})
    assert here.both.risk[-1] == pytest.approx(noise_plateau(1.0, 1e-3), rel=0.05)
    assert "noise plateau of unit vectors is at 0.00011" in sentence(here) and "have specialised" in sentence(here)
    wide = compute(**START | {"kappa": 1.0, "delta": -1.0, "end": 10000.0})  # students of a group differ: less noise
    assert 0.2 < wide.both.risk[-1] / here.both.risk[-1] < 0.8


def test_what_is_told(grid):
    for move in grid:
        told, here = move.told, move.result
        assert f"<b>{here.phase}</b>" in told
        assert ("no deterministic curve" in told) == (here.both is None)
        assert ("5.44" in told) == (here.both is not None and here.eta > 5.4), move.settings
        assert ("limit ODE" in told) == (here.limit is not None)


def test_curves_are_what_was_computed():
    for settings in ({"delta": 0.5}, {"delta": -0.375}, {"delta": -0.75}):
        here = compute(**START | settings)
        plane, risk, overlaps = axes(here)
        ray, point = plane.lines[-2:]
        np.testing.assert_allclose(ray.get_xdata() + ray.get_ydata(), here.kappa + here.delta)
        assert (point.get_xdata()[0], point.get_ydata()[0]) == (here.delta, here.kappa)
        both, limit, noise, rest = risk.lines
        for line, path in ((both, here.both), (limit, here.limit)):
            np.testing.assert_allclose(line.get_ydata(), path.risk[1:].clip(LOW / 10, HIGH * 10) if path else [])
        assert (limit.get_linestyle(), limit.get_color()) == ("--", "black")
        assert noise.get_visible() == (settings["delta"] == 0.5)
        assert rest.get_ydata()[0] == unspecialised_plateau(2)
        for line, name in zip(overlaps.lines, CURVES, strict=True):
            np.testing.assert_allclose(line.get_ydata(), getattr(here.both, name)[1:].clip(-1, 5) if here.both else [])
        assert bool(risk.texts[0].get_text()) == (here.both is None)
