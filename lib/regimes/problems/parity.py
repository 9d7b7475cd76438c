"""Sparse parity: labels that depend on a few of many bits, and on no smaller set of them."""

import torch
from torch import Tensor

from regimes.problems.problem import Problem
from regimes.seeds import seeded

__all__ = ["parity"]


def parity(n: int = 256, d: int = 30, *, k: int = 2, n_test: int = 1000, seed: int | Tensor = 0) -> Problem:
    r"""Corners of a cube, labelled by the product of their first ``k`` coordinates.

    Inputs are uniform in :math:`\{-1, 1\}^d / \sqrt d`, of length one; the label is
    :math:`y = \prod_{i \le k} \mathrm{sign}(x_i)`. Any ``k - 1`` of the bits say nothing about the label: for ``k >= 2`` a
    linear predictor is no better than chance. A network that finds the ``k`` bits needs few samples; a kernel that treats all
    bits alike needs many.

    Args:
        n, n_test: numbers of training and test samples, drawn with replacement.
        d: number of bits.
        k: how many of them matter. For even ``k`` the labels are even, ``y(-x) = y(x)``.
        seed: an integer, or a tensor of them, whose shape gives the run axes.

    Raises:
        ValueError: for sizes below one, or ``k`` that is not from 1 to ``d``.
    """
    if min(n, d, n_test) < 1 or not 1 <= k <= d:
        raise ValueError(f"sizes must be at least one and k from 1 to d; got {n=}, {d=}, {k=}, {n_test=}")
    bits = seeded(seed, lambda g: torch.randint(0, 2, (n + n_test, d), generator=g))
    sign = 2.0 * bits.double() - 1
    x, y = sign / d**0.5, sign[..., :k].prod(-1)
    return Problem(x[..., :n, :], y[..., :n], x[..., n:, :], y[..., n:])
