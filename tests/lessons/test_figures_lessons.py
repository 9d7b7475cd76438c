"""Figures of lessons 04 and 05: what is on the axes, and that each sentence has the numbers of its data."""

import re
from functools import cache

import numpy as np
import torch

from regimes.sweeps import Sweep
from regimes.training import Trace
from regimes_course.lesson04 import figures as lesson04
from regimes_course.lesson05 import figures as lesson05
from tests.kit.test_plotting import is_level, is_marks, is_measured, is_predicted, labels, trace


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


# Lesson 05.
STD = table(0.01, 0.1, 1.0, 10.0)
TESTS = {
    "GN": runs(2e-4, 3e-5, 4e-4, 5e-3),
    "GD": runs(0.02, 0.03, 0.04, 0.05),
    "random": runs(0.07, 0.08, 0.09, 0.06),
    "turned": runs(0.4, 0.2, 0.06, 0.003),
}
DAMPINGS = table(1e-9, 1e-7, 1e-5, 1e-4, 5e-4, 5e-3)
FLOORS = torch.stack([runs(1, 60.0, 0.5, 3e-4, 2e-5, 4e-6), runs(3e-3, 6e-4, 5e-4, 4e-4, 3e-4, 7e-4)])
FLOORS[0, 0, :2] = torch.nan  # two of three runs diverged
EVERY = torch.arange(0, 101, 5)
FALL = 10 ** (-EVERY / 25.0).double()
SHARE = 1 - 0.98 ** torch.arange(101).double()[:, None, None]
Y = table([-2.0, -1.0, 0.5, 3.0], [9.0, 9.0, 9.0, 9.0])  # the second run has no business in the figure
STEPS = [1.0, 0.5, 0.2, 0.1]
LOSSES = runs([0.3, 7.0], [0.02, 7.0], [4e-3, 7.0], [5e-4, 7.0])
RISES = runs([40.0, 9.0], [3.0, 9.0], [2.0, 9.0], [1.0, 9.0])
NOISES = {0.0: runs(700.0, 1.2), 0.1: runs(0.6, 1.3), 0.3: runs(0.15, 1.4)}
GAINS = {25: runs(5000.0, 1.5), 50: runs(1800.0, 1.6)}


@cache
def starts():
    return lesson05.starts(Sweep({"std": STD, "seed": SEEDS}, TESTS, torch.full((4, 3), -1)))


@cache
def floors():
    grid = {"std": table(0.01, 1.0), "damping": DAMPINGS, "seed": SEEDS}
    return lesson05.floors(Sweep(grid, {"test": FLOORS}, torch.where(FLOORS.isnan(), 17, -1)))


@cache
def hidden():
    def watch(test, rescaled, refit, random):
        measured = {"test": test * FALL[:, None] * SEEDS, "refit": refit * FALL[:, None] * SEEDS}
        rescaled = torch.where(EVERY == 0, torch.inf, rescaled * FALL)[:, None] * SEEDS  # a division by nothing at the start
        loss = 0.5 * torch.exp(-1.8 * 0.02 * EVERY)[:, None] * SEEDS
        return Trace(EVERY, 0.02 * EVERY, loss, measured), rescaled, random * SEEDS

    return lesson05.hidden({0.1: watch(0.7, 0.2, 0.05, 0.04), 10.0: watch(0.9, 0.6, 0.4, 0.08)})


@cache
def shrinkage():
    k, both = torch.arange(101).double()[:, None], torch.ones(2).double()
    newton = trace(3 * 0.98 ** (2 * k[:51]) * both, f=1.02 * SHARE[:51] * Y)
    descent = trace(3 * 0.98**k * both, f=0.7 * (1 - 0.98 ** (k[..., None] / 2)) * Y)  # half as fast, and 30 % off
    return lesson05.shrinkage(newton, descent, Y, (5, 25, 50), 0.02)


@cache
def steps():
    return lesson05.steps(STEPS, LOSSES, RISES, 0.09 * SEEDS)


@cache
def limits():
    def sweeps(gains):
        return {key: Sweep({"std": table(0.1, 10.0)}, {"gain": gain}, gain[..., 0] * 0 - 1) for key, gain in gains.items()}

    return lesson05.limits(sweeps(NOISES), sweeps(GAINS))


OF_04 = named(rates, drift, widths)
OF_05 = named(starts, floors, hidden, shrinkage, steps, limits)
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
    starts: [
        "At std 0.1 the median test loss is 3.0e-05 with Gauss-Newton and 8.0e-02 with random features, "
        "and the hidden units have turned by 0.2.",
        "At std 10 the median test loss is 5.0e-03 with Gauss-Newton and 6.0e-02 with random features, "
        "and the hidden units have turned by 0.003.",
        "of 3 seeds",
    ],
    floors: [
        "At std 0.01 a damping of 1e-07 ends at test losses of 3e+01 to 2e+02, one of 5e-03 at 2e-06 to 2e-05",
        "with 1e-09, 2 of 3 runs diverge",
        "At std 1 the medians are 3e-04 to 3e-03 at",
    ],
    hidden: [
        "Medians of 3 seeds",
        "at std 0.1: test 7e-02, rescaled 2e-02, re-fitted 5e-03, random features 4e-02;",
        "at std 10: test 9e-02, rescaled 6e-02, re-fitted 4e-02, random features 8e-02.",
    ],
    shrinkage: ["miss them by 2.0%.", "at the same training loss they miss them by 30%."],
    steps: [
        "3e-01 at η = 1, 4e-03 at η = 0.2, 5e-04 at η = 0.1.",
        "At η = 1 the training loss first rises to 20 to 160 times its start",
    ],
    limits: [
        "7e+02 at noise 0, 0.6 at noise 0.1, 0.15 at noise 0.3; without noise 5e+03 at m = 25, 1.8e+03 at m = 50.",
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


def test_starts_compares_three_methods_and_shows_who_turned():
    left, right = starts()[0].axes
    assert labels(left) == ["random features", "gradient descent", "Gauss-Newton"]
    for line, name in zip(drawn(left, is_measured), ("random", "GD", "GN"), strict=True):
        shows(line, STD, TESTS[name][:, 1])
    shows(*drawn(right, is_measured), STD, TESTS["turned"][:, 1])
    assert "loss" in left.get_ylabel() and "distance" in right.get_ylabel()


def test_floors_crosses_out_what_diverged():
    (ax,) = floors()[0].axes
    small, large, lost = drawn(ax, is_measured)
    shows(small, DAMPINGS[1:], FLOORS[0, 1:, 1])
    shows(large, DAMPINGS, FLOORS[1, :, 1])
    assert lost.get_xdata() == DAMPINGS[0] and lost.get_label() == "diverged" and lost.get_marker() == "x"
    assert small.get_ydata().max() < lost.get_ydata() < ax.get_ylim()[1]
    assert set(drawn(ax, is_level)[0].get_ydata()) == {0.5}
    assert labels(ax) == ["std = 0.01", "std = 1", "diverged", "predicting zero"]


def test_hidden_leaves_out_the_start_where_nothing_can_be_rescaled():
    figure, _ = hidden()
    assert [ax.get_title() for ax in figure.axes] == ["std = 0.1", "std = 10"]
    t = 0.02 * EVERY[1:].double()
    for ax, levels, random in zip(figure.axes, ((0.7, 0.2, 0.05), (0.9, 0.6, 0.4)), (0.04, 0.08), strict=True):
        *tests, training = drawn(ax, is_measured)
        for line, level in zip(tests, levels, strict=True):
            shows(line, t, level * FALL[1:])
        shows(training, t, 0.5 * torch.exp(-1.8 * t))
        shows(*drawn(ax, is_predicted), t, 0.5 * torch.exp(-2 * t))
        shows(*drawn(ax, is_level), [0.1, 2.0], [random, random])
    (names,) = legends(figure)
    assert names[:5] == ["test", "test, rescaled", "test, re-fitted", "random features", "training"] and len(names) == 6


def test_shrinkage_compares_the_methods_at_the_same_losses():
    figure, _ = shrinkage()
    assert [ax.get_title() for ax in figure.axes] == ["Gauss-Newton", "gradient descent"]
    for ax, off in zip(figure.axes, (1.02, 0.7), strict=True):
        for points, line, k in zip(drawn(ax, is_measured), drawn(ax, is_predicted), (5, 25, 50), strict=True):
            share = 1 - 0.98**k
            shows(points, Y[0], off * share * Y[0])
            shows(line, [-2, 3], [-2 * share, 3 * share])
        assert labels(ax) == [*(f"loss {0.98 ** (2 * k):.2f} of the start" for k in (5, 25, 50)), "predicted"]


def test_steps_has_losses_beside_random_features_and_peaks_beside_none():
    left, right = steps()[0].axes
    for ax, values in ((left, LOSSES), (right, RISES)):
        for i, line in enumerate(drawn(ax, is_measured)):
            shows(line, STEPS, values[:, i, 1])
    shows(*drawn(right, is_predicted), [0.1, 1], [1, 1])
    np.testing.assert_allclose(drawn(left, is_level)[0].get_ydata(), 0.09)
    assert labels(left) == ["ε = 5e-4", "ε = 5e-3", "random features"]
    assert labels(right) == ["ε = 5e-4", "ε = 5e-3", "the flow: no peak"]


def test_limits_has_the_noises_beside_the_widths():
    left, right = limits()[0].axes
    for ax, gains in ((left, NOISES), (right, GAINS)):
        assert [tick.get_text() for tick in ax.get_xticklabels()] == [f"{key:g}" for key in gains]
        for i, line in enumerate(drawn(ax, is_measured)):
            shows(line, np.arange(len(gains)), [gain[i, 1] for gain in gains.values()])
        assert set(drawn(ax, is_level)[0].get_ydata()) == {1}
    assert (left.get_xlabel(), right.get_xlabel()) == ("label noise", "width m")
    assert labels(left) == ["std = 0.1", "std = 10"]
