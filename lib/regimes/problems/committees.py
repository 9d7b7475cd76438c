"""Units of committee machines: where a teacher or a student starts."""

import torch
from torch import Tensor

__all__ = ["orthonormal_units", "unit_vectors"]


def unit_vectors(d: int, p: int, *, seed: int | Tensor = 0) -> Tensor:
    """``p`` random directions in ``d`` dimensions, rows of length one: ``(..., p, d)``, with one run a seed.

    Raises:
        ValueError: for sizes below one.
    """
    if min(d, p) < 1:
        raise ValueError(f"units need d >= 1 inputs and p >= 1 of them; got {d=}, {p=}")
    seed = torch.as_tensor(seed)
    draws = [
        torch.randn(p, d, generator=torch.Generator().manual_seed(s), dtype=torch.float64) for s in seed.flatten().tolist()
    ]
    W = torch.stack(draws).reshape(*seed.shape, p, d)
    return W / W.norm(dim=-1, keepdim=True)


def orthonormal_units(d: int, k: int, *, seed: int | Tensor = 0) -> Tensor:
    """``k`` random orthonormal rows in ``d`` dimensions: ``(..., k, d)``, with one run a seed.

    Raises:
        ValueError: for ``k > d`` or sizes below one.
    """
    if k > d:
        raise ValueError(f"there are at most d = {d} orthonormal directions; got k = {k}")
    return torch.linalg.qr(unit_vectors(d, k, seed=seed).mT)[0].mT
