"""Starts for exercise 3, right and wrong: each takes X, the numbers of hidden units and of outputs, and a seed."""

from collections.abc import Callable

import torch
from torch import Tensor

from regimes_course.lesson04.checks.imbalance import rank

__all__ = [
    "after",
    "antisymmetric",
    "by_coordinates",
    "changed_data",
    "copies",
    "in_single",
    "one_unit_outside",
    "only_last",
    "only_uu",
    "only_vu",
    "projected",
    "projector",
    "random_pair",
    "split",
    "too_few",
    "unseeded",
]


def random_pair(X: Tensor, m: int, q: int, seed: int) -> tuple[Tensor, Tensor]:
    """Normal U and V: neither product is zero."""
    g = torch.Generator().manual_seed(seed)
    return torch.randn(X.shape[1], m, generator=g, dtype=X.dtype), torch.randn(q, m, generator=g, dtype=X.dtype)


def projector(X: Tensor) -> Tensor:
    """On the row space of X, ``(d, d)``."""
    return torch.linalg.pinv(X) @ X


def split(X, m, q, seed):
    """Units of two kinds: the last r + q work for the data."""
    U, V = random_pair(X, m, q, seed)
    P, work = projector(X), rank(X) + q
    V[:, :-work] = 0
    return torch.cat([U[:, :-work] - P @ U[:, :-work], P @ U[:, -work:]], 1), V


def projected(X, m, q, seed):
    """Any U and V, with the rows of U1 and V made perpendicular to those of U2."""
    U, V = random_pair(X, m, q, seed)
    P = projector(X)
    U2 = U - P @ U
    off = torch.eye(m, dtype=X.dtype) - torch.linalg.pinv(U2) @ U2
    return U2 + P @ U @ off, V @ off


def one_unit_outside(X, m, q, seed):
    """One unit carries all of U2, all others work for the data."""
    U, V = random_pair(X, m, q, seed)
    U = projector(X) @ U
    V[:, 0] = 0
    U[:, 0] = 5 * torch.linalg.svd(X).Vh[-1]
    return U, V


def only_last(X, m, q, seed):
    """U1 = 0, and V on units where U2 is zero: deterministic."""
    V = torch.zeros(q, m, dtype=X.dtype)
    V[:, :q] = torch.diag(torch.arange(1.0, q + 1).to(X))
    U = torch.zeros(X.shape[1], m, dtype=X.dtype)
    U[:, -1] = 3 * torch.linalg.svd(X).Vh[-1]
    return U, V


def antisymmetric(X, m, q, seed):
    """Units in pairs with opposite output weights: the output is zero on every input."""
    U, V = random_pair(X, m, q, seed)
    h = m // 2
    U[:, h : 2 * h], V[:, h : 2 * h], V[:, 2 * h :] = U[:, :h], -V[:, :h], 0
    return U, V


def only_vu(X, m, q, seed):
    """The rows of V alone made perpendicular to those of U2."""
    U, V = random_pair(X, m, q, seed)
    U2 = U - projector(X) @ U
    return U, V - V @ torch.linalg.pinv(U2) @ U2


def only_uu(X, m, q, seed):
    """The rows of U1 alone made perpendicular to those of U2."""
    U, V = random_pair(X, m, q, seed)
    P = projector(X)
    U2 = U - P @ U
    return U - P @ U @ torch.linalg.pinv(U2) @ U2, V


def by_coordinates(X, m, q, seed):
    """Units of two kinds, with the rows of U taken for U1 and U2."""
    U, V = random_pair(X, m, q, seed)
    r, half = rank(X), m // 2
    U[:r, half:], U[r:, :half], V[:, half:] = 0, 0, 0
    return U, V


def unseeded(X, m, q, seed):
    """A right start, another one each time."""
    return split(X, m, q, int(torch.randint(2**31, ()).item()))


def in_single(X, m, q, seed):
    """A right start, rounded to float32."""
    U, V = split(X, m, q, seed)
    return U.float(), V.float()


def too_few(X, m, q, seed):
    """A single unit works for the data: the predictor has rank one for ever."""
    U, V = random_pair(X, m, q, seed)
    P = projector(X)
    U[:, 0], U[:, 1:], V[:, 1:] = P @ U[:, 0], (U - P @ U)[:, 1:], 0
    return U, V


def copies(X, m, q, seed):
    """All units that work for the data are copies of one, and stay copies."""
    U, V = split(X, m, q, seed)
    work = rank(X) + q
    U[:, -work:], V[:, -work:] = U[:, -1:], V[:, -1:]
    return U, V


def changed_data(X, m, q, seed):
    """A right start, and X divided by its norm in place."""
    X /= X.norm()
    return split(X, m, q, seed)


def after(change: Callable, start: Callable = split) -> Callable:
    """A start with something done to it; `change` gets X, U and V."""
    return lambda X, m, q, seed: change(X, *start(X, m, q, seed))
