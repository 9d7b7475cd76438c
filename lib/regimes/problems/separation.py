"""Can a plane through the origin separate the classes, and with what margin?"""

from dataclasses import dataclass

import numpy as np
import torch
from scipy.optimize import linprog, nnls
from torch import Tensor

__all__ = ["NotSeparable", "Separation", "is_separable", "separation"]


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
    """Whether some ``w`` has ``y_i (w . x_i) >= 1`` for all samples: a linear program without objective (SciPy's HiGHS).

    Args:
        x: ``(n, d)``.
        y: ``(n,)``, labels -1 and +1.

    Raises:
        ValueError: for other labels.
    """
    z = _signed(x, y)
    found = linprog(np.zeros(z.shape[1]), A_ub=-z, b_ub=-np.ones(len(z)), bounds=(None, None), method="highs")
    return found.status == 0


def separation(x: Tensor, y: Tensor) -> Separation:
    r"""The unit vector with the largest margin, and that margin.

    They are the direction and the length of the shortest vector in the convex hull of the :math:`y_i x_i`, which non-negative
    least squares finds: the minimum of :math:`|\sum_i a_i y_i x_i|^2 + (1 - \sum_i a_i)^2` over :math:`a \ge 0` is a
    multiple of it.

    Args:
        x: ``(n, d)``, one data set, without run axes.
        y: ``(n,)``, labels -1 and +1.

    Raises:
        NotSeparable: (a ValueError) if `is_separable` says no.
        ValueError: for labels other than -1 and +1.
    """
    if not is_separable(x, y):
        raise NotSeparable(
            f"no plane through the origin separates these {len(x)} samples (the linear program is infeasible), so there is no "
            "margin. Bounds that need a margin say nothing here"
        )
    z = _signed(x, y)
    a, _ = nnls(np.vstack([z.T, np.ones(len(z))]), np.append(np.zeros(z.shape[1]), 1.0))
    w = z.T @ a
    w = w / np.linalg.norm(w)
    return Separation(torch.as_tensor(w, dtype=x.dtype, device=x.device), float((z @ w).min()))


def _signed(x: Tensor, y: Tensor) -> np.ndarray:
    """``y_i x_i``, ``(n, d)``."""
    if x.ndim != 2 or y.shape != x.shape[:1]:
        raise ValueError(f"one data set is needed, x (n, d) and y (n,); got {tuple(x.shape)} and {tuple(y.shape)}")
    if not (y.abs() == 1).all():
        raise ValueError(f"labels must be -1 and +1; got {sorted(set(y.tolist()))[:5]}")
    return (y[:, None] * x).detach().cpu().double().numpy()
