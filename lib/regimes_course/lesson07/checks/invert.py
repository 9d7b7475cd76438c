"""Exercise 1: run a chain of coupling blocks backwards."""

from random import Random

import torch

from regimes_course.kit.checking import Function, Mistake, Trial, random
from regimes_course.kit.comparing import same
from regimes_course.lesson07 import pictures

__all__ = ["INVERT"]

SIZES = {"one block": (1, 5, 3, 7), "two blocks": (2, 4, 3, 6), "four blocks": (4, 6, 2, 9)}  # blocks, n, h, m
INPUTS: dict[bytes, torch.Tensor] = {}  # from which each z was made


def _cases() -> dict[str, tuple]:
    return {label: _case(i, *size) for i, (label, size) in enumerate(SIZES.items())}


def _case(*seed_and_size: int) -> tuple:
    x, V, W = start(*seed_and_size)
    z = _forward(x, V, W)
    INPUTS[z.numpy().tobytes()] = x
    return z, V, W


def start(seed: int, L: int, n: int, h: int, m: int) -> tuple:
    """Inputs, V and W of a chain that moves its inputs far."""
    x = 0.4 + 1.7 * random(seed, n, 2 * h)
    return x, random(seed + 10, L, 2, h, m) / h**0.5, 0.1 + 0.3 * random(seed + 20, L, 2, m, h)


def _half(x, V, W):
    return torch.tanh(x @ V) @ W


def _forward(x, V, W):
    x1, x2 = x.chunk(2, 1)
    for v, w in zip(V, W, strict=True):
        x1 = x1 + _half(x2, v[0], w[0])
        x2 = x2 + _half(x1, v[1], w[1])
    return torch.cat([x1, x2], 1)


def _reference(z, V, W):
    """Recall the inputs from which the cases were made."""
    return INPUTS[z.numpy().tobytes()]


def _invert(
    z,
    V,
    W,
    *,
    sign=-1.0,
    order=reversed,
    first=1,
    current=True,
    blocks=None,
    halves=(0, 1),
    out=(0, 1),
    weights=(0, 1),
    phi=_half,
):
    """The inverse, and what can be done wrong about it."""
    x = list(z.chunk(2, 1))
    x = [x[i] for i in halves]
    for b in list(order(range(len(W))))[:blocks]:
        old = list(x)
        for changed in (first, 1 - first):
            read = (x if current else old)[1 - changed]
            k = weights[changed]
            x[changed] = x[changed] + sign * phi(read, V[b, k], W[b, k])
    return torch.cat([x[i] for i in out], 1)


def _recursive(z, V, W):
    if not len(W):
        return z
    h = z.shape[1] // 2
    x2 = z[:, h:] - torch.tanh(z[:, :h] @ V[-1, 1]) @ W[-1, 1]
    x1 = z[:, :h] - torch.tanh(x2 @ V[-1, 0]) @ W[-1, 0]
    return _recursive(torch.hstack([x1, x2]), V[:-1], W[:-1])


def _in_a_copy(z, V, W):
    x, h = z.clone(), z.shape[1] // 2
    for b in range(len(W) - 1, -1, -1):
        x[:, h:] -= torch.einsum("nm,mh->nh", torch.tanh(x[:, :h] @ V[b, 1]), W[b, 1])
        x[:, :h] -= torch.einsum("nm,mh->nh", torch.tanh(x[:, h:] @ V[b, 0]), W[b, 0])
    return x


def _crossed(z, V, W):
    """V of one half layer with W of the other."""
    return _invert(z, V.flip(1), W)


def _first_added(z, V, W):
    """The second half layer undone, the first one done once more."""
    x1, x2 = z.chunk(2, 1)
    for v, w in zip(V.flip(0), W.flip(0), strict=True):
        x2 = x2 - _half(x1, v[1], w[1])
        x1 = x1 + _half(x2, v[0], w[0])
    return torch.cat([x1, x2], 1)


def _halves(trial: Trial) -> tuple[bool, bool] | None:
    """Which half is right; none if the value has no halves."""
    got, want = trial.got.value, trial.want.value
    if not isinstance(got, torch.Tensor) or (got.shape, got.dtype) != (want.shape, want.dtype):
        return None
    x1, x2 = (same(g, w, 1e-7) for g, w in zip(got.chunk(2, 1), want.chunk(2, 1), strict=True))
    return x1, x2


def _one_block(trials: list[Trial]) -> list[Trial]:
    return [t for t in trials if len(t.args[2]) == 1]


def _draw(rng: Random) -> tuple:
    return _case(rng.randrange(10**6), rng.randint(1, 4), rng.randint(1, 6), rng.randint(1, 3), rng.randint(1, 7))


INVERT = Function(
    key="07/invert",
    picture=pictures.invert,
    reference=_reference,
    cases=_cases,
    draw=_draw,
    praise="The inputs are back, to rounding, whatever tanh did to them on the way.",
    alternatives=(_invert, _recursive, _in_a_copy),
    mistakes=(
        Mistake(
            "first half first",
            "This undoes the first half layer of a block before the second. The second came last on the way forth, so it goes first on the way back.",
            lambda z, V, W: _invert(z, V, W, first=0),
        ),
        Mistake(
            "blocks in forward order",
            "This undoes the first block first. The last block has to be undone first.",
            lambda z, V, W: _invert(z, V, W, order=iter),
        ),
        Mistake(
            "added",
            "This adds what the blocks have added once more. Subtract it.",
            lambda z, V, W: _invert(z, V, W, sign=1.0),
        ),
        Mistake(
            "old half",
            "The first half layer has read x2 as it was before the second half layer changed it: undo the second, and use the x2 you get.",
            lambda z, V, W: _invert(z, V, W, current=False),
        ),
        Mistake(
            "halves swapped",
            "This takes the second half of the columns for x1. The first half of z is x1.",
            lambda z, V, W: _invert(z, V, W, halves=(1, 0)),
        ),
        Mistake(
            "put together in the wrong order",
            "Both halves are right, but the second stands first. Join x1 and x2 in this order.",
            lambda z, V, W: _invert(z, V, W, out=(1, 0)),
        ),
        Mistake(
            "weights of the other half layer",
            "This undoes each half layer with the weights of the other. Index 0 changes x1, index 1 changes x2.",
            lambda z, V, W: _invert(z, V, W, weights=(1, 0)),
        ),
        Mistake(
            "one block only",
            "This undoes the last block and stops. Go on to the first.",
            lambda z, V, W: _invert(z, V, W, blocks=1),
        ),
        Mistake(
            "run forwards",
            "This runs the blocks forwards from z.",
            _forward,
        ),
        Mistake(
            "no activation",
            "This leaves out the tanh: a half layer adds tanh(x V) W.",
            lambda z, V, W: _invert(z, V, W, phi=lambda x, V, W: x @ V @ W),
        ),
        Mistake(
            "tanh outside",
            "The tanh is around the whole: a half layer adds tanh(x V) W, not tanh(x V W).",
            lambda z, V, W: _invert(z, V, W, phi=lambda x, V, W: torch.tanh(x @ V @ W)),
        ),
        Mistake(
            "the first block left out",
            "All blocks are undone but the first: range(L - 1, 0, -1) ends before 0.",
            lambda z, V, W: _invert(z, V, W, blocks=-1),
        ),
        Mistake(
            "V of the other half layer",
            "This takes W of a half layer with V of the other one: tanh(x V[l, 1]) W[l, 1] changed x2, and both have the same index.",
            _crossed,
        ),
        Mistake(
            "one block alone is right",
            "One block is undone as it should be, and a chain is not. Go from the last block to the first, and undo each from the state that the one after it left you.",
            lambda z, V, W: _invert(z, V, W, blocks=2),
            lambda trials: bool(_one_block(trials)) and all(t.right for t in _one_block(trials)),
        ),
        Mistake(
            "x2 alone is right",
            "Of a single block x2 comes out right, and x1 does not. What was added to it is tanh(x2 V[l, 0]) W[l, 0], with the x2 that you have just found.",
            _first_added,
            lambda trials: all(_halves(t) == (False, True) for t in _one_block(trials)),
        ),
    ),
)
