"""How often a network is right."""

import torch
from torch import Tensor, nn

__all__ = ["accuracy"]


def accuracy(net: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    """The share of samples whose largest output is that of their class, one number per run; ``y`` is one-hot."""
    with torch.no_grad():
        return (net(x).argmax(-1) == y.argmax(-1)).double().mean(-1)
