"""Can a plane through the origin separate the classes, and with what margin?"""

from dataclasses import dataclass

import numpy as np
import torch
from scipy.optimize import linprog, nnls
from torch import Tensor

__all__ = ["NotSeparable", "Separation", "is_separable", "separation"]

EPS, TINY = np.finfo(float).eps, np.finfo(float).tiny


class NotSeparable(ValueError):
    """No plane through the origin separates the two classes, so there is no margin."""


@dataclass(frozen=True)
class Separation:
    """The plane with the largest margin.

    Attributes:
        direction: ``(d,)``, a unit vector ``w``.
        margin: ``gamma = min_i y_i (w . x_i)``, a positive number.
    """

    direction: Tensor
    margin: float


def is_separable(x: Tensor, y: Tensor) -> bool:
    """Whether some ``w`` has ``y_i (w . x_i) > 0`` for all samples: whether the ``x_i / |x_i|`` have a margin.

    Args:
        x: ``(n, d)``.
        y: ``(n,)``, labels -1 and +1.

    Raises:
        ValueError: for other labels, or inputs that are not finite.
    """
    z, length = _signed(x, y)
    return bool(length.all()) and _widest(z) is not None


def separation(x: Tensor, y: Tensor) -> Separation:
    r"""The unit vector with the largest margin, and that margin.

    They are the direction and the length of the shortest vector in the convex hull of the :math:`y_i x_i`. Which of them span
    the face it lies on, non-negative least squares finds, by the minimum of
    :math:`|\sum_i a_i y_i x_i|^2 + (1 - \sum_i a_i)^2` over :math:`a \ge 0`; where margins are small, Wolfe's algorithm
    corrects the face, and linear programs the direction. A margin is resolved down to ``n + d`` float64 precisions of the
    longest :math:`x_i`.

    Args:
        x: ``(n, d)``, one data set, without run axes.
        y: ``(n,)``, labels -1 and +1.

    Raises:
        NotSeparable: (a ValueError) if there is no margin that is resolved.
        ValueError: for labels other than -1 and +1, or inputs that are not finite.

    Source: Wolfe 1976.
    """
    z, length = _signed(x, y)
    longest = length.max()
    found = _widest(z * (length / longest)) if longest else None
    if found is None:
        raise NotSeparable(
            f"no plane through the origin separates these {len(x)} samples by more than {_rounding(z):.0e} of the longest, "
            "which is what float64 resolves, so there is no margin. Bounds that need a margin say nothing here"
        )
    return Separation(torch.as_tensor(found[0], dtype=x.dtype, device=x.device), float(found[1] * longest))


def _widest(z: np.ndarray) -> tuple[np.ndarray, float] | None:
    """The unit vector ``w`` with the largest ``min_i w . z_i``, and that if positive; the longest ``z_i`` has length one."""
    a, _ = nnls(np.vstack([z.T, np.ones(len(z))]), np.append(np.zeros(z.shape[1]), 1.0))
    face, a, w, best = np.flatnonzero(a), a[a > 0], None, (-np.inf, -np.inf)
    while True:
        x, b = _nearest(z[face])
        if (b > 0).all():
            length = float(np.linalg.norm(x))
            if length <= _rounding(z):
                return None
            margins = z @ (x / length)
            lowest = margins.argmin()
            if (-length, margins[lowest]) <= best:  # what is left is rounding, here as below
                break
            w, a, best = x / length, b, (-length, margins[lowest])
            if lowest in face:
                break
            face, a = np.append(face, lowest), np.append(a, 0.0)
        else:  # beyond the hull: as far as the hull goes in that direction, to a smaller face
            share = np.where(b <= 0, a / np.maximum(a - b, TINY), np.inf)
            if share.min() == 0 and w is not None:
                break
            a = a + share.min() * (b - a)
            face, a = (np.delete(t, share.argmin()) for t in (face, a))
    assert w is not None, "no way out of the loop without one"
    w, margin = _turned(z, w, -best[0])
    return (w, margin) if margin > _rounding(z) else None


def _turned(z: np.ndarray, w: np.ndarray, most: float) -> tuple[np.ndarray, float]:
    """``w`` turned to the largest margin, and that: ``w`` is known to rounding / ``most``, too little for small margins.

    Where turning by about a margin is turning by next to nothing, the margin is linear in the turn: a linear program.
    """
    margin = (z @ w).min()
    for _ in range(5):  # each resolves 1e-7 of the last
        if margin >= (1 - 1e-8) * most:
            break
        across = np.linalg.qr(w[:, None], mode="complete")[0][:, 1:]
        unit = max(most, -margin)
        rows = np.column_stack([-z @ across, np.ones(len(z))])
        best = linprog(-np.eye(len(w))[-1], A_ub=rows, b_ub=z @ w / unit, bounds=(None, None), method="highs")
        if best.status != 0:
            break
        turned = w + unit * across @ best.x[:-1]
        turned /= np.linalg.norm(turned)
        if (z @ turned).min() <= margin:
            break
        w, margin = turned, (z @ turned).min()
    return w, margin


def _nearest(V: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The point nearest to the origin of the plane through the rows of ``V``, and their weights in it, with sum one."""
    j = np.square(V).sum(1).argmin()
    base, D = V[j], (np.delete(V, j, 0) - V[j]).T
    U, s, Vt = np.linalg.svd(D, full_matrices=False)
    keep = s > len(V) * EPS * s[:1]
    U, s, Vt = U[:, keep], s[keep], Vt[keep]
    c = -Vt.T @ (U.T @ base / s)
    x = base - U @ (U.T @ base)
    return x - U @ (U.T @ x), np.insert(c, j, 1 - c.sum())  # once more: orthogonal to rounding even if short


def _rounding(z: np.ndarray) -> float:
    return sum(z.shape) * EPS


def _signed(x: Tensor, y: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """``y_i x_i / |x_i|`` (n, d), and the lengths ``|x_i|`` (n, 1)."""
    if x.ndim != 2 or y.shape != x.shape[:1]:
        raise ValueError(f"one data set is needed, x (n, d) and y (n,); got {tuple(x.shape)} and {tuple(y.shape)}")
    if not (y.abs() == 1).all():
        raise ValueError(f"labels must be -1 and +1; got {sorted(set(y.tolist()))[:5]}")
    if not torch.isfinite(x).all():
        raise ValueError("inputs contain numbers that are not finite (NaN or infinity)")
    z = (y[:, None] * x).detach().cpu().double().numpy()
    largest = np.abs(z).max(1, keepdims=True)
    z = z / np.where(largest > 0, largest, 1.0)
    norm = np.linalg.norm(z, axis=1, keepdims=True)
    return z / np.where(norm > 0, norm, 1.0), norm * largest
