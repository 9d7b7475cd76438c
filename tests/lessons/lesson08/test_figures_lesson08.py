"""Figures of lesson 08: what is on the axes, and that each sentence has the numbers of its data."""

from functools import cache

import numpy as np
import pytest
import torch

from regimes.theory.edge_of_stability import quadratic_factor
from regimes.training import Trace
from regimes_course.lesson08 import figures as lesson08
from regimes_course.lesson08.climb import GRAIN, Task, central_flow, descend, flow, middle, start
from regimes_course.lesson08.experiments import climb_of_width, gauss_newton, logistic_digits
from tests.kit.test_plotting import is_level, is_measured, is_predicted, labels, trace
from tests.lessons.figure_data import drawn, named, runs, shows, table

K = torch.arange(101)


SHARE = table(0.9, 1.0, 1.1)
TOP = torch.stack([quadratic_factor(K, 2 * s, 1.0) for s in SHARE], 1)[..., None] * table(1.0, 1.0, 1.0)
SHARP = torch.linspace(20, 3, 31, dtype=torch.float64)[:, None] * table(1.0, 0.5)
IMBALANCE = torch.linspace(18, 0.1, 31, dtype=torch.float64)[:, None] * table(1.0, 0.5)
ETA, STEP = table(0.4, 1.2), torch.arange(0, 101, 10)
S = torch.stack([runs(*torch.linspace(1, 2, 11).tolist()) * f for f in (1.0, 0.8)], 1) / 2
LOSS = (0.5 * 0.95 ** K.double())[:, None, None] * torch.ones(1, 2, 3, dtype=torch.float64)
NUMBER = runs(0.5, 1.0, 1.4, 0.9, 0.2, 0.1)
WHOLE = trace(runs(*torch.linspace(0.7, 0.1, 101).tolist()))
STEPS = table(1.9, 2.1)
LOSSES = torch.stack([(1 - e) ** (2 * K.double()) for e in STEPS], 1)[..., None] * table(1.0, 1.0)
DESCENT = Trace(K, K.double(), 3 * torch.ones(101, 2, dtype=torch.float64) * (1 + 4 * (K == 7).double())[:, None])
EDGE = table(*[[1.2, 1.1]] * 10, [0.9, 0.95])


def two_certainties():
    return lesson08.two_certainties(SHARE, TOP, 0.2, SHARP, IMBALANCE, 1.01 * IMBALANCE)


def sharpening():
    return lesson08.sharpening(ETA, LOSS, STEP, S)


def digits():
    return lesson08.digits({"squared, η = 1": (WHOLE, NUMBER), "logistic, η = 4": (WHOLE, 2 * NUMBER)})


def newton():
    return lesson08.newton(STEPS, LOSSES, table(0.3, 0.8), 1.2, DESCENT, EDGE)


TASK = Task()
NUMBERS, PEAKS = {0.0: [1.0, 1.3, 1.6, 1.2], 0.01: [1.0, 1.1, 1.15, 1.1]}, {0.0: [0.07, 0.2], 0.01: [0.07, 0.09]}
CLIMBS = {
    (scaling, m): ([0.25, 0.1, 0.05, 0.01], [1.0, 2.0, top, top + 0.1])
    for scaling, top in (("mean_field", 4.5), ("ntk", 1.2))
    for m in (20, 80, 320)
}
RATIOS = {
    0.4: table([1.4, 1.3], [1.6, 1.5], [0.8, 0.7], [0.9, 0.95], [1.0, torch.nan]),
    0.6: table([1.2], [1.1], [0.9], [0.98]),
}


@cache
def hero():
    return lesson08.hero()


@cache
def pushed():
    return lesson08.pushed(NUMBERS, PEAKS)


@cache
def losses_of_central():
    p = start(0)
    centre, predicted = central_flow(TASK, p, 0.6)
    return TASK.loss(descend(TASK, p, 0.6, 500)), TASK.loss(centre), predicted


@cache
def central():
    return lesson08.central(0.6, *losses_of_central())


@cache
def lazy():
    return lesson08.lazy(CLIMBS)


@cache
def breaks():
    return lesson08.breaks()


@cache
def windows():
    return lesson08.windows(RATIOS, 25)


FIGURES = named(two_certainties, sharpening, digits, newton, hero, pushed, central, lazy, breaks, windows)


def words(ax):
    return [text.get_text() for text in ax.texts]


def test_hero():
    fig, says = hero()
    climb, swing, loss = fig.axes
    smooth = flow(TASK, start(0))[::10]
    shows(drawn(climb, is_predicted)[0], 10 * GRAIN * torch.arange(len(smooth)), TASK.sharpness(smooth))
    assert [line.get_ydata()[0] for line in drawn(climb, is_level)] == [2 / eta for eta in lesson08.RUNS]
    for eta, line in zip(lesson08.RUNS, drawn(climb, is_measured), strict=True):
        path = descend(TASK, start(0), eta, round(300 / eta))
        np.testing.assert_allclose(line.get_ydata(), TASK.sharpness(middle(path)[::4]))
        assert (
            f"{eta * line.get_ydata().max() / 2:.2f} times that at η = {eta:g}" in says
            and f"edge 2/η = {2 / eta:.2g}" in words(climb)
        )
        assert line.get_xdata()[-1] <= 300
    path = descend(TASK, start(0), 0.6, 275)[230:]
    shows(loss.lines[0], range(230, 276), TASK.loss(path))
    u = torch.linalg.eigh(TASK.hessian(path[4]))[1][:, -1]
    np.testing.assert_allclose(np.abs(swing.lines[0].get_ydata()), ((path - path[4]) @ u).abs(), atol=1e-9)
    assert f"up to {TASK.loss(path).max():.2g}" in says


def test_pushed():
    fig, says = pushed()
    (ax,) = fig.axes
    for line, values in zip(drawn(ax, is_measured), NUMBERS.values(), strict=True):
        shows(line, [0, 4, 8, 12], values)
    assert says == (
        "Largest stability number: 1.6 left alone (largest loss 0.2), 1.15 pushed by one hundredth (largest loss 0.09)."
    )


def test_central():
    fig, says = central()
    (ax,) = fig.axes
    measured, centre, predicted = losses_of_central()
    thin, mean, middle_, smooth = drawn(ax, is_measured)
    shows(thin, 0.6 * torch.arange(501), measured)
    assert mean.get_ydata()[0] == pytest.approx(measured[:20].mean()) and mean.get_xdata()[0] == 6
    shows(middle_, 0.3 * torch.arange(1, 1001), centre)
    shows(smooth, GRAIN * torch.arange(1001), TASK.loss(flow(TASK, start(0))))
    (dashed,) = drawn(ax, is_predicted)
    assert dashed.get_ydata()[3] == pytest.approx(predicted[60:80].mean())
    late = measured[417:].mean()
    assert f"is {predicted[833:].mean() / late:.3g} times" in says and f"alone {centre[833:].mean() / late:.2g} times" in says


def test_lazy():
    fig, says = lazy()
    for ax, scaling in zip(fig.axes, ("mean_field", "ntk"), strict=True):
        thick = [line for line in drawn(ax, is_measured) if line.get_linewidth() > 1]
        for m, line in zip((20, 80, 320), thick, strict=True):
            shows(line, *CLIMBS[scaling, m])
        thin = [line for line in drawn(ax, is_measured) if line.get_linewidth() < 1]
        loss, S, frozen = climb_of_width(scaling, 320, (0, 1, 2))
        shows(thin[-1], loss[:, 2], S[:, 2])
        assert drawn(ax, is_predicted)[0].get_ydata() == pytest.approx([frozen[0].item()] * 2)
        assert ax.get_xlim() == (0.35, 2.5e-3)
    assert "4.5, 4.5, 4.5 with 1/m in front; 1.2, 1.2, 1.2 with 1/√m in front" in says


def test_breaks():
    fig, says = breaks()
    left, right = fig.axes
    step, number, _ = logistic_digits()
    shows(drawn(left, is_measured)[0], step, number)
    losses = gauss_newton((1.9, 2.1), kappa=[1.0], seeds=torch.tensor([0])).flatten(1)
    for line, law, values, eta in zip(drawn(right, is_measured), drawn(right, is_predicted), losses.T, (1.9, 2.1), strict=True):
        shows(line, range(61), values[:61])
        shows(law, range(31), [(1 - eta) ** (2 * k) for k in range(31)])
    assert f"to {number.max():.2g} and ends at {number[-1]:.2g}" in says
    assert f"{losses[20, 1]:.0f} times its start at η = 2.1." in says


def test_windows():
    fig, says = windows()
    for ax, ratio in zip(fig.axes, RATIOS.values(), strict=True):
        for line, one in zip(drawn(ax, is_measured), ratio.T, strict=True):
            shows(line, 25 * np.arange(1, 1 + len(one[~one.isnan()])), one[~one.isnan()])
    assert "0.7 to 1.6 up to 75, 0.9 to 1 later at η = 0.4; 0.9 to 1.2 up to 75, 0.98 later at η = 0.6." in says


def test_two_certainties():
    fig, says = two_certainties()
    left, right = fig.axes
    assert [line.get_label() for line in drawn(left, is_measured)] == [f"η = {s:g} · 2/S" for s in (0.9, 1.0, 1.1)]
    for i, line in enumerate(drawn(left, is_predicted)):
        shows(line, K, TOP[:, i, 0])
    sharp, imbalance = drawn(right, is_measured)[:2]
    shows(sharp, range(31), SHARP[:, 0])
    shows(imbalance, range(31), IMBALANCE[:, 0])
    shows(drawn(right, is_predicted)[0], range(31), 1.01 * IMBALANCE[:, 0])
    assert "S = 20, beyond 2/η = 10" in says and "ends with S = 3" in says and f"{0.8**100:.2g} times its start" in says


def test_sharpening():
    fig, says = sharpening()
    losses, sharp, number = fig.axes
    shows(losses.lines[0], K, LOSS[:, 0, 0])
    shows(drawn(sharp, is_measured)[1], STEP, S[:, 1].quantile(0.5, -1))
    shows(drawn(number, is_measured)[1], STEP, 0.6 * S[:, 1].quantile(0.5, -1))
    assert [line.get_ydata()[0] for line in drawn(sharp, is_predicted)] == pytest.approx([5, 5 / 3])
    assert [line.get_ydata()[0] for line in drawn(number, is_predicted)] == [1]
    late = lesson08.late(ETA[:, None] * S / 2)
    assert f"{late[0].min():.2g} to {late[0].max():.2g} at η = 0.4" in says
    assert f"by at most {(late[1] - 1).abs().max():.1g} at" in says


def test_late_is_the_mean_of_the_last_third():
    assert lesson08.late(torch.arange(11.0)).item() == 9.0


def test_digits():
    fig, says = digits()
    left, right = fig.axes
    shows(left.lines[0], K + 1, WHOLE.loss[:, 0])
    for line, factor in zip(drawn(right, is_measured), (1, 2), strict=True):
        shows(line, torch.arange(1, 102, 20), factor * NUMBER.quantile(0.5, -1))
    assert len(drawn(right, is_predicted)) == 1 and labels(right)[:2] == ["squared, η = 1", "logistic, η = 4"]
    assert "squared, η = 1: largest 0.7 to 5.6, at the end 0.05 to 0.4." in says and "(3 seeds)" in says


def test_newton():
    fig, says = newton()
    left, right = fig.axes
    for i, (line, wanted) in enumerate(zip(drawn(left, is_measured), drawn(left, is_predicted), strict=True)):
        shows(line, K, LOSSES[:, i, 0])
        shows(wanted, K[:31], LOSSES[:31, i, 0])
    shows(drawn(right, is_measured)[1], K[::10], EDGE.quantile(0.5, -1))
    for part in (
        "0.015 of its start at η = 1.9",
        "45 times its start at η = 2.1",
        "0.3 to 0.8",
        "by 5, and",
        "ηS/2 = 0.9 to 0.95",
    ):
        assert part in says, says
