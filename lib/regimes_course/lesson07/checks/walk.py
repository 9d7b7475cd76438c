"""Exercise 6: an exact Gauss-Newton step by one walk backwards."""

from random import Random

import torch
from torch import Tensor
from torch.func import jacrev, jvp

from regimes_course.kit.checking import Function, Mistake, Trial, random
from regimes_course.kit.comparing import same
from regimes_course.lesson07 import pictures
from regimes_course.lesson07.experiments import block_step, half

__all__ = ["EXACT_STEP"]

SIZES = {"one block": (1, 4, 3, 13), "two blocks": (2, 5, 3, 17), "three blocks": (3, 5, 2, 15)}  # blocks, n, h, m


def forward(x: Tensor, V: Tensor, W: Tensor) -> Tensor:
    """The state ``(n, d)`` after all blocks, ``V`` ``(L, 2, h, m)`` and ``W`` ``(L, 2, m + 1, h)``."""
    x1, x2 = x.chunk(2, -1)
    for v, w in zip(V, W, strict=True):
        x1 = x1 + half(x2, v[0], w[0]).output
        x2 = x2 + half(x1, v[1], w[1]).output
    return torch.cat([x1, x2], -1)


def _case(seed: int, L: int, n: int, h: int, m: int) -> tuple:
    x, V = 0.3 + 1.4 * random(seed, n, 2 * h), random(seed + 10, L, 2, h, m) / h**0.5
    W, E = 0.25 * random(seed + 20, L, 2, m + 1, h), 0.6 + 2.0 * random(seed + 30, n, 2 * h)
    return forward(x, V, W), E, V, W


def _cases() -> dict[str, tuple]:
    return {label: _case(i, *size) for i, (label, size) in enumerate(SIZES.items())}


def _undo(z, V, W):
    x1, x2 = z.chunk(2, -1)
    for v, w in zip(V.flip(0), W.flip(0), strict=True):
        x2 = x2 - half(x1, v[1], w[1]).output
        x1 = x1 - half(x2, v[0], w[0]).output
    return torch.cat([x1, x2], -1)


def _dense(z, E, V, W):
    """By dense Jacobians of autograd: the shortest step of each block alone, and their mean."""
    x = _undo(z, V, W)
    columns = jacrev(lambda W: forward(x, V, W).flatten())(W)  # (n d, L, 2, m + 1, h)
    steps = [torch.linalg.pinv(columns[:, b].flatten(1)) @ E.flatten() for b in range(len(W))]
    return torch.stack([s.reshape(W.shape[1:]) for s in steps]) / len(W)


def _pinv(A, R):
    return torch.linalg.pinv(A) @ R


def _walk(
    z,
    E,
    V,
    W,
    *,
    inverse=_pinv,
    cross=True,
    share=True,
    sign=1.0,
    pull=True,
    tops=False,
    swap=False,
    stale=False,
    own=True,
    minus=True,
    exchanged=False,
    doubled=False,
    order=1,
):
    """The walk, and what can be done wrong about it."""
    (x1, x2), (e1, e2) = z.chunk(2, -1), E.chunk(2, -1)
    if swap:
        e1, e2 = e2, e1
    delta = torch.empty_like(W)
    for b in reversed(range(len(W))):
        G = half(x1, V[b, 1], W[b, 1])
        F = half(x2 if tops else x2 - G.output, V[b, 0], W[b, 0])
        if not tops:
            x2 = x2 - G.output
            x1 = x1 - F.output
        delta[b, 0] = inverse(F.A, e1)
        moved = G.jvp(F.A @ delta[b, 0])
        r = (e2 - moved if minus else e2 + moved) if cross else e2
        delta[b, 1] = inverse(G.A if own else F.A, r)
        if pull:
            before = e2
            e2 = e2 - G.jvp(e1)
            e1 = e1 - F.jvp(before if stale else e2) * (2 if doubled else 1)
    delta = delta.flip(1) if exchanged else delta
    return sign * delta.flip(0) / len(W) if order < 0 else sign * delta / (len(W) if share else 1)


def _by_gram(A, R):
    return A.T @ torch.linalg.solve(A @ A.T, R)


def _pulled_first(z, E, V, W):
    """Pull the movement back through the second half layer first: with full row rank that is the corrected right-hand side."""
    x1, x2, e1, e2 = *z.chunk(2, 1), *E.chunk(2, 1)
    steps = []
    for v, w in zip(V.flip(0), W.flip(0), strict=True):
        G = half(x1, v[1], w[1])
        x2, e2 = x2 - G.output, e2 - G.jvp(e1)
        F = half(x2, v[0], w[0])
        steps.append(torch.stack([_by_gram(F.A, e1), _by_gram(G.A, e2)]))
        x1, e1 = x1 - F.output, e1 - F.jvp(e2)
    return torch.stack(steps[::-1]) / len(W)


def _cut(A, R):
    return torch.linalg.pinv(A, rtol=0.15) @ R


def _draw(rng: Random) -> tuple:
    n = rng.randint(1, 4)
    return _case(rng.randrange(10**6), rng.randint(1, 3), n, rng.randint(2, 3), 3 * n + rng.randint(2, 5))


def _reversed_blocks(trials: list[Trial]) -> bool:
    """Whether the blocks are right but the other way round; with a single block that is right."""
    wrong = [t for t in trials if not t.right]
    return bool(wrong) and all(isinstance(t.got.value, Tensor) and same(t.got.value.flip(0), t.want.value, 1e-7) for t in wrong)


def _well_formed(trial: Trial) -> bool:
    got, want = trial.got.value, trial.want.value
    return isinstance(got, Tensor) and (got.shape, got.dtype) == (want.shape, want.dtype)


def _reaches(trials: list[Trial]) -> bool:
    """Whether J delta = E in all cases."""

    def moved(z, E, V, W, delta):
        x = _undo(z, V, W)
        return jvp(lambda W: forward(x, V, W), (W,), (delta,))[1]

    return all(_well_formed(t) and same(moved(*t.args, t.got.value), t.args[1], 1e-7) for t in trials)


def _right_for_one(trials: list[Trial]) -> bool:
    """Whether a single block is right."""
    return all(t.right for t in trials if len(t.args[3]) == 1)


def _right_at_the_end(trials: list[Trial]) -> bool:
    """Whether the last block of each chain is right."""
    return all(_well_formed(t) and same(t.got.value[-1], t.want.value[-1], 1e-7) for t in trials)


def _by_blocks(z, E, V, W, below=True):
    """Block by block, as the exercise proposes; each can get its output for its input."""
    x, delta = z, []
    for v, w in zip(V.flip(0), W.flip(0), strict=True):
        (x1, x2), (e1, e2) = x.chunk(2, -1), E.chunk(2, -1)
        G = half(x1, v[1], w[1])
        F = half(x2 - G.output, v[0], w[0])
        back = e2 - G.jvp(e1)
        lower, lower_E = torch.cat([x1 - F.output, x2 - G.output], -1), torch.cat([e1 - F.jvp(back), back], -1)
        delta.append(block_step(lower if below else x, E, v, w))
        x, E = lower, lower_E
    return torch.stack(delta[::-1]) / len(W)


def _last_alone(z, E, V, W):
    """The last block does the whole job."""
    delta = _walk(z, E, V, W, share=False)
    delta[:-1] = 0
    return delta


EXACT_STEP = Function(
    key="07/exact_step",
    picture=pictures.exact_step,
    reference=_dense,
    cases=_cases,
    draw=_draw,
    praise="J delta = E for every number of blocks, by dense Jacobians too: you may believe its curves.",
    alternatives=(_walk, _by_blocks, lambda *a: _walk(*a, inverse=_by_gram), _pulled_first),
    mistakes=(
        Mistake(
            "no cross term",
            "The second half layer reads x1, and x1 has just been told to move by A delta_F: subtract what that alone does to x2, G.jvp(F.A @ delta_F), from e2.",
            lambda *a: _walk(*a, cross=False),
        ),
        Mistake(
            "no 1/L",
            "Each block does the whole job, so that all of them together do it L times. Divide by the number of blocks.",
            lambda *a: _walk(*a, share=False),
        ),
        Mistake(
            "neither cross term nor 1/L",
            "Two things: the cross term G.jvp(F.A @ delta_F) is missing in the second half layer, and the sum over blocks is not divided by their number.",
            lambda *a: _walk(*a, share=False, cross=False),
        ),
        Mistake(
            "sign",
            "The sign is wrong: J delta should be E, not -E.",
            lambda *a: _walk(*a, sign=-1.0),
        ),
        Mistake(
            "transpose",
            "This multiplies by A^T, which is a gradient. Multiply by the pseudo-inverse A^+.",
            lambda *a: _walk(*a, inverse=lambda A, R: A.T @ R),
        ),
        Mistake(
            "halves swapped",
            "This gives the movement of the second half to the first half layer. The first columns of E are e1, the movement of x1.",
            lambda *a: _walk(*a, swap=True),
        ),
        Mistake(
            "not pulled back",
            "Every block gets the movement wanted at the end. Pull it back through a block before you go on to the one below.",
            lambda *a: _walk(*a, pull=False),
        ),
        Mistake(
            "pulled back with the old half",
            "On the way back e2 is pulled through G first; e1 then needs the new e2.",
            lambda *a: _walk(*a, stale=True),
        ),
        Mistake(
            "states not undone",
            "Features are taken at the final state. Rebuild the state below each half layer first, as in exercise 1.",
            lambda *a: _walk(*a, tops=True),
        ),
        Mistake(
            "features of the other half layer",
            "Both half layers get the features of the first. The second reads x1: its features are G.A.",
            lambda *a: _walk(*a, own=False),
        ),
        Mistake(
            "truncated",
            "Small singular values are dropped here, so the step is no longer exact. Use the full pseudo-inverse.",
            lambda *a: _walk(*a, inverse=_cut),
        ),
        Mistake(
            "damped",
            "A damping in A A^T makes the step miss a part of E. Without one it is exact: A has more columns than rows.",
            lambda *a: _walk(
                *a, inverse=lambda A, R: A.T @ torch.linalg.solve(A @ A.T + 1e-3 * torch.eye(len(A), dtype=A.dtype), R)
            ),
        ),
        Mistake(
            "cross term added",
            "The cross term is added. What delta_F alone does to x2 is there already: subtract it from e2.",
            lambda *a: _walk(*a, minus=False),
        ),
        Mistake(
            "half layers exchanged",
            "The two steps of each block are exchanged: index 0 is that of F, which changes x1, index 1 that of G.",
            lambda *a: _walk(*a, exchanged=True),
        ),
        Mistake(
            "blocks in reverse",
            "The steps are right and the blocks in reverse order: the walk goes from the last to the first, the answer from the first to the last.",
            lambda *a: _walk(*a, order=-1),
            _reversed_blocks,
        ),
        Mistake(
            "the output for the input",
            "This gives block_step the output of its block. It wants the input: undo the block first.",
            lambda *a: _by_blocks(*a, below=False),
        ),
        Mistake(
            "z for every block",
            "Every block gets z and E as they are at the end. Undo the blocks one by one, the state and the movement alike.",
            lambda z, E, V, W: torch.stack([block_step(z, E, v, w) for v, w in zip(V, W, strict=True)]) / len(W),
        ),
        Mistake(
            "another right inverse",
            "J delta is E, so this is a step that does it, and not the one that is asked for: of each block its shortest, then the mean over the blocks.",
            _last_alone,
            _reaches,
        ),
        Mistake(
            "the last block alone is right",
            "The last block's weights are right, and those before it are not. Pull state and movement back through a block before you go on: e2 - G.jvp(e1), then e1 - F.jvp(e2).",
            lambda *a: _walk(*a, doubled=True),
            _right_at_the_end,
        ),
        Mistake(
            "one block alone is right",
            "A single block is right, and a chain is not. Two things are yours: the input of each block and the movement that is wanted at its output; then the mean over the blocks.",
            lambda *a: _walk(*a) / len(a[3]),
            _right_for_one,
        ),
    ),
)
