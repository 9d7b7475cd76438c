"""Exercise 5: the largest step with which the risk never rises."""

import math
from collections.abc import Callable
from numbers import Real

import numpy as np
from scipy.optimize import brentq

from regimes_course.kit.checking import Behaviour, Complaint, Mistake
from regimes_course.kit.comparing import number, printed
from regimes_course.lesson09 import pictures
from regimes_course.lesson09.experiments import walk

__all__ = ["LARGEST_MONOTONE_ETA"]

GAMMAS = (0.025, 0.05, 0.1, 0.2)
WITHIN = 0.1
STEPS = 400

Seen = dict[float, float]  # the step a function returned for each margin


def observe(answer: Callable) -> Seen:
    """The step for each margin."""
    seen = {}
    for gamma in GAMMAS:
        eta = number(answer(gamma))
        if not isinstance(eta, Real) or not math.isfinite(eta):
            says = f"your function must return a finite number; for gamma = {gamma:g} it returned"
            raise Complaint(f"{says} {printed(eta, repr, 60)}")
        seen[gamma] = float(eta)
    return seen


def _rises(losses) -> bool:
    return bool((losses[1:] > losses[:-1] * (1 + 1e-10)).any())


def bisect(rises: Callable[[float], bool], low: float = 1.0, high: float = 64.0) -> float:
    """The largest step without a rise, to 0.001, if larger ones all have one."""
    while high - low > 1e-3:
        eta = (low + high) / 2
        low, high = (low, eta) if rises(eta) else (eta, high)
    return low


def largest(gamma: float) -> float:
    """The answer."""
    return bisect(lambda eta: _rises(walk(gamma, eta, STEPS)))


def _start(gamma: float, times: float = 2.0) -> float:
    """``times`` over the curvature at ``w = 0``, the larger eigenvalue of ``sum_i z_i z_i^T / 8``."""
    c = math.sqrt(1 - gamma**2)
    z = np.array([[gamma, c], [gamma, -c / 2]])
    return times / float(np.linalg.eigvalsh(z.T @ z / 8)[-1])


def _first_step(gamma: float) -> float:
    """The largest step of which the first one does not raise the risk."""
    return bisect(lambda eta: _rises(walk(gamma, eta, 1)))


def _on_a_grid(gamma: float) -> float:
    eta = 8.0
    while not _rises(walk(gamma, eta + 0.05, STEPS)):
        eta += 0.05
    return eta


def _by_root(gamma: float) -> float:
    """The root of the largest rise, which crosses zero."""

    def rise(eta):
        losses = walk(gamma, eta, 60)
        return float((losses[1:] / losses[:-1]).log().max()) - 1e-10

    return float(brentq(lambda eta: max(rise(eta), -1e-3) if rise(eta) < 0 else rise(eta), 8.0, 30.0, xtol=1e-3))


def _near(number: Callable[[float], float], within: float = 0.02) -> Callable[[Seen], bool]:
    return lambda seen: all(abs(eta - number(gamma)) <= within * abs(number(gamma)) for gamma, eta in seen.items())


def _same(seen: Seen) -> bool:
    return max(seen.values()) - min(seen.values()) < 1e-6


def solved(seen: Seen) -> bool:
    """Whether each is within 0.1 of what the bisection finds."""
    return all(abs(eta - largest(gamma)) <= WITHIN for gamma, eta in seen.items())


def _told(seen: Seen) -> str:
    return ", ".join(f"{eta:.4g} at gamma = {gamma:g}" for gamma, eta in seen.items())


def _otherwise(seen: Seen) -> str:
    wrong = next(gamma for gamma, eta in seen.items() if abs(eta - largest(gamma)) > WITHIN)
    eta = seen[wrong]
    if eta <= 0:
        return f"a step is positive; for gamma = {wrong:g} you return {eta:.4g}."
    does = (
        "raises the risk at some step"
        if _rises(walk(wrong, eta, STEPS))
        else "never raises the risk, and a larger one does not either"
    )
    return f"you return {_told(seen)}. For gamma = {wrong:g} that step {does}."


LARGEST_MONOTONE_ETA = Behaviour(
    key="09/largest_monotone_eta",
    picture=pictures.largest_monotone_eta,
    observe=observe,
    passed=solved,
    praise=lambda seen: f"{_told(seen)}. For the three small margins it is the first step that decides, at 0.2 a later one.",
    otherwise=_otherwise,
    alternatives=(largest, _on_a_grid, _by_root),
    mistakes=(
        Mistake(
            "curvature at the start",
            "This is 2 over the curvature at w = 0: 12.8 to 13.2. It is too careful: the curvature falls along the way. Try the steps.",
            _start,
            _near(_start, 1e-3),
        ),
        Mistake(
            "one over the curvature",
            "This is 1 over the curvature at w = 0, where the risk falls fastest at first. The limit is about twice as far.",
            lambda gamma: _start(gamma, 1.0),
            _near(lambda gamma: _start(gamma, 1.0), 1e-3),
        ),
        Mistake(
            "the first step only",
            "This looks at the first step only. It decides at the three small margins, but at 0.2 a later step raises the risk from 21.9 on.",
            _first_step,
            _near(_first_step, 5e-3),
        ),
        Mistake(
            "no rise found",
            "For every margin this is near 40, or beyond: the upper end of the interval of the hint, where every run rises. If you halve it, your test never says that a run "
            "rises. A run may rise on the way and end far below its start: compare each risk with the one before it, and all of them.",
            lambda gamma: bisect(lambda eta: bool(walk(gamma, eta, STEPS)[-1] > walk(gamma, eta, STEPS)[0])),
            lambda seen: _same(seen) and min(seen.values()) > 39,
        ),
        Mistake(
            "a rise everywhere",
            "For every margin this is near 8, the lower end of the interval of the hint, where no run rises. If you halve it, your test says of all runs that they rise.",
            lambda gamma: bisect(lambda eta: not _rises(walk(gamma, eta, STEPS)), 8.0, 14.0),
            lambda seen: _same(seen) and 7.9 < max(seen.values()) < 8.1,
        ),
        Mistake(
            "gamma squared T",
            "This is the step gamma^2 T / 120 of a corollary, far below the first one that raises the risk.",
            lambda gamma: gamma**2 * STEPS / 120,
            lambda seen: all(0 < eta < 2 for eta in seen.values()) and max(seen.values()) > 10 * min(seen.values()),
        ),
        Mistake(
            "the lemma",
            "This is the step for which the lemma of the lesson already holds at the start, L(0) = log 2. It is safe, and far from the largest.",
            lambda gamma: 0.8526055 / math.log(2),
            lambda seen: all(abs(eta - 0.8526 / math.log(2)) < 0.01 for eta in seen.values()),
        ),
        Mistake(
            "the same for every margin",
            "This returns the same step for every margin. The limit grows with the margin, from 14.3 at 0.025.",
            lambda gamma: largest(0.05),
            _same,
        ),
        Mistake(
            "a step too far",
            "These steps all raise the risk already, if only just: return the last one that does not.",
            lambda gamma: largest(gamma) + 0.5,
            lambda seen: all(0.1 < eta - largest(gamma) < 1.5 for gamma, eta in seen.items()),
        ),
    ),
)
