"""Exercise 5: a step of the loss of degree four in two numbers that close."""

from random import Random

import torch
from torch import Tensor

from regimes_course.kit.checking import Function, Mistake, Trial
from regimes_course.kit.comparing import same
from regimes_course.lesson08 import pictures

__all__ = ["CLOSED_STEP"]


def _by_stepping(p: Tensor, q: Tensor, eta: float) -> tuple[Tensor, Tensor]:
    """Find x and y with this product and this sum of squares, take the step there, and look."""
    plus, minus = (q + 2 * p).sqrt(), (q - 2 * p).sqrt()
    x, y = ((plus + minus) / 2).requires_grad_(), ((plus - minus) / 2).requires_grad_()
    dx, dy = torch.autograd.grad(((x**2 * y**2 - 1) ** 2 / 4).sum(), (x, y))
    x, y = (x - eta * dx).detach(), (y - eta * dy).detach()
    return x * y, x**2 + y**2


def _cases() -> dict[str, tuple]:
    def numbers(*values):
        return torch.tensor(values, dtype=torch.float64)

    return {
        "at the floor of the valley": (numbers(1.0), numbers(5.3), 0.1),
        "a little off the floor": (numbers(1.1), numbers(9.7), 0.1),
        "a large step": (numbers(0.6, 1.3), numbers(4.1, 3.2), 0.4),
        "several places": (numbers(0.3, 0.8, 1.2, 1.7), numbers(3.3, 21.0, 2.9, 6.1), 0.07),
        "the other valley": (numbers(-0.7, -1.2, -1.6), numbers(2.2, 7.4, 12.5), 0.15),
    }


def _step(p, q, eta, *, g=lambda p: p * (p * p - 1), product=1.0, both=4.0, second=1.0, seen_first=False):
    g = g(p)
    new = p * (1 + second * eta**2 * g**2) - product * eta * g * q
    return new, q * (1 + second * eta**2 * g**2) - both * eta * g * (new if seen_first else p)


def _second_terms(p, q, eta, power=2, exchanged=False):
    """The step with the terms of two factors g as they should not be."""
    g, (with_p, with_q) = p**3 - p, (q, p) if exchanged else (p, q)
    return p - eta * g * q + eta**power * g**2 * with_p, q - 4 * eta * g * p + eta**power * g**2 * with_q


def _one_after_the_other(p, q, eta):
    plus, minus = (q + 2 * p).sqrt(), (q - 2 * p).sqrt()
    x, y = (plus + minus) / 2, (plus - minus) / 2
    g = p**3 - p
    x = x - eta * g * y
    y = y - eta * g * x
    return x * y, x**2 + y**2


def _right_alone(trials: list[Trial], which: int) -> bool:
    """Whether this one of the two numbers is right in all cases."""
    pairs = [(t.got.value, t.want.value) for t in trials]
    return all(isinstance(got, tuple | list) and len(got) == 2 and same(got[which], want[which], 1e-10) for got, want in pairs)


def _through_points(p, q, eta):
    """By a point with these two numbers."""
    angle = torch.asin(2 * p / q) / 2
    x, y = q.sqrt() * torch.cos(angle), q.sqrt() * torch.sin(angle)
    g = x * y * ((x * y) ** 2 - 1)
    x, y = x - eta * g * y, y - eta * g * x
    return x * y, x * x + y * y


def _by_factors(p, q, eta):
    """``x + y`` is multiplied by ``1 - eta g``, ``x - y`` by ``1 + eta g``."""
    g = p**3 - p
    plus, minus = (q + 2 * p) * (1 - eta * g) ** 2, (q - 2 * p) * (1 + eta * g) ** 2
    return (plus - minus) / 4, (plus + minus) / 2


def _draw(rng: Random) -> tuple:
    p = [rng.uniform(-1.8, 1.8) for _ in range(rng.randint(1, 4))]
    q = [2 * abs(value) + rng.uniform(0.5, 12) for value in p]
    return torch.tensor(p, dtype=torch.float64), torch.tensor(q, dtype=torch.float64), rng.uniform(0.01, 0.5)


CLOSED_STEP = Function(
    key="08/closed_step",
    picture=pictures.closed_step,
    reference=_by_stepping,
    cases=_cases,
    draw=_draw,
    praise="It is what gradient descent in x and y does, at every place, in both valleys, exactly.",
    rtol=1e-10,
    alternatives=(_step, _through_points, _by_factors),
    mistakes=(
        Mistake(
            "first order",
            "This leaves the terms with eta^2 out. They are not small at the edge: without them q never grows, and the place of rest is wrong.",
            lambda p, q, eta: _step(p, q, eta, second=0.0),
        ),
        Mistake(
            "half the square",
            "Both squares contribute to eta^2 g^2: (x - eta g y)^2 + (y - eta g x)^2 has eta^2 g^2 (x^2 + y^2). This has half of it.",
            lambda p, q, eta: _step(p, q, eta, second=0.5),
        ),
        Mistake(
            "square with the wrong sign",
            "The terms with eta^2 have the wrong sign: they come from a square and from the product of two steps, both positive.",
            lambda p, q, eta: _step(p, q, eta, second=-1.0),
        ),
        Mistake(
            "uphill",
            "This goes uphill: a step subtracts the gradient.",
            lambda p, q, eta: _step(p, q, eta, product=-1.0, both=-4.0),
        ),
        Mistake(
            "one square",
            "In q' the term with eta has half its size: x^2 and y^2 contribute 2 eta g p each.",
            lambda p, q, eta: _step(p, q, eta, both=2.0),
        ),
        Mistake(
            "twice the product",
            "In p' the term with eta is twice as large as it should be: (x - eta g y)(y - eta g x) has eta g (x^2 + y^2) once.",
            lambda p, q, eta: _step(p, q, eta, product=2.0),
        ),
        Mistake(
            "chain rule",
            "The factor g = p^2 - 1 lacks a factor p. The derivative by x of (x^2 y^2 - 1)^2 / 4 is (x^2 y^2 - 1) x y^2, which is g y.",
            lambda p, q, eta: _step(p, q, eta, g=lambda p: p * p - 1),
        ),
        Mistake(
            "the other product",
            "This g belongs to the loss (x y - 1)^2 / 2, a product alone. Here the product is squared first.",
            lambda p, q, eta: _step(p, q, eta, g=lambda p: p - 1),
        ),
        Mistake(
            "loss not divided by four",
            "This is the gradient of (x^2 y^2 - 1)^2. The loss has a factor 1/4, which cancels both twos.",
            lambda p, q, eta: _step(p, q, eta, g=lambda p: 4 * p * (p * p - 1)),
        ),
        Mistake(
            "p overwritten",
            "The second number is computed with the new p. Both numbers move at once: keep the old p until q' is done.",
            lambda p, q, eta: _step(p, q, eta, seen_first=True),
        ),
        Mistake(
            "wrong order",
            "The two numbers are right, but in the wrong order: the product comes first.",
            lambda p, q, eta: _step(p, q, eta)[::-1],
        ),
        Mistake(
            "sharpness for q",
            "The second number is twice what it should be: q = x^2 + y^2, while the sharpness of the valley is 2 q.",
            lambda p, q, eta: (lambda step: (step[0], 2 * step[1]))(_step(p, q, eta)),
        ),
        Mistake(
            "g twice as large",
            "All that comes with g is too large by a factor of two, eta g for each: the derivative of (p^2 - 1)^2 / 4 by p is (p^2 - 1) p.",
            lambda p, q, eta: _step(p, q, eta, g=lambda p: 2 * p * (p * p - 1)),
        ),
        Mistake(
            "g half as large",
            "All that comes with g is too small by a factor of two, eta g for each: the derivative of (p^2 - 1)^2 / 4 by p is (p^2 - 1) p.",
            lambda p, q, eta: _step(p, q, eta, g=lambda p: p * (p * p - 1) / 2),
        ),
        Mistake(
            "eta not squared",
            "The last terms have eta once: they are products of two steps, each with its own eta g.",
            lambda p, q, eta: _second_terms(p, q, eta, power=1),
        ),
        Mistake(
            "p and q exchanged in the last terms",
            "The last terms are exchanged: eta^2 g^2 comes with p in p', from the product of the two steps, and with q in q', from their squares.",
            lambda p, q, eta: _second_terms(p, q, eta, exchanged=True),
        ),
        Mistake(
            "y after x",
            "This moves y with the x that has just moved. In a step of gradient descent both move at once, from the old place.",
            _one_after_the_other,
        ),
        Mistake(
            "p' alone is right",
            "The first number is right, the second is not. q' is the sum of the squares of x - eta g y and y - eta g x: multiply out, and x^2 + y^2 and x y are all that is left.",
            lambda p, q, eta: (_step(p, q, eta)[0], _step(p, q, eta, both=-4.0)[1]),
            lambda trials: _right_alone(trials, 0),
        ),
        Mistake(
            "q' alone is right",
            "The second number is right, the first is not. p' is the product of x - eta g y and y - eta g x: multiply out, and x^2 + y^2 and x y are all that is left.",
            lambda p, q, eta: (_step(p, q, eta, product=-1.0)[0], _step(p, q, eta)[1]),
            lambda trials: _right_alone(trials, 1),
        ),
    ),
)
