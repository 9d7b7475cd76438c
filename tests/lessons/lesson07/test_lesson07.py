"""Slips and solutions that the exercises of lesson 07 do not list: rejected and accepted all the same."""

from random import Random

import numpy as np
import torch

from regimes.metrics import cka
from regimes.networks import Reversible
from regimes.reversible_gauss_newton import walk_back
from regimes_course.lesson07.checks import EXERCISES
from regimes_course.lesson07.checks.block import _step
from regimes_course.lesson07.checks.changes import CHANGES
from regimes_course.lesson07.checks.features import CKA
from regimes_course.lesson07.checks.invert import INVERT
from regimes_course.lesson07.checks.shortest import SHORTEST, _cases
from regimes_course.lesson07.checks.verified import VERIFIED, _by, _moved
from regimes_course.lesson07.checks.walk import EXACT_STEP, _walk, forward
from regimes_course.lesson07.experiments import block_step, half


def inverted(z, V, W, *, read=lambda x2, old: x2, tanh=torch.tanh, blocks=None):
    x1, x2 = z.chunk(2, 1)
    for v, w in list(zip(V.flip(0), W.flip(0), strict=True))[:blocks]:
        old = x2
        x2 = x2 - tanh(x1 @ v[1]) @ w[1]
        x1 = x1 - tanh(read(x2, old) @ v[0]) @ w[0]
    return torch.cat([x1, x2], 1)


def shortest(
    A, S, r, *, kernel=lambda a, s: torch.einsum("ik,jk,ich,jdh->icjd", a, a, s, s), solve=torch.linalg.solve, pull="ic,ich->ih"
):
    K = sum(kernel(a, s) for a, s in zip(A, S, strict=True)).reshape(r.numel(), -1)
    v = solve(K, r.flatten()).reshape(r.shape)
    return [a.T @ torch.einsum(pull, v, s) for a, s in zip(A, S, strict=True)]


def table(L, rows, columns):
    """Mean change from row ``rows[0] + k`` to ``rows[1] + k`` in column ``columns + k``."""
    k = torch.arange(len(L) - 1)
    return (L[k + rows[1], k + columns] / L[k + rows[0], k + columns] - 1).mean().item()


def alike(X, Y, centre=lambda X: X - X.mean(0), value=lambda up, x, y: up**2 / (x * y)):
    X, Y = centre(X), centre(Y)
    norm = torch.linalg.matrix_norm
    return value(norm(X.T @ Y), norm(X.T @ X), norm(Y.T @ Y)).item()


# What is wrong, the mistake it is recognised as (None: the general diagnosis), the answer.
WRONG = {
    "invert": [
        ("nothing done", None, lambda z, V, W: z),
        ("relu", None, lambda z, V, W: inverted(z, V, W, tanh=torch.relu)),
        ("arctanh", None, lambda z, V, W: inverted(z, V, W, tanh=torch.atan)),
        ("two blocks only", "one block alone is right", lambda z, V, W: inverted(z, V, W, blocks=2)),
        ("old x2", "old half", lambda z, V, W: inverted(z, V, W, read=lambda x2, old: old)),
        ("first half alone", None, lambda z, V, W: inverted(z, V, W)[:, : z.shape[1] // 2]),
        ("a pair", None, lambda z, V, W: inverted(z, V, W).chunk(2, 1)),
        ("transposed weights", None, lambda z, V, W: inverted(z, V, W.flip(-1))),
        ("stacked", None, lambda z, V, W: torch.cat(inverted(z, V, W).chunk(2, 1), 0)),
        ("V and W of block 0", "one block only", lambda z, V, W: inverted(z, V[-1:], W[-1:])),
    ],
    "exact_step": [
        ("zero", None, lambda z, E, V, W: torch.zeros_like(W)),
        ("half of it", None, lambda *a: 0.5 * _walk(*a)),
        ("L times too short", "one block alone is right", lambda *a: _walk(*a) / len(a[3])),
        ("no bias column", "another right inverse", lambda *a: _walk(*a, inverse=lambda A, R: no_bias(A, R))),
        ("lstsq of the transpose", None, lambda *a: _walk(*a, inverse=lambda A, R: torch.linalg.pinv(A.T).T.flip(0).T @ R)),
        ("cross term added", "cross term added", lambda *a: crossed(*a)),
        ("neither share nor sign", None, lambda *a: _walk(*a, share=False, sign=-1.0)),
        ("truncated a little", None, lambda *a: _walk(*a, inverse=lambda A, R: torch.linalg.pinv(A, rtol=0.3) @ R)),
        ("the sum over samples", "transpose", lambda *a: _walk(*a, inverse=lambda A, R: A.mT @ R)),
    ],
    "one_block": [
        ("zero", None, lambda x, E, V, W: torch.zeros_like(W)),
        (
            "first half layer alone",
            "the step of G is wrong",
            lambda *a: _step(*a) * torch.tensor([1.0, 0.0]).double()[:, None, None],
        ),
        ("no bias", "not the shortest", lambda *a: _step(*a, inverse=lambda A, R: no_bias(A, R))),
        ("truncated", None, lambda *a: _step(*a, inverse=lambda A, R: torch.linalg.pinv(A, rtol=0.3) @ R)),
        ("pulled through F", "the step of G is wrong", lambda *a: _step(*a, by=lambda F, G, delta: F.jvp(F.A @ delta))),
        ("twice", None, lambda *a: 2 * _step(*a)),
        ("a tuple", None, lambda *a: tuple(_step(*a))),
        ("cross term of the old x1", "features of the input", lambda *a: _step(*a, stale=True)),
    ],
    "verified": [
        ("always", "too much passes", lambda f, w, r, steps: [True] * len(steps)),
        ("never", "right ones refused", lambda f, w, r, steps: [False] * len(steps)),
        ("a number", None, lambda *a: sum(_by(*a))),
        ("the misses", None, lambda f, w, r, steps: [(_moved(f, w, s) - r).norm().item() for s in steps]),
        (
            "signs of entries",
            "too much passes",
            lambda *a: _by(*a, good=lambda moved, r: bool((moved.sign() == r.sign()).all())),
        ),
        (
            "a coarse difference",
            "right ones refused",
            lambda *a: _by(*a, moved=lambda f, w, s: (f(w + 0.1 * s) - f(w - 0.1 * s)) / 0.2),
        ),
        ("too strict", "right ones refused", lambda *a: _by(*a, good=lambda moved, r: torch.equal(moved, r))),
        ("the longest alone", "right ones refused", lambda *a: longest(*a)),
        ("a whole step down", "a whole step", lambda *a: _by(*a, moved=lambda f, w, s: f(w) - f(w - s))),
    ],
    "min_norm": [
        ("sensitivities alone", None, lambda A, S, r: shortest([torch.ones_like(a) for a in A], S, r, solve=lstsq)),
        ("twice", None, lambda A, S, r: [2 * d for d in shortest(A, S, r)]),
        (
            "one layer missing",
            None,
            lambda A, S, r: shortest(A, S, r)[:1] if len(A) > 1 else [2 * d for d in shortest(A, S, r)],
        ),
        ("a tuple in another order", None, lambda A, S, r: shortest(A, S, r)[::-1] if len(A) > 1 else []),
        ("a vector", None, lambda A, S, r: torch.cat([d.flatten() for d in shortest(A, S, r)])),
        (
            "plus the identity",
            "K v is not r",
            lambda A, S, r: shortest(A, S, r, solve=lambda K, b: torch.linalg.solve(K + torch.eye(len(K)), b)),
        ),
        ("diagonal only", "K v is not r", lambda A, S, r: shortest(A, S, r, solve=lambda K, b: b / K.diagonal())),
        (
            "the kernel squared",
            "K v is not r",
            lambda A, S, r: shortest(A, S, r, solve=lambda K, b: torch.linalg.solve(K @ K, b)),
        ),
        ("mean of layers", None, lambda A, S, r: shortest(A, S, len(A) * r) if len(A) > 1 else []),
    ],
    "changes": [
        ("own twice", "own alone is right", lambda L: (table(L, (0, 1), 0),) * 2),
        ("to the end", "from start to end", lambda L: ((L[-1, 0] / L[0, 0] - 1).item(), (L[-1, 1] / L[0, 1] - 1).item())),
        ("first step only", None, lambda L: ((L[1, 0] / L[0, 0] - 1).item() * 2, (L[1, 1] / L[0, 1] - 1).item() * 2)),
        ("all batches", "all batches", lambda L: ((L[1:] / L[:-1] - 1).mean().item(),) * 2),
        ("logarithms", None, lambda L: tuple(float(np.log1p(c)) for c in CHANGES.reference(L))),
        ("strings", None, lambda L: tuple(f"{c:.2f}" for c in CHANGES.reference(L))),
        ("a dictionary", None, lambda L: dict(zip(["own", "next"], CHANGES.reference(L), strict=True))),
        ("rounded", None, lambda L: tuple(round(c, 2) for c in CHANGES.reference(L))),
        ("magnitudes", None, lambda L: tuple(abs(c) + 1e-3 for c in CHANGES.reference(L))),
    ],
    "cka": [
        ("always one", None, lambda X, Y: 1.0),
        ("of the kernels' centres", None, lambda X, Y: alike(X @ X.T, Y @ Y.T)),
        ("halved", None, lambda X, Y: alike(X, Y) / 2),
        ("means added", None, lambda X, Y: alike(X, Y, centre=lambda X: X + X.mean(0))),
        ("median", None, lambda X, Y: alike(X, Y, centre=lambda X: X - X.median(0).values)),
        ("largest of both norms", None, lambda X, Y: alike(X, Y, value=lambda up, x, y: up**2 / torch.maximum(x, y) ** 2)),
        ("sum of both norms", None, lambda X, Y: alike(X, Y, value=lambda up, x, y: 2 * up**2 / (x**2 + y**2))),
        ("of the first features", None, lambda X, Y: alike(X[:, :1], Y[:, :1])),
        ("of half the samples", None, lambda X, Y: alike(X[::2], Y[::2])),
        ("rotated rows", None, lambda X, Y: alike(X, Y.flip(0))),
        ("a matrix", None, lambda X, Y: X.T @ Y),
    ],
}


def longest(outputs, w, r, steps):
    right = _by(outputs, w, r, steps)
    most = max((s.norm() for s, good in zip(steps, right, strict=True) if good), default=0.0)
    return [good and bool(s.norm() >= most) for s, good in zip(steps, right, strict=True)]


def no_bias(A, R):
    D = torch.linalg.pinv(A[:, :-1]) @ R
    return torch.cat([D, torch.zeros_like(D[:1])])


def lstsq(K, b):
    return torch.linalg.pinv(K) @ b


def crossed(z, E, V, W):
    """The cross term with the wrong sign."""
    (x1, x2), (e1, e2) = z.chunk(2, 1), E.chunk(2, 1)
    delta = torch.empty_like(W)
    for b in reversed(range(len(W))):
        G = half(x1, V[b, 1], W[b, 1])
        x2 = x2 - G.output
        F = half(x2, V[b, 0], W[b, 0])
        x1 = x1 - F.output
        delta[b, 0] = torch.linalg.pinv(F.A) @ e1
        delta[b, 1] = torch.linalg.pinv(G.A) @ (e2 + G.jvp(e1))
        e2 = e2 - G.jvp(e1)
        e1 = e1 - F.jvp(e2)
    return delta / len(W)


def chain(z, E, V, W):
    """As the exercise proposes."""
    delta = torch.empty_like(W)
    for b in reversed(range(len(W))):
        x = inverted_block(z, V[b], W[b])
        delta[b] = block_step(x, E, V[b], W[b])
        E = torch.func.jvp(lambda z, b=b: inverted_block(z, V[b], W[b]), (z,), (E,))[1]
        z = x
    return delta / len(W)


def inverted_block(z, V, W):
    x1, x2 = z.chunk(2, 1)
    x2 = x2 - half(x1, V[1], W[1]).output
    return torch.cat([x1 - half(x2, V[0], W[0]).output, x2], 1)


def by_library(z, E, V, W):
    net = Reversible(z.shape[1], z.shape[1], V.shape[-1], blocks=len(W))
    net.V, net.W.data = V, W
    return walk_back(net, z, E, solver="svd")[0].detach()


def flattened(A, S, r):
    """A Jacobian after all, solved by least squares."""
    n, q = r.shape
    J = torch.cat([torch.einsum("ik,ich->ickh", a, s).reshape(n * q, -1) for a, s in zip(A, S, strict=True)], 1)
    delta = torch.linalg.lstsq(J, r.reshape(-1, 1), driver="gelsd").solution[:, 0]
    sizes = [a.shape[1] * s.shape[2] for a, s in zip(A, S, strict=True)]
    return [d.reshape(a.shape[1], -1) for d, a in zip(delta.split(sizes), A, strict=True)]


RIGHT = {
    "invert": {"plain": inverted, "backwards list": lambda z, V, W: inverted(z.clone(), V.clone(), W)},
    "exact_step": {
        "the library": by_library,
        "by blocks": chain,
        "lstsq": lambda *a: _walk(*a, inverse=lambda A, R: torch.linalg.lstsq(A, R, driver="gelsd").solution),
        "qr": lambda *a: _walk(*a, inverse=lambda A, R: by_qr(A, R)),
    },
    "one_block": {
        "block_step itself": block_step,
        "lstsq": lambda *a: _step(*a, inverse=lambda A, R: torch.linalg.lstsq(A, R, driver="gelsd").solution),
        "the chain of one": lambda x, E, V, W: _walk(forward(x, V[None], W[None]), E, V[None], W[None])[0],
    },
    "verified": {
        "finite differences": _by,
        "bools of torch": lambda f, w, r, steps: [torch.tensor(good) for good in _by(f, w, r, steps)],
        "autograd": lambda f, w, r, steps: [
            bool((torch.func.jvp(f, (w,), (s,))[1] - r).norm() < 1e-3 * r.norm()) for s in steps
        ],
    },
    "min_norm": {"least squares": flattened, "a tuple": lambda A, S, r: tuple(shortest(A, S, r))},
    "changes": {"by loops": CHANGES.reference, "NumPy": lambda L: tuple(float(c) for c in by_numpy(L))},
    "cka": {
        "the library": lambda X, Y: cka(X, Y).item(),
        "by kernels": CKA.reference,
        "NumPy": lambda X, Y: float(alike(X, Y)),
    },
}


def by_qr(A, R):
    Q, U = torch.linalg.qr(A.T)
    return Q @ torch.linalg.solve_triangular(U.T, R, upper=False)


def by_numpy(L):
    L = L.numpy()
    k = np.arange(len(L) - 1)
    return [np.mean((L[k + 1, k + b] - L[k, k + b]) / L[k, k + b]) for b in (0, 1)]


def test_steps_of_the_cases_are_exact_and_the_shortest_ones_shorter():
    """What the praise says: J delta = r; and with a Jacobian of its own."""
    for A, S, r in _cases().values():
        delta = SHORTEST.reference(A, S, r)
        moved = sum(torch.einsum("ik,kh,ich->ic", a, d, s) for a, d, s in zip(A, delta, S, strict=True))
        torch.testing.assert_close(moved, r)


def test_cases_have_no_square_sizes():
    for exercise in (INVERT, EXACT_STEP, SHORTEST):
        for args in exercise.cases().values():
            flat = [t for a in args for t in (a if isinstance(a, list) else [a])]
            assert all(t.shape[-1] != t.shape[-2] for t in flat), exercise.key


def test_the_candidates_are_clear_cases():
    """No step is within a fifth of the limit of a thousandth, so that any careful finite difference will do."""
    for args in (*VERIFIED.cases().values(), *(VERIFIED.draw(Random(i)) for i in range(20))):
        outputs, w, r, steps = args
        J = torch.func.jacrev(outputs)(w).reshape(r.numel(), -1)
        for miss in ((J @ step.flatten() - r.flatten()).norm() / r.norm() for step in steps):
            assert miss < 0.801e-3 or miss > 1.299e-3


def test_there_are_seven():
    names = "invert changes one_block verified cka exact_step min_norm".split()
    assert [e.key for e in EXERCISES] == [f"07/{name}" for name in names]
