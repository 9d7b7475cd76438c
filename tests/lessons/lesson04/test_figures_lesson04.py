"""The figures of lesson 04: of the lesson, on the clouds that it shows; of its deeper notebook, on data that are made up."""

import math
import re
from functools import cache

import numpy as np
import torch

from regimes_course.kit.webm import unpack
from regimes_course.kit.words import digits3
from regimes_course.lesson04 import figures as lesson04
from regimes_course.lesson04 import plane
from tests.kit.test_plotting import is_marks, is_measured, is_predicted, labels, trace
from tests.lessons.figure_data import drawn, runs, shows, table

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


conditions, hyperbolas, lengths, adam = (
    cache(maker) for maker in (lesson04.conditions, lesson04.hyperbolas, lesson04.lengths, lesson04.adam)
)


MAKERS = (conditions, hyperbolas, lengths, adam, rates, drift, widths)
FIGURES = {maker.__name__: maker for maker in MAKERS}
SAYS = {
    conditions: ["V = 0, 0.13; V orthogonal to U₂, 0.097; U₁ and V orthogonal to U₂, less than 1e-9."],
    hyperbolas: [
        "half way at t = 3.45, 0.95, 0.331",
        f"at the rates 4, {digits3(2 * math.hypot(0.5, 2))}, {digits3(2 * math.hypot(2, 2))}.",
    ],
    lengths: ["Median |v|² of 150 starts: 0.0157 at the start", "±0.067 and ±0.016", "gradient flow ends ±0.016."],
    adam: ["end less than 1e-9 from", "ends 0.14 away, always to one side (spread 0.021)."],
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


def ends(ax):
    """The points at which the networks of a panel end."""
    (line,) = [line for line in ax.lines if line.get_label() == "_end"]
    return line.get_xydata()


def across(points):
    return points @ plane.ray(plane.ANGLE + math.pi / 2).numpy()


def test_the_hero_shows_where_each_cloud_ends_and_tells_how_far():
    figure, says, film = lesson04.hero()
    assert len(unpack(film)[0]) > 20 and len(film) < 300_000
    distances = []
    for ax, (_, path, _) in zip(figure.axes, lesson04.four(), strict=True):
        np.testing.assert_allclose(ends(ax), plane.predictor(path)[-1])
        np.testing.assert_allclose(ends(ax) @ plane.ray(plane.ANGLE).numpy(), 1, atol=1e-9)
        distances.append(np.sqrt((across(ends(ax)) ** 2).mean()))
        assert ax.get_title().endswith(f"ends ±{distances[-1]:.2g}")
        assert len(ends(ax)) == 150
    assert ", ".join(f"{d:.2g}" for d in distances[:3]) in says and f"{distances[3]:.2g} from the smallest" in says
    ratio = distances[3] / distances[2]
    assert f"{ratio:.2g} times as far" in says and 3.5 < ratio < 4.5


def test_all_special_starts_end_on_the_line_and_only_the_invariant_set_at_the_star():
    figure, _ = conditions()
    spread = [np.abs(across(ends(ax))).max() for ax in figure.axes]
    assert min(spread[:2]) > 0.1 and spread[2] < 1e-12
    (start,) = [line.get_xydata() for line in figure.axes[0].lines if line.get_label() == "_start"]
    assert np.abs(start).max() == 0  # from V = 0 all functions are zero


def test_losses_stay_above_their_late_rates_and_start_alike():
    _, right = hyperbolas()[0].axes[:2]
    assert labels(right) == ["u² − v² = 0", "u² − v² = 0.5", "u² − v² = 2"]
    for line, gap in zip(drawn(right, is_measured), (0, 0.5, 2), strict=True):
        t, loss = line.get_data()
        assert loss[0] > 0.997 and (np.diff(loss) < 0).all()
        slope = -np.diff(np.log(loss[-10:])) / np.diff(t[-10:])
        np.testing.assert_allclose(slope, 2 * math.hypot(gap, 2), rtol=0.02)


def test_the_length_of_the_last_layer_jumps_and_stays():
    last = lengths()[0].axes[2]
    full, small = drawn(last, is_measured)
    assert full.get_ydata()[0] < 0.02 and full.get_ydata()[1:].min() > 14
    assert 0.9 < small.get_ydata()[-1] < 1.1 and small.get_ydata().max() < 1.2
    high, low = (line.get_ydata()[0] for line in drawn(last, is_predicted))
    assert high == 1 / 64 + 16 and abs(low - math.hypot(1 / 64, 1)) < 1e-12


def test_adam_ends_beside_the_star_towards_equal_entries():
    figure, _ = adam()
    *kept, lost = (ends(ax) for ax in figure.axes)
    assert all(np.abs(across(points)).max() < 1e-9 for points in kept)
    assert across(lost).min() > 0.05 and (np.abs(lost[:, 0] - lost[:, 1]) < math.cos(0.5) - math.sin(0.5)).all()


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
