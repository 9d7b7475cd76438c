"""Exercise 1: the distance to the min-norm solution, from what training leaves alone and where the last layer ends."""

from collections.abc import Callable
from random import Random

import torch
from torch import Tensor

from regimes.metrics import row_space
from regimes_course.kit.checking import Mistake, Trial, random
from regimes_course.kit.comparing import same
from regimes_course.kit.numbers import Numbers
from regimes_course.lesson04 import pictures
from regimes_course.lesson04.checks.imbalance import rank
from regimes_course.lesson04.checks.invariant import trained

__all__ = ["DISTANCE_FROM_LAST_LAYER"]


def _run(seed: int, X: Tensor, m: int, q: int, size: float) -> tuple[Tensor, Tensor, Tensor]:
    """Inputs, the U of a start and the V that Gauss-Newton ends with, for random labels."""
    d = X.shape[1]
    U, V = size * random(seed, d, m), size * random(seed + 1, q, m)
    Y = X @ random(seed + 2, d, q)  # labels that can be fitted, whatever the rank
    return X, U, trained(X, Y, U, V)[1]


def _cases() -> dict[str, tuple]:
    hand = [[3.0, 4.0]], [[2.0, 1.0], [0.0, 5.0]], [[1.0, 3.0]]
    return {
        "X = [[3, 4]], U = [[2, 1], [0, 5]], V = [[1, 3]]": tuple(torch.tensor(a, dtype=torch.float64) for a in hand),
        "n 4, d 9, m 16, q 2, after Gauss-Newton": _run(0, 2 * random(3, 4, 9), 16, 2, 0.5),
        "one output: n 3, d 11, m 20, q 1, after Gauss-Newton": _run(4, random(7, 3, 11), 20, 1, 0.3),
        "rank 2 from 5 samples: d 6, m 14, q 3, after Gauss-Newton": _run(8, random(11, 5, 2) @ random(12, 2, 6), 14, 3, 0.6),
        "the first two samples the same, and one zero: n 5, d 7, m 6, q 2": (_repeated(), random(20, 7, 6), random(21, 2, 6)),
        "inputs of size 1e-9: n 3, d 6, m 5, q 2": (1e-9 * random(22, 3, 6), random(23, 6, 5), random(24, 2, 5)),
        "two samples that differ by one in a thousand: n 4, d 7, m 5, q 2": (_nearly(), random(25, 7, 5), random(26, 2, 5)),
        "rank 3 from 8 samples: d 5, m 12, q 2, after Gauss-Newton": _run(13, random(16, 8, 3) @ random(17, 3, 5), 12, 2, 0.7),
    }


def _repeated() -> Tensor:
    X = random(19, 5, 7)
    return torch.stack([X[0], X[0], 0 * X[0], X[1], X[2]])


def _nearly() -> Tensor:
    """Four samples, the last of them nearly the first: the smallest singular value is 4e-4 times the largest."""
    X = random(27, 4, 7)
    return torch.cat([X[:3], X[:1] + 1e-3 * X[3:]])


def _inside(X, U, V):
    return row_space(X).split(U)[0] @ V.T


def _outside(X, U, V):
    return row_space(X).split(U)[1] @ V.T


def _size(matrix: Callable, order=None) -> Callable:
    """An answer that is the norm of some matrix."""
    return lambda *args: torch.linalg.norm(matrix(*args), order).item()


def _by_eigenvectors(X, U, V):
    lam, Q = torch.linalg.eigh(X.T @ X)
    return torch.linalg.norm(Q[:, lam < 1e-10 * lam[-1]].T @ U @ V.T)


def _by_pythagoras(X, U, V):
    return ((U @ V.T).square().sum() - _inside(X, U, V).square().sum()).sqrt().item()


def _by_least_squares(X, U, V):
    inside = torch.linalg.lstsq(X, X @ U, driver="gelsd").solution
    return ((U - inside) @ V.T).square().sum().sqrt().numpy()


def _of_rank(count: Callable[[Tensor], int]) -> Callable:
    """An answer that counts the directions of the row space in its own way."""
    return _size(lambda X, U, V: torch.linalg.svd(X).Vh[count(torch.linalg.svdvals(X)) :] @ U @ V.T)


def _another_rank(trials: list[Trial]) -> bool:
    """Whether each wrong distance is right for another number of directions in the row space. All zero says nothing of it."""

    def counted(trial):
        X = trial.args[0]
        return any(same(trial.got.value, _of_rank(lambda s, r=r: r)(*trial.args), 1e-7) for r in range(1 + X.shape[1]))

    found = all(t.right or (isinstance(t.got.value, float) and counted(t)) for t in trials)
    return found and any(t.got.value for t in trials)


def _draw(rng: Random) -> tuple:
    """Inputs of any rank and size: random, some of them repeated, or zero."""
    n, d, m, q, seed = rng.randint(1, 6), rng.randint(2, 8), rng.randint(1, 9), rng.randint(1, 3), rng.randrange(10**6)
    X = random(seed, n, d)[[rng.randint(0, max(0, min(n, d - 1) - 1)) for _ in range(n)]]
    X = X * (1.0 if n == 1 else torch.arange(n)[:, None] != rng.randrange(2 * n))
    return (
        10 ** rng.uniform(-5, 3) * X,
        random(seed + 1, d, m),
        random(seed + 2, q, m),
    )


DISTANCE_FROM_LAST_LAYER = Numbers(
    key="04/distance_from_last_layer",
    picture=pictures.distance_from_last_layer,
    reference=_size(_outside),
    cases=_cases,
    draw=_draw,
    praise="This is the distance to the min-norm solution, and the labels were never needed.",
    alternatives=(
        lambda X, U, V: torch.linalg.norm(U @ V.T - torch.linalg.pinv(X) @ X @ U @ V.T),
        _by_eigenvectors,
        _by_pythagoras,
        _by_least_squares,
    ),
    mistakes=(
        Mistake(
            "the whole U",
            "This takes all of U at the start. Its part in the row space of X changes in training, and ends at the min-norm solution: leave it out.",
            _size(lambda X, U, V: U @ V.T),
        ),
        Mistake(
            "the part inside",
            "This takes the part of U in the row space of X. The distance comes from the other part, the one that training leaves alone.",
            _size(_inside),
        ),
        Mistake(
            "no projector",
            "This subtracts X^T X U. X^T X is a projector only if the rows of X are orthonormal; the projector on the row space is X^+ X.",
            _size(lambda X, U, V: (U - X.T @ X @ U) @ V.T),
        ),
        Mistake(
            "the last layer forgotten",
            "This is the norm of U2 alone. What separates the predictors is U2 V^T, with the V of the end.",
            _size(lambda X, U, V: row_space(X).split(U)[1]),
        ),
        Mistake(
            "norms multiplied",
            "This multiplies the norm of U2 by the norm of V, which is only a bound. Multiply the matrices first, then take the norm.",
            lambda X, U, V: (row_space(X).split(U)[1].norm() * V.norm()).item(),
        ),
        Mistake(
            "squared",
            "This is the square of the distance.",
            lambda *args: _size(_outside)(*args) ** 2,
        ),
        Mistake(
            "spectral norm",
            "This is the largest singular value of the difference. The Frobenius norm is the root of the sum of all squares.",
            _size(_outside, 2),
        ),
        Mistake(
            "thin basis",
            "This looks for the perpendicular directions in a thin singular value decomposition, which holds at most n of the d. Ask for full_matrices=True.",
            _size(lambda X, U, V: torch.linalg.svd(X, full_matrices=False).Vh[rank(X) :] @ U @ V.T),
        ),
        Mistake(
            "samples for rank",
            "This takes n for the rank of X. When samples depend on each other, more directions than d - n are perpendicular to all of them.",
            _size(lambda X, U, V: torch.linalg.svd(X).Vh[len(X) :] @ U @ V.T),
        ),
        Mistake(
            "another rank",
            "In some cases this counts another rank than X has. Is its tolerance absolute, or far above rounding? Inputs of any size, and samples that "
            "differ by one in a thousand, span their directions all the same.",
            _of_rank(lambda s: int((s > 1e-2).sum())),
            _another_rank,
            also=[_of_rank(lambda s: int((s > 0.2 * s[0]).sum())), _of_rank(lambda s: int((s > 1e-3 * s[0]).sum()))],
        ),
        Mistake(
            "rows of U for U2",
            "This takes the last d - r rows of U for U2. The row space of X does not lie along the coordinates: U2 is Phi2^T U.",
            _size(lambda X, U, V: U[rank(X) :] @ V.T),
        ),
        Mistake(
            "on the data",
            "This is a size of outputs on the data, X U V^T. On the data both predictors agree: the distance is between the predictors themselves.",
            _size(lambda X, U, V: X @ U @ V.T),
        ),
        Mistake(
            "mean",
            "This divides by the number of entries. The Frobenius norm is the root of the sum of the squares, not of their mean.",
            lambda X, U, V: _size(_outside)(X, U, V) / (len(U) * len(V)) ** 0.5,
        ),
        Mistake(
            "the difference itself",
            "This is the difference of the two predictors, a matrix. Return its Frobenius norm.",
            lambda X, U, V: row_space(X).outside @ _outside(X, U, V),
        ),
    ),
)
