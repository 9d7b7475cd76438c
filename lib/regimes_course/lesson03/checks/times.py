"""Exercise 2: from steps to the time of a phase."""

from collections.abc import Callable
from random import Random

from regimes_course.kit.checking import Mistake
from regimes_course.kit.numbers import Numbers
from regimes_course.lesson03 import pictures

__all__ = ["STEP_TO_TIME"]


def _cases() -> dict[str, tuple]:
    settings = [
        (5000, 100, 0.0, 0.0),
        (5000, 100, 0.25, 0.25),
        (700, 50, 1.0, -1.0),
        (5000, 400, 0.0, -0.25),
        (3000, 64, 1.0, -1.375),
        (800, 30, 0.3, -(0.1 + 0.2)),
        (900, 70, 0.5, 0.6),
        (1000, 100, 0.0, -0.5),
        (1000, 100, 0.2, -0.7),
        (1000, 100, 1.0, -3.0),
    ]
    return {f"{n} steps, d = {d}, kappa = {k:g}, delta = {x!r}": (n, d, k, x) for n, d, k, x in settings}


def _by_terms(steps, d, kappa, delta):
    """The larger of the two terms of one step, step by step; an error where it does not vanish as ``d`` grows."""
    eta = d ** -(kappa + delta)
    drift, noise = eta / d, eta * eta / d
    if noise > drift * (1 + 1e-9) and noise * (1 + 1e-9) >= 1:
        raise ValueError("no ODE")
    return sum(max(drift, noise) for _ in range(steps))


def _time(
    exponent: Callable[[float, float], float] | None = None,
    bad: Callable[[float], float] = lambda s: 1 + 2 * s,
    good: Callable[[float], float] = lambda s: 1 + s,
    near: float = 1e-12,
    missing: Callable | None = None,
    power: float = 1.0,
) -> Callable:
    def answer(steps, d, kappa, delta):
        s = (exponent or (lambda kappa, delta: kappa + delta))(kappa, delta)
        if s <= -0.5 + near:
            if missing is None:
                raise ValueError(f"there is no ODE at kappa + delta = {s}")
            return missing(steps, d, s)
        return steps / d ** (power * (bad(s) if s < -near else good(s)))

    return answer


def _by_eta(steps, d, kappa, delta):
    eta = d ** -(kappa + delta)
    if kappa + delta < -0.5 + 1e-12:
        raise ValueError("no ODE")
    return steps / d * max(eta, eta * eta)


def _draw(rng: Random) -> tuple:
    """Hundredths, so that some points lie on a line, up to rounding."""
    kappa = rng.randint(0, 200) / 100
    total = rng.choice([rng.randint(-300, 200) / 100, 0.0, -0.5])
    return rng.randint(1, 4000), rng.randint(5, 500), kappa, total - kappa


STEP_TO_TIME = Numbers(
    key="03/step_to_time",
    picture=pictures.step_to_time,
    reference=_by_terms,
    cases=_cases,
    draw=_draw,
    praise="It agrees with adding up the larger of the two terms of each step, and it refuses where there is no ODE.",
    rtol=1e-6,
    alternatives=(_time(), _by_eta, lambda *args: 1.0 * _time()(*args)),
    mistakes=(
        Mistake(
            "the plateau's time in bad learning",
            "In bad learning this is steps / d^(1 + kappa + delta), the time of the drift. There the noise is the larger term; its step is "
            "eta^2/d, so the exponent is 1 + 2(kappa + delta).",
            _time(bad=lambda s: 1 + s),
            also=[_time(bad=lambda s: 1 + s, missing=lambda steps, d, s: steps / d ** (1 + s))],
        ),
        Mistake(
            "the noise's time everywhere",
            "This uses 1 + 2(kappa + delta) in every phase. In perfect learning the drift is the larger term: 1 + kappa + delta.",
            _time(good=lambda s: 1 + 2 * s),
            also=[_time(good=lambda s: 1 + 2 * s, missing=lambda steps, d, s: steps / d ** (1 + 2 * s))],
        ),
        Mistake(
            "phases exchanged",
            "The two exponents are exchanged: 1 + 2(kappa + delta) belongs to bad learning.",
            _time(bad=lambda s: 1 + s, good=lambda s: 1 + 2 * s),
        ),
        Mistake(
            "steps over d",
            "This is steps / d in every phase. One step covers eta/d or eta^2/d, and eta depends on d, too.",
            _time(bad=lambda s: 1.0, good=lambda s: 1.0),
            also=[_time(bad=lambda s: 1.0, good=lambda s: 1.0, missing=lambda steps, d, s: steps / d)],
        ),
        Mistake(
            "no one in the exponent",
            "The exponent lacks its 1, which comes from the eta/d of a step.",
            _time(bad=lambda s: 2 * s, good=lambda s: s),
        ),
        Mistake(
            "twice the whole exponent",
            "In bad learning the 2 is before the whole exponent. Only eta is squared, not d: 1 + 2(kappa + delta).",
            _time(bad=lambda s: 2 * (1 + s)),
        ),
        Mistake(
            "multiplied",
            "This multiplies by the power of d. The larger d is, the less a single step does: divide.",
            _time(power=-1.0),
        ),
        Mistake(
            "width forgotten",
            "This looks at delta alone. eta = gamma/p, so that kappa enters just as delta does.",
            _time(exponent=lambda kappa, delta: delta),
        ),
        Mistake(
            "one step",
            "This is what one step does. The time is that times the number of steps.",
            lambda steps, d, kappa, delta: _time()(1, d, kappa, delta),
            also=[lambda steps, d, kappa, delta: d ** -(1 + kappa + delta)],
        ),
        Mistake(
            "not refused",
            "This gives a time where there is no ODE. With kappa + delta <= -1/2 steps are of order one: raise a ValueError.",
            _time(missing=lambda steps, d, s: steps / d ** (1 + 2 * s)),
        ),
        Mistake(
            "infinity for an error",
            "Where there is no ODE this returns infinity. The exercise asks for a ValueError, so that nobody plots it by accident.",
            _time(missing=lambda steps, d, s: float("inf")),
        ),
        Mistake(
            "None for an error",
            "Where there is no ODE this returns nothing. The exercise asks for a ValueError.",
            _time(missing=lambda steps, d, s: None),
        ),
        Mistake(
            "no tolerance",
            "0.2 - 0.7 is a little above -0.5 in floating point: without a tolerance of, say, 1e-12 this gives a time where there is no ODE.",
            _time(near=0.0),
        ),
    ),
)
