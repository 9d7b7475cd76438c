"""Exercise 1: a stability number from two gradients."""

from random import Random

import torch
from torch import Tensor

from regimes_course.kit.checking import Function, Mistake, random
from regimes_course.lesson08 import pictures

__all__ = ["EDGE_METER"]


def _along_the_step(before: Tensor, after: Tensor) -> float:
    """Number by number: half of how much of the slope along a step is gone after it."""
    pairs = list(zip(before.tolist(), after.tolist(), strict=True))
    return sum(a * (a - b) for a, b in pairs) / sum(a * a for a, _ in pairs) / 2


def _cases() -> dict[str, tuple]:
    def numbers(*values):
        return torch.tensor(values, dtype=torch.float64)

    return {
        "a step that halves the gradient": (numbers(2.0, -4.0, 6.0), numbers(1.0, -2.0, 3.0)),
        "a gradient that turns by a right angle": (numbers(3.0, 1.0), numbers(-2.0, 6.0)),
        "a swing of period two": (numbers(0.5, -1.5, 2.5), numbers(-0.5, 1.5, -2.5)),
        "a swing and a steady part": (numbers(0.5, -1.5, 0.3), numbers(-0.5, 1.5, 0.3)),
        "beyond the edge: the gradient grows": (numbers(0.2, 0.4), numbers(-0.5, -0.7)),
        "a curvature below zero": (numbers(0.02, 0.05, -0.01), numbers(0.03, 0.06, -0.01)),
        "large gradients": (1e5 * (random(1, 7) + 0.3), 1e5 * (random(2, 7) - 0.2)),
    }


def _draw(rng: Random) -> tuple:
    p, scale = rng.randint(1, 9), 10 ** rng.uniform(-3, 3)
    before = torch.tensor([rng.gauss(0.3, 1) for _ in range(p)], dtype=torch.float64)
    factors = torch.tensor([rng.uniform(-1.6, 1.1) for _ in range(p)], dtype=torch.float64)
    return scale * before, scale * before * factors


EDGE_METER = Function(
    key="08/edge_meter",
    picture=pictures.edge_meter,
    reference=_along_the_step,
    cases=_cases,
    draw=_draw,
    praise="It reads 1 in every swing of period two, 1/4 where a step halves the gradient, and less than 0 where the loss bends down.",
    alternatives=(
        lambda before, after: ((1 - after @ before / before.square().sum()) / 2).item(),
        lambda before, after: ((before - after) @ before / (2 * before.norm() ** 2)).item(),
    ),
    mistakes=(
        Mistake(
            "the half forgotten",
            "This is twice the stability number: it reads 2 in a swing of period two. The edge is at eta times the curvature = 2.",
            lambda before, after: (1 - after @ before / (before @ before)).item(),
        ),
        Mistake(
            "divided by the later one",
            "This divides by the later gradient. The step was eta times the earlier one, and its length belongs in the denominator.",
            lambda before, after: ((1 - after @ before / (after @ after)) / 2).item(),
        ),
        Mistake(
            "a cosine",
            "This uses the angle between the gradients alone. How much shorter or longer the later one is counts, too: divide by the square of the earlier one.",
            lambda before, after: ((1 - after @ before / (after.norm() * before.norm())) / 2).item(),
        ),
        Mistake(
            "the wrong sign",
            "The sign is wrong: a later gradient that points the other way means a large curvature.",
            lambda before, after: ((1 + after @ before / (before @ before)) / 2).item(),
        ),
        Mistake(
            "a length",
            "This is the length of the difference of the gradients. It is an upper bound of the curvature along the step, and forgets its sign: take the product with the step.",
            lambda before, after: ((after - before).norm() / (2 * before.norm())).item(),
        ),
        Mistake(
            "a denominator that is no square",
            "The denominator is the length of the earlier gradient, not its square: the number would depend on the units of the loss.",
            lambda before, after: ((before @ before - after @ before) / (2 * before.norm())).item(),
        ),
        Mistake(
            "the growth alone",
            "This is how much the gradient has grown. In a swing of period two it says 1 as well, but also where nothing has changed at all.",
            lambda before, after: (after.norm() / before.norm()).item(),
        ),
        Mistake(
            "entry by entry",
            "This takes the ratio entry by entry and averages. Entries that hardly move then count as much as the others: two products of vectors, then one ratio.",
            lambda before, after: ((1 - after / before) / 2).mean().item(),
        ),
    ),
)
