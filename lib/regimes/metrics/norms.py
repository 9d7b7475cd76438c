"""Sizes at any scale: no square over- or underflows, and no digit changes."""

import torch
from torch import Tensor

__all__ = ["relative_size", "unit_scaled"]


def unit_scaled(t: Tensor, axes: int = 2, refuse: str = "") -> tuple[Tensor, Tensor]:
    """``t / s`` in float64, and ``s``: the power of two that brings the largest entry over the last ``axes`` between 1 and 2.

    A power of two changes no digit. Where ``t`` is zero, ``s`` is one.

    Raises:
        ValueError: where ``t`` is zero, if its name is given as ``refuse``.
    """
    t = t.detach().double()
    largest = t.abs().amax(tuple(range(-axes, 0)), keepdim=True)
    if refuse and (largest == 0).any():
        raise ValueError(f"{refuse} that is zero has no direction and no distance relative to its size")
    scale = torch.where(largest == 0, 1.0, largest / (2 * torch.frexp(largest).mantissa))
    return t / scale, scale


def relative_size(t: Tensor, reference: Tensor, name: str) -> Tensor:
    """``|t| / |reference|``, Frobenius norms over the last two axes, one number per run.

    Raises:
        ValueError: for a reference that is zero.
    """
    (a, s), (b, r) = unit_scaled(t), unit_scaled(reference, refuse=name)
    ratio = torch.linalg.matrix_norm(a) / torch.linalg.matrix_norm(b)
    return (ratio * (s / r)[..., 0, 0]).to(t.dtype)
