"""Figures of lesson 08: what is on the axes, and that each sentence has the numbers of its data."""

import pytest
import torch

from regimes.theory.edge_of_stability import quadratic_factor
from regimes.training import Trace
from regimes_course.lesson08 import figures as lesson08
from tests.kit.test_plotting import is_measured, is_predicted, labels, trace
from tests.lessons.figure_data import drawn, runs, shows, table

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


FIGURES = {f.__name__: f for f in (two_certainties, sharpening, digits, newton)}


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
