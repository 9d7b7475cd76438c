"""Figures of lesson 09: what is on the axes, and that each sentence has the numbers of its data."""

from functools import cache

import numpy as np
import pytest
import torch

from regimes_course.lesson09 import figures as lesson09
from tests.kit.test_plotting import is_black, labels
from tests.lessons.figure_data import shows, table

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
    return lesson09.rates((T, {"η = 14": (FIXED, 1.1 * FIXED), "η = T/512": (GROWN, 0.9 * GROWN)}), (D, DIGITS))


@cache
def five():
    return lesson09.five(STEPS, MARGIN, EACH, torch.tensor([1216, 1217, 1219]), 0.05)


FIGURES = {f.__name__: f for f in (lemma, rates, five)}


def drawn(ax, black):
    return [line for line in ax.lines if is_black(line) == black]


SAYS = {
    lemma: [
        "c below 0.853",
        "Logistic: 1 of 4 steps do, the first from c = 10.",
        "Networks: 1 of 4 steps do, the first from c = 20.",
    ],
    rates: ["-1.00 with η = 14, -2.00 with η = T/512", "over 3 seeds: -1.00 with η = 64; -2.00 with η = T/4."],
    five: ["positive at step 1216 to 1219 and ends at 0.016 to 0.020", "margins end at -0.20 and -0.60. (3 seeds.)"],
}


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
    rows = lesson09.switches([0.1, 0.2], [16.6, 21.9], [16.67, 26.7], [24.0, 64.0], torch.tensor([[15, 12], [3, 3]])).data
    assert rows.splitlines()[2:] == ["| 0.1 | 16.6 | 16.7 | 15 | 12 |", "| 0.2 | 21.9 | 26.7 | 3 | 3 |"]
    assert "last rise, η = 64" in rows
