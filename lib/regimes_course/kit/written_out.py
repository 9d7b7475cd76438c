"""Gradient descent on one `TwoLayer`, written out: what widgets run at every move of a slider.

A network of twenty units and twenty points takes a step in fewer than twenty small operations; what
`regimes.training.train` checks and records besides takes several times as long. A test compares the two.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from regimes.data import checked_once
from regimes.losses import Loss, squared
from regimes.networks import TwoLayer

__all__ = ["Descent", "descend"]


@dataclass(frozen=True)
class Descent:
    """A run, or as much of it as there was before its loss was no longer finite.

    Attributes:
        loss: ``(k,)``, at every step.
        W, v: ``(l, m, d + 1)`` and ``(l, m)``, at some of the steps.
        diverged: the step at which the loss was no longer finite, or ``None``.
    """

    loss: Tensor
    W: Tensor
    v: Tensor
    diverged: int | None


def descend(net: TwoLayer, x: Tensor, y: Tensor, lr: float, steps: int, *, loss: Loss = squared, every: int = 1) -> Descent:
    """What ``train(net, x, y, GradientDescent(net, lr, loss=loss), steps)`` does, without its checks; ``net`` stays as it is.

    Args:
        net: a network without run axes. Output weights that are frozen stay fixed.
        x, y, lr, steps, loss: as for `regimes.training.train` and `regimes.optimizers.GradientDescent`.
        every: keep the weights once in so many steps.
    """
    X, W, v, s, n = net.augmented(x), net.W.detach(), net.v.detach(), net.scale, len(x)
    losses, weights, diverged = [], [], None
    with torch.no_grad(), checked_once(x, y):
        for k in range(steps + 1):
            features, slopes = net.activation(X @ W.T)
            f = s * (features @ v[:, None])[:, 0]
            value = loss.value(f, y, n)
            if not math.isfinite(value.item()):
                diverged = k
                break
            losses.append(value)
            if k % every == 0:
                weights.append((W, v))
            u = (net.time_scale * loss.grad(f, y) / n)[:, None]
            back = s * ((slopes * v).T @ (u * X))
            if net.v.requires_grad:
                v = v - lr * (s * (features.T @ u)[:, 0])
            W = W - lr * back
    Ws, vs = zip(*weights, strict=True)
    return Descent(torch.stack(losses), torch.stack(Ws), torch.stack(vs), diverged)
