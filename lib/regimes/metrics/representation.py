"""Features of a layer: how similar two sets of them are, and how many directions they use."""

import torch
from torch import Tensor

from regimes.metrics.norms import unit_scaled

__all__ = ["cka", "participation_ratio"]


def cka(X: Tensor, Y: Tensor) -> Tensor:
    r"""Linear centred kernel alignment of two sets of features on the same samples, one number per run, from 0 to 1.

    .. math:: \mathrm{CKA} = \frac{\|\bar X^T \bar Y\|_F^2}{\|\bar X^T \bar X\|_F\, \|\bar Y^T \bar Y\|_F}

    with columns centred, :math:`\bar X = X - \mathrm{mean}_i X_i`. Invariant to rotations, shifts and a common factor of the
    features, but not to stretching one direction. Computed from the ``n x n`` or the ``a x b`` products, whichever are
    smaller.

    Args:
        X: ``(..., n, a)``.
        Y: ``(..., n, b)``, with the same run axes and samples.

    Raises:
        ValueError: for features of different samples or runs, or that are the same for all samples.

    Source: Kornblith et al. 2019.
    """
    if X.ndim < 2 or Y.ndim < 2 or X.shape[:-1] != Y.shape[:-1]:
        raise ValueError(
            "features (..., n, a) and (..., n, b) of the same runs and samples are needed; got "
            f"{tuple(X.shape)} and {tuple(Y.shape)}"
        )
    X, Y = _centred(X), _centred(Y)
    if X.shape[-2] < max(X.shape[-1], Y.shape[-1]):
        G, H = X @ X.mT, Y @ Y.mT
        common = (G * H).sum((-2, -1))
    else:
        G, H = X.mT @ X, Y.mT @ Y
        common = (X.mT @ Y).square().sum((-2, -1))
    return common / (torch.linalg.matrix_norm(G) * torch.linalg.matrix_norm(H))


def participation_ratio(X: Tensor) -> Tensor:
    r"""How many directions features use: :math:`(\sum_k \lambda_k)^2 / \sum_k \lambda_k^2`, one number per run.

    :math:`\lambda` are the eigenvalues of the covariance of the features; ``k`` equal ones give ``k``, one that dwarfs the
    others gives 1.

    Args:
        X: ``(..., n, a)``.

    Raises:
        ValueError: for features that are the same for all samples.
    """
    X = _centred(X)
    G = X @ X.mT if X.shape[-2] < X.shape[-1] else X.mT @ X
    return X.square().sum((-2, -1)).square() / G.square().sum((-2, -1))


def _centred(X: Tensor) -> Tensor:
    """Columns with mean zero, float64, in units of the largest entry: what is computed from them has no unit."""
    X, _ = unit_scaled(X)
    centred = X - X.mean(-2, keepdim=True)
    if not (torch.linalg.matrix_norm(centred) > 1e-12 * torch.linalg.matrix_norm(X)).all():
        raise ValueError("features that are the same for all samples (or not finite) have no covariance to compare")
    return centred
