"""Random numbers for initialisation."""

import torch
from torch import Tensor

from regimes.seeds import seeded

__all__ = ["per_run_std", "seeded_normal"]


def per_run_std(std: float | Tensor, runs: tuple[int, ...], name: str, axes: int) -> Tensor:
    """``std`` broadcast to the runs, with ``axes`` trailing axes of length one.

    Raises:
        ValueError: if it is negative or not finite; the message calls it ``name``.
    """
    std = torch.as_tensor(std, dtype=torch.float64)
    if (std < 0).any() or not torch.isfinite(std).all():
        raise ValueError(f"{name} must be a finite number >= 0; got {std.tolist()}")
    return std.expand(runs).reshape(runs + (1,) * axes)


def seeded_normal(
    seed: int | Tensor | torch.Generator, runs: tuple[int, ...], shapes: list[tuple[int, ...]]
) -> tuple[Tensor, ...]:
    """Standard normal float64 tensors of the given shapes behind the run axes, drawn on the CPU run by run."""

    def draw(g: torch.Generator, runs: tuple[int, ...] = ()) -> tuple[Tensor, ...]:
        return tuple(torch.randn(*runs, *shape, generator=g, dtype=torch.float64) for shape in shapes)

    return draw(seed, runs) if isinstance(seed, torch.Generator) else seeded(seed, draw, runs)
