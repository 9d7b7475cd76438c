"""Exercise 4: which steps are what they should be."""

from collections.abc import Callable
from random import Random

import torch
from torch import Tensor
from torch.func import jacrev

from regimes_course.kit.checking import Function, Mistake, random
from regimes_course.lesson07 import pictures

__all__ = ["VERIFIED"]

STEP = 1e-6


def _network(x: Tensor, V: Tensor, u: Tensor, shape: tuple[int, int]) -> Callable[[Tensor], Tensor]:
    """Outputs of two tanh layers, the second of which reads what the first has made; both are trained."""

    def outputs(w: Tensor) -> Tensor:
        first = torch.tanh(x @ V) @ w[0].reshape(shape)
        return (first + torch.tanh(first @ V) @ w[1].reshape(shape)) @ u

    return outputs


def _case(seed: int, n: int, h: int, m: int, q: int, scale: float, picks: str) -> tuple:
    """A network, its weights, a movement that is wanted, and candidate steps: for each letter one of those below."""
    x, V, u = 0.3 + random(seed, n, h), random(seed + 1, h, m) / h**0.5, 0.2 + random(seed + 2, h, q)
    outputs, w = _network(x, V, u, (m, h)), 0.7 * random(seed + 3, 2, m * h)
    r = scale * (0.4 + random(seed + 4, n, q))
    J = jacrev(outputs)(w).reshape(n * q, -1)
    shortest = torch.linalg.pinv(J) @ r.flatten()
    unseen = random(seed + 5, J.shape[1])
    unseen = unseen - torch.linalg.pinv(J) @ (J @ unseen)
    steps = {
        "s": shortest,
        "l": shortest + shortest.norm() * unseen / unseen.norm(),  # right, and longer
        "g": J.T @ r.flatten() * (r.norm() ** 2 / (J.T @ r.flatten()).norm() ** 2),  # a gradient of the right size
        "n": -shortest,
        "d": 2 * shortest,
        "h": 0.5 * shortest,
        "o": 1.01 * shortest,  # one per cent off
        "m": shortest + 0.3 * torch.linalg.pinv(J) @ random(seed + 6, n * q) * r.norm() / (n * q) ** 0.5,
    }
    return outputs, w, r, [steps[pick].reshape(w.shape) for pick in picks]


def _cases() -> dict[str, tuple]:
    return {
        "the shortest, minus it, and the gradient": _case(0, 3, 4, 7, 2, 1.0, "sng"),
        "another that is longer, and one that is a little off": _case(10, 4, 3, 9, 2, 1.0, "olm"),
        "a tiny movement": _case(20, 3, 4, 7, 1, 1e-5, "dsmlg"),
        "a large movement": _case(30, 4, 5, 8, 2, 300.0, "lhs"),
        "none is right": _case(40, 3, 4, 6, 2, 2.0, "go"),
    }


def _draw(rng: Random) -> tuple:
    picks = "".join(rng.choice("slgndhom") for _ in range(rng.randint(1, 4)))
    return _case(
        rng.randrange(10**6),
        rng.randint(1, 4),
        rng.randint(3, 4),
        rng.randint(7, 9),
        rng.randint(1, 2),
        10 ** rng.uniform(-4, 2),
        picks,
    )


def _reference(outputs, w, r, steps):
    J = jacrev(outputs)(w).reshape(r.numel(), -1)
    return [bool((J @ step.flatten() - r.flatten()).norm() <= 1e-3 * r.norm()) for step in steps]


def _moved(outputs, w, step):
    """By central differences, at a length that suits the step."""
    h = STEP / step.norm()
    return (outputs(w + h * step) - outputs(w - h * step)) / (2 * h)


def _by(outputs, w, r, steps, moved=_moved, good=lambda moved, r: (moved - r).norm() <= 1e-3 * r.norm()):
    return [bool(good(moved(outputs, w, step), r)) for step in steps]


def _one_sided(outputs, w, step):
    h = 1e-7 / step.norm()
    return (outputs(w + h * step) - outputs(w)) / h


def _jvp(outputs, w, step):
    return torch.func.jvp(outputs, (w,), (step,))[1]


def _cosine(moved, r):
    return (moved * r).sum() >= (1 - 1e-4) * moved.norm() * r.norm()


def _shortest_alone(outputs, w, r, steps):
    right = _by(outputs, w, r, steps)
    least = min((step.norm() for step, good in zip(steps, right, strict=True) if good), default=0.0)
    return [good and bool(step.norm() <= 1.0001 * least) for step, good in zip(steps, right, strict=True)]


VERIFIED = Function(
    key="07/verified",
    picture=pictures.verified,
    reference=_reference,
    cases=_cases,
    draw=_draw,
    praise="You can check any second-order method now, without knowing how its step was computed.",
    alternatives=(_by, lambda *a: _by(*a, moved=_jvp), lambda *a: tuple(_by(*a, moved=_one_sided))),
    mistakes=(
        Mistake(
            "a whole step",
            "This moves the weights by the whole step. J says what a *small* move does: move by h times the step, and divide by h.",
            lambda *a: _by(*a, moved=lambda f, w, s: f(w + s) - f(w)),
        ),
        Mistake(
            "divided by h alone",
            "The difference of the two sides belongs to a move of 2 h, and is divided by h.",
            lambda *a: _by(*a, moved=lambda f, w, s: 2 * _moved(f, w, s)),
        ),
        Mistake(
            "sign",
            "The sign is wrong: the outputs after a move along +step, minus those before.",
            lambda *a: _by(*a, moved=lambda f, w, s: -_moved(f, w, s)),
        ),
        Mistake(
            "absolute",
            "This compares the miss with 0.001 itself. It is to be compared with 0.001 times the length of r: r may be tiny or large.",
            lambda *a: _by(*a, good=lambda moved, r: (moved - r).norm() <= 1e-3),
        ),
        Mistake(
            "direction alone",
            "This accepts any step that moves the outputs in the direction of r, however far. The length counts, too.",
            lambda *a: _by(*a, good=_cosine),
        ),
        Mistake(
            "length alone",
            "This compares lengths. A movement as long as r can be another one: compare the movements themselves.",
            lambda *a: _by(*a, good=lambda moved, r: abs(moved.norm() - r.norm()) <= 1e-3 * r.norm()),
        ),
        Mistake(
            "downhill",
            "This accepts whatever makes the error smaller. A gradient does that as well: asked for is J delta = r.",
            lambda *a: _by(*a, good=lambda moved, r: (moved * r).sum() > 0),
        ),
        Mistake(
            "too generous",
            "This lets a miss of one per cent pass. At most one in a thousand is asked for.",
            lambda *a: _by(*a, good=lambda moved, r: (moved - r).norm() <= 0.02 * r.norm()),
        ),
        Mistake(
            "the shortest alone",
            "This accepts the shortest of the right steps only. There are many right inverses; a longer one is exact as well.",
            _shortest_alone,
        ),
        Mistake(
            "numbers of the steps",
            "This returns the numbers of the steps that are right. Return True or False for each of them.",
            lambda *a: [i for i, good in enumerate(_by(*a)) if good],
        ),
        Mistake(
            "the other way round",
            "True and False are exchanged: True for a step that does it.",
            lambda *a: [not good for good in _by(*a)],
        ),
    ),
)
