"""What is conserved in a two-layer linear network, and the small system of Gram matrices that closes."""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from regimes.metrics import RowSpace
from regimes.networks import TwoLayerLinear

__all__ = [
    "draw_gram",
    "final_norm",
    "follow_gram",
    "gauss_newton_factor",
    "gradient_factor",
    "imbalance",
    "what_the_data_see",
]

Factor = Callable[[Tensor, Tensor, Tensor], Tensor]  # maps (U1 V^T, U1 U1^T, V V^T) to F


def imbalance(U1: Tensor, V: Tensor) -> Tensor:
    r"""Eigenvalues of the imbalance :math:`\Lambda = U_1^T U_1 - V^T V`, smallest first, ``(..., min(m, r + q))``.

    Wide networks never build the ``m x m`` matrix: with ``Z = [V; U_1]`` and the QR factorisation ``Z^T = Q R`` the eigenvalues
    that are not zero are those of ``R diag(-1, 1) R^T``. Those left out are zero.

    Args:
        U1: ``(..., r, m)``, the part of ``U`` in the row space. With all of ``U`` the conserved matrix is a different one, and
            the rates that follow from it do not hold.
        V: ``(..., q, m)``.
    """
    Z = torch.cat([V, U1], -2)
    sign = torch.cat([-torch.ones(V.shape[-2]), torch.ones(U1.shape[-2])]).to(Z)
    R = torch.linalg.qr(Z.mT).R if Z.shape[-2] < Z.shape[-1] else Z.mT
    return torch.linalg.eigvalsh((R * sign) @ R.mT)


def what_the_data_see(net: TwoLayerLinear, rows: RowSpace) -> tuple[Tensor, Tensor]:
    r"""Eigenvalues of the imbalance (`imbalance`) and the product :math:`U_1 V^T` (..., r, q): all that the rates depend on."""
    U1, V = rows.split(net.U.detach())[0], net.V.detach()
    return imbalance(U1, V), U1 @ V.mT


def gradient_factor(s: Tensor, target: Tensor) -> Factor:
    r"""The gradient flow's ``F``: :math:`F = \mathrm{diag}(s)\,(\tilde Y - \mathrm{diag}(s)\, U_1 V^T)`, ``(..., r, q)``."""

    def factor(product, UU, VV):
        return s[:, None] * (target - s[:, None] * product)

    return factor


def gauss_newton_factor(s: Tensor, target: Tensor) -> Factor:
    r"""Gauss-Newton's ``F``, which solves :math:`U_1 U_1^T F + F V V^T = \mathrm{diag}(s)^{-1} \tilde Y - U_1 V^T`.

    The shortest step that removes the residual, ``dU_1 = F V`` and ``dV = F^T U_1``: a Sylvester equation, solved by two small
    eigendecompositions. Pairs of eigenvalues whose sum is not resolved are dropped; for ``m < min(q, r)``, where no step
    removes the residual, what is left is the least-squares step in whitened coordinates.
    """

    def factor(product, UU, VV):
        (a, P), (b, Q) = torch.linalg.eigh(UU), torch.linalg.eigh(VV)
        sums = a.clamp(min=0)[..., :, None] + b.clamp(min=0)[..., None, :]  # of Gram matrices: below zero is rounding
        kept = sums > 1e-14 * sums.amax((-2, -1), keepdim=True)  # about the precision of eigh, some tens of eps
        miss = P.mT @ (target / s[:, None] - product) @ Q
        return P @ torch.where(kept, miss / torch.where(kept, sums, 1.0), 0.0) @ Q.mT

    return factor


def draw_gram(m: int, alpha: float, size: int, draws: int, seed: int) -> Tensor:
    """Gram matrices ``Z Z^T`` (draws, size, size) of ``size`` rows of ``m`` independent ``N(0, m ** (-2 alpha))`` numbers.

    Drawn by Bartlett's factor of the Wishart distribution, at a cost that does not depend on ``m``.

    Raises:
        ValueError: for ``m < size``, where the factor does not exist.
    """
    if m < size:
        raise ValueError(f"a Gram matrix of {size} rows is drawn for widths from {size} on; got m = {m}")
    rng = np.random.default_rng(seed)
    lower = np.tril(rng.standard_normal((draws, size, size)), -1)
    lower += np.sqrt(rng.chisquare(m - np.arange(size), (draws, size)))[..., None] * np.eye(size)
    L = torch.from_numpy(lower)
    return m ** (-2 * alpha) * (L @ L.mT)


def follow_gram(G: Tensor, factor: Factor, q: int, step: float | Tensor, steps: int) -> Tensor:
    """Gram matrices after ``steps`` steps ``Z <- (1 + step A) Z`` of gradient descent or Gauss-Newton.

    The steps are exactly those of a network of any width whose ``Z`` has the Gram matrix ``G`` at initialisation.

    Args:
        G: ``(..., q + r, q + r)``, rows of ``V`` first.
        factor: `gradient_factor` or `gauss_newton_factor` of the data.
        q: number of outputs.
        step: in the time of the paper; for Gauss-Newton the share of the residual that is removed. One number, or one per
            run with two trailing axes of length one.
        steps: how many.
    """
    eye = torch.eye(G.shape[-1], dtype=G.dtype, device=G.device)
    for _ in range(steps):
        F = factor(G[..., q:, :q], G[..., q:, q:], G[..., :q, :q])
        move = eye.repeat(*G.shape[:-2], 1, 1)
        move[..., q:, :q], move[..., :q, q:] = step * F, step * F.mT
        G = move @ G @ move.mT
    return G


def final_norm(
    rows: RowSpace, Y: Tensor, m: int, alpha: float, *, newton: float | None = None, draws: int = 20, seed: int = 0
) -> Tensor:
    """Length of the last layer where training ends, for networks of any width and random initialisations: ``(draws,)``.

    Args:
        rows, Y: the data.
        m, alpha: width, and the exponent of the standard deviation ``m ** -alpha`` at initialisation.
        newton: ``None`` for gradient flow (by steps well below its stability limit), or the step size of Gauss-Newton.
        draws, seed: how many initialisations, and from which seed.

    Raises:
        RuntimeError: if the residual is not below 1e-8 of the target after 2000 steps (100 000 of gradient flow).
    """
    target = rows.target(Y)
    q, goal = target.shape[1], target / rows.s[:, None]
    G = draw_gram(m, alpha, q + rows.rank, draws, seed)
    if newton is None:
        stiff = rows.s[0] ** 2 * 2 * (torch.linalg.eigvalsh(G).max() + torch.linalg.matrix_norm(goal, 2))
        factor, step, at_once = gradient_factor(rows.s, target), 0.3 / stiff.item(), 50  # a fraction of the limit 2 / stiff
    else:
        factor, step, at_once = gauss_newton_factor(rows.s, target), newton, 1
    for _ in range(2000):
        G = follow_gram(G, factor, q, step, at_once)
        if (torch.linalg.matrix_norm(G[..., q:, :q] - goal) <= 1e-8 * torch.linalg.matrix_norm(goal)).all():
            return G[..., :q, :q].diagonal(dim1=-2, dim2=-1).sum(-1).sqrt()
    raise RuntimeError(
        f"training has not converged after {2000 * at_once} steps at m = {m}, alpha = {alpha}: the step is too large or small"
    )
