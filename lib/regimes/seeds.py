"""Random numbers from seeds: a stack of runs draws what each of its runs would draw alone."""

import math
from collections.abc import Callable
from typing import TypeVar

import torch
from torch import Tensor

__all__ = ["per_run", "seeded"]

Draw = TypeVar("Draw", Tensor, tuple[Tensor, ...])


def per_run(seed: int | Tensor, runs: tuple[int, ...] | None = None) -> Tensor:
    """One seed per run.

    Args:
        seed: a tensor of seeds, or one integer, which stands for ``seed, seed + 1, ...``: no two runs are the same.
        runs: the shape of the run axes, to which a tensor broadcasts; that of ``seed`` itself if not given.

    >>> per_run(3, (2, 2)).tolist(), per_run(torch.tensor([3, 3])).tolist()
    ([[3, 4], [5, 6]], [3, 3])
    """
    seed = torch.as_tensor(seed)
    if runs is None:
        return seed
    return seed.expand(runs) if seed.ndim else int(seed) + torch.arange(math.prod(runs)).reshape(runs)


def seeded(seed: int | Tensor, draw: Callable[[torch.Generator], Draw], runs: tuple[int, ...] | None = None) -> Draw:
    """What ``draw`` draws from one generator per seed, with the run axes in front.

    Args:
        seed, runs: see `per_run`.
        draw: maps a generator to a tensor, or to a tuple of tensors, of the same shapes for every generator.
    """
    seeds = per_run(seed, runs)
    draws = [draw(torch.Generator().manual_seed(s)) for s in seeds.flatten().tolist()]
    if isinstance(draws[0], tuple):
        return tuple(_stack(column, seeds) for column in zip(*draws, strict=True))
    return _stack(draws, seeds)


def _stack(draws, seeds: Tensor) -> Tensor:
    return torch.stack(tuple(draws)).reshape(*seeds.shape, *draws[0].shape)
