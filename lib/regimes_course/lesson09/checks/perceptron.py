"""Exercise 3: what is left of gradient descent when its step is huge."""

import math
from collections.abc import Callable
from operator import mul
from random import Random

import torch
from torch import Tensor

from regimes_course.kit.checking import Function, Mistake, Trial
from regimes_course.kit.comparing import number
from regimes_course.lesson09 import pictures

__all__ = ["PERCEPTRON_STEPS"]

MOST = 10_000
Weights = Callable[[list[float]], list[float]]  # of the points, from their q


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
    return made | {f"the lesson's points, gamma = {gamma:g}": (two(gamma),) for gamma in (0.2, 0.1, 0.05, 0.025, 0.01)}


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


def _walked(Z: Tensor, push: Weights, told: Callable[[int, int], int] = lambda steps, wrong: steps) -> int:
    """With the weights that ``push`` gives to the points, by ``q``; ``told(steps, mistakes)`` is returned. In plain Python, ten times
    as fast here as with tensors: a check tries all of these on all cases."""
    points, wrong = Z.tolist(), 0
    w = [0.0] * len(points[0])
    for steps in range(MOST):
        q = [sum(map(mul, w, z)) for z in points]
        if min(q) > 0:
            return told(steps, wrong)
        wrong += sum(one <= 0 for one in q)
        weights = push(q)
        w = [a + sum(map(mul, weights, column)) / len(points) for a, column in zip(w, zip(*points, strict=True), strict=True)]
    return MOST


def _by_tensors(Z: Tensor, push: Callable[[Tensor], Tensor]) -> int:
    w, steps = torch.zeros(Z.shape[1], dtype=Z.dtype), 0
    while (Z @ w <= 0).any():
        w, steps = w + push(Z @ w) @ Z / len(Z), steps + 1
    return steps


def _switch(one: float) -> float:
    """One for a wrong answer, a half for none."""
    return 0.5 if one == 0 else float(one < 0)


def switch(q: list[float]) -> list[float]:
    """`_switch` of each."""
    return [_switch(one) for one in q]


def _one(q: list[float], which: int) -> list[float]:
    return [float(i == which) for i in range(len(q))]


def _first_wrong(q: list[float]) -> int:
    return next(i for i, one in enumerate(q) if one <= 0)


def _mean_of_wrong(q: list[float]) -> list[float]:
    return [weight * len(q) / sum(one <= 0 for one in q) for weight in switch(q)]


def _online(Z: Tensor, rounds: bool = False, half: bool = False) -> int:
    """Point by point, each step from the w that the point before has left; how many steps, or rounds."""
    points, w, steps = Z.tolist(), [0.0] * Z.shape[1], 0
    for done in range(MOST):
        if min(sum(map(mul, w, z)) for z in points) > 0:
            return done if rounds else steps
        for z in points:
            if (q := sum(map(mul, w, z))) <= 0:
                w = [a + (0.5 if half and q == 0 else 1.0) * b for a, b in zip(w, z, strict=True)]
                steps += 1
    return MOST


def _online_in_some_form(trials: list[Trial]) -> bool:
    forms = [{"rounds": rounds, "half": half} for rounds in (False, True) for half in (False, True)]
    return any(all(number(t.got.value) == _online(*t.args, **form) for t in trials) for form in forms)


def _capped(trials: list[Trial]) -> bool:
    """Whether at least half are right, and the others, which are the longest, end early and alike."""
    wrong = [t for t in trials if not t.right]
    if 2 * len(wrong) > len(trials):
        return False
    told, least = {number(t.got.value) for t in wrong}, min((t.want.value for t in wrong), default=0)
    longest = all(t.want.value < least for t in trials if t.right)
    return longest and len(told) == 1 and all(isinstance(one, int) and one < least for one in told)


PERCEPTRON_STEPS = Function(
    key="09/perceptron_steps",
    picture=pictures.perceptron_steps,
    reference=_literal,
    cases=_cases,
    draw=_draw,
    praise="It agrees with going from point to point: 4, 13, 52, 202 and 1252 steps for the margins 0.2, 0.1, 0.05, 0.025 and 0.01. No step size came in.",
    alternatives=(
        lambda Z: _walked(Z, switch),
        lambda Z: _by_tensors(Z, lambda q: torch.heaviside(-q, torch.tensor(0.5, dtype=q.dtype))),
        lambda Z: _by_tensors(Z, lambda q: len(q) * (1 - q.sign()) / 2),  # the length of w does not matter
    ),
    mistakes=(
        Mistake(
            "right points, too",
            "This adds the right points as well. They say nothing: sigma(-q) is 0 for them. Add the wrong ones only.",
            lambda Z: _walked(Z, lambda q: [1.0] * len(q)),
        ),
        Mistake(
            "the mean of the wrong ones",
            "This divides by the number of wrong points. The risk is a mean over all n points, so that two wrong points push twice as much as one.",
            lambda Z: _walked(Z, _mean_of_wrong),
        ),
        Mistake(
            "mistakes, not steps",
            "This counts wrong points. Count steps: two points that are wrong at once cost one step.",
            lambda Z: _walked(Z, switch, lambda steps, wrong: wrong),
        ),
        Mistake(
            "undecided points counted in full",
            "At w = 0 every q is zero, and sigma(0) is 1/2. This takes 1, and so starts with a step that is twice too long.",
            lambda Z: _walked(Z, lambda q: [float(one <= 0) for one in q]),
        ),
        Mistake(
            "undecided points are right",
            "This returns 0 for all data. At w = 0 every q is zero, and no point is right yet: a point is right if its q is positive.",
            lambda Z: 0,
        ),
        Mistake(
            "one point at a time",
            "This is the perceptron that takes the first wrong point of each round. Gradient descent on the risk adds all wrong points in one step.",
            lambda Z: _walked(Z, lambda q: _one(q, _first_wrong(q))),
        ),
        Mistake(
            "online",
            "This goes through the points one by one, and each is asked with the w that the one before has left. Gradient descent asks all points with one w, and adds all wrong ones in one step.",
            _online,
            _online_in_some_form,
        ),
        Mistake(
            "the worst point only",
            "This adds the worst point of each round. Gradient descent on the risk adds all wrong points in one step.",
            lambda Z: _walked(Z, lambda q: _one(q, q.index(min(q)))),
        ),
        Mistake(
            "one too few",
            "This is one too few: the last step counts, too. If w is right after the first step, the answer is 1.",
            lambda Z: _literal(Z) - 1,
        ),
        Mistake(
            "a step of one",
            "This is gradient descent with a step of 1: its sigma is no switch yet. Take 1 for a wrong point, 0 for a right one.",
            lambda Z: _walked(Z, lambda q: [1 / (1 + math.exp(one)) for one in q]),
        ),
        Mistake(
            "stopped too early",
            "The short cases are right, and a long one ends early: is there a largest number of steps? At a margin of 0.01 it takes more than 1000. Go on until all points are right.",
            lambda Z: min(1000, _literal(Z)),
            _capped,
        ),
        Mistake(
            "pushed away",
            "This pushes w away from the wrong points and never ends. Add them: w . z grows by |z|^2.",
            lambda Z: _walked(Z, lambda q: [-weight for weight in switch(q)]),
        ),
    ),
)
