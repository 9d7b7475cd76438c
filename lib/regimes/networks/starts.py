"""Random numbers for starts: a stack of runs draws what each of its runs alone would."""

import torch
from torch import Tensor

__all__ = ["normal", "spread"]


def spread(std: float | Tensor, runs: tuple[int, ...], name: str, axes: int) -> Tensor:
    """``std`` broadcast to the runs, with ``axes`` trailing axes of length one.

    Raises:
        ValueError: if it is negative or not finite; ``name`` says what.
    """
    std = torch.as_tensor(std, dtype=torch.float64)
    if (std < 0).any() or not torch.isfinite(std).all():
        raise ValueError(f"{name} must be a finite number >= 0; got {std.tolist()}")
    return std.expand(runs)[(...,) + (None,) * axes]


def normal(seed: int | Tensor | torch.Generator, runs: tuple[int, ...], shapes: list[tuple[int, ...]]) -> list[Tensor]:
    """Standard normal float64 tensors of the given shapes behind the run axes, drawn on the CPU run by run."""
    if isinstance(seed, torch.Generator):
        return [torch.randn(*runs, *shape, generator=seed, dtype=torch.float64) for shape in shapes]
    seeds = torch.as_tensor(seed).expand(runs).flatten().tolist()
    draws = []
    for s in seeds:
        g = torch.Generator().manual_seed(s)
        draws.append([torch.randn(shape, generator=g, dtype=torch.float64) for shape in shapes])
    return [torch.stack(t).reshape(*runs, *shape) for t, shape in zip(zip(*draws, strict=True), shapes, strict=True)]
