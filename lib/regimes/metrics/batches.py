"""What a step does to the batch it was computed on, and to the next one."""

import torch
from torch import Tensor, nn

from regimes.losses import Loss, squared
from regimes.metrics.loss import loss_on
from regimes.optimizers import DirectionOptimizer

__all__ = ["accuracy", "batch_change"]

Batch = tuple[Tensor, Tensor]


def batch_change(optimizer: DirectionOptimizer, own: Batch, other: Batch, *, loss: Loss = squared) -> tuple[Tensor, Tensor]:
    """Take one step on the batch ``own``; by what share that changed the loss on it, and on the batch ``other``.

    Negative is better. A step that generalises lowers both; one that only fits its batch lowers the first.

    Args:
        optimizer: see `regimes.optimizers`; its network moves.
        own, other: inputs ``(..., n, d)`` with targets.
        loss: of the optimizer.

    Returns:
        ``L_after / L_before - 1`` on each of the two, one number a run.

    Source: Buffelli et al. 2024, figure 3.
    """
    before = [loss_on(optimizer.net, *batch, loss=loss) for batch in (own, other)]
    optimizer.step(*own)
    after = [loss_on(optimizer.net, *batch, loss=loss) for batch in (own, other)]
    return after[0] / before[0] - 1, after[1] / before[1] - 1


def accuracy(net: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    """The share of samples whose largest output is that of their class, one number a run; ``y`` is one-hot, ``(..., n, q)``."""
    with torch.no_grad():
        return (net(x).argmax(-1) == y.argmax(-1)).double().mean(-1)
