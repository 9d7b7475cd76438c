"""How often a network is right."""

from torch import Tensor, nn

from regimes.guard import evaluate
from regimes.losses import match_classes, match_labels
from regimes.network import output_axes

__all__ = ["accuracy"]


def accuracy(net: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    """The share of samples that are classified correctly, one number per run.

    Args:
        net: a `TwoLayer` or any module. Of several outputs per sample ``(..., n, c)`` the largest is that of the class; of a
            single one, ``(..., n)`` or ``(..., n, 1)``, the sign (a zero is wrong).
        x: inputs ``(..., n, d)``.
        y: for several outputs, class numbers ``(..., n)`` from 0 to ``c - 1``, or one-hot ``(..., n, c)``; for a single one,
            labels -1 and +1.

    Raises:
        ValueError: for targets of any other shape, or other labels.
    """
    f = evaluate(net, x)
    own = output_axes(net, f)
    if own == 2 and f.shape[-1] > 1:
        return (f.argmax(-1) == match_classes(y, f)).double().mean(-1)
    labels, f = match_labels(y, f, own)
    return (labels * f > 0).double().mean(-1)
