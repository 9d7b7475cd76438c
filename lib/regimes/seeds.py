"""Random numbers from seeds: a stack of runs draws what each of its runs would draw alone."""

import math
from collections.abc import Callable
from typing import TypeVar

import torch
from torch import Tensor

from regimes.arguments import run_shape

__all__ = ["per_run", "seeded"]

Draw = TypeVar("Draw", Tensor, tuple[Tensor, ...])


def per_run(seed: int | Tensor, runs: tuple[int, ...] | None = None) -> Tensor:
    """One seed per run.

    Args:
        seed: a tensor of seeds, or one integer, which stands for ``seed, seed + 1, ...``: no two runs are the same.
        runs: the shape of the run axes, to which a tensor broadcasts; that of ``seed`` itself if not given.

    Raises:
        ValueError: for seeds that are not whole numbers, or do not fit the runs.

    >>> per_run(3, (2, 2)).tolist(), per_run(torch.tensor([3, 3])).tolist()
    ([[3, 4], [5, 6]], [3, 3])
    """
    try:
        seeds = torch.as_tensor(seed, device="cpu")
    except (TypeError, ValueError, RuntimeError):  # torch's answers to what is no number
        seeds = torch.empty(0)
    if seeds.dtype == torch.bool or seeds.is_floating_point() or seeds.is_complex():
        raise ValueError(f"a seed is a whole number, or a tensor with one per run; got {seed!r}")
    if runs is None:
        return seeds
    runs = run_shape(runs)
    if not seeds.ndim:
        return int(seeds) + torch.arange(math.prod(runs), device="cpu").reshape(runs)
    try:
        return seeds.expand(runs)
    except RuntimeError:
        raise ValueError(
            f"seeds of shape {tuple(seeds.shape)} do not fit runs {runs}: pass one per run, or one integer"
        ) from None


def seeded(seed: int | Tensor, draw: Callable[[torch.Generator], Draw], runs: tuple[int, ...] | None = None) -> Draw:
    """What ``draw`` draws from one generator per seed, with the run axes in front.

    Args:
        seed, runs: see `per_run`.
        draw: maps a generator to a tensor, or to a tuple of tensors, of the same shapes for every generator.
    """
    seeds = per_run(seed, runs)
    draws = [draw(torch.Generator("cpu").manual_seed(s)) for s in seeds.flatten().tolist()]
    if isinstance(draws[0], tuple):
        return tuple(_stack(column, seeds) for column in zip(*draws, strict=True))
    return _stack(draws, seeds)


def _stack(draws, seeds: Tensor) -> Tensor:
    return torch.stack(tuple(draws)).reshape(*seeds.shape, *draws[0].shape)
