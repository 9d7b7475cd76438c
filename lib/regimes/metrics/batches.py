"""What a step does to the batch it was computed on, and to the next one."""

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from regimes.losses import Loss, squared
from regimes.metrics.loss import loss_on
from regimes.optimizers import DirectionOptimizer

__all__ = ["accuracy", "batch_changes"]


def batch_changes(
    optimizer: DirectionOptimizer, batches: Iterator[tuple[Tensor, Tensor]], steps: int, *, loss: Loss = squared
) -> Tensor:
    """Take a step on each of ``steps`` batches; by what share that changes the loss on this batch, and on the next one.

    A step that generalises lowers both; one that only fits its batch lowers the first.

    Args:
        optimizer: see `regimes.optimizers`; its network moves.
        batches: ``(x, y)`` without end; one more than ``steps`` is taken.
        steps: how many.
        loss: of the optimizer.

    Returns:
        ``L_after / L_before - 1``, ``(2, steps, ...)``: on the own batch, on the next; negative is better.

    Source: Buffelli et al. 2024, figure 3.
    """
    changes, own = [], next(batches)
    for _ in range(steps):
        pair = own, next(batches)
        before = torch.stack([loss_on(optimizer.net, *batch, loss=loss) for batch in pair])
        optimizer.step(*own)
        after = torch.stack([loss_on(optimizer.net, *batch, loss=loss) for batch in pair])
        changes.append(after / before - 1)
        own = pair[1]
    return torch.stack(changes, 1)


def accuracy(net: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    """The share of samples whose largest output is that of their class, one number a run; ``y`` is one-hot, ``(..., n, q)``."""
    with torch.no_grad():
        return (net(x).argmax(-1) == y.argmax(-1)).double().mean(-1)
