"""The figures of lesson 02: what is on the axes, and that each sentence has the numbers of its data."""

from functools import cache

import numpy as np
import torch

from regimes.sweeps import Sweep
from regimes_course.kit.webm import unpack
from regimes_course.lesson02 import figures as lesson02
from regimes_course.lesson02.experiments import STEPS, history, problem
from tests.kit.test_plotting import is_measured, is_predicted, labels, trace
from tests.lessons.figure_data import SEEDS, T, drawn, legends, named, runs, shows, table

WIDTHS, NEAR, NEARER = [16, 32, 64], runs(0.5, 0.4, 0.2), runs(0.3, 0.05, 0.02)
KAPPA, CONDITION = table([1.0], [10.0], [100.0], [1000.0]), 10 ** table([3, 4], [5, 6], [7, 8], [9, 10.0])
CELLS = torch.arange(1.0, 17.0, dtype=torch.float64).reshape(2, 4, 2)  # a number each for labels, conditionings, seeds
NEWTON = trace(3 * (1 + CELLS * (T == 1)[:, None, None, None]) * 0.97 ** T[:, None, None, None])
DESCENT = trace(5 / (1 + torch.arange(101.0).double()[:, None, None, None] * CELLS))
EPS, RATES, LEAST = (
    table([0.01], [0.1], [10.0]),
    table([1.8, 1.9], [1.1, 1.2], [0.2, 0.3]),
    table([0.7, 0.6], [0.4, 0.4], [0.03, 0.02]),
)
PARAMETERS = [14, 28, 42, 50, 56, 70, 98]
LEFT = {0.05: runs(0.5, 0.3, 0.08, 0.02, 1e-7, 3e-6, 2e-7), 0.01: runs(0.4, 0.2, 0.06, 0.01, 9e-3, 2e-7, 1e-7)}
ANGLE = torch.linspace(0, 2 * np.pi, 9).double()
OFF = {m: 0.1 * (64 / m) * (table([1.0], [-1.0], [0.0]) + 0.5 / m) * torch.ones(9).double() for m in (16, 64)}
START = table([1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [-1.0, -1.0, 1.0])
FALL = 0.9 ** (2 * torch.arange(60.0).double())
ENDS = {0.1: (3 * 0.1 * START, table(1.0, -1.0, 2.0), FALL), 3.0: (1.5 * 3 * START, table(1.0, -1.0, 2.0), FALL)}
LABELS = table(-2.0, -1.0, 1.0, 2.0)
OUTPUTS = {3: 0.9 * LABELS, 8: LABELS * (1 + 1e-6)}
ETA = table(0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)
PEAK = torch.stack([ETA[:, None] * SEEDS * k + 1 for k in (1.0, 10.0, 100.0)])


@cache
def width():
    return lesson02.width(WIDTHS, NEARER, NEAR)


@cache
def race():
    return lesson02.race(NEWTON, DESCENT, KAPPA, CONDITION)


@cache
def bound():
    return lesson02.bound(CONDITION, CELLS)


@cache
def envelope():
    t = 0.1 * T[:, None, None]
    return lesson02.envelope(trace(7 * torch.exp(-RATES * t)), torch.exp(-2 * t), torch.exp(-LEAST * t), EPS)


@cache
def threshold():
    return lesson02.threshold(PARAMETERS, LEFT, 50)


@cache
def pieces():
    return lesson02.pieces(ANGLE, OFF)


@cache
def starts():
    return lesson02.starts(START, ENDS, 21.86)


@cache
def narrow():
    return lesson02.narrow(LABELS, OUTPUTS, 7)


@cache
def peaks():
    return lesson02.peaks(Sweep({"kappa": table(10.0, 100.0, 1000.0), "eta": ETA, "seed": SEEDS}, {"peak": PEAK}, PEAK * 0 - 1))


FIGURES = named(width, race, bound, envelope, threshold, peaks, pieces, starts, narrow)
SAYS = {
    width: ["m = 16 to 64", "mean, from 0.5 to 0.2,", "the whole, from 0.3 to 0.02 (", "of 3 clouds"],
    race: [
        "of K from 1e+03 to 1e+10",
        "noise labels at κ = 100 and κ = 1000",
        f"as much as {7 * 0.97:.2g} and {9 * 0.97:.2g} times the start",
        "after 100 steps at κ = 100",
        f"{1 / 601:.2g} to {1 / 501:.2g} of the loss is left with noise labels",
        f"{1 / 1401:.1e} to {1 / 1301:.1e} with a teacher's",
    ],
    bound: ["Noise labels: 1 to 2 at κ = 1, 5 to 6 at κ = 100; teacher labels: 9 to 10 at κ = 1, 13 to 14 at κ = 100."],
    envelope: [
        "1.8 to 1.9 at ε = 0.01 (at least 0.6 to 0.7), 1.1 to 1.2 at ε = 0.1 (at least 0.4), "
        "0.2 to 0.3 at ε = 10 (at least 0.02 to 0.03)"
    ],
    threshold: [
        "with η = 0.05 at least 0.04 of the loss is left where p < 50, and all runs fit from p = 98 on",
        "with η = 0.01 at least 0.03 of the loss is left where p < 50, and all runs fit from p = 70 on",
    ],
    pieces: [f"0.4 and {0.4 * 0.5 / 16:.2g} with 16 units, 0.1 and 0.00078 with 64 units"],
    starts: ["After 60 steps", "moved by 200 % from std 0.1, 50 % from std 3 of", "after 22 steps (predicted: 21.9)"],
    narrow: ["of a network that says zero to all 4 samples", "0.01 with 21 weights, 1e-12 with 56 weights"],
    peaks: ["With η = 0.2", "rises to 2 to 9 times its start at κ = 100, and to 11 to 81 times at κ = 1000", "(3 seeds;"],
}


def test_the_hero_shows_both_widths_at_three_moments_with_their_losses_and_moves_to_the_last():
    figure, says, film = lesson02.hero()
    steps, (*clouds, curves) = (10, 30, STEPS), figure.axes
    assert [ax.get_title() for ax in clouds] == [*(f"step {k}" for k in steps), "", "", ""]
    assert [clouds[i].get_ylabel() for i in (0, 3)] == ["20 units", "1000 units"]
    few, many = runs = [history(m, 0.1, "gradient descent") for m in (20, 1000)]
    for i, ax in enumerate(clouds):
        run, k = runs[i // 3], steps[i % 3]
        _, plus, minus = ax.collections
        for dots, here in ((plus, run.v[k] >= 0), (minus, run.v[k] < 0)):
            np.testing.assert_array_equal(dots.get_offsets(), run.W[k, here, :2])
        assert len(drawn(ax, is_predicted)) == len(problem().teacher.v)
    for line, run in zip(curves.lines, runs, strict=True):
        shows(line, torch.arange(STEPS + 1), run.loss)
    assert f"{few.loss[20]:.2g} and {many.loss[20]:.2g} after step 20, {few.loss[50]:.2g} and {many.loss[50]:.2g} after" in says
    assert len(unpack(film)[0]) > 20 and len(film) < 300_000


def test_the_losses_of_the_hero_are_those_of_one_cloud_and_not_of_any():
    """At each width the curve waits until units have grown; from another std, another cloud, it does not."""
    losses = {std: [history(m, std, "gradient descent").loss for m in (20, 1000)] for std in (0.1, 1.0)}
    small, large = ([int((loss > loss[0] / 2).sum()) for loss in pair] for pair in losses.values())
    assert (
        abs(small[0] - small[1]) <= 4 and abs(large[0] - large[1]) <= 4 and 3 * max(large) < min(small)
    )  # steps to half the loss
    W = history(1000, 0.1, "gradient descent").W[30, :, :2]
    lam = torch.linalg.eigvalsh(W.T @ W)
    assert lam[0] < 0.05 * lam[1]  # "first along one line"


def test_pieces_and_their_mean_stand_beside_the_whole():
    figure, _ = pieces()
    for ax, (m, off) in zip(figure.axes, OFF.items(), strict=True):
        *each, mean = drawn(ax, is_measured)
        for line, piece in zip(each, off, strict=True):
            shows(line, ANGLE, piece)
        shows(mean, ANGLE, off.mean(0))
        shows(*drawn(ax, is_predicted), ANGLE, 0 * ANGLE)
        assert ax.get_title() == f"{m} units"
    assert figure.get_suptitle() == (
        "4 times as wide: networks scatter 4 times less (predicted: 2),\ntheir mean is 16 times nearer (predicted: 4)"
    )


def test_starts_says_what_did_not_go_as_predicted():
    late = ENDS | {3.0: (*ENDS[3.0][:2], FALL[:5])}
    for ends, law, title in (
        (ENDS, 10.0, "Steps to 1 % of the loss: 22, predicted 10"),
        (late, 21.86, "Steps to 1 % of the loss: not always reached, predicted 21.9"),
    ):
        figure, says = lesson02.starts(START, ends, law)
        assert figure.get_suptitle() == title and "does not see" not in says
    assert "not yet\nat 1 %" in figure.axes[1].get_title() and "after more steps" in says


def test_starts_joins_where_each_cloud_was_and_is():
    figure, _ = starts()
    for ax, (std, (W, _, _)) in zip(figure.axes, ENDS.items(), strict=True):
        paths, plus, minus = ax.collections
        np.testing.assert_allclose(np.ma.concatenate([plus.get_offsets(), minus.get_offsets()]), W[[0, 2, 1], :2])
        for path, first, last in zip(paths.get_segments(), std * START, W, strict=True):
            np.testing.assert_allclose(path, torch.stack([first, last])[:, :2])
        shows(*drawn(ax, is_measured), *(std * START[:, :2]).T)
        assert W[:, :2].abs().max() < ax.get_xlim()[1] == ax.get_ylim()[1]
    assert [ax.get_title() for ax in figure.axes] == [
        f"std {std}: 1 % left\nat step 22, units\nmoved {moved} %" for std, moved in (("0.1", 200), ("3", 50))
    ]


def test_narrow_shows_outputs_against_labels():
    figure, _ = narrow()
    for ax, output in zip(figure.axes, OUTPUTS.values(), strict=True):
        shows(*drawn(ax, is_measured), LABELS, output)
        shows(*drawn(ax, is_predicted), [-2, 2], [-2, 2])
    told = "4 labels: fewer weights than that cannot fit them; fitted here: "
    assert (
        figure.get_suptitle() == told + "56" and lesson02.narrow(LABELS, {3: OUTPUTS[3]}, 7)[0].get_suptitle() == told + "none"
    )
    assert [ax.get_title() for ax in figure.axes] == ["3 units,\n21 weights:\n1 % left", "8 units,\n56 weights:\nfitted"]


def test_width_predicts_two_slopes_at_the_level_of_the_data():
    (ax,) = width()[0].axes
    (pieces, mean), theory = drawn(ax, is_measured), drawn(ax, is_predicted)
    shows(pieces, WIDTHS, [0.5, 0.4, 0.2])
    shows(mean, WIDTHS, [0.3, 0.05, 0.02])
    for line, values, power in zip(theory, (NEAR, NEARER), (-0.5, -1.0), strict=True):
        level = values.log().mean().exp().item()  # at the middle width: the geometric mean of all
        shows(line, WIDTHS, level * np.array([0.5, 1, 2]) ** power)
    assert labels(ax)[:2] == ["a piece from the mean", "mean of the pieces from the whole"] and len(labels(ax)) == 3
    assert ax.get_xscale() == ax.get_yscale() == "log"


def test_race_has_a_row_of_labels_and_a_column_of_conditionings():
    figure, _ = race()
    kappas = ("1", "10", "100", "1000")
    assert [ax.get_title() for ax in figure.axes] == [f"{row} labels, κ = {k}" for row in ("noise", "teacher") for k in kappas]
    assert legends(figure) == [["gradient descent", "Gauss-Newton", "predicted"]]
    for ax, cell in zip(figure.axes, CELLS.reshape(8, 2), strict=True):
        (descent, newton), (theory,) = drawn(ax, is_measured), drawn(ax, is_predicted)
        shows(descent, np.arange(101), (1 / (1 + torch.arange(101)[:, None] * cell)).mean(1))
        shows(newton, T, (1 + cell.mean() * (T == 1)) * 0.97**T)
        shows(theory, T, 0.98 ** (2 * T))
        assert ax.get_yscale() == "log" and ax.get_xlim() == (0, 100)


def test_bound_shows_every_run_of_both_labels():
    (ax,) = bound()[0].axes
    for line, values in zip(drawn(ax, is_measured), CELLS, strict=True):
        shows(line, CONDITION.flatten(), values.flatten())
    shows(*drawn(ax, is_predicted), [1e3, 1e10], [1, 1])
    assert labels(ax) == ["noise labels", "teacher labels", "the bound"]


def test_envelope_holds_the_losses_of_each_damping():
    figure, _ = envelope()
    assert [ax.get_title() for ax in figure.axes] == ["damping ε = 0.01", "damping ε = 0.1", "damping ε = 10"]
    for ax, rate, least in zip(figure.axes, RATES, LEAST, strict=True):
        (loss,), (low, high) = drawn(ax, is_measured), drawn(ax, is_predicted)
        shows(loss, 0.1 * T, torch.exp(-0.1 * T[:, None] * rate).mean(1))
        shows(low, 0.1 * T, torch.exp(-0.2 * T))
        shows(high, 0.1 * T, torch.exp(-0.1 * T * least.min()))
    assert legends(figure) == [["damped Gauss-Newton", "predicted envelope"]]


def test_threshold_stands_at_the_number_of_samples():
    (ax,) = threshold()[0].axes
    for line, left in zip(drawn(ax, is_measured), LEFT.values(), strict=True):
        shows(line, PARAMETERS, left[:, 1])
    assert set(drawn(ax, is_predicted)[0].get_xdata()) == {50}
    assert labels(ax) == ["Gauss-Newton, η = 0.05", "Gauss-Newton, η = 0.01", "$p = n$"]


def test_peaks_has_a_curve_a_conditioning():
    (ax,) = peaks()[0].axes
    for line, k in zip(drawn(ax, is_measured), (1, 10, 100), strict=True):
        shows(line, ETA, 1 + k * ETA)
    shows(*drawn(ax, is_predicted), [0.01, 1], [1, 1])
    assert labels(ax) == ["κ = 10", "κ = 100", "κ = 1000", "the law: no peak"]
