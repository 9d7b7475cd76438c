"""Exercise 5: the risk that label noise leaves."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np

from regimes.theory.online_sgd import integrate
from regimes_course.kit.checking import Behaviour, Complaint, Mistake
from regimes_course.kit.comparing import printed
from regimes_course.kit.numbers import numbers
from regimes_course.lesson03 import pictures

__all__ = ["PLATEAU"]

SETTINGS = ((0.4, 4, 1e-3), (4.0, 4, 1e-3), (1.5, 6, 4e-3), (8.0, 8, 2e-3))  # learning rate, units, variance of the label noise
LARGE = ((12.0, 4, 2e-3), (26.0, 5, 1e-3))  # steps of 3 and 5.2: the ODE has other heights there, the balance has these
BEYOND = (33.0, 6, 1e-3)  # a step of 5.5
POLE = math.pi * math.sqrt(3)
WITHIN = 0.03

Height = Callable[[float, int, float], float]


@dataclass(frozen=True)
class Seen:
    """What a function said.

    Attributes:
        heights: one for each of `SETTINGS`.
        large: one for each of `LARGE`, and
        beyond: that where no plateau exists; infinity if it raised an error, NaN if it returned no number.
    """

    heights: tuple[float, ...]
    large: tuple[float, ...]
    beyond: float

    @property
    def refuses(self) -> bool:
        """Whether it refused to give a height beyond the pole: an error or infinity."""
        return self.beyond == math.inf

    @property
    def off(self) -> tuple[float, ...]:
        """Each height over that of the ODE."""
        return tuple(h / wanted for h, wanted in zip(self.heights, ends(), strict=True))


@cache
def ends() -> tuple[float, ...]:
    """Where the ODE ends for each setting, from the solution of as many units as the teacher has."""
    time = np.array([0.0, 1000.0])
    return tuple(
        float(integrate(np.eye(p), np.eye(p), time, eta=gamma / p, label_noise=noise).risk[-1]) for gamma, p, noise in SETTINGS
    )


def observe(answer: Callable) -> Seen:
    """Ask for the plateau of each setting, and of a step beyond the pole."""
    heights, errors = [], []
    for setting in SETTINGS:
        try:
            height = numbers(answer(*setting))
        except Exception as error:  # judged as infinity, unless it raises everywhere
            errors.append(error)
            if len(errors) == len(SETTINGS) or isinstance(error, NotImplementedError):
                raise errors[0] from None
            height = math.inf
        if not isinstance(height, float):
            says = f"your function must return a number; for gamma, p, label_noise = {setting} it returned"
            raise Complaint(f"{says} {printed(height, repr, 60)}")
        heights.append(height)
    return Seen(tuple(heights), tuple(_asked(answer, setting) for setting in LARGE), _asked(answer, BEYOND))


def _asked(answer: Callable, setting: tuple) -> float:
    """A height; infinity for an error, NaN for what is no number."""
    try:
        height = numbers(answer(*setting))
    except Exception:
        return math.inf
    return height if isinstance(height, float) else math.nan


def right(seen: Seen) -> bool:
    """Whether all heights are within 3 % of the ODE's."""
    return all(abs(ratio - 1) < WITHIN for ratio in seen.off)


def balanced(seen: Seen) -> bool:
    """Whether the heights for large steps are those of the balance."""
    return all(abs(h / _height()(*setting) - 1) < WITHIN for h, setting in zip(seen.large, LARGE, strict=True))


def _gives(formula: Height) -> Callable[[Seen], bool]:
    """Whether the heights are those of a formula, or infinite where the formula is beyond its pole."""

    def gives(height, wanted):
        return abs(height - wanted) <= 1e-6 * abs(wanted) or (height == math.inf and wanted < 0)

    return lambda seen: all(gives(h, formula(*setting)) for h, setting in zip(seen.heights, SETTINGS, strict=True))


def _height(
    eta: Callable[[float, int], float] = lambda gamma, p: gamma / p,
    a: Callable[[float], float] = lambda eta: eta / POLE,
    shape: Callable[[float], float] = lambda a: a / (1 - a),
    noise: Callable[[float], float] = lambda noise: noise / 2,
    refuse: bool = True,
) -> Height:
    def answer(gamma, p, label_noise):
        x = a(eta(gamma, p))
        if x >= 1 and refuse:
            raise ValueError("no plateau")
        return noise(label_noise) * shape(x)

    return answer


def _balance(gamma, p, label_noise):
    """By iteration: noise put in is taken out, R = a (R + Delta / 2)."""
    a, R = gamma / p * 2 / math.pi / math.sqrt(3) / 2, 0.0
    if a >= 1:
        return math.inf
    for _ in range(400):
        R = a * (R + label_noise / 2)
    return R


def _as_a_series(gamma, p, label_noise):
    """Each time the noise that is there adds a share of itself."""
    a = gamma / p / POLE
    return label_noise / 2 * sum(a**k for k in range(1, 2000)) if a < 1 else math.inf


def _series(terms: int) -> Height:
    """A few terms of that."""
    return _height(shape=lambda a: sum(a**k for k in range(1, terms + 1)))


def _mistake(name: str, says: str, **options) -> Mistake:
    formula = _height(**options)
    silent = _height(**{**options, "refuse": False})
    return Mistake(name, says, formula, _gives(silent))


PLATEAU = Behaviour(
    key="03/plateau",
    picture=pictures.plateau,
    observe=observe,
    passed=lambda seen: right(seen) and balanced(seen) and seen.refuses,
    praise=lambda seen: (
        "Over the plateau of the ODE your heights are "
        + ", ".join(f"{ratio:.2f} (eta = {gamma / p:g})" for ratio, (gamma, p, _) in zip(seen.off, SETTINGS, strict=True))
        + "."
    ),
    otherwise=lambda seen: (
        "over the plateau of the ODE your heights are "
        + ", ".join(
            f"{ratio:.3g} (gamma = {gamma:g}, p = {p})" for ratio, (gamma, p, _) in zip(seen.off, SETTINGS, strict=True)
        )
        + f"; wanted is 1, within {WITHIN:.0%}."
        if all(math.isfinite(ratio) for ratio in seen.off)
        else "your function returns no finite number for gamma, p, label_noise = "
        f"{next(s for s, ratio in zip(SETTINGS, seen.off, strict=True) if not math.isfinite(ratio))}, whose step is small enough."
    ),
    alternatives=(_height(), _balance, _as_a_series),
    mistakes=(
        Mistake(
            "no plateau too early",
            "The heights are right, up to a step of 1. But for gamma = 26 and p = 5, and perhaps for smaller steps, your function finds no balance, and there "
            "is one: the limit is where a = 1, eta = pi sqrt(3).",
            lambda gamma, p, label_noise: _height()(gamma, p, label_noise) if gamma / p < 5 else math.inf,
            lambda seen: right(seen) and not all(map(math.isfinite, seen.large)),
            also=[lambda gamma, p, label_noise: _height()(gamma, p, label_noise) if gamma / p < 2 else math.inf],
        ),
        Mistake(
            "small steps only",
            "The heights are right up to a step of 1, and not for the larger steps that still have a plateau. Is this a sum of a few powers of a? Solve R = "
            "a (R + Delta/2), which is all of them.",
            _series(4),
            lambda seen: right(seen) and not balanced(seen),
            also=[_series(3), _series(12)],
        ),
        Mistake(
            "beyond the pole",
            "The heights are right. But for gamma = 33 and p = 6, a step beyond pi sqrt(3), there is no plateau: return math.inf or raise an error "
            "instead of a number.",
            _height(refuse=False),
            lambda seen: right(seen) and not seen.refuses,
        ),
        _mistake(
            "gamma for eta",
            "This uses the learning rate gamma itself. A committee is a mean of p units, so that its step is eta = gamma / p.",
            eta=lambda gamma, p: gamma,
            refuse=False,
        ),
        _mistake(
            "divided by p twice",
            "This divides by p once too often: eta = gamma / p holds everything.",
            eta=lambda gamma, p: gamma / p**2,
        ),
        _mistake(
            "first order",
            "This is the first order in a. The risk R adds to the noise, too, R = a (R + Delta/2): solve for R.",
            shape=lambda a: a,
        ),
        _mistake(
            "slope at zero",
            "This uses E[g'^2] = 2/pi, the square of the slope at zero. The fields have variance one: E[g'^2] = (2/pi)/sqrt(3).",
            a=lambda eta: eta / math.pi,
        ),
        _mistake(
            "square of the mean slope",
            "This uses the square of E[g'], which is 1/pi. Wanted is the mean of the square, (2/pi)/sqrt(3).",
            a=lambda eta: eta / (2 * math.pi),
        ),
        _mistake(
            "half of a",
            "This is the height for a twice as large. The drift takes out 2 eta R E[g'^2], the noise puts in half of eta^2 E[g'^2]^2 (2R + Delta): "
            "a = eta E[g'^2] / 2.",
            a=lambda eta: 2 * eta / POLE,
            refuse=False,
        ),
        _mistake(
            "no half of Delta",
            "This is twice too high. R is half a mean square, so that Delta comes with a half.",
            noise=lambda noise: noise,
        ),
        _mistake(
            "label noise in the risk",
            "This includes the Delta/2 of the labels themselves. R compares with the teacher before the noise is added.",
            shape=lambda a: 1 / (1 - a),
        ),
        _mistake(
            "plus for minus",
            "This has 1 + a below the line. R = a (R + Delta/2): bring R to one side.",
            shape=lambda a: a / (1 + a),
        ),
        _mistake(
            "square of the step",
            "This uses eta^2. The noise term is of order eta^2, the drift of order eta: their ratio is left.",
            a=lambda eta: eta**2 / POLE,
        ),
        _mistake(
            "Delta as a standard deviation",
            "This squares Delta. label_noise is a variance already.",
            noise=lambda noise: noise**2 / 2,
        ),
        _mistake(
            "committees that are sums",
            "This is the height for committees that are sums, where p units make p times the noise. Ours are means.",
            eta=lambda gamma, p: gamma * p,
            refuse=False,
        ),
    ),
)
