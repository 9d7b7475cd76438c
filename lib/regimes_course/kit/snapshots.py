"""A run of which every step is kept, so that a widget can look at any moment of it."""

import copy

import torch
from torch import Tensor

from regimes.networks import TwoLayer
from regimes.optimizers import DirectionOptimizer
from regimes.training import Diverged, Trace, train

__all__ = ["at", "moments", "record"]

KEEP = {"W": lambda net: net.W, "v": lambda net: net.v}


def record(optimizer: DirectionOptimizer, x: Tensor, y: Tensor, steps: int) -> tuple[Trace, int | None]:
    """Train, keeping the parameters at each step: ``measured["W"]`` ``(k, m, d + 1)`` and ``measured["v"]`` ``(k, m)``.

    Returns:
        The records, and the step at which the run diverged, or ``None``.
    """
    try:
        return train(optimizer.net, x, y, optimizer, steps, measure=KEEP), None
    except Diverged as stop:
        return stop.trace, stop.step


def at(net: TwoLayer, trace: Trace, k: int) -> TwoLayer:
    """A copy of the network as it was after ``k`` steps of a run that was made by `record`."""
    past = copy.deepcopy(net)
    with torch.no_grad():
        past.W.copy_(trace.measured["W"][k])
        past.v.copy_(trace.measured["v"][k])
    return past


def moments(steps: int, count: int = 24) -> list[int]:
    """About ``count`` step numbers from 0 to ``steps``, closer to each other at the start, where features are learned.

    >>> moments(20, 5)
    [0, 1, 3, 7, 13, 20]
    """
    return sorted({round(steps * (i / count) ** 2) for i in range(count + 1)})
