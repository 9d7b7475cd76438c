"""Exercise 3: how many steps."""

import math
from random import Random

from regimes_course.kit.checking import Function, Mistake
from regimes_course.lesson01 import pictures

__all__ = ["STEPS_TO"]


def _count_cases() -> dict[str, tuple]:
    settings = [(1e-3, 0.02, 1.0, 0.0), (1e-6, 0.02, 0.3, 0.0), (1e-3, 0.1, 2.0, 0.0), (1e-6, 0.1, 0.5, 0.0)]
    settings += [(1e-4, 0.05, 1.0, 1.0), (1e-3, 0.3, 0.2, 0.7), (1e-2, 0.5, 3.0, 0.4), (0.25, 0.5, 1.0, 0.0)]
    return {f"tolerance {t:g}, step {e:g}, lambda_min {s:g}, damping {d:g}": (t, e, s, d) for t, e, s, d in settings}


def _count_by_running(tolerance, step, lambda_min, damping):
    """Multiply the slowest and the fastest residual mode until the loss is below the tolerance."""

    def run(rate):
        residual, count = 1.0, 0
        while residual**2 > tolerance:
            residual, count = residual * (1 - step * rate), count + 1
        return count

    return run(1.0), run(lambda_min / (lambda_min + damping))


def _count(tolerance, step, lambda_min, damping, *, power=2, log=math.log1p, rounding=math.ceil, ratio=None, outside=1.0):
    rate = lambda_min / (lambda_min + damping) if ratio is None else ratio(lambda_min, damping)
    rate = rate if rate > 0 else 1e-300
    slow = math.log(tolerance) / (power * log(-step * (rate if outside else 1.0)))
    slow = slow if outside else slow / rate
    return rounding(math.log(tolerance) / (power * log(-step))), rounding(slow)


def _draw(rng: Random) -> tuple:
    damping = rng.choice([0.0, rng.uniform(0.1, 2)])
    return 10 ** rng.uniform(-8, -1), rng.uniform(0.05, 0.6), rng.uniform(0.2, 3), damping


STEPS_TO = Function(
    key="01/steps_to",
    picture=pictures.steps_to,
    reference=_count_by_running,
    cases=_count_cases,
    draw=_draw,
    praise="It agrees with running the slowest and the fastest mode until they are below the tolerance.",
    alternatives=(
        _count,
        lambda tolerance, step, lambda_min, damping: tuple(
            math.ceil(math.log10(tolerance) / math.log10((1 - step * rate) ** 2))
            for rate in (1, lambda_min / (lambda_min + damping))
        ),
    ),
    mistakes=(
        Mistake(
            "loss not squared",
            "This counts the steps until the residual is below the tolerance. The loss is its square, so half as many are needed.",
            lambda *args: _count(*args, power=1),
        ),
        Mistake(
            "continuous time",
            "This is the flow's e^(-2t) with t = step x count. A step multiplies the residual by 1 - step, which is a little less.",
            lambda *args: _count(*args, log=lambda x: x),
        ),
        Mistake(
            "rounded down",
            "This rounds down: after that many steps the loss is still above the tolerance.",
            lambda *args: _count(*args, rounding=math.floor),
        ),
        Mistake(
            "not whole",
            "A number of steps is a whole number: round up.",
            lambda *args: _count(*args, rounding=float),
        ),
        Mistake(
            "wrong order",
            "The two counts are right but the wrong way round: the fewest come first, then the most.",
            lambda *args: _count(*args)[::-1],
        ),
        Mistake(
            "damping ignored",
            "The second count ignores the damping: the slowest mode decays at the rate lambda_min / (lambda_min + damping).",
            lambda *args: _count(*args, ratio=lambda lam, eps: 1.0),
        ),
        Mistake(
            "ratio upside down",
            "The slowest rate is lambda_min / (lambda_min + damping), which is 1 without damping; this uses damping / (...).",
            lambda *args: _count(*args, ratio=lambda lam, eps: eps / (lam + eps)),
        ),
        Mistake(
            "rate outside the logarithm",
            "This divides the count by the slowest rate. The rate multiplies the step inside the logarithm: 1 - step * rate.",
            lambda *args: _count(*args, outside=0.0),
        ),
        Mistake(
            "below for at most",
            "This takes one step too many where the loss comes to the tolerance exactly: it has to be at most the tolerance, not below it.",
            lambda *args: _count(*args, rounding=lambda number: math.floor(number) + 1),
        ),
        Mistake(
            "rounded to the nearest",
            "This rounds to the nearest whole number: after that many steps the loss may still be above the tolerance. Round up.",
            lambda *args: _count(*args, rounding=round),
        ),
        Mistake(
            "damping in both",
            "Both counts are those of the slowest mode. The first is that of the fastest, whose rate is 1.",
            lambda *args: (_count(*args)[1],) * 2,
        ),
        Mistake(
            "rate above one",
            "The slowest rate is lambda_min / (lambda_min + damping), at most 1; this divides the other way round.",
            lambda *args: _count(*args, ratio=lambda lam, eps: (lam + eps) / lam),
        ),
    ),
)
