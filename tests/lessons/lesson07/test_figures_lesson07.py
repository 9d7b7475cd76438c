"""Figures of lesson 07: what is on the axes, and that each sentence has the numbers of its data."""

import numpy as np
import pytest
import torch

from regimes.problems import HALVES
from regimes.sweeps import Sweep
from regimes.theory import gauss_newton as theory
from regimes_course.lesson07 import figures as lesson07
from regimes_course.lesson07.experiments import long_runs
from regimes_course.lesson07.rules import RULES, SHOWN, matched_runs, stored_rules
from tests.kit.test_plotting import is_measured, is_predicted, labels, trace

SEEDS = torch.tensor([0.5, 1.0, 4.0], dtype=torch.float64)  # three runs whose median and mean differ
STDS, DEPTHS = (0.01, 0.1), (1, 4, 8)
GROWTH = torch.tensor([[1, 2, 3], [10, 1e5, 1e7]], dtype=torch.float64)[:, :, None] * torch.tensor([0.9, 1.0, 1.1])
FOUND = {
    torch.float64: torch.stack([2e-16 * GROWTH**2, GROWTH], 2),
    torch.float32: torch.stack([1e-7 * GROWTH**2, GROWTH], 2),
}
TRACES = {a: trace((1 - a) ** (2 * torch.arange(41).double()[:, None]) * SEEDS, a) for a in (0.1, 0.25, 0.5)}
ETAS = (0.2, 0.1, 0.05)
GAPS = torch.tensor(ETAS, dtype=torch.float64)[:, None] ** 1.1 * SEEDS


def run(loss, test):
    return Sweep(
        {"seed": SEEDS}, {"loss": torch.tensor(loss).double() * SEEDS[:, None], "test": torch.tensor(test) * 1.0}, SEEDS
    )


EXACT = run([1, 0.25, 0.06, 0.015], [[0.1, 0.3, 0.4, 0.51], [0.1, 0.3, 0.4, 0.52], [0.1, 0.3, 0.4, 0.6]])
SHORT = run([1, 0.26, 0.07], [[0.1, 0.5, 0.92], [0.1, 0.5, 0.93], [0.1, 0.5, 0.95]])
CHANGES = {
    "exact Gauss-Newton": torch.tensor([[-0.8, -0.7], [0.1, -0.1]])[:, :, None].expand(2, 2, 3).double(),
    "Adam": torch.tensor([[-0.1, -0.1], [-0.02, -0.04]])[:, :, None].expand(2, 2, 3).double(),
}
NAMES = (*lesson07.COMPARED, "exact Gauss-Newton, η = 0.1")
LONG = {d: {n: (i + 1.0) * 0.1 * SEEDS[:, None] * torch.ones(3, 41 if i else 13) for i, n in enumerate(NAMES)} for d in "ab"}
LAZY = {
    name: {"cka": torch.linspace(0.99, end, 6)[:, None] * torch.ones(3), "drift": drift * SEEDS, "participation": pr * SEEDS}
    for name, end, drift, pr in (("exact Gauss-Newton", 0.9, 1.4, 13.0), ("slow Adam", 0.85, 3.5, 6.0), ("Adam", 0.7, 8.0, 5.0))
}
ENDS = 1 + torch.tensor([[5.5, 0, 0, 0], [0, 0, 2.7, 3.6]])
BATCHES = torch.tensor([[-0.7, -0.8, -0.75], [0.1, -0.04, 0.03]]).double()
FIGURES = {
    "inversion": lambda: lesson07.inversion(STDS, DEPTHS, FOUND),
    "exactness": lambda: lesson07.exactness(
        {"exact, SVD": 1e-15 * SEEDS, "in float32": 1e-7 * SEEDS, "no cross term": 0.2 * SEEDS}
    ),
    "rates": lambda: lesson07.rates(TRACES, ETAS, GAPS),
    "climax": lambda: lesson07.climax(EXACT, SHORT, {"columns": EXACT}),
    "batches": lambda: lesson07.batches(CHANGES, LONG),
    "lazy": lambda: lesson07.lazy(LAZY, 12.5 * torch.ones(3)),
    "hero": lesson07.hero,
    "block": lesson07.block,
    "chosen": lambda: lesson07.chosen(
        {"exact": 30.5, "exact, no cross": 33, "shortest": 70.2}, {"exact": 0.004, "exact, no cross": 0.1, "shortest": 0.005}
    ),
    "matched": lambda: lesson07.matched(
        {"exact": 30.5, "Muon, far": 71.3}, {"exact": ENDS[0], "Muon, far": ENDS[1]}, torch.ones(4)
    ),
    "next_batch": lambda: lesson07.next_batch({"exact": BATCHES, "shortest": 0.5 * BATCHES}),
}


def test_inversion():
    figure, said = FIGURES["inversion"]()
    for ax, (dtype, both) in zip(figure.axes, FOUND.items(), strict=True):
        measured, predicted = ([line for line in ax.lines if f(line)] for f in (is_measured, is_predicted))
        assert len(measured) == 2 and len(predicted) == 2 and ax.get_title() == str(dtype).removeprefix("torch.")
        for i in range(2):
            np.testing.assert_allclose(measured[i].get_ydata(), both[i, :, 0, 1].clamp(1e-18, 10))
            law = torch.finfo(dtype).eps * GROWTH[i, :, 1] ** 2
            np.testing.assert_allclose(predicted[i].get_ydata(), law.clamp(1e-18, 10), rtol=1e-6)
    assert "With std 0.01 the inverse of 8 blocks misses the inputs by less than 1e-13" in said
    assert "With std 0.1 and 4 blocks" in said and "In float32 that happens from 4 blocks on" in said


def test_exactness():
    figure, said = FIGURES["exactness"]()
    (ax,) = figure.axes
    assert [t.get_text() for t in ax.get_yticklabels()] == ["exact, SVD", "in float32", "no cross term"]
    np.testing.assert_allclose(ax.lines[0].get_xdata(), 1e-15 * SEEDS)
    assert said == "The exact steps miss the residual by less than 1e-13 of it. Medians of the others: no cross term 0.2."
    assert "1e-08" in lesson07.exactness({"exact": 1e-10 * SEEDS, "no": SEEDS})[1]


def test_rates():
    figure, said = FIGURES["rates"]()
    left, right = figure.axes
    for eta, line in zip(TRACES, [line for line in left.lines if is_predicted(line)], strict=True):
        np.testing.assert_allclose(line.get_ydata(), theory.step_loss(torch.arange(41), eta))
    order = next(line for line in right.lines if is_predicted(line))
    assert np.diff(np.log(order.get_ydata())) == pytest.approx(np.diff(np.log(ETAS)))
    assert "-0.211 at η = 0.1; -0.575 at η = 0.25; -1.39 at η = 0.5; 2 log(1 − η) is -0.211, -0.575, -1.39" in said
    assert "the exponent is 1.1." in said


def test_climax():
    figure, said = FIGURES["climax"]()
    left, middle, right = figure.axes
    for ax, what in ((left, "loss"), (middle, "test")):
        for line, data in zip(ax.lines[:2], (EXACT, SHORT), strict=True):
            np.testing.assert_allclose(line.get_ydata(), data[what].median(0).values)
    assert labels(left) == ["exact Gauss-Newton", "min-norm Gauss-Newton", r"predicted, $(1-\eta)^{2k}$"]
    assert [t.get_text() for t in right.get_yticklabels()] == ["min-norm", "exact", "columns"]
    np.testing.assert_allclose(right.lines[0].get_xdata(), [0.92, 0.93, 0.95])
    assert "After 2 steps the training losses are 6.0e-02 and 7.0e-02" in said
    assert "(medians): min-norm 0.93, exact 0.52, columns 0.52." in said


def test_batches():
    figure, said = FIGURES["batches"]()
    own, following, *long = figure.axes
    for ax, heights in ((own, [-75, -10]), (following, [0, -3])):  # each on its own axis
        np.testing.assert_allclose([bar.get_height() for bar in ax.patches], heights, atol=1e-5)
    assert [line.get_ydata()[0] for line in own.lines if is_predicted(line)] == [pytest.approx(-75)]
    for ax, data in zip(long, "ab", strict=True):
        for line, (name, loss) in zip(ax.lines, LONG[data].items(), strict=True):
            np.testing.assert_allclose(line.get_ydata(), loss.median(0).values)
            assert line.get_label() == name and (line.get_color(), line.get_marker()) == lesson07.LOOKS[name]
    assert "exact Gauss-Newton -75 % and" in said and "Adam -10 % and -3 %" in said
    assert "exact Gauss-Newton, η = 0.5: 0.100, min-norm Gauss-Newton, η = 0.5: 0.200, Adam: 0.300" in said


def test_lazy():
    figure, said = FIGURES["lazy"]()
    left, middle, right = figure.axes
    for line, at in zip(left.lines, LAZY.values(), strict=False):
        np.testing.assert_allclose(line.get_ydata(), at["cka"].median(1).values)
    np.testing.assert_allclose(middle.lines[0].get_ydata(), 1.4 * SEEDS)
    np.testing.assert_allclose([line for line in right.lines if is_predicted(line)][0].get_ydata(), 12.5)
    assert "the ratio starts at 12" in said or "the ratio starts at 13" in said
    assert "exact Gauss-Newton 0.900, 1.4, 13; slow Adam 0.850, 3.5, 6; Adam 0.700, 8, 5." in said


def test_hero():
    figure, said = FIGURES["hero"]()
    left, right = figure.axes
    runs = [stored_rules()["hero"][rule] for rule in ("shortest", "exact")]
    for ax, what in ((left, "loss"), (right, "right")):
        for line, run in zip([line for line in ax.lines if is_measured(line)], runs, strict=True):
            np.testing.assert_allclose(line.get_ydata(), 100 * np.array(run[what]))
    (law,) = [line for line in left.lines if is_predicted(line)]
    np.testing.assert_allclose(law.get_ydata(), [100 * 0.25**k for k in range(6)])
    assert "38\npoints" in [text.get_text() for text in right.texts]
    assert said.startswith(
        "After 5 steps 0.12 % and 0.096 % of the training loss are left, and 92 % and 54 % of new images are right"
    )


def test_block():
    figure, _ = FIGURES["block"]()
    rails, *images = figure.axes
    words = [text.get_text() for text in rails.texts]
    assert words.count("+") == 2 and {"F", "G", "$x_1$", "$x_2$"} < set(words)
    assert [ax.get_xlabel() for ax in images] == list(HALVES)
    for ax, order in zip(images, HALVES.values(), strict=True):  # blue pixels are those that come first
        shown = ax.images[0].get_array().reshape(64, 3)
        blue = torch.tensor(np.asarray(shown[:, 2] > shown[:, 0]))
        assert torch.equal(blue.nonzero().flatten(), order[:32].sort().values)


def test_chosen():
    figure, said = FIGURES["chosen"]()
    (ax,) = figure.axes
    right = matched_runs("right")
    for j, ending in enumerate(("", ", checkerboard", ", from zero")):
        for i, rule in enumerate(RULES):
            line = ax.lines[3 * j + i]
            np.testing.assert_allclose(line.get_xdata(), 100 * right[rule + ending])
            np.testing.assert_allclose(line.get_ydata(), i + 0.25 * (j - 1))
    np.testing.assert_allclose(ax.lines[9].get_xdata(), [30.5, 33, 70.2])
    np.testing.assert_allclose(ax.lines[9].get_ydata(), [-0.25, -0.25, 1.75])
    assert (
        "in your run: exact 30 %; exact, no cross 33 %; shortest 70 %. "
        "Training loss left: from 0.4 % (exact) to 10 % (exact, no cross). "
        "Medians of 6 other seeds for exact, layer by layer and shortest: 42, 55 and 81 %; with" in said
    )


def test_matched():
    figure, said = FIGURES["matched"]()
    left, right = figure.axes
    score, moved = matched_runs("right"), matched_runs("moved")
    rows = {line.get_ydata()[0]: line.get_xdata() for line in left.lines if line.get_marker() != "None"}
    for i, rule in enumerate(SHOWN):
        np.testing.assert_allclose(rows[i], 100 * score[rule])
        np.testing.assert_allclose(right.lines[i].get_xdata(), moved[rule])
        assert rule not in RULES or np.allclose(rows[i + 0.3], 100 * score[f"{rule}, damped"])
    assert rows[-0.3] == [30.5] and [line.get_xdata()[0] for line in right.lines[-2:]] == [5.5, 4.5]
    assert "exact 42 %, layer" in said and "Muon 83 %," in said and "with damping (hollow) exact 60 %" in said
    assert "from their start: exact 4.8, layer" in said and "Muon 4.5," in said
    assert said.endswith("Your run (stars): exact 30 % at 5.5; Muon, far 71 % at 4.5.")


def test_next_batch():
    figure, said = FIGURES["next_batch"]()
    *bars, whole = figure.axes
    for ax, row in zip(bars, (0, 1), strict=True):
        for i, share in enumerate((1, 0.5)):
            dots, mean = ax.lines[2 * i : 2 * i + 2]
            np.testing.assert_allclose(dots.get_ydata(), 100 * share * BATCHES[row])
            np.testing.assert_allclose(mean.get_ydata(), 100 * share * BATCHES[row].mean())
    assert [line.get_ydata()[0] for line in figure.axes[0].lines if is_predicted(line)] == [-75]
    for line, name in zip(whole.lines, lesson07.COMPARED, strict=False):
        loss = long_runs()["shifted"][name]
        np.testing.assert_allclose(line.get_ydata(), 100 * (loss / loss[:, :1]).median(0).values)
    assert "exact −75 % and +3.0 %; shortest −38 % and +1.5 %. Right, stored runs" in said
    assert "exact 3.7 % after 40, shortest 2.2 % after 12, Adam 2.1 %" in said and "(medians of 3 seeds)" in said


def test_looks_differ_in_colour_and_marker():
    looks = [lesson07.LOOKS[n] for n in (*NAMES, "gradient descent", "slow Adam")]
    assert len(set(looks)) == len({c for c, _ in looks}) == len({m for _, m in looks}) == 6
    shown = [lesson07.LOOKS[rule] for rule in SHOWN]
    assert len({c for c, _ in shown}) == len({m for _, m in shown}) == len(SHOWN)
