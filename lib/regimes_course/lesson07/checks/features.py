"""Exercise 5: how alike are two sets of features?"""

import math
from random import Random

import torch

from regimes_course.kit.checking import Function, Mistake, Trial, random
from regimes_course.kit.comparing import same
from regimes_course.lesson07 import pictures

__all__ = ["CKA"]


def _cases() -> dict[str, tuple]:
    """Features with means, of different widths and scales, that share a part."""
    sizes = {
        "features of the same width": (9, 4, 4, 1.0),
        "wider features": (7, 3, 5, 30.0),
        "more features than samples": (6, 11, 8, 0.02),
    }
    cases = {}
    for i, (label, (n, a, b, scale)) in enumerate(sizes.items()):
        X = 0.7 + random(i, n, a)
        Y = scale * (X @ random(i + 10, a, b) + 0.8 * random(i + 20, n, b) + 1.1)
        cases[label] = (X, Y)
    return cases


def _reference(X, Y):
    """By kernels and loops: the inner product of two doubly centred Gram matrices over their lengths."""
    n = len(X)
    H = torch.eye(n, dtype=X.dtype) - 1 / n
    K, M = H @ X @ X.T @ H, H @ Y @ Y.T @ H

    def inner(P, Q):
        return sum((P[i, j] * Q[i, j]).item() for i in range(n) for j in range(n))

    return inner(K, M) / (inner(K, K) * inner(M, M)) ** 0.5


def _cka(X, Y, *, centre=lambda X: X - X.mean(0), power=2, root=1.0, both=True):
    X, Y = centre(X), centre(Y) if both else Y
    up = torch.linalg.matrix_norm(X.T @ Y) ** power
    return (up / (torch.linalg.matrix_norm(X.T @ X) * torch.linalg.matrix_norm(Y.T @ Y)) ** root).item()


def _by_svd(X, Y):
    (U, s, _), (V, t, _) = (torch.linalg.svd(Z - Z.mean(0, keepdim=True), full_matrices=False) for Z in (X, Y))
    overlap = (s[:, None] * (U.T @ V) * t).square().sum()
    return float(overlap / ((s**4).sum() * (t**4).sum()).sqrt())


def _draw(rng: Random) -> tuple:
    n, a, b, seed = rng.randint(3, 9), rng.randint(1, 6), rng.randint(1, 6), rng.randrange(10**6)
    X = 0.7 + random(seed, n, a)
    return X, 10 ** rng.uniform(-2, 2) * (X @ random(seed + 1, a, b) + random(seed + 2, n, b) + 0.5)


def centred(sets: tuple) -> tuple:
    """Both without their means."""
    return tuple(Z - Z.mean(0) for Z in sets)


def _by_lengths(X, Y, power: int) -> float:
    X, Y = centred((X, Y))
    return (torch.linalg.matrix_norm(X.T @ Y) ** 2 / (X.norm() * Y.norm()) ** power).item()


def _same_twice(X, Y) -> float:
    return (torch.linalg.matrix_norm(X.T @ Y) ** 2 / torch.linalg.matrix_norm(X.T @ X) ** 2).item()


def _first_centred(X, Y) -> float:
    return _cka(X, Y, both=False)


def _does(trials: list[Trial], answer) -> bool:
    """Whether this answer gives the same numbers."""
    return all(same(t.got.value, answer(*t.args), 1e-7) for t in trials)


CKA = Function(
    key="07/cka",
    picture=pictures.cka,
    reference=_reference,
    cases=_cases,
    draw=_draw,
    praise="It does not see rotations, shifts and a common factor; it does see a direction that was stretched.",
    alternatives=(_cka, _by_svd, lambda X, Y: torch.tensor(_cka(X, Y), dtype=torch.float64)),
    mistakes=(
        Mistake(
            "not centred",
            "The columns are not centred: a mean that both sets have would make any two of them look alike. Subtract each feature's mean over the samples.",
            lambda X, Y: _cka(X, Y, centre=lambda X: X),
        ),
        Mistake(
            "rows centred",
            "This subtracts each sample's mean over its features. Subtract each feature's mean over the samples, the first axis.",
            lambda X, Y: _cka(X, Y, centre=lambda X: X - X.mean(1, keepdim=True)),
        ),
        Mistake(
            "one number subtracted",
            "This subtracts one mean of all numbers. Each feature has a mean of its own.",
            lambda X, Y: _cka(X, Y, centre=lambda X: X - X.mean()),
        ),
        Mistake(
            "one centred",
            "One of the two sets is centred, and the other is not. Centre both.",
            lambda X, Y: _cka(X, Y, both=False),
            lambda trials: any(_does(trials, one) for one in (_first_centred, lambda X, Y: _first_centred(Y, X))),
        ),
        Mistake(
            "numerator not squared",
            "The numerator is |X^T Y| squared; without the square the number depends on the features' scale.",
            lambda X, Y: _cka(X, Y, power=1),
        ),
        Mistake(
            "denominator squared",
            "The denominator is |X^T X| |Y^T Y|, not its square.",
            lambda X, Y: _cka(X, Y, root=2.0),
        ),
        Mistake(
            "root",
            "This is the square root of the CKA: the numerator is squared, and no root is taken at the end.",
            lambda X, Y: _cka(X, Y) ** 0.5,
        ),
        Mistake(
            "standardised",
            "This divides each feature by its standard deviation. Then a stretched direction is not seen any more: centre only.",
            lambda X, Y: _cka(X, Y, centre=lambda X: (X - X.mean(0)) / X.std(0)),
        ),
        Mistake(
            "distance",
            "This is one minus the CKA. Equal features have a CKA of one.",
            lambda X, Y: 1 - _cka(X, Y),
        ),
        Mistake(
            "spectral norms",
            "This takes the largest singular values (matrix norms of order 2). The norms are Frobenius norms: roots of sums of squares.",
            lambda X, Y: _spectral(X - X.mean(0), Y - Y.mean(0)),
        ),
        Mistake(
            "lengths of the features",
            "The denominator has the lengths of X and Y themselves, |X| |Y| or their squares. It is |X^T X| |Y^T Y|: then equal features have a CKA of one.",
            lambda X, Y: _by_lengths(X, Y, 2),
            lambda trials: any(_does(trials, lambda X, Y, power=power: _by_lengths(X, Y, power)) for power in (1, 2)),
        ),
        Mistake(
            "X for both",
            "The denominator has |X^T X| twice, or |Y^T Y|. Each set has its own factor.",
            lambda X, Y: _same_twice(X - X.mean(0), Y - Y.mean(0)),
            lambda trials: any(
                _does(trials, lambda X, Y, swap=swap: _same_twice(*centred((Y, X) if swap else (X, Y))))
                for swap in (False, True)
            ),
        ),
        Mistake(
            "not divided",
            "This is |X^T Y|^2 and grows with the features' scale. Divide by |X^T X| |Y^T Y|.",
            lambda X, Y: torch.linalg.matrix_norm((X - X.mean(0)).T @ (Y - Y.mean(0))).item() ** 2,
        ),
        Mistake(
            "depends on the scale",
            "Some of these numbers are no share: a CKA is at least zero and at most one, whatever the features' scale. Count the factors of X above and below the line.",
            lambda X, Y: 3 * _cka(X, Y),
            lambda trials: any(
                isinstance(t.got.value, float) and (t.got.value < -1e-9 or 1 + 1e-9 < t.got.value < math.inf) for t in trials
            ),
        ),
    ),
)


def _spectral(X, Y):
    common, own, other = (torch.linalg.matrix_norm(A, 2) for A in (X.T @ Y, X.T @ X, Y.T @ Y))
    return (common**2 / (own * other)).item()
