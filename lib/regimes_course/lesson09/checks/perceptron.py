"""Exercise 3: what is left of gradient descent when its step is huge."""

import math
from collections.abc import Callable
from random import Random

import torch
from torch import Tensor

from regimes_course.kit.checking import Function, Mistake
from regimes_course.lesson09 import pictures

__all__ = ["PERCEPTRON_STEPS"]

MOST = 20_000


def two(gamma: float) -> Tensor:
    """The two points of the lesson."""
    h = math.sqrt(1 - gamma**2)
    return torch.tensor([[gamma, h], [gamma, -h / 2]], dtype=torch.float64)


def _cases() -> dict[str, tuple]:
    cases = {
        "one point": [[0.6, -0.5]],
        "two points that agree": [[0.9, 0.1], [0.7, 0.3]],
        "three points": [[0.31, 0.87], [0.29, -0.93], [0.41, -0.22]],
        "five points, of which several are wrong at once": [
            [0.12, 0.91, -0.2],
            [0.17, -0.82, 0.31],
            [0.23, 0.15, 0.88],
            [0.11, -0.2, -0.93],
            [0.35, -0.44, -0.61],
        ],
    }
    made = {name: (torch.tensor(Z, dtype=torch.float64),) for name, Z in cases.items()}
    return made | {f"the lesson's points, gamma = {gamma:g}": (two(gamma),) for gamma in (0.2, 0.1, 0.05, 0.025)}


def _draw(rng: Random) -> tuple:
    """Points with a margin: their first coordinate is positive."""
    n, d = rng.randint(2, 6), rng.randint(2, 4)
    rows = [[rng.uniform(0.08, 0.5), *(rng.uniform(-1, 1) for _ in range(d - 1))] for _ in range(n)]
    return (torch.tensor(rows, dtype=torch.float64),)


def _literal(Z: Tensor) -> int:
    """Point by point."""
    points = Z.tolist()
    w = [0.0] * len(points[0])
    for steps in range(MOST):
        total, wrong = [0.0] * len(w), False
        for z in points:
            q = sum(a * b for a, b in zip(w, z, strict=True))
            if q <= 0:
                wrong = True
                total = [t + (0.5 if q == 0 else 1.0) * a for t, a in zip(total, z, strict=True)]
        if not wrong:
            return steps
        w = [a + t / len(points) for a, t in zip(w, total, strict=True)]
    return MOST


def _walked(Z: Tensor, push: Callable[[Tensor], Tensor], told: Callable[[int, int], int] = lambda steps, wrong: steps) -> int:
    """By tensors, with the weights that ``push`` gives to the points, by ``q``; ``told(steps, mistakes)`` is returned."""
    w, wrong = torch.zeros(Z.shape[1], dtype=Z.dtype), 0
    for steps in range(MOST):
        q = Z @ w
        if (q > 0).all():
            return told(steps, wrong)
        wrong += int((q <= 0).sum())
        w = w + push(q) @ Z / len(Z)
    return MOST


def switch(q: Tensor) -> Tensor:
    """One for a wrong answer, a half for none."""
    return (1 - q.sign()) / 2


def _one(q: Tensor, which: int) -> Tensor:
    chosen = torch.zeros_like(q)
    chosen[which] = 1.0
    return chosen


def _strictly(Z: Tensor) -> int:
    """Stops as soon as no point is strictly wrong: at once."""
    w = torch.zeros(Z.shape[1], dtype=Z.dtype)
    for steps in range(MOST):
        wrong = (Z @ w < 0).double()
        if not wrong.any():
            return steps
        w = w + wrong @ Z / len(Z)
    return MOST


PERCEPTRON_STEPS = Function(
    key="09/perceptron_steps",
    picture=pictures.perceptron_steps,
    reference=_literal,
    cases=_cases,
    draw=_draw,
    praise="It agrees with going from point to point: 4, 13, 52 and 202 steps for the margins 0.2, 0.1, 0.05 and 0.025. No step size came in.",
    alternatives=(
        lambda Z: _walked(Z, switch),
        lambda Z: _walked(Z, lambda q: torch.heaviside(-q, torch.tensor(0.5, dtype=q.dtype))),
        lambda Z: _walked(Z, lambda q: len(q) * switch(q)),  # the length of w does not matter
    ),
    mistakes=(
        Mistake(
            "right points, too",
            "This adds the right points as well. They say nothing: sigma(-q) is 0 for them. Add the wrong ones only.",
            lambda Z: _walked(Z, torch.ones_like),
        ),
        Mistake(
            "the mean of the wrong ones",
            "This divides by the number of wrong points. The risk is a mean over all n points, so that two wrong points push twice as much as one.",
            lambda Z: _walked(Z, lambda q: switch(q) * len(q) / (q <= 0).sum()),
        ),
        Mistake(
            "mistakes, not steps",
            "This counts wrong points. Count steps: two points that are wrong at once cost one step.",
            lambda Z: _walked(Z, switch, lambda steps, wrong: wrong),
        ),
        Mistake(
            "undecided points counted in full",
            "At w = 0 every q is zero, and sigma(0) is 1/2. This takes 1, and so starts with a step that is twice too long.",
            lambda Z: _walked(Z, lambda q: (q <= 0).double()),
        ),
        Mistake(
            "undecided points are right",
            "At w = 0 every q is zero. This takes that for right, never starts, and returns 0. A point is right if its q is positive.",
            _strictly,
        ),
        Mistake(
            "one point at a time",
            "This is the perceptron that takes the first wrong point of each round. Gradient descent on the risk adds all wrong points in one step.",
            lambda Z: _walked(Z, lambda q: _one(q, int((q <= 0).int().argmax()))),
        ),
        Mistake(
            "the worst point only",
            "This adds the worst point of each round. Gradient descent on the risk adds all wrong points in one step.",
            lambda Z: _walked(Z, lambda q: _one(q, int(q.argmin()))),
        ),
        Mistake(
            "one too few",
            "This is one too few: the last step counts, too. If w is right after the first step, the answer is 1.",
            lambda Z: _literal(Z) - 1,
        ),
        Mistake(
            "a step of one",
            "This is gradient descent with a step of 1: its sigma is no switch yet. Take 1 for a wrong point, 0 for a right one.",
            lambda Z: _walked(Z, lambda q: torch.sigmoid(-q)),
        ),
        Mistake(
            "pushed away",
            "This pushes w away from the wrong points and never ends. Add them: w . z grows by |z|^2.",
            lambda Z: _walked(Z, lambda q: -switch(q)),
        ),
    ),
)
