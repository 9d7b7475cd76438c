"""Exercise 3: an exact step of one block."""

from collections.abc import Callable
from random import Random

import torch
from torch import Tensor
from torch.func import jacrev, jvp

from regimes_course.kit.checking import Function, Mistake, Trial, random
from regimes_course.kit.comparing import same
from regimes_course.lesson07 import pictures
from regimes_course.lesson07.experiments import half

__all__ = ["ONE_BLOCK"]


def _case(seed: int, n: int, h: int, m: int) -> tuple:
    x, E = 0.3 + 1.4 * random(seed, n, 2 * h), 0.6 + 2.0 * random(seed + 30, n, 2 * h)
    return x, E, random(seed + 10, 2, h, m) / h**0.5, 0.25 * random(seed + 20, 2, m + 1, h)


def _cases() -> dict[str, tuple]:
    sizes = {"one image": (1, 2, 5), "a few images": (4, 3, 13), "more images": (6, 2, 19)}
    return {label: _case(i, *size) for i, (label, size) in enumerate(sizes.items())}


def _draw(rng: Random) -> tuple:
    n = rng.randint(1, 4)
    return _case(rng.randrange(10**6), n, rng.randint(2, 3), 3 * n + rng.randint(2, 5))


def _forward(x, V, W):
    x1, x2 = x.chunk(2, 1)
    x1 = x1 + half(x2, V[0], W[0]).output
    return torch.cat([x1, x2 + half(x1, V[1], W[1]).output], 1)


def _dense(x, E, V, W):
    """The shortest solution, by a dense Jacobian of autograd."""
    J = jacrev(lambda W: _forward(x, V, W).flatten())(W).flatten(1)
    return (torch.linalg.pinv(J) @ E.flatten()).reshape(W.shape)


def _pinv(A, R):
    return torch.linalg.pinv(A) @ R


def _step(
    x, E, V, W, *, inverse=_pinv, cross=1.0, stale=False, swap=False, by=lambda F, G, delta: G.jvp(F.A @ delta), own=True
):
    """The step, and what can be done wrong about it."""
    (x1, x2), (e1, e2) = x.chunk(2, 1), E.chunk(2, 1)
    e1, e2 = (e2, e1) if swap else (e1, e2)
    F = half(x2, V[0], W[0])
    G = half(x1 if stale else x1 + F.output, V[1], W[1])
    first = inverse(F.A, e1)
    return torch.stack([first, inverse(G.A if own else F.A, e2 - cross * by(F, G, first))])


def _by_gram(A, R):
    return A.T @ torch.linalg.solve(A @ A.T, R)


def _pulled(x, E, V, W):
    """With e1 itself in place of what the first half layer makes."""
    x1, x2, e1, e2 = *x.chunk(2, 1), *E.chunk(2, 1)
    F = half(x2, V[0], W[0])
    G = half(x1 + F.output, V[1], W[1])
    return torch.stack([_by_gram(F.A, e1), _by_gram(G.A, e2 - G.jvp(e1))])


def _well_formed(trial: Trial) -> bool:
    got, want = trial.got.value, trial.want.value
    return isinstance(got, Tensor) and (got.shape, got.dtype) == (want.shape, want.dtype) and bool(got.isfinite().all())


def _right_half_layer(which: int) -> Callable[[list[Trial]], bool]:
    """Whether the step of this half layer is right in all cases."""
    return lambda trials: all(_well_formed(t) and same(t.got.value[which], t.want.value[which], 1e-7) for t in trials)


def _reaches(trials: list[Trial]) -> bool:
    """Whether J delta = E in all cases."""
    return all(
        _well_formed(t)
        and same(jvp(lambda W, t=t: _forward(t.args[0], t.args[2], W), (t.args[3],), (t.got.value,))[1], t.args[1], 1e-7)
        for t in trials
    )


def _longer(A, R):
    """A solution with a part that no sample sees."""
    back = torch.linalg.pinv(A)
    return back @ R + 1 - back @ A.sum(1, keepdim=True)


ONE_BLOCK = Function(
    key="07/one_block",
    picture=pictures.one_block,
    reference=_dense,
    cases=_cases,
    draw=_draw,
    praise="It makes the whole movement, and of all steps that do, it is the shortest: a dense Jacobian agrees.",
    alternatives=(_step, _pulled, lambda *a: _step(*a, inverse=_by_gram)),
    mistakes=(
        Mistake(
            "no cross term",
            "The second half layer reads x1, and x1 has just been told to move by A delta_F: subtract what that alone does to x2, G.jvp(F.A @ delta_F), from e2.",
            lambda *a: _step(*a, cross=0.0),
        ),
        Mistake(
            "cross term added",
            "The cross term is added. What delta_F alone does to x2 is there already: subtract it from e2.",
            lambda *a: _step(*a, cross=-1.0),
        ),
        Mistake(
            "features of the input",
            "G is taken at the x1 of the input. It reads the x1 that F has changed: half(x1 + F.output, ...).",
            lambda *a: _step(*a, stale=True),
        ),
        Mistake(
            "halves swapped",
            "This gives the movement of the second half to the first half layer. The first columns of E are e1, the movement of x1.",
            lambda *a: _step(*a, swap=True),
        ),
        Mistake(
            "features of the other half layer",
            "Both half layers get the features of the first. The second reads x1: its features are G.A.",
            lambda *a: _step(*a, own=False),
        ),
        Mistake(
            "transpose",
            "This multiplies by A^T, which is a gradient. Multiply by the pseudo-inverse A^+.",
            lambda *a: _step(*a, inverse=lambda A, R: A.T @ R),
        ),
        Mistake(
            "all of e1 and its output",
            "The cross term is G's answer to a *movement* of x1. F.output is not a movement but what F adds.",
            lambda *a: _step(*a, by=lambda F, G, delta: G.jvp(F.output)),
        ),
        Mistake(
            "sign",
            "The sign is wrong: J delta should be E, not -E.",
            lambda *a: -_step(*a),
        ),
        Mistake(
            "halved",
            "The result is divided by two. The two half layers share the work: each makes its own half of the state.",
            lambda *a: _step(*a) / 2,
        ),
        Mistake(
            "half layers exchanged",
            "The two steps are exchanged: index 0 is that of F, which changes x1, index 1 that of G.",
            lambda *a: _step(*a).flip(0),
        ),
        Mistake(
            "damped",
            "A damping in A A^T makes the step miss a part of E. Without one it is exact: A has more columns than rows.",
            lambda *a: _step(*a, inverse=lambda A, R: A.T @ torch.linalg.solve(A @ A.T + 1e-3 * torch.eye(len(A)).double(), R)),
        ),
        Mistake(
            "not the shortest",
            "J delta is E, so this is a step that does it, and it is not the shortest one. Of all solutions of A delta_F = e1 the shortest is A^+ e1; and so for G.",
            lambda *a: _step(*a, inverse=_longer),
            _reaches,
        ),
        Mistake(
            "the step of G is wrong",
            "The step of F is right, that of G is not. Its features are those at the x1 that F has changed, and it has to make what is left of e2 when x1 moves by A delta_F.",
            lambda *a: _step(*a, by=lambda F, G, delta: F.jvp(F.A @ delta)),
            _right_half_layer(0),
        ),
        Mistake(
            "the step of F is wrong",
            "The step of G is right, that of F is not. F alone has to make e1, with the features at x2: delta_F = A^+ e1.",
            lambda *a: _step(*a) * torch.tensor([2.0, 1.0]).double()[:, None, None],
            _right_half_layer(1),
        ),
    ),
)
