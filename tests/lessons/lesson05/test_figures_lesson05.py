"""The figures of lesson 05: what is on the axes, and that each sentence has the numbers of its data."""

from functools import cache

import numpy as np
import torch

from regimes.sweeps import Sweep
from regimes.training import Trace
from regimes_course.lesson05 import figures as lesson05
from regimes_course.lesson05.experiments import watched
from tests.kit.test_plotting import is_level, is_measured, is_predicted, labels, trace
from tests.lessons.figure_data import SEEDS, drawn, legends, named, runs, shows, table

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


TIMES = 0.1 * torch.arange(61).double()
QUIET = [0.5 * 0.7**k for k in range(61)], [0.02, *[0.002] * 60]
LOUD = [0.5 * 0.8**k + 0.01 for k in range(61)], [0.02, *[0.016] * 60]
WORSE = [0.5 * 0.8**k + 0.1 for k in range(61)], [0.02, *[0.05] * 60]
TARGETS = table(-1.0, 0.5, 2.0)
SEEN = {name: {s: c * s * TARGETS for s in (0.1, 0.4, 0.6)} for name, c in (("Gauss-Newton", 1.01), ("gradient descent", 0.7))}
ETAS, MISS = [0.05, 0.02, 0.002], {5e-4: [0.9, 0.3, 0.01], 5e-3: [0.2, 0.08, 0.03], 5e-2: [0.2, 0.12, 0.1]}
LEFT = {5e-4: [300.0, 20.0, 1.5], 5e-3: [80.0, 6.0, 0.75], 5e-2: [7.0, 4.0, 2.5]}
FAR = torch.stack([torch.stack([runs(values[k])[0] for values in MISS.values()]) for k in range(3)])


@cache
def hero():
    return lesson05.hero()


@cache
def two_starts():
    return lesson05.two_starts(TIMES, {0.1: QUIET, 10: LOUD})


@cache
def noise():
    return lesson05.noise(TIMES, *WORSE)


@cache
def outputs():
    return lesson05.outputs(TARGETS, SEEN)


@cache
def rest():
    return lesson05.rest(ETAS, LEFT)


@cache
def left_over():
    return lesson05.left_over(ETAS, list(MISS), FAR, 100 * FAR)


FIGURES = named(starts, floors, hidden, shrinkage, steps, limits, hero, two_starts, noise, outputs, rest, left_over)
SAYS = {
    starts: [
        "At std 0.1 the median test loss is 3.0e-05 with Gauss-Newton and 8.0e-02 with random features, "
        "and the hidden units have turned by 0.2.",
        "At std 10 the median test loss is 5.0e-03 with Gauss-Newton and 6.0e-02 with random features, "
        "and the hidden units have turned by 0.003.",
        "(3 seeds;",
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
    hero: ["At t = 0.5 the test loss is 0.18; with the last layer re-fitted it is 4.4e-05, 4,116 times lower", "reaches 0.02"],
    two_starts: [
        f"from std 0.1 G = {0.5 * 0.7**5 / 0.002:.3g} and F = 10;",
        f"from std 10 G = {(0.5 * 0.8**5 + 0.01) / 0.016:.3g} and F = 1.25",
    ],
    noise: [f"the gap is G = {(0.5 * 0.8**5 + 0.1) / 0.05:.2g}, and the gain F = 0.4"],
    outputs: ["miss the dashed line by 1% with Gauss-Newton and by 30% with gradient descent"],
    rest: [
        "6 is left at η = 0.02 with our damping, 0.005, and 0.75 at η = 0.002.",
        "every step, 20 and 1.5;",
        "helping, 4 and 2.5.",
    ],
    left_over: [
        f"at η = 0.02 and then 0.002: ε = 0.0005: 30 %, 1 % and {30 * 2 ** (1 / 3):.3g}, {1 * 2 ** (1 / 3):.3g};",
        "(3 seeds)",
    ],
}


def points(ax, kind=is_measured):
    return [np.asarray(line.get_xydata()) for line in drawn(ax, kind)]


def test_the_hero_has_the_two_ratios_as_arrows_and_three_moments():
    figure, _ = hero()
    run, (top, *rest) = watched(), figure.axes
    test, again = drawn(top, is_measured)
    shows(test, run.time, run.test)
    shows(again, run.time, run.refit)
    gap, gain = ((a.xy, a.xyann) for a in top.texts if hasattr(a, "xyann"))
    np.testing.assert_allclose(gap, [[0.5, run.test[5]], [0.5, run.refit[5]]])
    np.testing.assert_allclose([gain[0][1], gain[1][1]], [run.refit[0], run.refit[5]])
    words = [text.get_text() for text in top.texts]
    assert f"gap\nG = {run.test[5] / run.refit[5]:,.0f}" in words and f"gain F = {run.refit[0] / run.refit[5]:.3g}" in words
    for weights, says, moment in zip(rest[:3], rest[3:], run.moments, strict=True):
        (units,) = points(weights)
        np.testing.assert_array_equal(units, moment.W[:, :2])
        assert weights.get_xlim()[1] > moment.W[:, :2].abs().max()
        new, own = points(says)
        np.testing.assert_array_equal(own[:, 1], moment.f)
        np.testing.assert_array_equal(new[:, 1], moment.refit)
        (law,) = points(says, is_predicted)
        assert law[1, 1] / law[1, 0] == 1 - 0.98**moment.step
    assert [ax.get_title() for ax in rest[:3]] == ["t = 0", "t = 0.5", "t = 6"]


def test_two_starts_share_an_axis_that_holds_both():
    figure, _ = two_starts()
    for ax, (test, again) in zip(figure.axes, (QUIET, LOUD), strict=True):
        for line, values in zip(drawn(ax, is_measured), (test, again), strict=True):
            shows(line, TIMES, values)
            assert ax.get_ylim()[0] < min(values) and max(values) < ax.get_ylim()[1]
    assert [ax.get_title()[:10] for ax in figure.axes] == ["std 0.1: m", "std 10: no"]


def test_noise_says_whether_the_features_are_worth_less():
    (ax,) = noise()[0].axes
    shows(*drawn(ax, is_level), [0, 6], [0.02, 0.02])
    assert ax.get_title().endswith("worth less than random features")
    assert lesson05.noise(TIMES, *QUIET)[0].axes[0].get_title().endswith("worth more than random features")


def test_outputs_stand_beside_the_share_that_is_predicted():
    figure, _ = outputs()
    for ax, seen in zip(figure.axes, SEEN.values(), strict=True):
        for dots, line, (share, f) in zip(drawn(ax, is_measured), drawn(ax, is_predicted), seen.items(), strict=True):
            shows(dots, TARGETS, f)
            shows(line, [-1, 2], [-share, 2 * share])


def test_rest_has_a_curve_a_damping_above_the_line_where_nothing_is_left():
    (ax,) = rest()[0].axes
    for line, values in zip(drawn(ax, is_measured), LEFT.values(), strict=True):
        shows(line, ETAS, values)
    assert set(drawn(ax, is_level)[0].get_ydata()) == {1}


def test_left_over_has_a_curve_a_damping():
    figure, _ = left_over()
    for ax, factor in zip(figure.axes, (1, 100), strict=True):
        for line, values in zip(drawn(ax, is_measured), MISS.values(), strict=True):
            shows(line, ETAS, factor * np.array(values))


def test_starts_compares_three_methods_and_shows_who_turned():
    left, right = starts()[0].axes
    assert labels(left) == ["gradient descent, each teacher", "Gauss-Newton, each teacher", "random features"]
    lines = drawn(left, is_measured)
    for name, (*each, middle) in zip(("GD", "GN"), (lines[:4], lines[4:]), strict=True):
        ratio = TESTS[name] / TESTS["random"]
        for line, teacher in zip(each, ratio.T, strict=True):
            shows(line, STD, teacher)
        shows(middle, STD, ratio[:, 1])
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
