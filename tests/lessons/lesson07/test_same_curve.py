"""The widget of the first picture: stored runs beside those of the shortest rule, and what its tasks are answered with."""

import random

import numpy as np
import pytest

from regimes_course.lesson07.rules import DIALS, key, stored_rules
from regimes_course.lesson07.widgets import same_curve
from regimes_course.lesson07.widgets.same_curve import CHOICES, LAST, START, compute, sentence
from tests.lessons.cells import lesson, prose
from tests.lessons.moves import anywhere, drawn, each_alone, panels

POSITIONS = [*each_alone(same_curve), *anywhere(same_curve, random.Random(0), 30)]
RUNS = stored_rules()["dials"]


def test_every_position_is_stored_and_fits():
    assert {name: choice.values for name, choice in CHOICES.items()} == DIALS
    assert max(len(run["loss"]) for run in RUNS.values()) <= LAST + 1


def test_the_run_and_the_shortest_one_beside_it():
    for move in drawn(same_curve):
        run, best = RUNS[key(**move.settings)], RUNS[key(**move.settings | {"rule": "shortest", "damping": 0.0})]
        assert move.result.loss.tolist() == pytest.approx(run["loss"]) and move.result.best.tolist() == pytest.approx(
            best["right"]
        )
        left, right = panels(same_curve, move.result)
        promised, *lines = left.lines
        np.testing.assert_allclose(promised.get_ydata(), [100 * 0.25**k for k in range(LAST + 1)])
        for line, values in zip(
            (*lines, *right.lines[1:]), (best["loss"], run["loss"], best["right"], run["right"]), strict=True
        ):
            np.testing.assert_allclose(line.get_ydata(), 100 * np.array(values), rtol=1e-5)


def test_it_is_told():
    says = sentence(compute(**START | {"damping": 0.1}))
    assert says.startswith("Exact, top and bottom, 128 images, damping 0.1, seed 0: after 15 steps")
    assert "and 53 % of new images are right. Under the undamped shortest rule, after 6 steps" in says and says.endswith(
        "78 % of new images are right."
    )


def test_the_tasks_have_these_answers():
    """1. the checkerboard, at every seed and size; 2. a tenth, from 36 to 53 %, 15 steps for 6; 3. more than 40 points."""
    for n in DIALS["n"]:
        for seed in DIALS["seed"]:
            runs = {h: compute("exact", h, n, 0.0, seed) for h in DIALS["halves"]}
            lost = {h: run.best[-1] - run.right[-1] for h, run in runs.items()}
            assert min(lost, key=lost.get) == "checkerboard", (n, seed)
    plain, damped = compute(**START), compute(**START | {"damping": 0.1})
    assert [round(100 * run.right[-1].item()) for run in (plain, damped)] == [36, 53]
    assert [len(run.loss) - 1 for run in (plain, damped)] == [6, 15]
    assert plain.best[-1] - plain.right[-1] > 0.4
    assert "from 36 to 53 %" in prose(lesson("07")) and "15 steps instead of 6" in prose(lesson("07"))
