"""Slips and solutions that exercises 1 to 4 of lesson 04 do not list: rejected and accepted all the same."""

import numpy as np
import torch
from scipy.linalg import null_space, orth, subspace_angles

from regimes.metrics import row_space
from regimes_course.exercises import check
from regimes_course.kit.checking import random
from regimes_course.kit.numbers import numbers
from regimes_course.lesson04.checks import imbalance, starts
from regimes_course.lesson04.checks.distance import DISTANCE_FROM_LAST_LAYER
from regimes_course.lesson04.checks.imbalance import IMBALANCE_LEVEL, levels, rank
from regimes_course.lesson04.checks.sizes import START_SIZES

LEVELS, DISTANCE, START = (e.reference for e in (IMBALANCE_LEVEL, DISTANCE_FROM_LAST_LAYER, START_SIZES))


def from_matrix(matrix, q=len):
    return lambda X, U, V: levels(matrix(X, U, V), rank(X), q(V))


def U1(X, U):
    return row_space(X).split(U)[0]


def perpendicular(X, U):
    return row_space(X).split(U)[1]


def outside(X):
    return row_space(X).outside


def clamped(X, U, V):
    """With positive parts, and still no narrow network."""
    lam = torch.linalg.eigvalsh(imbalance.imbalance(X, U, V)).flip(0)
    (a, b), (c, d) = lam[[0, rank(X) - 1]].clamp(min=0), -lam[[-1, -len(V)]].clamp(max=0)
    return b + d, a - b, c - d


def numpy_levels(X, U, V):
    Phi = orth(X.numpy().T)
    lam = np.linalg.eigvalsh(U.numpy().T @ Phi @ Phi.T @ U.numpy() - V.numpy().T @ V.numpy())[::-1]
    up = np.maximum(np.append(lam, np.zeros(Phi.shape[1])), 0)
    down = np.maximum(np.append(-lam[::-1], np.zeros(len(V))), 0)
    a, b = up[Phi.shape[1] - 1], down[len(V) - 1]
    return np.array([a + b, up[0] - a, down[0] - b]).tolist()


def rotated_basis(X, U, V):
    """Another orthonormal basis of the row space, from a QR decomposition with its own signs."""
    X1 = X[:, :] if rank(X) == min(X.shape) else random(0, rank(X), len(X)) @ X
    Q = torch.linalg.qr(X1.T).Q[:, : rank(X)]
    Lambda = (Q.T @ U).T @ (Q.T @ U) - V.T @ V
    return levels(Lambda, rank(X), len(V))


def norm(matrix):
    return lambda X, U, V: torch.linalg.norm(matrix(X, U, V))


def mixed(X, m, q, seed):
    """Right, and then all hidden units rotated: no unit has a job of its own."""
    U, V = starts.split(X, m, q, seed)
    Q = torch.linalg.qr(random(seed, m, m)).Q
    return U @ Q, V @ Q


def scaled(inside=1.0, out=1.0, last=1.0, start=starts.split):
    def change(X, U, V):
        P = starts.projector(X)
        return inside * P @ U + out * (U - P @ U), last * V

    return starts.after(change, start)


def mask(units, start=starts.random_pair):
    """U inside on some hidden units only, outside on the others; V on all."""

    def change(X, U, V):
        P, on = starts.projector(X), torch.arange(U.shape[1]) < units
        return torch.where(on, P @ U, U - P @ U), V

    return starts.after(change, start)


def plus(change):
    return starts.after(change)


def nudged(size):
    return plus(lambda X, U, V: (U + size * random(1, *U.shape), V))


WRONG = {
    "imbalance_level": [
        ("clamped", None, clamped),
        ("X^T X for the projector", None, from_matrix(lambda X, U, V: U.T @ X.T @ X @ U / X.norm() ** 2 - V.T @ V)),
        ("the part outside", None, from_matrix(lambda X, U, V: U.T @ U - 2 * V.T @ V)),
        ("sum", None, from_matrix(lambda X, U, V: U1(X, U).T @ U1(X, U) + V.T @ V)),
        ("singular values of U1 and V, not squared", None, lambda X, U, V: torch.linalg.svdvals(U1(X, U))[:3].tolist()),
        ("perpendicular", None, from_matrix(lambda X, U, V: perpendicular(X, U).T @ perpendicular(X, U) - V.T @ V)),
        ("scaled by 1/n", None, lambda X, U, V: numbers([a / len(X) for a in LEVELS(X, U, V)])),
        ("reversed", None, lambda X, U, V: LEVELS(X, U, V)[::-1]),
        ("q off by one", None, from_matrix(imbalance.imbalance, q=lambda V: len(V) + 1)),
        ("half", None, lambda X, U, V: (LEVELS(X, U, V)[0] / 2, *LEVELS(X, U, V)[1:])),
        ("magnitudes", None, lambda X, U, V: levels(imbalance.imbalance(X, U, V).abs(), rank(X), len(V))),
        ("signs of the spreads", None, lambda X, U, V: tuple(s * a for s, a in zip((1, -1, -1), LEVELS(X, U, V), strict=True))),
        ("float32", None, lambda X, U, V: LEVELS(X.float(), U.float(), V.float())),
        ("coordinates", "rows of U for U1", from_matrix(lambda X, U, V: U[: rank(X)].T @ U[: rank(X)] - V.T @ V)),
        ("constant", None, lambda X, U, V: (5.0, 8.0, 12.0)),
        ("whole U, smaller", None, lambda X, U, V: levels(U.T @ U - V.T @ V, min(rank(X), len(V)), len(V))),
    ],
    "distance_from_last_layer": [
        ("U2 by X X^+ on the wrong side", None, lambda X, U, V: torch.linalg.norm((X @ torch.linalg.pinv(X)).sum() * U @ V.T)),
        ("largest entry", None, lambda X, U, V: (perpendicular(X, U) @ V.T).abs().max()),
        ("sum of absolute values", None, lambda X, U, V: (perpendicular(X, U) @ V.T).abs().sum()),
        ("nuclear norm", None, lambda X, U, V: torch.linalg.svdvals(perpendicular(X, U) @ V.T).sum()),
        ("sum", None, lambda X, U, V: (perpendicular(X, U) @ V.T).sum()),
        ("U2 twice", None, norm(lambda X, U, V: perpendicular(X, U) @ U.T)),
        ("V twice", None, norm(lambda X, U, V: V @ V.T)),
        (
            "normalised rows",
            None,
            norm(lambda X, U, V: (U - torch.nn.functional.normalize(X).T @ torch.nn.functional.normalize(X) @ U) @ V.T),
        ),
        ("X^T X over its size", None, norm(lambda X, U, V: (U - X.T @ X @ U / X.norm() ** 2) @ V.T)),
        ("V alone", None, norm(lambda X, U, V: V)),
        ("root of it", None, lambda X, U, V: DISTANCE(X, U, V) ** 0.5),
        ("half of the square", None, lambda X, U, V: DISTANCE(X, U, V) ** 2 / 2),
        ("to the origin", "the part inside", norm(lambda X, U, V: torch.linalg.pinv(X) @ X @ U @ V.T)),
        ("per output", None, lambda X, U, V: (perpendicular(X, U) @ V.T).norm(dim=0)),
        ("first output", None, lambda X, U, V: (perpendicular(X, U) @ V[0]).norm()),
        ("relative", None, lambda X, U, V: DISTANCE(X, U, V) / torch.linalg.norm(U @ V.T)),
        ("angle", None, lambda X, U, V: subspace_angles(X.numpy().T, U.numpy()).max()),
        ("float32", None, lambda X, U, V: DISTANCE(X.float(), U.float(), V.float())),
        ("zero", None, lambda X, U, V: 0.0),
        ("five", None, lambda X, U, V: 5.0),
        ("transposed", None, lambda X, U, V: torch.linalg.norm(outside(X) @ U @ V.T)),
    ],
    "start_sizes": [
        ("half the rate", None, lambda m, r, d, rate, distance: START(m, r, d, rate / 2, distance)),
        ("with the first layer's share", None, lambda m, r, d, rate, distance: START(m, r, d, rate - 2, distance)),
        ("widths as samples", None, lambda m, r, d, rate, distance: START(r, r, d, rate, distance)),
        ("the square of the distance", None, lambda m, r, d, rate, distance: START(m, r, d, rate, distance**2)),
        ("the exponent", None, lambda m, r, d, rate, distance: (m**-0.5, m**-0.5)),
        ("the numbers of the hint", None, lambda *args: (0.55 / 30**0.5 / 4, 0.4)),
        ("a product", None, lambda *args: START(*args)[0] * START(*args)[1]),
    ],
    "invariant_init": [
        ("zeros", "nothing outside", lambda X, m, q, seed: (X.new_zeros(X.shape[1], m), X.new_zeros(q, m))),
        ("small everywhere", "nothing outside", scaled(1e-3, 1e-3, 1e-3, starts.random_pair)),
        ("small inside", "neither product", scaled(1e-3, 1.0, 1.0, starts.random_pair)),
        ("small U1 and V", "neither product", scaled(1e-4, 1.0, 0.1, starts.random_pair)),
        ("U2 just too small", "nothing outside", scaled(out=1e-2)),
        ("V just too small", "no output layer", scaled(last=1e-2)),
        ("large U2", "neither product", scaled(out=100.0, start=starts.random_pair)),
        ("units split, V everywhere", "only U1 U2^T", mask(8)),
        ("U1 = 0", "only U1 U2^T", scaled(inside=0.0, start=starts.random_pair)),
        ("all of U outside", "only U1 U2^T", plus(lambda X, U, V: (U, V + 1))),
        ("nearly", "nearly zero", nudged(1e-9)),
        ("nudged", "neither product", nudged(1e-3)),
        (
            "hardly any U1 outside",
            "nearly zero",
            plus(lambda X, U, V: (U + 1e-11 * starts.projector(X) @ random(1, *U.shape), V)),
        ),
        ("rounded to 6 digits", "nearly zero", plus(lambda X, U, V: (U.round(decimals=6), V))),
        ("V first", "shapes", lambda *args: starts.split(*args)[::-1]),
        ("U V^T is the min-norm solution of zero", "output zero", starts.antisymmetric),
        ("one more unit", "shapes", lambda X, m, q, seed: starts.split(X, m + 1, q, seed)),
        (
            "nothing inside, V on one unit",
            "too few units at work",
            plus(lambda X, U, V: (U - starts.projector(X) @ U, V * (torch.arange(V.shape[1]) == V.shape[1] - 1))),
        ),
        (
            "global seed by the clock",
            "seed ignored",
            lambda X, m, q, seed: starts.split(X, m, q, np.random.default_rng().integers(2**31).item()),
        ),
        ("thin basis", "nothing outside", lambda X, m, q, seed: scaled(out=0.0)(X, m, q, seed)),
    ],
}
RIGHT = {
    "imbalance_level": {
        "NumPy and SciPy": numpy_levels,
        "another basis": rotated_basis,
        "a tensor a number": lambda *a: tuple(map(torch.tensor, map(float, LEVELS(*a)))),
    },
    "distance_from_last_layer": {
        "SciPy": lambda X, U, V: np.linalg.norm(null_space(X.numpy(), rcond=1e-10).T @ U.numpy() @ V.numpy().T),
        "by trace": lambda X, U, V: torch.trace(V @ U.T @ outside(X) @ outside(X).T @ U @ V.T) ** 0.5,
        "a Python number": lambda X, U, V: torch.linalg.norm((outside(X) @ (outside(X).T @ U)) @ V.T).item(),
    },
    "start_sizes": {
        "NumPy": lambda m, r, d, rate, distance: (
            np.sqrt(2 * distance**2 / (rate * (d - r))).item(),
            np.sqrt(rate / m / 2).item(),
        ),
        "tensors": lambda *args: tuple(torch.tensor(s, dtype=torch.float64) for s in START(*args)),
    },
    "invariant_init": {
        "units without jobs": mixed,
        "large outside": scaled(out=100.0),
        "small V": scaled(last=0.2),
        "large V": scaled(last=30.0),
        "small U1": scaled(inside=1e-3),
        "large U1": scaled(inside=100.0, start=starts.projected),
        "as a list": lambda *a: list(starts.split(*a)),
        "with gradients": plus(lambda X, U, V: (torch.nn.Parameter(U), torch.nn.Parameter(V))),
    },
}


def test_the_check_says_how_far_it_ended():
    result = check("04/invariant_init", starts.split)
    assert result.diagnosis.count("from the min-norm solution") == 3
