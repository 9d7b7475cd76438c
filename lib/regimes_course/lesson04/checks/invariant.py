"""Exercise 3: a start in the invariant set, with a large part outside the row space of the inputs."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from regimes.metrics import row_space
from regimes_course.kit.checking import Behaviour, Complaint, Mistake, random
from regimes_course.kit.comparing import printed
from regimes_course.lesson04 import pictures
from regimes_course.lesson04.checks import starts

__all__ = ["INVARIANT_INIT", "trained"]

LEAST_U2, LEAST_V = 1.0, 0.1  # what the statement asks for
ZERO, NEAR, FITTED, END = 1e-12, 1e-5, 1e-10, 1e-9
STEP, STEPS = 0.5, 80  # the residual halves in each step


def trained(X: Tensor, Y: Tensor, U: Tensor, V: Tensor) -> tuple[Tensor, Tensor]:
    """Where Gauss-Newton ends from ``U (d, m)``, ``V (q, m)``: minimum-norm steps of size 1/2, with their ``n q x n q`` Gram matrix."""
    for _ in range(STEPS):
        A = X @ U
        one, gram = torch.eye(len(V), dtype=X.dtype), torch.kron(X @ X.T, V @ V.T)
        K = gram + torch.kron(A @ A.T, one)
        M = (torch.linalg.pinv(K, hermitian=True, rtol=1e-12) @ (Y - A @ V.T).reshape(-1)).reshape(Y.shape)
        U, V = U + STEP * X.T @ M @ V, V + STEP * M.T @ A
    return U, V


@dataclass(frozen=True)
class Seen:
    """One start and where it led.

    Attributes:
        shapes, double, same, kept: whether U and V have the shapes asked for, are float64, come out the same a second time, and
            whether X is what it was. Without the first two the rest stays as it is here.
        outside, last: the Frobenius norms of U2 and V.
        vu, uu, out: those of V U2^T, U1 U2^T and U V^T, relative to the sizes of their factors.
        rows: whether the two products vanish if the last d - r rows of U are taken for U2.
        residual: ``|X U V^T - Y| / |Y|`` at the end.
        distance: ``|U V^T - X^+ Y|`` at the end.
    """

    shapes: bool = False
    double: bool = False
    same: bool = True
    kept: bool = True
    outside: float = math.nan
    last: float = math.nan
    vu: float = math.nan
    uu: float = math.nan
    out: float = math.nan
    rows: bool = False
    residual: float = math.nan
    distance: float = math.nan


def _problems() -> list[tuple[Tensor, int, int, int]]:
    """Inputs, hidden units, outputs, seed. The third has rank 3 from 6 samples."""
    return [
        (random(0, 4, 9), 17, 2, 5),
        (3 * random(1, 3, 7), 13, 1, 6),
        (random(2, 6, 3) @ random(3, 3, 8), 16, 2, 7),
    ]


def observe(answer: Callable) -> list[Seen]:
    """Ask for a start on each data set, twice, and train it."""
    return [_observe(answer, *problem) for problem in _problems()]


def _observe(answer: Callable, X: Tensor, m: int, q: int, seed: int) -> Seen:
    given = X.clone()
    U, V = start = _pair(answer(given, m, q, seed))
    if U.shape != (X.shape[1], m) or V.shape != (q, m):
        return Seen()
    if U.dtype != torch.float64 or V.dtype != torch.float64:
        return Seen(shapes=True)
    if not all(torch.isfinite(a).all() for a in start):
        raise Complaint("not all numbers in your U and V are finite")
    again = _pair(answer(X.clone(), m, q, seed))
    return Seen(True, True, all(map(torch.equal, start, again)), torch.equal(given, X), *_sizes(X, U, V), *_end(X, U, V))


def _pair(value) -> tuple[Tensor, Tensor]:
    if not isinstance(value, tuple | list) or len(value) != 2 or not all(isinstance(a, Tensor) for a in value):
        says = f"your function must return two tensors, U and V; it returned {type(value).__name__}"
        raise Complaint(f"{says} {printed(value, repr, 60)}")
    return tuple(a.detach().clone() for a in value)


def _sizes(X: Tensor, U: Tensor, V: Tensor) -> tuple:
    space = row_space(X)
    r, (U1, U2) = space.rank, space.split(U)
    u, v = U.norm().item(), V.norm().item()
    by_rows = max(_product(V, U[r:], u * v), _product(U[:r], U[r:], u * u)) < ZERO
    return U2.norm().item(), v, _product(V, U2, u * v), _product(U1, U2, u * u), _product(U, V, u * v), by_rows


def _product(A: Tensor, B: Tensor, size: float) -> float:
    return (A @ B.T).norm().item() / size if size else 0.0


def _end(X: Tensor, U: Tensor, V: Tensor) -> tuple[float, float]:
    Y = X @ random(9, X.shape[1], len(V))  # labels that can be fitted, whatever the rank
    try:
        U, V = trained(X, Y, U, V)
    except torch.linalg.LinAlgError:
        return math.inf, math.inf
    Theta, shortest = U @ V.T, row_space(X).min_norm(Y)
    return ((X @ Theta - Y).norm() / Y.norm()).item(), ((Theta - shortest).norm() / shortest.norm()).item()


def kept(seen: list[Seen]) -> bool:
    """Whether both products are zero to rounding, for every data set."""
    return all(s.vu < ZERO and s.uu < ZERO for s in seen)


def solved(seen: list[Seen]) -> bool:
    """Whether every start is as asked for, and every run fits its labels and ends at the min-norm solution."""
    return (
        all(s.shapes and s.double and s.same and s.kept for s in seen)
        and all(s.outside >= LEAST_U2 and s.last >= LEAST_V for s in seen)
        and kept(seen)
        and all(s.residual < FITTED and s.distance < END for s in seen)
    )


def _any(test: Callable[[Seen], bool]) -> Callable[[list[Seen]], bool]:
    return lambda seen: any(test(s) for s in seen)


def _says(seen: list[Seen]) -> str:
    return " ".join(
        f"Data set {i}: |U2| = {s.outside:.2g}, |V| = {s.last:.2g}; training ends {s.distance:.1e} from the min-norm solution, relative to its length."
        for i, s in enumerate(seen, 1)
    )


INVARIANT_INIT = Behaviour(
    key="04/invariant_init",
    picture=pictures.invariant_init,
    observe=observe,
    passed=solved,
    praise=_says,
    otherwise=_says,
    alternatives=(starts.split, starts.projected, starts.one_unit_outside, starts.only_last),
    mistakes=(
        Mistake(
            "shapes",
            "U must have the shape (d, m), one row an input, and V the shape (q, m), one row an output.",
            starts.after(lambda X, U, V: (U.T, V.T)),
            _any(lambda s: not s.shapes),
        ),
        Mistake(
            "single precision",
            "This is float32, whose rounding is far from zero. Create U and V with dtype=torch.float64, or dtype=X.dtype.",
            starts.in_single,
            _any(lambda s: not s.double),
        ),
        Mistake(
            "data changed",
            "This changes X, which is not yours to change. Work on a copy.",
            starts.changed_data,
            _any(lambda s: not s.kept),
        ),
        Mistake(
            "seed ignored",
            "Called twice with the same seed, it returns two different starts. Draw from torch.Generator().manual_seed(seed).",
            starts.unseeded,
            _any(lambda s: not s.same),
        ),
        Mistake(
            "nothing outside",
            "U2, the part of U outside the row space of X, is shorter than 1. With U2 = 0 every start ends at the min-norm solution: the point is to "
            "get there although much of U lies outside.",
            starts.after(lambda X, U, V: (starts.projector(X) @ U, V)),
            _any(lambda s: not s.outside >= LEAST_U2),
        ),
        Mistake(
            "no output layer",
            "V is shorter than 0.1. With V = 0 the output is zero at the start, but V grows along U1, and if that meets U2, training ends elsewhere.",
            starts.after(lambda X, U, V: (U, 0 * V), starts.random_pair),
            _any(lambda s: not s.last >= LEAST_V),
        ),
        Mistake(
            "output zero",
            "The output of this network is zero at the start, on every input. That is not enough: V grows along U1, and U1 U2^T is not zero.",
            starts.antisymmetric,
            _any(lambda s: s.out < ZERO and s.uu >= ZERO),
        ),
        Mistake(
            "nearly zero",
            "The products are nearly zero, but far above the rounding of float64. Was something rounded, or computed in float32, on the way?",
            starts.after(lambda X, U, V: (U.float().double(), V.float().double())),
            lambda seen: not kept(seen) and all(s.vu < NEAR and s.uu < NEAR for s in seen),
        ),
        Mistake(
            "only V U2^T",
            "V U2^T is zero, U1 U2^T is not. Training lets V grow along U1, and so V U2^T does not stay zero: both have to be zero at the start.",
            starts.only_vu,
            _any(lambda s: s.vu < ZERO <= s.uu),
        ),
        Mistake(
            "only U1 U2^T",
            "U1 U2^T is zero, V U2^T is not. Training lets U1 grow along V, and part of V sees U2 from the first step: both have to be zero at the start.",
            starts.only_uu,
            _any(lambda s: s.uu < ZERO <= s.vu),
        ),
        Mistake(
            "rows of U for U1 and U2",
            "This takes the first r rows of U for U1 and the others for U2. The row space of X does not lie along the coordinates: U1 = Phi1^T U.",
            starts.by_coordinates,
            _any(lambda s: s.rows and not kept(seen=[s])),
        ),
        Mistake(
            "neither product",
            "Neither V U2^T nor U1 U2^T is zero. Scaling does not change that; which hidden units have a part in U2, and which in V and U1?",
            starts.random_pair,
            lambda seen: not kept(seen),
        ),
        Mistake(
            "too few units at work",
            "Both products are zero, but training cannot fit the labels: the hidden units that have a part in U1 and V are too few, or too much alike. "
            "The rank of a predictor U V^T is at most their number, and copies of a unit stay copies.",
            starts.too_few,
            _any(lambda s: not s.residual < FITTED),
            also=[starts.copies],
        ),
    ),
)
