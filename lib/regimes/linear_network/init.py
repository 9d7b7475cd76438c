"""Initialisations of a two-layer linear network that differ in what the data see of them."""

import torch
from torch import Tensor

from regimes.metrics import RowSpace

__all__ = ["balanced_init", "orthogonal_init", "six_inits"]


def orthogonal_init(rows: RowSpace, outputs: int, m: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    """``U`` and ``V`` whose rows are orthonormal, those of ``U_1`` orthogonal to those of ``V``; ``U_2 = 0``."""
    generator = torch.Generator().manual_seed(seed)
    frame = torch.linalg.qr(torch.randn(m, rows.rank + outputs, generator=generator, dtype=torch.float64)).Q.mT
    return rows.inside @ frame[: rows.rank], frame[rows.rank :]


def balanced_init(rows: RowSpace, product: Tensor, m: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    r"""``U`` and ``V`` with :math:`U_1 V^T` the ``product`` (r, q), no imbalance, and ``U_2 = 0``."""
    P, sigma, Qh = torch.linalg.svd(product, full_matrices=False)
    generator = torch.Generator().manual_seed(seed)
    frame = torch.linalg.qr(torch.randn(m, len(sigma), generator=generator, dtype=torch.float64)).Q.mT
    frame = sigma.sqrt()[:, None] * frame
    return rows.inside @ P @ frame, Qh.mT @ frame


def six_inits(rows: RowSpace, outputs: int, m: int, std: float, seed: int) -> dict[str, tuple[Tensor, Tensor]]:
    """Three initialisations inside the invariant set :math:`V U_2^T = 0, U_1 U_2^T = 0` and three outside: ``(U, V)`` by name.

    All are made from the same random numbers. ``m`` must exceed ``d - r``, or nothing is orthogonal to ``U_2``.

    Raises:
        ValueError: for a smaller width.
    """
    outside = rows.outside.shape[1]
    if m <= outside:
        raise ValueError(f"rows orthogonal to all {outside} rows of U2 need a width above {outside}; got m = {m}")
    generator = torch.Generator().manual_seed(seed)
    shapes = ((rows.rank, m), (outside, m), (outputs, m))
    U1, U2, V = (std * torch.randn(shape, generator=generator, dtype=torch.float64) for shape in shapes)
    off = torch.eye(m, dtype=U2.dtype) - torch.linalg.pinv(U2) @ U2
    job = (torch.arange(m) < m // 2).to(U2.dtype)
    parts = {
        "U2 = 0": (U1, 0 * U2, V),
        "units with separate jobs": (job * U1, (1 - job) * U2, job * V),
        "U1 and V orthogonal to U2": (U1 @ off, U2, V @ off),
        "only V orthogonal to U2": (U1, U2, V @ off),
        "V = 0": (U1, U2, 0 * V),
        "no condition": (U1, U2, V),
    }
    return {name: (rows.inside @ u1 + rows.outside @ u2, v) for name, (u1, u2, v) in parts.items()}
