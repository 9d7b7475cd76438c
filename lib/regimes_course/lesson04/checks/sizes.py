"""Exercise 2: sizes of two layers from which training is as fast, and ends as near, as is asked."""

import math
from random import Random

from regimes_course.kit.checking import Mistake
from regimes_course.kit.numbers import Numbers
from regimes_course.lesson04 import pictures

__all__ = ["START_SIZES"]


def _cases() -> dict[str, tuple]:
    return {
        "m 100, r 20, d 50, rate 32, distance 0.55": (100, 20, 50, 32.0, 0.55),
        "wider: m 1000, r 20, d 50, rate 32, distance 0.55": (1000, 20, 50, 32.0, 0.55),
        "more unseen directions: m 100, r 10, d 410, rate 18, distance 0.3": (100, 10, 410, 18.0, 0.3),
        "slow and near: m 400, r 5, d 30, rate 3, distance 0.01": (400, 5, 30, 3.0, 0.01),
    }


def _draw(rng: Random) -> tuple:
    r = rng.randint(2, 20)
    return rng.randint(50, 1000), r, r + rng.randint(5, 400), rng.uniform(2, 40), rng.uniform(0.01, 0.6)


def sizes(m: int, r: int, d: int, rate: float, distance: float) -> tuple[float, float]:
    """``rate = 2 m sV^2``, and ``distance = sqrt(d - r) sU |V|`` with a ``|V| = sqrt(m) sV`` that training leaves as it is."""
    last = math.sqrt(rate / (2 * m))
    return distance / (math.sqrt(d - r) * math.sqrt(m) * last), last


def _without_width(m, r, d, rate, distance):
    return distance * math.sqrt(2 / ((d - r) * rate)), (rate / m / 2) ** 0.5


def _by_logarithms(m, r, d, rate, distance):
    last = (math.log(rate) - math.log(2 * m)) / 2
    return math.exp(math.log(distance) - (math.log(d - r) + math.log(m)) / 2 - last), math.exp(last)


def _with(**changed):
    """The same from another argument or two: ``d=lambda m, r, d, rate, distance: ...``."""
    names = ("m", "r", "d", "rate", "distance")
    return lambda *args: sizes(*(changed.get(name, lambda *a, i=i: a[i])(*args) for i, name in enumerate(names)))


def _first_large(m, r, d, rate, distance):
    first = math.sqrt(rate / (2 * m)) / (1 - math.sqrt(r / m))
    return first, distance / (math.sqrt(d - r) * math.sqrt(m) * first)


START_SIZES = Numbers(
    key="04/start_sizes",
    picture=pictures.start_sizes,
    reference=sizes,
    cases=_cases,
    draw=_draw,
    praise="Fast and near: the last layer sets the speed, and the first layer, as small as you like, the distance.",
    alternatives=(_without_width, _by_logarithms),
    mistakes=(
        Mistake(
            "exchanged", "These are the two sizes in the other order: the first layer comes first.", lambda *a: sizes(*a)[::-1]
        ),
        Mistake(
            "first layer large",
            "This makes the first layer large. Its speed is that of its weakest direction; and the product that the distance needs is another one then.",
            _first_large,
        ),
        Mistake(
            "the rate of the error",
            "This takes m sV^2 for the rate. That is the rate of the error; the loss is its square and falls twice as fast.",
            _with(rate=lambda m, r, d, rate, distance: 2 * rate),
        ),
        Mistake(
            "all directions",
            "This counts all d directions as unseen. Those that the samples span, r of them, are learned.",
            _with(d=lambda m, r, d, rate, distance: d + r),
        ),
        Mistake(
            "seen directions",
            "This counts the r directions that the data show. The distance lies in the other d - r.",
            _with(d=lambda m, r, d, rate, distance: 2 * r),
        ),
        Mistake(
            "no root of the directions",
            "The distance grows with the root of the number of unseen directions, not with the number: squares add up.",
            _with(distance=lambda m, r, d, rate, distance: distance / math.sqrt(d - r)),
        ),
        Mistake(
            "one unit",
            "This takes sV for the length of V. V has m entries: its length is the root of m times their size.",
            lambda *a: (sizes(*a)[0] * math.sqrt(a[0]), sizes(*a)[1]),
        ),
        Mistake(
            "variances",
            "These are the squares of the two sizes. A size is a standard deviation.",
            lambda *a: tuple(s**2 for s in sizes(*a)),
        ),
        Mistake(
            "equal layers",
            "This gives both layers one size. It ends as near, and is much slower than asked.",
            lambda *a: (math.sqrt(math.prod(sizes(*a))),) * 2,
        ),
    ),
)
