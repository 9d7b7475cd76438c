"""Exercise 7: the shortest step, through the kernel."""

from random import Random

import torch
from torch import Tensor

from regimes_course.kit.checking import Function, Mistake, Trial, random
from regimes_course.kit.comparing import same
from regimes_course.lesson07 import pictures

__all__ = ["SHORTEST"]

SIZES = {"one layer": (4, 2, (5,), (7,)), "two layers": (5, 3, (4, 6), (7, 9)), "three layers": (4, 3, (5, 2, 4), (6, 8, 7))}


def _case(seed: int, n: int, q: int, heights, widths) -> tuple:
    A = [0.3 + 0.8 * random(seed + 10 * i, n, k) for i, k in enumerate(widths)]
    S = [0.2 + 1.3 * random(seed + 10 * i + 5, n, q, h) for i, h in enumerate(heights)]
    return A, S, 0.4 + 1.9 * random(seed + 100, n, q)


def _cases() -> dict[str, tuple]:
    return {label: _case(i, *size) for i, (label, size) in enumerate(SIZES.items())}


def _dense(A, S, r):
    """Write the Jacobian down, a row an output, and take the pseudo-inverse."""
    delta = torch.linalg.pinv(_jacobian(A, S, r)) @ r.flatten()
    pieces = delta.split([a.shape[1] * s.shape[2] for a, s in zip(A, S, strict=True)])
    return [piece.reshape(a.shape[1], s.shape[2]) for piece, a, s in zip(pieces, A, S, strict=True)]


def _outputs(r):
    return [(i, c) for i in range(r.shape[0]) for c in range(r.shape[1])]


def _kernel(A, S):
    return sum(torch.einsum("ik,jk,ich,jdh->icjd", a, a, s, s) for a, s in zip(A, S, strict=True))


def _solve(K, r):
    n, q = r.shape
    return torch.linalg.solve(K.reshape(n * q, n * q), r.flatten()).reshape(n, q)


def _pull(A, S, v):
    return [a.T @ torch.einsum("ic,ich->ih", v, s) for a, s in zip(A, S, strict=True)]


def _shortest(A, S, r):
    return _pull(A, S, _solve(_kernel(A, S), r))


def _repeated(A, S, r):
    """With the features repeated for each class: an ordinary Hadamard product."""
    n, q = r.shape
    K = torch.zeros(n * q, n * q, dtype=r.dtype)
    for a, s in zip(A, S, strict=True):
        a, s = a.repeat_interleave(q, 0), s.reshape(n * q, -1)
        K += (a @ a.T) * (s @ s.T)
    v = torch.cholesky_solve(r.reshape(-1, 1), torch.linalg.cholesky(K)).reshape(n, q, 1)
    return [a.mT @ (v * s).sum(1) for a, s in zip(A, S, strict=True)]


def _class_by_class(A, S, r):
    K = _kernel(A, S)
    v = torch.stack([torch.linalg.solve(K[:, c, :, c], r[:, c]) for c in range(r.shape[1])], 1)
    return _pull(A, S, v)


def _draw(rng: Random) -> tuple:
    n, q, layers = rng.randint(1, 4), rng.randint(1, 3), rng.randint(1, 3)
    heights = [rng.randint(q + 1, q + 4) for _ in range(layers)]
    return _case(rng.randrange(10**6), n, q, heights, [rng.randint(n + 1, n + 5) for _ in heights])


def _each_alone(A, S, r):
    return [_pull([a], [s], _solve(_kernel([a], [s]), r))[0] for a, s in zip(A, S, strict=True)]


def _summed_first(A, S, r):
    features = sum(a @ a.T for a in A)
    K = features[:, None, :, None] * sum(torch.einsum("ich,jdh->icjd", s, s) for s in S)
    return _pull(A, S, _solve(K, r))


def _shortest_of(few_A, few_S, r, A, S):
    """The shortest step of some layers alone, the last of them; the others rest."""
    moving = _shortest(few_A, few_S, r)
    return [torch.zeros(a.shape[1], s.shape[2], dtype=r.dtype) for a, s in zip(A, S, strict=True)][: -len(moving)] + moving


def _fits(trials: list[Trial]) -> bool:
    """Whether J delta = r in all cases."""
    return all(_reaches(t.got.value, *t.args) for t in trials)


def _well_formed(delta, A, S, r) -> bool:
    kinds = [((a.shape[1], s.shape[2]), r.dtype) for a, s in zip(A, S, strict=True)]
    return isinstance(delta, tuple | list) and [(getattr(d, "shape", None), getattr(d, "dtype", None)) for d in delta] == kinds


def _reaches(delta, A, S, r) -> bool:
    return _well_formed(delta, A, S, r) and same(
        sum(torch.einsum("ik,kh,ich->ic", a, d, s) for a, d, s in zip(A, delta, S, strict=True)), r, 1e-7
    )


def _one_kernel(A, S, r):
    K = sum((a @ a.T) * torch.einsum("ich,jch->ij", s, s) for a, s in zip(A, S, strict=True))
    return _pull(A, S, torch.linalg.solve(K, r))


def _jacobian(A, S, r):
    """A row for each output."""
    rows = [torch.cat([torch.outer(a[i], s[i, c]).flatten() for a, s in zip(A, S, strict=True)]) for i, c in _outputs(r)]
    return torch.stack(rows)


def _pulled_back(trials: list[Trial]) -> bool:
    """Whether each step is J^T v with some v, and they are not just too long or too short."""
    return not all(_well_formed(t.got.value, *t.args) and _multiple(t.got.value, t.want.value) for t in trials) and all(
        _well_formed(t.got.value, *t.args) and _in_row_space(t.got.value, *t.args) for t in trials
    )


def _flat(delta) -> Tensor:
    return torch.cat([d.flatten() for d in delta])


def _multiple(delta, wanted) -> bool:
    return bool(torch.cosine_similarity(_flat(delta), _flat(wanted), 0).abs() > 1 - 1e-9)


def _in_row_space(delta, A, S, r) -> bool:
    J = _jacobian(A, S, r)
    return same(torch.linalg.pinv(J) @ (J @ _flat(delta)), _flat(delta), 1e-7)


SHORTEST = Function(
    key="07/min_norm",
    picture=pictures.min_norm,
    reference=_dense,
    cases=_cases,
    draw=_draw,
    praise="It is the shortest of all steps with J delta = r, and no Jacobian was written down.",
    alternatives=(_shortest, _repeated),
    mistakes=(
        Mistake(
            "gradient",
            "This is J^T r, the gradient. Solve K v = r first, and pull back v.",
            lambda A, S, r: _pull(A, S, r),
        ),
        Mistake(
            "sum instead of product",
            "The kernel of a layer is the product, entry by entry, of the features' and the sensitivities' Gram matrices; this adds them.",
            lambda A, S, r: _pull(A, S, _solve(_added(A, S), r)),
        ),
        Mistake(
            "classes apart",
            "This solves for each class by itself. Two outputs of one sample share the weights: K has entries between classes too.",
            _class_by_class,
        ),
        Mistake(
            "features alone",
            "This kernel has the features only. Each layer's A A^T is multiplied by the Gram matrix of its sensitivities.",
            lambda A, S, r: _pull(A, S, _per_class(A, r)),
        ),
        Mistake(
            "last layer alone",
            "This kernel has the last layer only. Sum over all layers.",
            lambda A, S, r: _pull(A, S, _solve(_kernel(A[-1:], S[-1:]), r)),
        ),
        Mistake(
            "first layer alone",
            "This kernel has the first layer only. Sum over all layers.",
            lambda A, S, r: _pull(A, S, _solve(_kernel(A[:1], S[:1]), r)),
        ),
        Mistake(
            "divided by layers",
            "The result is divided by the number of layers. That belongs to the other inverse, in which each layer does the whole job; the kernel has shared it out already.",
            lambda A, S, r: [d / len(A) for d in _shortest(A, S, r)],
        ),
        Mistake(
            "sign",
            "The sign is wrong: J delta should be r.",
            lambda A, S, r: [-d for d in _shortest(A, S, r)],
        ),
        Mistake(
            "mean over samples",
            "A factor n is wrong: there is no 1/n in K, nor in r.",
            lambda A, S, r: [len(r) * d for d in _shortest(A, S, r)],
        ),
        Mistake(
            "divided by samples",
            "A factor 1/n is wrong: there is no 1/n in K, nor in r.",
            lambda A, S, r: [d / len(r) for d in _shortest(A, S, r)],
        ),
        Mistake(
            "damped",
            "A small number on the diagonal of K makes the step miss a part of r. K is regular here: leave it out.",
            lambda A, S, r: _pull(A, S, _damped(A, S, r)),
        ),
        Mistake(
            "classes first",
            "K and r are put in different orders: one sample by sample, the other class by class.",
            lambda A, S, r: _pull(A, S, _mixed(A, S, r)),
        ),
        Mistake(
            "transposed",
            "These have the shapes of the transposed weights: (h, k) instead of (k, h).",
            lambda A, S, r: [d.T for d in _shortest(A, S, r)],
        ),
        Mistake(
            "each layer the whole job",
            "Each layer solves for all of r with its own kernel, so that together they do it several times. Sum the kernels of the layers, and solve once.",
            _each_alone,
        ),
        Mistake(
            "summed before the product",
            "The kernels are summed over the layers before they are multiplied. A layer's kernel is a product of its own two; then sum.",
            _summed_first,
        ),
        Mistake(
            "one kernel for all outputs",
            "This solves n equations, with one kernel for all outputs of a sample. There are n q of them: K has a row for each output of each sample.",
            _one_kernel,
        ),
        Mistake(
            "v in another order",
            "The solution is read in another order than r was written: sample by sample here, class by class there.",
            lambda A, S, r: _pull(A, S, _solve(_kernel(A, S), r).T.reshape(r.shape)),
        ),
        Mistake(
            "not the shortest",
            "J delta is r, so this is a step that does it, and it is not the shortest one. That is J^T v with K v = r.",
            lambda A, S, r: _shortest_of(A[-1:], S[-1:], r, A, S),
            _fits,
        ),
        Mistake(
            "K v is not r",
            "These weights are J^T v for some v, and so the shortest for what they do; but that is not r. Look at the kernel, at the order of its rows, and at what you solve.",
            lambda A, S, r: _pull(A, S, r / torch.einsum("icic->ic", _kernel(A, S))),
            _pulled_back,
        ),
    ),
)


def _added(A, S):
    return sum(
        torch.einsum("ik,jk->ij", a, a)[:, None, :, None] + torch.einsum("ich,jdh->icjd", s, s)
        for a, s in zip(A, S, strict=True)
    )


def _per_class(A, r):
    return torch.linalg.solve(sum(a @ a.T for a in A), r)


def _damped(A, S, r):
    K = _kernel(A, S).reshape(r.numel(), -1)
    return torch.linalg.solve(K + 1e-3 * torch.eye(len(K), dtype=K.dtype), r.flatten()).reshape(r.shape)


def _mixed(A, S, r):
    v = torch.linalg.solve(_kernel(A, S).reshape(r.numel(), -1), r.T.flatten())
    return v.reshape(r.shape)
