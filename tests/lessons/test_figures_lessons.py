"""Figures of lesson 04: what is on the axes, and that each sentence has the numbers of its data."""

import re
from functools import cache

import numpy as np
import torch

from regimes_course.lesson04 import figures as lesson04
from tests.kit.test_plotting import is_marks, is_measured, is_predicted, labels, trace


def table(*rows):
    return torch.tensor(rows, dtype=torch.float64)


T = torch.arange(21.0, dtype=torch.float64)
SEEDS = table(0.5, 1.0, 4.0)  # three runs: their median, their mean and their geometric mean differ


def runs(*medians):
    """Three runs for each of the medians, as a last axis."""
    return table(*medians)[..., None] * SEEDS


def drawn(ax, kind):
    return [line for line in ax.lines if kind(line)]


def shows(line, x, y):
    np.testing.assert_allclose(line.get_xdata(), x, rtol=1e-6)
    np.testing.assert_allclose(line.get_ydata(), y, rtol=1e-6)


def legends(figure):
    return [labels(ax) for ax in figure.axes if ax.get_legend()]


def named(*makers):
    return {maker.__name__: maker for maker in makers}


# Lesson 04.
SIZES = table(0.025, 0.05, 0.1, 0.14, 0.2, 0.4)
RATE = table(41.0, 9.0, 3.1, 2.3, 2.9, 12.0, 5.0, 2.2)
MARGIN = RATE / table(1.02, 1.1, 1.2, 1.3, 1.4, 1.5, 1.6, 1.75)
IMBALANCE = MARGIN * table(1, 1, 1, 1, 1, 1, 1, 1e-16)
DTS = [0.04, 0.02, 0.01]
DRIFTS = {"gradient descent": runs(0.3, 0.11, 0.05), "Lorentz": 1e-15 * runs(1, 2, 3), "Runge-Kutta 4": 1e-6 * runs(80, 10, 2)}
ALPHAS, DRAWS = (0.15, 0.3, 0.4, 0.5, 0.75, 1.0), table(0.9, 1.0, 1.5)
LAWS = {a: table(128, 512, 2048) ** (0.25 - a) for a in ALPHAS}
FLOW = {a: law[:, None] * DRAWS * (0.93 if a == 0.4 else 1.02) for a, law in LAWS.items()}


@cache
def rates():
    return lesson04.rates(SIZES, RATE, {"from imbalance": IMBALANCE, "with margin": MARGIN})


@cache
def drift():
    return lesson04.drift(DTS, DRIFTS)


@cache
def widths():
    return lesson04.widths([128, 512, 2048], FLOW, LAWS)


OF_04 = named(rates, drift, widths)
SAYS = {
    rates: [
        "is 1.02 to 1.75 times its bound",
        "41 from a small",
        "12 from a large one, 2.3 in between, and 2.2 from a balanced",
    ],
    drift: ["smallest step 0.01 (medians): gradient descent 0.05, Lorentz below 1e-10, Runge-Kutta 4 2e-06."],
    widths: [
        f"From m = 128 to 2048 the distance goes from {1.02 * 128**0.1:.2g} to {1.02 * 2048**0.1:.2g} with α = 0.15",
        f"from {1.02 * 128**-0.75:.2g} to {1.02 * 2048**-0.75:.2g} with α = 1.",
        "off by at most 7.0%",
    ],
}


def test_slowest_is_the_smallest_rate_above_the_rounding_floor():
    fast = torch.cumsum(table([0.0, 0.0], [0.3, 0.5], [0.1, 0.4], [0.4, 60.0], [0.0, 0.0]), 0)
    fast[4, 0] += 0.2  # the second run stands still on its floor
    np.testing.assert_allclose(lesson04.slowest(trace(7 * torch.exp(-fast)), 0.1), [1.0, 4.0])


def test_rates_stand_beside_their_bounds_and_a_bound_of_zero_is_seen():
    (ax,) = rates()[0].axes
    shows(*drawn(ax, is_measured), np.arange(8), RATE)
    imbalance, margin = drawn(ax, is_marks)
    shows(margin, np.arange(8), MARGIN)
    shows(imbalance, np.arange(8), [*MARGIN[:7], 0.3])
    assert ax.get_ylim()[0] < 0.3 and RATE.max() < ax.get_ylim()[1]
    ticks = [tick.get_text() for tick in ax.get_xticklabels()]
    assert ticks == [
        "0.025 / 0.4",
        "0.05 / 0.2",
        "0.1 / 0.1",
        "0.14 / 0.071",
        "0.2 / 0.05",
        "0.4 / 0.025",
        "orthogonal",
        "balanced",
    ]
    assert labels(ax)[1:] == ["bound, from imbalance", "bound, with margin"] and "measured" in labels(ax)[0]


def test_drift_predicts_orders_one_and_four_through_the_smallest_step():
    (ax,) = drift()[0].axes
    for line, (name, values) in zip(drawn(ax, is_measured), DRIFTS.items(), strict=True):
        shows(line, DTS, values[:, 1])
        assert line.get_label() == name
    first, fourth = drawn(ax, is_predicted)
    shows(first, DTS, 0.05 * np.array([4, 2, 1]))
    shows(fourth, DTS, 2e-6 * np.array([4, 2, 1]) ** 4)
    assert labels(ax) == [*DRIFTS, "predicted: slopes 1 and 4"]


def test_widths_draws_every_exponent_on_its_law():
    (ax,) = widths()[0].axes
    for line, law, alpha in zip(drawn(ax, is_measured), drawn(ax, is_predicted), ALPHAS, strict=True):
        shows(line, [128, 512, 2048], FLOW[alpha][:, 1])
        shows(law, [128, 512, 2048], LAWS[alpha])
    assert labels(ax) == [*(f"α = {a:g}" for a in ALPHAS), "the law"]


def test_the_table_has_a_row_an_optimizer():
    found = {"moved": 3e-12, "imbalance": 0.0123, "inside": 2e-9, "generic": 1.26, "unused": 5.0}
    head, rule, *rows = lesson04.table({"momentum": found, "Adam": found | {"moved": 0.5}}).data.splitlines()
    assert re.search("U2.*imbalance.*inside.*random", head)
    assert head.count("|") == rule.count("|") == 6
    assert rows == ["| momentum | less than 1e-9 | 0.012 | 2e-09 | 1.3 |", "| Adam | 0.5 | 0.012 | 2e-09 | 1.3 |"]
