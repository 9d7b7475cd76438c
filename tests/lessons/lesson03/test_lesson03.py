"""Slips and solutions that the exercises of lesson 03 do not list: rejected and accepted all the same."""

import math

import numpy as np
import pytest
import torch

from regimes.flows import RungeKutta4
from regimes.networks import committee
from regimes.online_sgd import overlap_chain
from regimes.population_risk import PopulationGradient
from regimes.problems import orthonormal_units, unit_vectors
from regimes.theory import gaussian, online_sgd, sgd_phases
from regimes.theory.online_sgd import integrate
from regimes.training import train
from regimes_course.lesson03.checks import classify, integrals, plateau, success
from regimes_course.lesson03.checks.times import STEP_TO_TIME
from regimes_course.lesson03.experiments import flow, recorded, start

PI2 = 2 / math.pi


def two(I2=lambda C: PI2 * torch.asin(corr(C)), I3=None):
    return lambda C: (I2(C), (I3 or i3)(C))


def corr(C, one=1.0):
    return C[:, 0, 1] / ((one + C[:, 0, 0]) * (one + C[:, 1, 1])).sqrt()


def i3(C, power=-0.5, sign=-1.0):
    own = 1 + C[:, 0, 0]
    tilted = C + sign * C[:, :, :1] * C[:, :1, :] / own[:, None, None]
    return PI2 * own**power * tilted[:, 1, 2] / (1 + tilted[:, 2, 2]).sqrt()


def by_numpy(C):
    A = C.numpy()
    return tuple(torch.from_numpy(v) for v in (gaussian.I2(A, 0, 1), gaussian.I3(A, 0, 1, 2)))


def J(omega, c, p, form=lambda D, omega, rows, own: D @ omega - ((D * rows).sum(1) / own)[:, None] * rows):
    size, rows = 1 + omega.diagonal(), omega[:p]
    D = PI2 * c / (size[:p, None] * size - rows**2).sqrt()
    return form(D, omega, rows, size[:p])


def moves(form=None, out=lambda A, p: (A[:, :p] + A[:, :p].T, A[:, p:])):
    return lambda omega, c, p: out(J(omega, c, p, form) if form else J(omega, c, p), p)


def means_assumed(omega, c, p):
    k = len(c) - p
    c = torch.cat([torch.full((p,), -1 / p), torch.full((k,), 1 / k)]).double()
    return moves()(omega, c, p)


def unit_lengths_assumed(omega, c, p):
    rows = omega[:p]
    D = PI2 * c / (4 - rows**2).sqrt()
    A = D @ omega - (D * rows).sum(1, keepdim=True) / 2 * rows
    return A[:, :p] + A[:, :p].T, A[:, p:]


def over_units(omega, c, p):
    """Tilts one student unit after the other."""
    A = []
    for j in range(p):
        tilted = omega - torch.outer(omega[j], omega[j]) / (1 + omega[j, j])
        mass = (1 + omega[j, j]) ** -0.5
        A.append(PI2 * mass * tilted @ (c / (1 + tilted.diagonal()).sqrt()))
    A = torch.stack(A)
    return A[:, :p] + A[:, :p].T, A[:, p:]


def by_the_library(omega, c, p):
    A = torch.from_numpy(online_sgd.drift(omega.numpy(), c.numpy(), p))
    return [A[:, :p] + A[:, :p].T, A[:, p:]]


def height(gamma, p, noise, a=lambda eta: eta / math.pi / math.sqrt(3), shape=lambda a: a / (1 - a), end=math.inf):
    x = a(gamma / p)
    return noise / 2 * shape(x) if x < 1 else end


def measure(distance, slope=lambda ds, E: np.polyfit(np.log(ds), np.log(E), 1)[0], round_=round, **ode):
    def answer(Q, M, eta, label_noise, times, ds, runs):
        path, E = integrate(Q, M, times, **({"eta": eta, "label_noise": label_noise} | ode)), []
        for d in ds:
            at = [round_(t * d / eta) for t in times]
            trace = overlap_chain(Q, M, d, eta, at[-1], label_noise=label_noise, runs=runs, seed=d, at=at)
            q, m = (
                trace.measured["Q"].numpy() - path.Q[:, None],
                trace.measured["M"].numpy() - path.M[:, None],
            )
            E.append(distance(np.abs(q).max((2, 3)), np.abs(m).max((2, 3)), q))
        return E, slope(ds, E)

    return answer


def largest(q, m, _):
    return np.maximum(q, m).max(0).mean()


def shares(until=12000, found=lambda risks: (risks[-1] < 1e-6).double().mean().item(), widths=lambda k: (k, k + 1)):
    return lambda flow, k, seeds: tuple(found(flow(k, p, seeds, until).loss) for p in widths(k))


def still_falling(flow, k, seeds):
    """Stops as soon as no risk changes by more than a thousandth between records."""
    rates = []
    for p in (k, k + 1):
        risks = flow(k, p, seeds, 15000).loss
        last = risks[-1]
        rates.append(float(((last < 1e-6) & (last < risks[0])).double().mean()))
    return rates


def label(*args):
    return classify._label()(*args)


def with_isclose(kappa, delta):
    """Nothing is close to zero for a relative tolerance."""
    s = kappa + delta
    if math.isclose(s, 0):
        return "plateau"
    if s > 0:
        return "perfect learning"
    return "no ODE" if s < -0.5 or math.isclose(s, -0.5) else "bad learning"


# What is wrong, the mistake it is recognised as (None: the general diagnosis), the answer.
WRONG = {
    "i2_i3": [
        ("half of the tilt", None, two(I3=lambda C: i3(C, sign=-0.5))),
        ("mass inverted", None, two(I3=lambda C: i3(C, power=0.5))),
        ("no root of the mass", "mass lost too often", two(I3=lambda C: i3(C, power=-1.0))),
        ("tilted the other way", "plus", lambda C: (integrals._i2(C), integrals._i3(C, sign=-1.0))),
        ("asin forgotten", "arc sine missing", two(I2=lambda C: PI2 * corr(C))),
        ("acos", None, two(I2=lambda C: PI2 * torch.acos(corr(C)))),
        ("atan", None, two(I2=lambda C: PI2 * torch.atan(corr(C)))),
        ("sum", None, lambda C: sum(two()(C))),
        ("degrees", None, two(I2=lambda C: torch.rad2deg(torch.asin(corr(C))) * PI2)),
    ],
    "drift": [
        ("means assumed", None, means_assumed),
        ("lengths assumed", None, unit_lengths_assumed),
        (
            "not divided",
            "no denominator in the second term",
            moves(lambda D, omega, rows, own: D @ omega - (D * rows).sum(1)[:, None] * rows),
        ),
        ("divided twice", None, moves(lambda D, omega, rows, own: D @ omega - ((D * rows).sum(1) / own**2)[:, None] * rows)),
        ("D transposed", None, lambda omega, c, p: moves()(omega.T, c.flip(0), p)),
        ("sum for all", None, moves(lambda D, omega, rows, own: D @ omega - ((D * rows).sum() / own)[:, None] * rows)),
        ("dQ alone", None, moves(out=lambda A, p: A[:, :p] + A[:, :p].T)),
        ("dQ antisymmetric", None, moves(out=lambda A, p: (A[:, :p] - A[:, :p].T, A[:, p:]))),
        ("dM of the students", None, moves(out=lambda A, p: (A[:, :p] + A[:, :p].T, A[:, :p]))),
        ("one column more", None, moves(out=lambda A, p: (A[:, :p] + A[:, :p].T, A[:, p - 1 :]))),
        ("divided by p", None, lambda omega, c, p: tuple(v / p for v in moves()(omega, c, p))),
    ],
    "classify": [
        ("always", None, lambda kappa, delta: "plateau"),
        ("numbers", None, lambda kappa, delta: (kappa + delta > 0) - (kappa + delta < 0)),
        ("tolerance of 1e-5", "tolerance too large", classify._label(near=1e-5)),
        ("minus one", "limit of the drift", classify._label(lowest=lambda kappa: -1)),
        ("quarter", None, classify._label(lowest=lambda kappa: -0.25)),
        ("isclose without abs_tol", "equality on the plateau line", with_isclose),
        ("exact, as published", None, lambda k, x: label(k, x) if k + x else "plateau" if k == 0 else "bad learning"),
        (
            "published with a tolerance",
            "published rule",
            lambda k, x: {v: v for v in sgd_phases.PHASES}[sgd_phases.published_phase(k, x)],
        ),
    ],
    "step_to_time": [
        ("an integer division", None, lambda n, d, k, x: n // d ** (1 + k + x)),
        ("a factor", None, lambda *args: 2 * sgd_phases.step_to_time(*args)),
        ("1 + 3s", None, lambda n, d, k, x: n / d ** (1 + 3 * (k + x))),
        ("d and n exchanged", None, lambda n, d, k, x: sgd_phases.step_to_time(d, n, k, x)),
        ("minus delta", None, lambda n, d, k, x: sgd_phases.step_to_time(n, d, k, max(-x, -0.4 - k))),
        ("raised always", None, lambda n, d, k, x: 1 / 0),
        ("a text for an error", None, lambda n, d, k, x: "no ODE" if k + x < -0.49 else sgd_phases.step_to_time(n, d, k, x)),
    ],
    "plateau": [
        ("zero", None, lambda gamma, p, noise: 0.0),
        ("a vector", None, lambda *args: torch.full((2,), height(*args))),
        ("squared pole", None, lambda *args: height(*args, shape=lambda a: a / (1 - a) ** 2)),
        ("slope fourth", None, lambda *args: height(*args, a=lambda eta: eta / 3)),
        ("negative", None, lambda *args: -height(*args)),
        ("the pole seen at 5", "no plateau too early", lambda g, p, noise: height(g, p, noise) if g / p < 5 else math.inf),
        ("zero beyond", "beyond the pole", lambda *args: height(*args, end=0.0)),
        ("minus infinity beyond", "beyond the pole", lambda *args: height(*args, end=-math.inf)),
        ("nan beyond", "beyond the pole", lambda *args: height(*args, end=math.nan)),
        ("text beyond", "beyond the pole", lambda *args: height(*args, end="none")),
    ],
    "fluctuations": [
        ("root mean square", None, measure(lambda q, m, _: np.sqrt((np.maximum(q, m).max(0) ** 2).mean()))),
        ("median", None, measure(lambda q, m, _: np.median(np.maximum(q, m).max(0)))),
        ("Frobenius", None, measure(lambda q, m, d: np.sqrt((d**2).sum((2, 3))).max(0).mean())),
        ("signed", None, measure(lambda q, m, d: d.max((2, 3)).max(0).mean())),
        ("sum of both", None, measure(lambda q, m, _: (q + m).max(0).mean())),
        ("slope of two points", None, measure(largest, slope=lambda ds, E: math.log(E[-1] / E[0]) / math.log(ds[-1] / ds[0]))),
        ("slope assumed", "slope written in", measure(largest, slope=lambda ds, E: -0.5)),
        ("half the step in the ODE", None, measure(largest, eta=0.25)),
        ("noise alone", None, measure(largest, keep="noise")),
        ("one step late", None, measure(largest, round_=lambda k: round(k) + 1)),
        ("one d", None, lambda *args: (measure(largest)(*args)[0][0], -0.5)),
        ("E per run", None, lambda *args: (np.ones((3, 4)), -0.5)),
        ("exact numbers", None, lambda *args: ([0.3, 0.2, 0.15], -0.5)),
    ],
    "success_rates": [
        ("t = 600", "the inverted conclusion", shares(600)),
        ("t = 4500", "stopped too early", shares(4500)),
        ("t = 6000", "stopped too early", shares(6000)),
        ("1e-5 at t = 3000", None, shares(3000, lambda r: (r[-1] < 1e-5).double().mean().item())),
        ("best run", "level too high", shares(found=lambda r: float(r[-1].min() < 1e-6))),
        ("worst run", "mean risk", shares(found=lambda r: float(r[-1].max() < 1e-6))),
        ("p and p + 2", None, shares(widths=lambda k: (k, k + 2))),
        ("one more twice", "a width missing", shares(widths=lambda k: (k + 1, k + 1))),
        ("first record", "none counted", shares(found=lambda r: (r[0] < 1e-6).double().mean().item())),
        ("a percent sign", None, lambda f, k, s: tuple(f"{r:.0%}" for r in shares()(f, k, s))),
        ("typed in", "a width missing", lambda f, k, s: (0.667, 1.0)),
        ("zero time", None, shares(0.0)),
    ],
    "rests": [
        ("waits", "too long", lambda advance, eta: "noise" if advance(eta, 1) < 1.2 * advance(eta, 600 / eta) else "slow"),
        ("always slow", "no cut", lambda advance, eta: "slow"),
        ("always noise", "no cut", lambda advance, eta: "noise"),
        (
            "cut by two, asked for a tenth",
            "nothing falls",
            lambda a, eta: a(eta, 1) > 9 * a(eta / 2, 100 / eta) and "noise" or "slow",
        ),
        ("German", "no words", lambda advance, eta: "langsam"),
        ("both", "no words", lambda advance, eta: ("slow", "noise")),
        ("raised the step", "too long", lambda a, eta: "noise" if a(eta, 1) < 0.8 * a(1.3 * eta, 30) and eta > 0.5 else "slow"),
    ],
}
RIGHT = {
    "rests": {
        "doubles the step as well": lambda a, eta: ("noise", "slow")[a(eta / 2, 90 / eta) < 1.4 * a(eta / 8, 400 / eta)],
    },
    "i2_i3": {"tilted": two(), "NumPy": by_numpy, "a list": lambda C: list(two()(C))},
    "drift": {"unit by unit": over_units, "the library": by_the_library},
    "classify": {
        "the library": sgd_phases.phase,
        "fractions": lambda k, x: classify._decimal(k, x),
        "isclose": lambda k, x: "plateau" if math.isclose(k, -x, abs_tol=1e-11) else label(k, x),
    },
    "step_to_time": {
        "the library": sgd_phases.step_to_time,
        "logarithms": lambda n, d, k, x: math.exp(math.log(sgd_phases.step_to_time(n, d, k, x))),
        "NumPy": lambda *args: np.float64(sgd_phases.step_to_time(*args)),
        "a tensor": lambda *args: torch.tensor(sgd_phases.step_to_time(*args), dtype=torch.float64),
    },
    "plateau": {
        "the library": lambda gamma, p, noise: sgd_phases.noise_plateau(gamma / p, noise),
        "infinite": height,
        "a tensor": lambda *args: torch.tensor(height(*args)),
    },
    "fluctuations": {"arrays": lambda *args: (lambda E, s: (np.array(E), np.float64(s)))(*measure(largest)(*args))},
    "success_rates": {
        "long": shares(40000),
        "t = 9000": shares(9000),
        "a lower level": shares(found=lambda r: (r[-1] < 1e-9).double().mean().item()),
        "counted": shares(found=lambda r: sum(v < 1e-6 for v in r[-1].tolist()) / r.shape[1]),
        "both": still_falling,
    },
}


def test_recorded_flows_are_those_that_run():
    """The first 1200 of their time; later, ReLU flows take rounding for a start of their own."""
    for k, p in ((6, 7), (10, 10)):
        ran, file = flow(k, p, [3, 20], 1200), recorded(k, p, [3, 20], 1200)
        torch.testing.assert_close(ran.loss, file.loss, rtol=0.02, atol=1e-9)
        torch.testing.assert_close(ran.time, file.time)
        assert torch.equal(ran.step, file.step)


def test_recorded_flows_end_where_nothing_moves():
    long = recorded(10, 10, range(24), math.inf).loss
    stuck = long[-1] > 1e-6
    assert torch.equal(long[-1], long[50]) and (long[40, stuck] < 1.001 * long[50, stuck]).all()
    assert success._truth(10, tuple(range(24))) == (pytest.approx(2 / 3), 1.0)
    assert success._truth(10, tuple(range(6, 18))) == (0.5, 1.0) and success._truth(6, tuple(range(24))) == (1.0, 1.0)


@pytest.mark.parametrize("bad", [(10, 12, [0], 300), (10, 10, [24], 300), (10, 10, [], 300), (6, 6, [0], -1)])
def test_what_was_not_recorded_is_told(bad):
    with pytest.raises(ValueError, match=r"recorded are \(k, p\)"):
        recorded(*bad)


def test_stopping_early_inverts_the_conclusion():
    early = [(recorded(10, p, range(24), 1500).loss[-1] < 1e-6).sum().item() for p in (10, 11)]
    assert early == [1, 0]


def test_stuck_students_leave_teacher_units_alone():
    """Each stuck run has as many teacher units without a student of their own as students that point away from one."""
    target = committee(orthonormal_units(22, 10, seed=99), activation="relu")
    net = committee(unit_vectors(22, 10, seed=torch.tensor([6, 7])), activation="relu")
    train(net, None, None, RungeKutta4(net, PopulationGradient(target), 6.0), 800, every=800)
    cosines = (net.W / net.W.norm(dim=-1, keepdim=True)) @ target.W.mT
    assert (cosines.amax(-2) < 0.5).sum(-1).tolist() == [2, 1] == (cosines.amin(-1) < -0.8).sum(-1).tolist()


def test_labels_and_times_are_those_of_the_library():
    assert classify.LABELS == sgd_phases.PHASES
    for *_, kappa, delta in STEP_TO_TIME.cases().values():
        assert classify.CLASSIFY.reference(kappa, delta) == sgd_phases.phase(kappa, delta)


def test_the_plateau_of_the_check_is_that_of_the_library():
    for (gamma, p, noise), end in zip(plateau.SETTINGS, plateau.ends(), strict=True):
        assert sgd_phases.noise_plateau(gamma / p, noise) == pytest.approx(end, rel=0.03)


def test_numbers_in_the_hints():
    I2, I3 = integrals.I2_I3.reference(next(iter(integrals._cases().values()))[0])
    assert (round(I2.item(), 3), round(I3.item(), 4)) == (0.117, -0.0621)
    omega = torch.tensor([[1.0, 0.5], [0.5, 1.0]], dtype=torch.float64)
    dQ, dM = moves()(omega, torch.tensor([-1.0, 1.0], dtype=torch.float64), 1)
    assert (round(dQ.item(), 3), round(dM.item(), 3)) == (-0.203, 0.196)
    assert f"{height(4.0, 4, 1e-3):.3g}" == "0.000113"
    times = [sgd_phases.step_to_time(5000, 100, *point) for point in ((0, 0), (0.25, 0.25), (0, -0.25))]
    assert times == pytest.approx([50, 5, 500])


def test_units_of_the_start_have_length_one():
    Q, M = start()
    assert Q.shape == (4, 4) and M.shape == (4, 2)
    torch.testing.assert_close(Q.diagonal(), torch.ones(4, dtype=torch.float64))
    assert torch.linalg.eigvalsh(Q - M @ M.T)[0] > -1e-12
