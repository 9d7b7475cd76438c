"""The loss on other data, and how fast it falls."""

from torch import Tensor, nn

from regimes.directions import gradient
from regimes.guard import evaluate
from regimes.losses import AnyLoss, match_loss, squared
from regimes.network import output_axes, time_scale

__all__ = ["loss_on", "loss_rate"]


def loss_on(net: nn.Module, x: Tensor, y: Tensor, *, loss: AnyLoss = squared) -> Tensor:
    """The loss on other data, one number per run; ``|f(x) - y|^2 / 2n`` unless another loss is given.

    Any function of outputs and targets will do, such as ``torch.nn.CrossEntropyLoss()`` with class numbers ``y``: then it is
    what the function returns. See `regimes.losses`.

    Raises:
        ValueError: for targets of a different shape or dtype from the outputs, or not finite; for a network that mixes samples
            or is random.
    """
    f = evaluate(net, x)
    own = output_axes(net, f)
    loss, y = match_loss(loss, y, f.flatten(-own), f.shape)
    return loss.value(f.flatten(-own), y, f.shape[-own])


def loss_rate(net: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    r"""The rate :math:`-\dot L / L` of the squared loss under gradient flow, at the current parameters, one number per run.

    :math:`|\nabla L|^2 / L` times the network's time scale; per unit of the time of the *mean* loss.
    """
    here, c = gradient(net, x, y), time_scale(net)
    runs = here.loss.ndim
    square = sum(t.flatten(runs).square().sum(-1) for t in here.tensors)
    return square / (c * here.loss)
