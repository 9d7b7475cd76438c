"""Two phases of training with a large step: the loss jumps up and down, then it only falls."""

from typing import NamedTuple

import torch
from torch import Tensor

__all__ = ["Phases", "phase_switch"]

ROUNDING = 1e-10


class Phases(NamedTuple):
    """Where a run changes its phase; whole numbers, one a run.

    Attributes:
        last_increase: the last step that ended above where it began, counted from 1; 0 for a run that only falls.
        first_below: the first step (0 is the start) with a loss at or below the threshold; -1 if there is none.
    """

    last_increase: Tensor
    first_below: Tensor


def phase_switch(loss: Tensor, threshold: float | Tensor) -> Phases:
    """When the loss rose for the last time, and when it first came below a threshold.

    A step counts as an increase if ``L_t > L_{t-1} (1 + 1e-10)``: late in training, where nothing changes but the last digits,
    rounding would count for hundreds of increases.

    Args:
        loss: ``(k, ...)``, recorded at every step.
        threshold: a number, or one a run.

    Raises:
        ValueError: for losses that are not finite.
    """
    if not torch.isfinite(loss).all():
        raise ValueError(f"phase_switch() needs finite losses; the first that is not is at step {_first(~torch.isfinite(loss)).min()}")
    rises = torch.cat([torch.zeros_like(loss[:1], dtype=torch.bool), loss[1:] > loss[:-1] * (1 + ROUNDING)])
    steps = torch.arange(len(loss), device=loss.device).reshape(-1, *(1,) * (loss.ndim - 1))
    below = loss <= torch.as_tensor(threshold, dtype=loss.dtype, device=loss.device)
    return Phases((rises * steps).amax(0), torch.where(below.any(0), _first(below), -1))


def _first(where: Tensor) -> Tensor:
    return where.int().argmax(0)
