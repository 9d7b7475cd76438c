"""Two phases of training with a large step: the loss jumps up and down, then it only falls."""

from typing import NamedTuple

import torch
from torch import Tensor

__all__ = ["Phases", "largest_fall", "phase_switch", "rises"]

ROUNDING = 1e-10  # relative: far above the rounding of a mean over samples, far below any rise that can be seen in a plot


class Phases(NamedTuple):
    """Where a run changes phase; whole numbers, one per run.

    Attributes:
        last_increase: the last step that raised the loss, counted from 1; 0 for a run whose loss only falls.
        first_below: the first step (0 is the initial state) with a loss at or below the threshold; -1 if there is none.
    """

    last_increase: Tensor
    first_below: Tensor


def rises(loss: Tensor) -> Tensor:
    """Which steps raised the loss, ``L_t > L_{t-1} + 1e-10 |L_{t-1}|``: ``(k, ...)``, one record a step, to ``(k - 1, ...)``.

    Without the tolerance, rounding would count as hundreds of increases late in training, where only the last digits change.
    """
    return loss[1:] > loss[:-1] + ROUNDING * loss[:-1].abs()


def phase_switch(loss: Tensor, threshold: float | Tensor) -> Phases:
    """When the loss rose for the last time, and when it first came below a threshold.

    Increases are those of `rises`, so that rounding does not count.

    Args:
        loss: ``(k, ...)``, recorded at every step.
        threshold: a number, or one per run.

    Raises:
        ValueError: for losses that are not finite.
    """
    if not torch.isfinite(loss).all():
        raise ValueError(
            f"phase_switch() needs finite losses; the first that is not is at step {_first(~torch.isfinite(loss)).min()}"
        )
    rose = torch.cat([torch.zeros_like(loss[:1], dtype=torch.bool), rises(loss)])
    steps = torch.arange(len(loss), device=loss.device).reshape(-1, *(1,) * (loss.ndim - 1))
    below = loss <= torch.as_tensor(threshold, dtype=loss.dtype, device=loss.device)
    return Phases((rose * steps).amax(0), torch.where(below.any(0), _first(below), -1))


def largest_fall(values: Tensor, since: int | Tensor) -> Tensor:
    """The largest fall of a quantity below its highest value so far, relative to that value: one number per run.

    Args:
        values: ``(k, ...)``, recorded at every step.
        since: the first step that counts, a whole number or one per run; if it is later than the last record, nothing counts.
    """
    steps = torch.arange(len(values), device=values.device).reshape(-1, *(1,) * (values.ndim - 1))
    counts = steps >= torch.as_tensor(since, device=values.device)
    highest = torch.where(counts, values, -torch.inf).cummax(0).values
    fall = torch.where(values == highest, 0.0, (highest - values) / highest.abs())  # of nothing, nothing: not 0/0
    return torch.where(counts, fall, 0.0).amax(0)


def _first(where: Tensor) -> Tensor:
    return where.int().argmax(0)
