"""Exercise 3: how many samples a kernel needs for a product of signs."""

import math
from itertools import combinations
from random import Random

from regimes_course.kit.checking import Function, Mistake
from regimes_course.lesson06 import pictures

__all__ = ["SAMPLES_NEEDED"]


def _cases() -> dict[str, tuple]:
    return {
        "30 signs, a product of 2": (30, 2),
        "15 signs, a product of 2": (15, 2),
        "40 signs, a single one": (40, 1),
        "12 signs, a product of 4": (12, 4),
        "10 signs, a product of 3": (10, 3),
        "8 signs, the product of all": (8, 8),
        "9 signs, the product of all": (9, 9),
        "200 signs, a product of 4": (200, 4),
    }


def _draw(rng: Random) -> tuple:
    d = rng.randint(2, 60)
    return d, rng.randint(1, d)


def _counted(d: int, k: int) -> float:
    """Row by row in Pascal's triangle."""
    row = [1]
    for _ in range(d):
        row = [a + b for a, b in zip([0, *row], [*row, 0], strict=True)]
    return math.inf if k % 2 and k > 1 else row[k]


def _for(count, blind=lambda k: k % 2 == 1 and k > 1, never=math.inf):
    """An answer: ``count(d, k)``, and ``never`` where the kernel is blind."""
    return lambda d, k: never if blind(k) else count(d, k)


def _factorials(d: int, k: int) -> int:
    return math.factorial(d) // (math.factorial(k) * math.factorial(d - k))


def _by_steps(d: int, k: int) -> int:
    count = 1
    for i in range(k):
        count = count * (d - i) // (i + 1)
    return count


def _up_to(d: int, k: int) -> int:
    return sum(math.comb(d, j) for j in range(k + 1) if j < 2 or j % 2 == 0)


def _listed(d: int, k: int) -> float:
    """As a beginner would; only for small numbers."""
    return len(list(combinations(range(d), k))) if math.comb(d, k) < 1000 else math.comb(d, k)


SAMPLES_NEEDED = Function(
    key="06/samples_needed",
    picture=pictures.samples_needed,
    spoiler=True,
    reference=_counted,
    cases=_cases,
    draw=_draw,
    praise="You can say what a kernel will not learn, before anything is trained.",
    alternatives=(_for(math.comb), _for(_factorials), _for(_by_steps), _for(_listed)),
    mistakes=(
        Mistake(
            "blindness forgotten",
            "The number of products is right. But to some of them this kernel gives no weight at all: what does it do for three signs? See the second question.",
            math.comb,
        ),
        Mistake(
            "one sign refused",
            "A single sign is odd, and the kernel sees it: its odd part is half the inner product. Only odd products of three signs or more are lost.",
            _for(math.comb, lambda k: k % 2 == 1),
        ),
        Mistake(
            "even for odd",
            "This is blind to the even products and sees the odd ones: so it is with erf. The kernel of ReLU has an even part, and of the odd ones only single signs.",
            _for(math.comb, lambda k: k % 2 == 0),
        ),
        Mistake(
            "zero for never",
            "Where the kernel is blind no number of samples suffices: return math.inf. Zero would mean that it needs none.",
            _for(math.comb, never=0),
        ),
        Mistake(
            "order counted",
            "This counts the same signs in another order as another product. Order does not matter: divide by k!.",
            _for(math.perm),
        ),
        Mistake(
            "repeats allowed",
            "This lets a sign be drawn twice. The square of a sign is one, and the product is then one of fewer signs.",
            _for(lambda d, k: math.comb(d + k - 1, k)),
        ),
        Mistake(
            "a power",
            "This is d^k, with every order and with repeats. Count subsets: d choose k.",
            _for(lambda d, k: d**k),
        ),
        Mistake(
            "all products",
            "This counts the products of any number of signs, 2^d. Asked for are those of k.",
            _for(lambda d, k: 2**d),
        ),
        Mistake(
            "fewer signs counted, too",
            "This adds the products of fewer signs. The bound is about those of exactly k, which all have the same weight.",
            _for(_up_to),
        ),
        Mistake(
            "signs counted",
            "This counts signs. The kernel has to find a product among all products of k signs: d choose k of them.",
            _for(lambda d, k: d),
        ),
    ),
)
