"""Exercise 1: the phase of a point of the diagram."""

from collections.abc import Callable
from random import Random

from regimes_course.kit.checking import Function, Mistake
from regimes_course.lesson03 import pictures

__all__ = ["CLASSIFY", "LABELS"]

LABELS = PERFECT, PLATEAU, BAD, NONE = "perfect learning", "plateau", "bad learning", "no ODE"


def _cases() -> dict[str, tuple]:
    points = [
        (0.0, 0.0),
        (0.1, 0.2),
        (0.0, -0.25),
        (1.5, -1.5),
        (1.25, -1.5),
        (1.1, -2.2),
        (0.0, -0.5),
        (0.3, -(0.1 + 0.2)),
        (0.2, -0.7),
        (1.0, -1.6),
        (0.5, -0.5 + 1e-6),
        (0.5, -1.0 + 1e-6),
        (0.25, -0.5),
        (0.1, 2e-13 - 0.1),
        (0.3, 2e-13 - 0.8),
    ]
    return {f"kappa = {kappa:g}, delta = {delta!r}": (kappa, delta) for kappa, delta in points}


def _from_steps(kappa: float, delta: float) -> str:
    """From the sizes of drift and noise: exponents of d, in whole millionths of a millionth."""
    unit = 10**12
    total = round(kappa * unit) + round(delta * unit)
    drift, noise = -unit - total, -unit - 2 * total  # per step: eta / d and eta^2 / d
    if noise >= 0:
        return NONE
    return BAD if noise > drift else PLATEAU if noise == drift else PERFECT


def _label(
    total: Callable[[float, float], float] = lambda kappa, delta: kappa + delta,
    lowest: Callable[[float], float] = lambda kappa: -0.5,
    near: float = 1e-12,
    near_lowest: float | None = None,
    names: tuple[str, ...] = LABELS,
) -> Callable:
    perfect, plateau, bad, none = names
    near_lowest = near if near_lowest is None else near_lowest

    def answer(kappa, delta):
        s = total(kappa, delta)
        if abs(s) <= near:
            return plateau
        if s > 0:
            return perfect
        return bad if s > lowest(kappa) + near_lowest else none

    return answer


def _decimal(kappa, delta):
    s = round(kappa + delta, 9)
    return PLATEAU if s == 0 else PERFECT if s > 0 else BAD if s > -0.5 else NONE


def _draw(rng: Random) -> tuple:
    """Hundredths, so that some points lie on a line, up to rounding."""
    kappa = rng.randint(0, 200) / 100
    total = rng.choice([rng.randint(-300, 200) / 100, 0.0, -0.5])
    return kappa, total - kappa


CLASSIFY = Function(
    key="03/classify",
    picture=pictures.classify,
    reference=_from_steps,
    cases=_cases,
    draw=_draw,
    praise="It agrees with comparing the sizes of drift and noise, on the lines and a millionth beside them.",
    alternatives=(_label(), _decimal, _label(near=1e-9)),
    mistakes=(
        Mistake(
            "equality of decimal fractions",
            "This compares with == or with a tolerance below 1e-12. 0.3 - (0.1 + 0.2) is -5.6e-17 in floating point, and 0.2 - 0.7 is not quite "
            "-0.5: allow for 1e-12 on both lines.",
            _label(near=0.0),
            also=[_label(near=3e-16), _label(near=1e-14)],
        ),
        Mistake(
            "equality on the plateau line",
            "This needs kappa + delta to be zero exactly. 0.3 - (0.1 + 0.2) is -5.6e-17 in floating point: allow for 1e-12.",
            _label(near=0.0, near_lowest=1e-12),
        ),
        Mistake(
            "equality on the lower line",
            "The plateau line has a tolerance, the lower one has none: 0.2 - 0.7 is a little above -0.5 in floating point.",
            _label(near_lowest=0.0),
        ),
        Mistake(
            "tolerance too large",
            "This takes points a millionth beside a line for points on it. Rounding is of the order of 1e-16; 1e-12 is plenty.",
            _label(near=1e-4),
        ),
        Mistake(
            "published rule",
            "This is the rule of the published code, bad learning for kappa < -delta < (kappa + 1)/2. It is right at kappa = 0 alone: a step of "
            "the noise is d^-(1 + 2(kappa + delta)), so the limit is kappa + delta = -1/2 for every kappa.",
            _label(lowest=lambda kappa: (kappa - 1) / 2),
        ),
        Mistake(
            "limit of the drift",
            "This lets bad learning go down to kappa + delta = -1, where a step of the drift no longer vanishes. In bad learning the noise is the "
            "larger term; its step, eta^2/d, stops vanishing at -1/2.",
            _label(lowest=lambda kappa: -1.0),
        ),
        Mistake(
            "lower line is bad learning",
            "This counts the line kappa + delta = -1/2 to bad learning. There a step of the noise is of order one, whatever d: no ODE.",
            _label(near_lowest=-1e-12),
        ),
        Mistake(
            "bad everywhere below",
            "This knows three phases. Below kappa + delta = -1/2 single steps change the overlaps by amounts of order one, and there is no ODE.",
            _label(lowest=lambda kappa: -1e9),
        ),
        Mistake(
            "sign of delta",
            "This uses kappa - delta. The learning rate is d^-delta and the width d^kappa, so their ratio is d^-(kappa + delta).",
            _label(total=lambda kappa, delta: kappa - delta),
        ),
        Mistake(
            "upside down",
            "The sign is the wrong way round: eta = d^-(kappa + delta) is small where kappa + delta is positive, and then the noise vanishes.",
            _label(total=lambda kappa, delta: -kappa - delta),
        ),
        Mistake(
            "width forgotten",
            "This looks at delta alone. A wider network makes eta = gamma/p smaller just as a smaller learning rate does.",
            _label(total=lambda kappa, delta: delta),
        ),
        Mistake(
            "no plateau line",
            "This has no label for the line kappa + delta = 0, where drift and noise are of the same size.",
            _label(names=(PERFECT, PERFECT, BAD, NONE)),
        ),
        Mistake(
            "labels exchanged",
            'On the line kappa + delta = 0 the label is "plateau", above it "perfect learning".',
            _label(names=(PLATEAU, PERFECT, BAD, NONE)),
        ),
    ),
)
