"""Figures of lesson 09: what is on the axes, and that each sentence has the numbers of its data."""

from functools import cache

import numpy as np
import pytest
import torch

from regimes_course.kit.webm import unpack
from regimes_course.lesson09 import figures as lesson09
from regimes_course.lesson09.experiments import edges, path
from tests.kit.test_plotting import is_black, is_measured, is_predicted, labels
from tests.lessons.figure_data import named, shows, table

DOUBLE = torch.float64
C = table([10.0, 0.1], [5.0, 0.2], [2.0, 0.05])
L = table([4.0, 2.0], [6.0, 1.0], [3.0, 0.5])
T = table(512.0, 1024.0, 2048.0)
D = table(256.0, 512.0, 1024.0)
FIXED, GROWN = 3.0 / T, 900.0 / T**2
DIGITS = {"η = 64": (5.0 / D[:, None]) * table(1.0, 2.0, 3.0), "η = T/4": (300.0 / D[:, None] ** 2) * table(1.0, 2.0, 3.0)}
STEPS = torch.arange(0, 3001, 100)
MARGIN = (STEPS[:, None] - 1217.0) / 1e5 * table(1.0, 1.1, 0.9)
EACH = torch.stack([-0.5 + STEPS / 1e4, -0.9 + STEPS / 1e4], -1)[:, None].expand(31, 3, 2).double()


@cache
def lemma():
    return lesson09.lemma({"logistic": (C, L), "networks": (2 * C, 3 * L)})


@cache
def rates():
    return lesson09.rates((T, {"η = 14": (FIXED, 1.1 * FIXED), "η = T/128": (GROWN, 0.9 * GROWN)}), (D, DIGITS))


@cache
def five():
    return lesson09.five(STEPS, MARGIN, EACH, torch.tensor([1216, 1217, 1219]), 0.05)


Q = torch.linspace(-4, 6, 21, dtype=DOUBLE)
RUNS = {2: table(1.0, 8.0, 9.0, 0.2, 0.1), 20: table(1.0, 8.0, 9.0, 0.3, 0.1), 200: table(1.0, 8.0, 7.0, 0.3, 0.4)}
DIP = table(-0.1, 0.04, 0.072, 0.07, 0.063, 0.064)
BUDGETS, TAME, GROWN_ROW = [256, 512, 1024], [0.04, 0.02, 0.01], [0.2, 0.05, 0.001]
FLAT = table(0.75, 0.5, 0.25, 0.002)
STUCK = {
    name: torch.stack([risk, risk, FLAT])
    for name, risk in {"leaky softplus": table(1.0, 2.0, 0.5, 0.1), "tanh": table(1.0, 0.6, 0.75, 0.65)}.items()
}


@cache
def curves():
    return lesson09.curves(Q, 3 * torch.exp(-Q / 4), 2 * torch.exp(-Q / 4), torch.exp(-Q / 4))


@cache
def widths():
    return lesson09.widths(RUNS, DIP, 0.075)


@cache
def budgets():
    runs = {"never rises": TAME, "step T/128": GROWN_ROW}
    return lesson09.budgets(BUDGETS, runs, {"never rises": [0.039, 0.019, 0.0098], "step T/128": [0.2, 0.05, 0.0125]})


@cache
def bounded():
    return lesson09.bounded(STUCK, 0.3133)


FIGURES = named(lemma, rates, five, curves, widths, budgets, bounded)


def drawn(ax, black):
    return [line for line in ax.lines if is_black(line) == black]


SAYS = {
    lemma: [
        "c below W(2) = 0.8526",
        "Logistic: 1 of 4 steps do, the first from c = 10.",
        "Networks: 1 of 4 steps do, the first from c = 20.",
    ],
    rates: ["-1.00 with η = 14, -2.00 with η = T/128", "over 3 seeds: -1.00 with η = 64; -2.00 with η = T/4."],
    five: ["positive at step 1216 to 1219 and ends at 0.016 to 0.020", "margins end at -0.20 and -0.60. (3 seeds.)"],
    curves: ["At q = 4 the loss is 1.1, its slope 0.736 in size, its curvature 0.368", "never above 2.7."],
    widths: [
        "Widths 2, 20, 200: last rise at step 2, 2, 4, risk after 4 steps 0.1 to 0.4.",
        "reaches 0.072 at step 2, 96.0% of its ceiling, and then falls to 0.063.",
    ],
    budgets: [
        "never rises: 0.04 after 256 steps, 0.01 after 1,024 (slope -1.00 without the last point);",
        "step T/128: 0.2 after 256 steps, 0.001 after 1,024 (slope -2.00 without the last point).",
    ],
    bounded: [
        "leaky softplus: last rise at step 1, risk 0.1 and mean slope of the units 0.002 at the end; tanh: last",
        "(At the start the slope of tanh is 0.75; a coin has the risk 0.69.)",
    ],
}


def test_the_hero_has_both_runs_the_wedge_and_a_film_of_the_wild_one():
    figure, says, film = lesson09.hero()
    left, right = figure.axes
    (tame, low), (wild, high) = path(0.05, 14.0, 500), path(0.05, 256.0, 500)
    first, later, slow = left.lines
    shows(first, *wild[:61].T)
    shows(later, *wild[61:].T)
    shows(slow, *tame.T)
    for line, losses in zip(right.lines, (low, high), strict=True):
        shows(line, range(501), losses)
    (wedge,) = left.collections
    corners = wedge.get_paths()[0].vertices
    for slope in edges(0.05):
        assert any(np.allclose(corner, (450, 450 * slope)) for corner in corners)
    words = [text.get_text() for text in [*left.texts, *right.texts]]
    assert "η = 256: after 57 steps\nof jumping over the wedge\nit lands inside" in words
    assert "η = 14, never rises" in words and "η = 256, rises 38 times" in words and "× 1800" in words
    assert (
        "is 0.062 after 500 steps" in says
        and "3.5e-05: 1800 times lower" in says
        and "rises 38 times, for the last time at step 57, to 34 times its start" in says
        and "weights it is worse: 0.026, not 0.045." in says
    )
    assert len(unpack(film)[0]) > 50 and len(film) < 300_000


def test_the_wedge_is_where_both_points_are_right():
    weights = path(0.05, 256.0, 500)[0]
    c = (1 - 0.05**2) ** 0.5
    q = weights @ table([0.05, c], [0.05, -c / 2]).T
    assert torch.equal(lesson09._outside(weights), (q <= 0).any(1))


def test_curves_are_nested_as_they_are_given():
    (ax,) = curves()[0].axes
    for line, times in zip(ax.lines, (3, 2, 1), strict=True):
        shows(line, Q, times * torch.exp(-Q / 4))


def test_widths_lie_beside_a_margin_that_falls():
    left, right = widths()[0].axes
    for line, losses in zip(left.lines, RUNS.values(), strict=True):
        shows(line, range(5), losses)
    margin, *spots = [line for line in right.lines if is_measured(line)]
    shows(margin, range(6), DIP)
    assert [spot.get_xdata()[0] for spot in spots] == [2, 4]
    (ceiling,) = filter(is_predicted, right.lines)
    shows(ceiling, [0, 5], [0.075, 0.075])
    assert "falls by 12 %\nfrom step 2 to 4" in [text.get_text() for text in right.texts]
    assert "last rise:\nstep 2, 2, 4" in [text.get_text() for text in left.texts]


def test_budgets_stand_beside_the_law():
    (ax,) = budgets()[0].axes
    for line, risks in zip(filter(is_measured, ax.lines), (TAME, GROWN_ROW), strict=True):
        shows(line, BUDGETS, risks)
    for line, risks in zip(filter(is_predicted, ax.lines), ([0.039, 0.019, 0.0098], [0.2, 0.05, 0.0125]), strict=True):
        shows(line, BUDGETS, risks)
    assert labels(ax) == ["never rises", "predicted, $1/(ηγ^2T)$", "step T/128"]


def test_bounded_stays_above_the_bound():
    (ax,) = bounded()[0].axes
    for line, losses in zip(filter(is_measured, ax.lines), STUCK.values(), strict=True):
        shows(line, range(4), losses[0])
    shows(*filter(is_predicted, ax.lines), [0, 3], [0.3133, 0.3133])
    calm = {"leaky softplus": torch.stack([table(1.0, 0.5, 0.2)] * 3)}
    assert "leaky softplus: no rise, risk 0.2 and" in lesson09.bounded(calm, 0.3133)[1]


def test_lemma_has_a_dot_a_step():
    (ax,) = lemma()[0].axes
    logistic, networks, level = drawn(ax, False)
    shows(logistic, [10, 0.1, 5, 0.2], [1.5, 0.5, 0.5, 0.5])
    shows(networks, [20, 0.2, 10, 0.4], [1.5, 0.5, 0.5, 0.5])
    bound, safe = drawn(ax, True)
    np.testing.assert_allclose(bound.get_ydata(), np.exp(bound.get_xdata()), rtol=1e-6)
    assert list(safe.get_xdata()) == pytest.approx([0.8526055] * 2) and set(level.get_ydata()) == {1}


def test_many_steps_are_thinned_but_all_are_counted():
    c = torch.linspace(0.01, 100, 20001, dtype=DOUBLE)[:, None]
    figure, says = lesson09.lemma({"logistic": (c, c), "networks": (c, 1 / c)})
    assert len(figure.axes[0].lines[0].get_xdata()) <= 5000
    assert "Logistic: 20000 of 20000 steps do, the first from c = 0.01. Networks: 0 of 20000 steps do." in says


def test_slopes():
    risk = torch.stack([2 / T, 5 / T**2, T**0], -1)
    assert lesson09.slopes(T, risk).tolist() == pytest.approx([-1, -2, 0])
    assert lesson09.slopes(T, risk[:, 0]).item() == pytest.approx(-1)


def test_rates_stand_beside_their_predictions():
    left, right = rates()[0].axes
    for line, values in zip(drawn(left, False), (FIXED, GROWN), strict=True):
        shows(line, T, values)
    for line, values in zip(drawn(left, True), (1.1 * FIXED, 0.9 * GROWN), strict=True):
        shows(line, T, values)
    for line, risk, power in zip(drawn(right, True), DIGITS.values(), (-1, -2), strict=True):
        shows(line, D, risk[-1, 1] * (D / D[-1]) ** power)
    for line, risk in zip(drawn(right, False), DIGITS.values(), strict=True):
        shows(line, D, risk[:, 1])
    assert labels(left)[0] == "η = 14" and left.get_xscale() == left.get_yscale() == "log"


def test_five_has_the_network_beside_its_neurons():
    left, right = five()[0].axes
    both, crossing, zero = drawn(left, False)
    shows(both, STEPS, MARGIN[:, 0])
    assert set(crossing.get_xdata()) == {1217} and set(zero.get_ydata()) == {0}
    shows(*drawn(left, True), [0, 3000], [0.0375, 0.0375])
    for line, j in zip(drawn(right, False)[:2], (0, 1), strict=True):
        shows(line, STEPS, EACH[:, 0, j])


def test_the_tables():
    found = {"tanh": (0.99, table(0.3134, 0.32)), "leaky_softplus": (0.3466, table(0.001, 0.002)), "square": (49.0, table(1.0))}
    head, _, *rows = lesson09.activations(found).data.splitlines()
    assert rows[0] == "| tanh | 1 | 0.99 | 0 | 0.77 | no | 0.31 to 0.32 |"
    assert rows[1] == "| leaky softplus | 0.347 | 0.347 | 0.5 | 0.125 | yes | 0.001 to 0.002 |"
    assert rows[2].startswith("| square | none | 49 | none | 2 | no") and head.count("|") == rows[0].count("|")
    rows = lesson09.switches(
        [0.1, 0.2], [16.6, 21.9], [16.67, 26.7], [24.0, 64.0], torch.tensor([[15, 12], [3, 3]]), [13, 4]
    ).data
    assert rows.splitlines()[2:] == ["| 0.1 | 16.6 | 16.7 | 15 | 12 | 13 |", "| 0.2 | 21.9 | 26.7 | 3 | 3 | 4 |"]
    assert "last rise, η = 64" in rows
