"""Figures of lesson 03: what is on the axes, and that each sentence has the numbers of its data."""

from functools import cache

import numpy as np
import pytest
import torch
from matplotlib.colors import to_hex

from regimes.theory.online_sgd import Path
from regimes.theory.sgd_phases import critical_eta, fluctuation_exponent, noise_plateau, unspecialised_plateau
from regimes.training import Trace
from regimes_course.lesson03 import experiments
from regimes_course.lesson03 import figures as lesson03
from tests.kit.test_plotting import is_black, labels
from tests.lessons.figure_data import shows

DOUBLE = torch.float64
TIME = torch.tensor([0.0, 1.0, 30.0, 400.0], dtype=DOUBLE)
RISK = torch.tensor([[0.15, 0.16], [0.08, 0.07], [0.004, 0.005], [1e-4, 2e-4]], dtype=DOUBLE)
OVERLAPS = torch.tensor([0.0, 0.3, 0.5, 1.0], dtype=DOUBLE)[:, None, None, None] * torch.tensor([[1.0, 0.1], [0.2, 0.9]])
RUN = Trace(torch.arange(4), TIME, RISK, {"M": OVERLAPS.expand(4, 2, 2, 2), "Q": OVERLAPS.expand(4, 2, 2, 2)})
PATHS = [
    Path(TIME.numpy(), 0.9 * OVERLAPS[:, 0].numpy(), 0.9 * OVERLAPS[:, 0].numpy(), f * RISK[:, 0].numpy()) for f in (1.1, 0.9)
]
DS = [50, 200, 800]
APART = torch.tensor([[0.1, 0.2], [0.05, 0.1], [0.025, 0.05]], dtype=DOUBLE)
KAPPA, DELTA = [0.0, 1.0], np.array([-2.0, -1.2, -1.0, -0.2, 0.0, 0.5])


@cache
def cuts():
    return lesson03.cuts()


@cache
def hero():
    return lesson03.hero(cuts())


def straight(d, steps):
    """Weights that go in a straight line from one teacher unit to both."""
    share = np.linspace(0, 1, steps)[:, None, None]
    return share * np.eye(2, d) + (1 - share) * np.eye(1, d)


@cache
def curves():
    t = np.linspace(0, 20, 41)
    return lesson03.curves({50: straight(50, 1000), 100: straight(100, 2000)}, straight(2, 41), t)


@cache
def waits():
    time = np.linspace(0, 300, 61)
    path = {}
    for i, d in enumerate((50, 5000)):
        gap = np.minimum(0.01 * np.exp(0.03 * (time - 80 * i)), 1)
        M = np.stack([np.stack([gap, 0 * gap], 1), np.stack([0 * gap, gap], 1)], 1)
        path[d] = Path(time, M, M, np.where(time < 100 + 80 * i, 3e-3, 1e-4))
    return lesson03.waits(path)


@cache
def phases():
    return lesson03.phases({d: 1e-3 * d ** -(lesson03.TOTALS / 2) for d in (10**2, 10**4)})


@cache
def breaks():
    T = np.eye(2, 50)
    grows = [T * (1 + 0.01 * np.linspace(1, 40, 400)[:, None, None])] * 2
    return lesson03.breaks({1: 4.9e-4, 2: 1.4e-3}, 0.004, {4.4: [T + 1e-3 / np.arange(1, 401)[:, None, None]], 5.0: grows})


@cache
def learning():
    return lesson03.learning({40: (RUN, PATHS), 160: (RUN, PATHS)}, DS, APART)


@cache
def specialisation():
    return lesson03.specialisation((RUN, PATHS), DS, 1000 * APART, (DS, [60.0, 80.0, 100.0]))


@cache
def plateaus():
    means, sums = torch.tensor([[4e-5, 5e-5], [1e-5, 1.2e-5]]), torch.tensor([[1e-5, 1.12e-5], [4e-5, 4.3e-5]])
    sgd = torch.tensor([[2e-5, 2.1e-5], [1.1e-4, 1.2e-4]], dtype=DOUBLE)
    return lesson03.plateaus([0.2, 1.0], sgd, ([0.1, 1.0], [1e-5, 1.2e-4]), [2, 8], means, sums, 1e-3)


def world(d):
    """Risks d^-(kappa + delta) above the line and growing below, with nothing where there is no ODE."""
    total = np.add.outer(KAPPA, DELTA)
    return np.where(total < -0.49, np.nan, 1e-3 * d ** -np.where(np.abs(total) < 1e-9, 0.0, total))


@cache
def trend():
    return lesson03.trend(KAPPA, DELTA, {1e3: world(1e3), 1e5: world(1e5)}, 1)


@cache
def concentration():
    narrow = {0: [-0.5, -0.45, -0.48], -0.25: [-0.3, -0.25, -0.2], -0.6: [0.2, 0.25, 0.3]}
    broad = {-0.25: [-0.4, -0.35, -0.44], -0.5: [0.0, 0.1, -0.1], -0.75: [0.9, 1.0, 0.8]}
    orange = {d: (RUN, PATHS[0], PATHS[1]) for d in (1000, 4000)}
    return lesson03.concentration(narrow, broad, orange, TIME[1:].numpy())


def flow(*last):
    loss = torch.stack([torch.full((len(last),), 1e-2), torch.tensor([1e-3, *[1e-7] * (len(last) - 1)]), torch.tensor(last)])
    return Trace(torch.arange(3), torch.tensor([0.0, 1500.0, 9000.0]), loss.double())


@cache
def narrow():
    flows = {"10 units": flow(2e-4, 1e-9, 1e-12, 1e-8), "11 units": flow(1e-9, 1e-9, 1e-9, 1e-9)}
    return lesson03.narrow([4, 8], [0.04, 0.02], flows, 1500)


@cache
def witness():
    time = torch.linspace(0, 9000, 91)
    rest = torch.full((91,), 2e-4, dtype=DOUBLE)
    ten = Trace(torch.arange(91), time, torch.stack([rest, torch.where(time < 300, rest, 1e-9)], 1))
    slow = torch.where(time < 6000, 1.1 * rest, 2e-8)
    eleven = Trace(torch.arange(91), time, torch.stack([torch.where(time < 500, rest, 1e-9), slow], 1))
    return lesson03.witness(ten, eleven)


FIGURES = {
    f.__name__: f
    for f in (
        hero,
        curves,
        waits,
        phases,
        breaks,
        learning,
        specialisation,
        plateaus,
        trend,
        concentration,
        narrow,
        witness,
    )
}


def black(line):
    return is_black(line) and len(line.get_xdata()) > 0


def test_learning_draws_each_run_on_its_ode():
    (left, right), says = learning()[0].axes, learning()[1]
    dots, lines = (
        [line for line in left.lines if line.get_linestyle() == kind and len(line.get_xdata())] for kind in ("None", "--")
    )
    for run in range(2):
        for d in range(2):
            shows(dots[2 * d + run], TIME[1:], RISK[1:, run])
            shows(lines[2 * d + run], TIME[1:], PATHS[run].risk[1:])
    assert labels(left) == ["SGD, d = 40", "SGD, d = 160", "predicted (ODE)"]
    shows(right.lines[0], DS, APART.mean(1))
    law = right.lines[1].get_ydata()
    assert np.polyfit(np.log(DS), np.log(law), 1)[0] == pytest.approx(-0.5)
    assert "from 0.15 at d = 50 to 0.038 at d = 800, with slopes -0.50." in says


def test_specialisation_draws_overlaps_risk_and_escape():
    left, middle, right = specialisation()[0].axes
    colours = {to_hex(line.get_color()) for line in left.lines if not black(line)}
    assert len(colours) == 2 and labels(left) == ["with unit 1", "with unit 2"]
    for line, (j, r) in zip([x for x in left.lines if not black(x)], ((0, 0), (1, 0), (0, 1), (1, 1)), strict=True):
        shows(line, TIME, OVERLAPS[:, 0, j, r])
    shows(middle.lines[0], TIME[1:], RISK[1:, 0])
    assert middle.lines[2].get_ydata()[0] == unspecialised_plateau(2)
    shows(right.lines[0], DS, 1000 * APART.mean(1))
    shows(right.lines[1], DS, [60, 80, 100])
    says = specialisation()[1]
    assert "At t = 30 all overlaps of the run with the teacher are 0.05 to 0.50" in says
    assert "0.90 to 1.00 with one unit of the teacher and 0.10 to 0.20 with the other" in says and "150 at d = 50" in says


def test_plateaus_lie_on_the_formula_of_each_convention():
    (left, right), says = plateaus()[0].axes, plateaus()[1]
    line = next(line for line in left.lines if black(line))
    shows(line, line.get_xdata(), [noise_plateau(e, 1e-3) for e in line.get_xdata()])
    fall, rise = (line.get_ydata() for line in right.lines if black(line))
    np.testing.assert_allclose(fall, [noise_plateau(1 / 2, 1e-3), noise_plateau(1 / 8, 1e-3)])
    np.testing.assert_allclose(rise, [noise_plateau(0.1, 1e-3), noise_plateau(0.4, 1e-3)])
    assert "falls from 4.5e-05 to 1.1e-05" in says and "rises from 1.1e-05 to 4.1e-05" in says
    assert f"{2.05e-5 / noise_plateau(0.2, 1e-3):.2f} at η = 0.2" in says


def test_trend_writes_the_exponent_of_every_cell_and_counts_signs():
    left, right, _ = trend()[0].axes
    written = {tuple(text.get_position()): text.get_text() for text in left.texts}
    assert written[(0.5, 0.0)] == "−0.5" and written[(-0.2, 0.0)] == "+0.2" and written[(0.0, 0.0)] == "0"
    assert (-2.0, 0.0) not in written and written[(0.5, 1.0)] == "−1.5"
    shows(right.lines[0], DELTA[1:], world(1e3)[1, 1:])
    assert labels(left) == ["plateau, κ + δ = 0", "κ + δ = −1/2"]
    assert "falls at 4 of 4 points above the plateau line" in trend()[1] and "rises at 2 of 2 points below" in trend()[1]


def test_concentration_has_the_law_and_both_odes():
    (left, right), says = concentration()[0].axes, concentration()[1]
    law = next(line for line in left.lines if black(line))
    shows(law, [0, -0.75], [fluctuation_exponent(0), fluctuation_exponent(-0.75)])
    both, alone = ([line for line in right.lines if black(line) and line.get_linestyle() == kind] for kind in ("--", ":"))
    assert len(both) == 2 and len(alone) == 1
    shows(alone[0], TIME[1:], PATHS[1].risk[1:])
    assert "is -0.50 to -0.45 at κ + δ = 0 for κ = 0; for κ = 1 it is -0.44 to -0.35 at −0.25 and 0.80 to 1.00 at −0.75" in says


def test_narrow_tells_the_stuck_from_the_slow():
    first, ten, eleven = narrow()[0].axes
    assert labels(ten) == ["3 find the solution", "1 are stuck"] and labels(eleven) == ["4 find the solution", "0 are stuck"]
    shows(first.lines[0], [4, 8], [0.04, 0.02])
    says = narrow()[1]
    assert "10 units: 75% find the solution, 75% have found it at t = 1500" in says
    assert "11 units: 100% find the solution, 75% have found it" in says and "4.0e-02 at p = 4 and 2.0e-02 at p = 8" in says


def test_the_hero_tells_the_risks_of_its_three_runs():
    (left, right), says = hero()[0].axes, hero()[1]
    T, (plain, early, late) = np.eye(2, 50), cuts()
    assert (plain.shape, early.shape, late.shape) == ((20_000, 2, 50), (18_000, 2, 50), (8_000, 2, 50))
    for path in (early, late):
        assert f"{experiments.risk(path[-1_000:], T).mean():.1e}" in says
    for rest, end in ((plain[1_500:2_500], early), (plain[11_000:12_000], late)):  # with the label noise both fall alike
        noisy = [experiments.risk(path, T).mean() + 0.002 for path in (rest, end[-1_000:])]
        assert f"by {1 - noisy[1] / noisy[0]:.0%}" in says and 0.15 < 1 - noisy[1] / noisy[0] < 0.25
    curve = left.lines[0].get_xydata()
    assert curve[0, 0] == 50 and curve[-1, 0] == 20_000
    near = experiments.risk(plain[[50 * k - 1 for k in range(98, 103)]], T)
    assert curve[99, 1] == pytest.approx(np.exp(np.log(near).mean()), rel=1e-9)
    assert [line.get_xdata()[0] for line in left.lines[3:]] == [2_000, 12_000]
    np.testing.assert_allclose(right.lines[0].get_xydata(), plain[49::50, 0, :2])


def test_curves_stand_over_steps_per_input():
    (ax,), says = curves()[0].axes, curves()[1]
    for line in ax.lines[:8]:
        assert line.get_xdata()[-1] == 20  # 1000 steps of 50 inputs, 2000 of 100
    assert labels(ax)[:2] == ["SGD, d = 50", "SGD, d = 100"] and "0.0" in says.split("equations: ")[1]


def test_waits_tell_when_the_risk_falls_and_what_is_added():
    (left, right), says = waits()[0].axes, waits()[1]
    assert "100 at d = 50, 180 at d = 5,000: each hundredfold d adds 80." in says and "adds 70 in the end" in says
    assert left.lines[-1].get_ydata()[0] == pytest.approx(1000 * unspecialised_plateau(2))
    shows(right.lines[0], np.linspace(0, 300, 61), np.minimum(0.01 * np.exp(0.03 * np.linspace(0, 300, 61)), 1))


def test_phases_tell_the_fall_across_the_line():
    assert f"{100 ** (1 / 16):.3g} at d = 10^2, {10_000 ** (1 / 16):.3g} at d = 10^4." in phases()[1]
    plane = phases()[0].axes[0]
    (line,) = plane.lines
    np.testing.assert_allclose(line.get_xdata() + line.get_ydata(), 0)


def test_the_map_is_that_of_the_theory():
    found = lesson03.risks((100,))[100]
    assert found[lesson03.TOTALS == -1 / 8] / found[lesson03.TOTALS == 0] == pytest.approx(2.1, abs=0.1)
    assert (np.diff(found) < 0).all()


def test_breaks_draws_the_floor_of_one_unit_and_tells_the_ends():
    (left, right), says = breaks()[0].axes, breaks()[1]
    one, many, dots, pole = left.lines
    eta = one.get_xdata()
    a = eta / (np.pi * 3**0.5)
    shows(one, eta, 0.002 * a / (1 - 3 / 5**0.5 * a))
    shows(many, eta, [noise_plateau(e, 0.004) for e in eta])
    shows(dots, [1, 2], [4.9e-4, 1.4e-3])
    assert pole.get_xdata()[0] == critical_eta(1) and len(right.lines) == 3
    assert "η = 5: risk" in says and "longest unit 1.40" in says and "4.61" in right.get_title()
    assert (
        f"η = {np.pi * (5 / 3) ** 0.5:.2f} for one unit, {critical_eta(2):.2f} for two, {np.pi * 3**0.5:.2f} for many" in says
    )


def test_the_witness_is_the_last_to_leave():
    says = witness()[1]
    assert "the stuck one, 0.0002, from t = 0 to 5900, and crosses 1e-6 at t = 6000." in says
