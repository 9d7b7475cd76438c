"""Exercise 6: a step for a number of steps."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from numbers import Real

from regimes.theory.large_steps import first_rise
from regimes_course.kit.checking import Behaviour, Complaint, Mistake
from regimes_course.kit.comparing import number, printed
from regimes_course.lesson09 import pictures
from regimes_course.lesson09.experiments import walk

__all__ = ["BEST_ETA"]

WANTED = ((0.05, 2000, 0.02), (0.05, 4000, 0.005), (0.1, 1000, 0.004), (0.1, 2000, 0.00125), (0.2, 1000, 0.001))
LOW, HIGH = 0.85, 1.1  # times the wanted risk; the law's own step ends between 1.00 and 1.06 of it


@dataclass(frozen=True)
class Try:
    """What one step does in its number of steps.

    Attributes:
        gamma, T, risk: what was wanted.
        eta: the step that was chosen for it.
        ratio: the last risk over the wanted one.
    """

    gamma: float
    T: int
    risk: float
    eta: float
    ratio: float


def observe(answer: Callable) -> list[Try]:
    """Run with the step chosen for each; none if a step is no positive number."""
    tries = []
    for gamma, T, risk in WANTED:
        eta = number(answer(gamma, T, risk))
        if not isinstance(eta, Real):
            says = f"your function must return a number; for gamma = {gamma:g}, T = {T}, risk = {risk:g} it returned"
            raise Complaint(f"{says} {printed(eta, repr, 60)}")
        if not (math.isfinite(eta) and eta > 0):
            return []
        tries.append(Try(gamma, T, risk, float(eta), walk(gamma, float(eta), T)[-1].item() / risk))
    return tries


def solved(seen: list[Try]) -> bool:
    """Whether each run ends at its risk, to about a tenth."""
    return bool(seen) and all(LOW <= run.ratio <= HIGH for run in seen)


def _told(seen: list[Try]) -> str:
    return "; ".join(
        f"gamma = {run.gamma:g}, T = {run.T}: eta = {run.eta:.4g} ends at {run.ratio:.3g} times the wanted risk" for run in seen
    )


def _all(test: Callable[[Try], bool]) -> Callable[[list[Try]], bool]:
    return lambda seen: bool(seen) and all(map(test, seen))


def _near(rule: Callable[[float, int, float], float]) -> Callable[[list[Try]], bool]:
    return _all(lambda run: abs(run.eta / rule(run.gamma, run.T, run.risk) - 1) < 0.01)


def _mistake(name: str, says: str, rule: Callable[[float, int, float], float]) -> Mistake:
    return Mistake(name, says, rule, _near(rule))


def law(gamma: float, T: int, risk: float) -> float:
    """From ``risk = 1 / (eta gamma^2 T)``."""
    return 1 / (gamma**2 * T * risk)


def _by_trying(gamma: float, T: int, risk: float) -> float:
    eta = 1.0
    while walk(gamma, eta, T)[-1] > risk:
        eta *= 1.05
    return eta


def _by_halves(gamma: float, T: int, risk: float) -> float:
    """On a logarithmic scale, up to where the law holds."""
    low, high = 1.0, 60.0
    while high / low > 1.01:
        eta = math.sqrt(low * high)
        low, high = (eta, high) if walk(gamma, eta, T)[-1] > risk else (low, eta)
    return high


BEST_ETA = Behaviour(
    key="09/best_eta",
    picture=pictures.best_eta,
    observe=observe,
    passed=solved,
    praise=lambda seen: (
        f"{_told(seen)}. The first of them never raises the risk; the others have to, and you knew where they end."
    ),
    otherwise=_told,
    alternatives=(law, _by_trying, _by_halves),
    mistakes=(
        Mistake("not a step", "A step is positive and finite.", lambda gamma, T, risk: -float(T), lambda seen: not seen),
        _mistake(
            "the margin not squared",
            "This has the margin where its square belongs: w_1 moves by eta gamma L in a step, and q by gamma times that.",
            lambda gamma, T, risk: 1 / (gamma * T * risk),
        ),
        _mistake(
            "the margin forgotten",
            "This does not use the margin. With a small margin the same step takes far longer.",
            lambda gamma, T, risk: 1 / (T * risk),
        ),
        _mistake(
            "the number of steps forgotten",
            "This does not use T. With more steps a smaller step ends at the same risk.",
            lambda gamma, T, risk: 1 / (gamma**2 * risk),
        ),
        _mistake(
            "upside down",
            "This is the reciprocal of what the law gives: a smaller risk needs a larger step.",
            lambda gamma, T, risk: gamma**2 * T * risk,
        ),
        _mistake(
            "T/128",
            "T/128 is a rule for a risk that falls with the square of T. Here the wanted risk is given: solve the law for eta.",
            lambda gamma, T, risk: T / 128,
        ),
        Mistake(
            "monotone",
            "These steps never raise the risk, whatever risk is wanted. Most of the wanted ones cannot be had so: let it rise.",
            lambda gamma, T, risk: first_rise(gamma) - 0.1,
            _all(lambda run: 12 < run.eta < first_rise(run.gamma)),
        ),
        _mistake(
            "the risk squared",
            "This makes the step proportional to 1/risk^2. At a fixed T the risk falls as 1/eta.",
            lambda gamma, T, risk: 1 / (gamma**2 * T * risk**2),
        ),
        Mistake(
            "too bold",
            "These steps all end below the wanted risk. If far below: a wild run lands where one point alone counts, and the law ends. Wanted is this risk.",
            lambda gamma, T, risk: 4 * law(gamma, T, risk),
            _all(lambda run: run.ratio < LOW),
        ),
        Mistake(
            "too timid",
            "These steps all end above the wanted risk: late in a run L = 1/(eta gamma^2 T). Take them larger.",
            lambda gamma, T, risk: law(gamma, T, risk) / 2,
            _all(lambda run: run.ratio > HIGH),
        ),
    ),
)
