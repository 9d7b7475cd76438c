"""Exercise 7: the risk from which on every step lowers it."""

import math
from collections.abc import Callable
from random import Random

from scipy.optimize import brentq
from scipy.special import lambertw

from regimes_course.kit.checking import Function, Mistake, Trial
from regimes_course.kit.comparing import number, same
from regimes_course.lesson09 import pictures

__all__ = ["STABLE_THRESHOLD"]


def _cases() -> dict[str, tuple]:
    settings = [(1.0, 1.0, 0.0), (20.0, 1.0, 0.0), (48.0, 1.0, 0.125), (7.0, 1.3, 0.4), (0.5, 2.0, 3.0), (256.0, 0.7, 0.2)]
    return {f"eta {eta:g}, lip {lip:g}, beta {beta:g}": (eta, lip, beta) for eta, lip, beta in settings}


def _by_bisection(eta, lip, beta):
    """The risk at which the bracket ``1 - c e^c / 2`` is zero."""
    low, high = 0.0, 2.0
    for _ in range(100):
        c = (low + high) / 2
        low, high = (c, high) if 1 - c * math.exp(c) / 2 > 0 else (low, c)
    return low / (eta * (lip**2 + beta))


def _constant(c):
    return lambda eta, lip, beta: c / (eta * (lip**2 + beta))


W2 = float(lambertw(2).real)


def _newton(eta, lip, beta):
    c = 1.0
    for _ in range(50):
        c -= (c * math.exp(c) - 2) / ((1 + c) * math.exp(c))
    return c / (eta * (lip**2 + beta))


def _draw(rng: Random) -> tuple:
    return 10 ** rng.uniform(-1, 3), rng.uniform(0.4, 3), rng.choice([0.0, rng.uniform(0, 2)])


def _same_constant(trials: list[Trial], scale: Callable[[float, float, float], float]) -> bool:
    """Whether an answer is one number over this scale, if not near enough to the right one to be a matter of digits."""
    found = [number(t.got.value) * scale(*t.args) for t in trials if isinstance(number(t.got.value), float)]
    return (
        len(found) == len(trials)
        and all(math.isfinite(c) and same(c, found[0], 1e-6) for c in found)
        and not same(found[0], W2, 2e-2)
    )


STABLE_THRESHOLD = Function(
    key="09/stable_threshold",
    picture=pictures.stable_threshold,
    reference=_by_bisection,
    cases=_cases,
    draw=_draw,
    rtol=1e-5,
    praise="It agrees with solving c e^c = 2 by bisection: 0.852/eta for logistic regression, 0.758/eta for leaky softplus.",
    alternatives=(
        _constant(W2),
        _newton,
        lambda eta, lip, beta: float(
            brentq(lambda L: eta * (lip**2 + beta) * L * math.exp(eta * (lip**2 + beta) * L) - 2, 0, 1e3 / eta * 0.01)
        ),
    ),
    mistakes=(
        Mistake(
            "local",
            "This is 2/(eta (lip^2 + beta)): the curvature at the point itself. On the way of a step it can grow by e^c, so c e^c has to be below 2.",
            _constant(2.0),
        ),
        Mistake(
            "beta forgotten",
            "This leaves beta out. The curvature is at most (lip^2 + beta) L: the second part comes from the curvature of the activation.",
            lambda eta, lip, beta: W2 / (eta * lip**2),
        ),
        Mistake(
            "lip not squared",
            "This has lip instead of its square: the gradient is at most lip times the risk, and the curvature has two such factors.",
            lambda eta, lip, beta: W2 / (eta * (lip + beta)),
        ),
        Mistake(
            "c e^c = 1",
            "This solves c e^c = 1. The bracket is 1 - c e^c / 2, so c e^c may come up to 2.",
            _constant(float(lambertw(1).real)),
        ),
        Mistake(
            "c e^c = 4",
            "This solves c e^c = 4. The bracket is 1 - c e^c / 2.",
            _constant(float(lambertw(4).real)),
        ),
        Mistake(
            "logarithm of 2",
            "This solves e^c = 2. The factor c in front of e^c is missing.",
            _constant(math.log(2)),
        ),
        Mistake(
            "c itself",
            "This returns c = 0.8526. The risk is c / (eta (lip^2 + beta)).",
            lambda eta, lip, beta: W2,
        ),
        Mistake(
            "multiplied",
            "This multiplies by eta (lip^2 + beta). A larger step needs a smaller risk: divide.",
            lambda eta, lip, beta: W2 * eta * (lip**2 + beta),
        ),
        Mistake(
            "eta forgotten",
            "This does not depend on the step. c = eta (lip^2 + beta) L.",
            lambda eta, lip, beta: W2 / (lip**2 + beta),
        ),
        Mistake(
            "1/eta",
            "This is the threshold 1/eta that Wu et al. prove for logistic regression. Asked for is the one from c e^c < 2.",
            lambda eta, lip, beta: 1 / eta,
        ),
        Mistake(
            "of the paper",
            "This is a threshold of the form 1/(eta (4 lip^2 + 2 beta)), which is safe too but not what c e^c < 2 gives.",
            lambda eta, lip, beta: 1 / (eta * (4 * lip**2 + 2 * beta)),
        ),
        Mistake(
            "complex",
            "SciPy's lambertw returns a complex number; take its real part, and a plain float.",
            lambda eta, lip, beta: complex(lambertw(2)) / (eta * (lip**2 + beta)),
        ),
        Mistake(
            "another constant",
            "The form is right, a constant over eta (lip^2 + beta), and the constant is not. It is the c for which c e^c = 2.",
            _constant(W2**2),
            lambda trials: _same_constant(trials, lambda eta, lip, beta: eta * (lip**2 + beta)),
        ),
        Mistake(
            "right without an activation",
            "For lip = 1 and beta = 0, logistic regression, this is right, and with an activation it is not. The curvature is at most (lip^2 + beta) L: where do lip and beta come in?",
            lambda eta, lip, beta: W2 / (eta * (lip**2 + beta**2)),
            lambda trials: all(t.right for t in trials if t.args[1:] == (1.0, 0.0)),
        ),
    ),
)
