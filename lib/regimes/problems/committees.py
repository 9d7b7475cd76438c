"""Units of committee machines: where a teacher or a student starts."""

import torch
from torch import Tensor

from regimes.networks import TwoLayer, committee
from regimes.seeds import seeded

__all__ = ["evenly_spread", "orthonormal_units", "student_and_teacher", "unit_vectors"]


def unit_vectors(d: int, p: int, *, seed: int | Tensor = 0) -> Tensor:
    """``p`` random directions in ``d`` dimensions, rows of length one: ``(..., p, d)``, with one run per seed.

    Raises:
        ValueError: for sizes below one.
    """
    if min(d, p) < 1:
        raise ValueError(f"units need d >= 1 inputs and p >= 1 of them; got {d=}, {p=}")
    W = seeded(seed, lambda g: torch.randn(p, d, generator=g, dtype=torch.float64))
    return W / W.norm(dim=-1, keepdim=True)


def orthonormal_units(d: int, k: int, *, seed: int | Tensor = 0) -> Tensor:
    """``k`` random orthonormal rows in ``d`` dimensions: ``(..., k, d)``, with one run per seed.

    Raises:
        ValueError: for ``k > d`` or sizes below one.
    """
    if k > d:
        raise ValueError(f"there are at most d = {d} orthonormal directions; got k = {k}")
    return torch.linalg.qr(unit_vectors(d, k, seed=seed).mT)[0].mT


def evenly_spread(p: int) -> Tensor:
    """``p`` directions in a plane, evenly spread over the right angle between two axes, on neither of them: ``(p, 2)``.

    Raises:
        ValueError: for ``p < 1``.
    """
    if p < 1:
        raise ValueError(f"at least one direction is needed; got {p=}")
    angle = torch.pi / 2 * (torch.arange(p, dtype=torch.float64) + 0.5) / p
    return torch.stack([angle.cos(), angle.sin()], -1)


def student_and_teacher(
    d: int, p: int, k: int, *, seed: int | Tensor = 0, activation: str = "erf"
) -> tuple[TwoLayer, TwoLayer]:
    """A committee of ``p`` random unit vectors and one of ``k`` orthonormal units, with one run per seed.

    Raises:
        ValueError: for ``k > d`` or sizes below one.
    """
    # A seed of its own: with that of the teacher the first unit of the student would be the teacher's, up to a sign.
    student = committee(unit_vectors(d, p, seed=seed + 10**6), activation=activation)
    return student, committee(orthonormal_units(d, k, seed=seed), activation=activation)
