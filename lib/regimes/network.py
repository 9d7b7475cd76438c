"""What the library asks of a network, besides being a module: its runs, its time scale, and the derivatives it knows best."""

from typing import Any, TypeGuard

from torch import Tensor, nn

from regimes.losses import Loss

__all__ = ["Network", "has_closed_form", "output_axes", "run_axes", "time_scale", "trainable"]


class Network(nn.Module):
    """A module that may be a stack of runs, have a time scale, and know its derivatives in closed form.

    The networks of the course are of this class. Any other ``nn.Module`` is one run with the time scale 1, whatever its
    attributes are called. A module of your own inherits from this class to say more:

    - a *stack* sets ``self.runs``, the shape of the run axes, which lead every trainable parameter and the outputs, and may
      lead inputs ``(..., n, d)``; inputs without them are shared by all runs, and no run may depend on another;
    - a *time scale* is set as ``self.time_scale``;
    - a *closed form* overrides `jacobian` or `hessian`. It is used only where the network still computes what the class it was
      written for computes: a subclass that overrides ``forward``, or any other method of that class, provides a closed form
      of its own or falls back to autograd; so does a network with hooks on it or a parametrised weight.

    A module of another class around such a network, an ``nn.Sequential`` for example, is one run with the time scale 1: inherit
    from this class to keep both.

    >>> import torch
    >>> class Waves(Network):
    ...     def __init__(self, *runs):
    ...         super().__init__()
    ...         self.runs, self.k = runs, nn.Parameter(torch.ones(runs))
    ...
    ...     def forward(self, x):  # (n, 1) to (..., n)
    ...         return torch.sin(self.k[..., None] * x[:, 0])
    >>> from regimes.metrics import loss_on
    >>> loss_on(Waves(2, 3), torch.ones(5, 1), torch.zeros(5)).shape
    torch.Size([2, 3])

    Attributes:
        runs: the shape of the run axes.
        time_scale: the factor ``c`` in the flow ``dw/dt = -c J^T r / n``.
        output_axes: the number of axes of one run's outputs, one for ``(n,)`` or two for ``(n, q)``, if inputs may have run
            axes that the parameters lack; ``None`` means all axes but the run axes.
    """

    runs: tuple[int, ...] = ()
    time_scale: float = 1.0
    output_axes: int | None = None

    def jacobian(self, x: Tensor) -> Any:
        """A `regimes.jacobians.Jacobian` of the outputs; called by `regimes.jacobians.jacobian` where it is valid."""
        raise NotImplementedError

    def hessian(self, x: Tensor, y: Tensor, loss: Loss) -> Any:
        """A `regimes.hessians.Hessian` of the mean loss; called by `regimes.hessians.hessian` where it is valid."""
        raise NotImplementedError


HARMLESS = {*vars(Network), "__init__", "extra_repr"}  # no closed form depends on what a subclass makes of these


def has_closed_form(net: nn.Module, name: str) -> TypeGuard[Network]:
    """Whether ``net`` has a closed form ``"jacobian"`` or ``"hessian"`` that is valid for what it computes.

    It is valid if nothing else that the class of the closed form defines is redefined by a subclass or on the instance, and
    no hook or parametrisation stands between the parameters and the outputs.
    """
    if not isinstance(net, Network) or "parametrizations" in net._modules or net._forward_hooks or net._forward_pre_hooks:
        return False
    kinds = type(net).__mro__
    owner = next(kind for kind in kinds if name in vars(kind))
    changed = {*vars(net)}.union(*map(vars, kinds[: kinds.index(owner)])) - HARMLESS
    theirs = owner.__mro__[: owner.__mro__.index(Network)]
    return owner is not Network and "__call__" not in changed and all(changed.isdisjoint(vars(kind)) for kind in theirs)


def run_axes(net: nn.Module) -> tuple[int, ...]:
    """The shape of the run axes; ``()`` for a single network or another module."""
    known = _network(net)
    return () if known is None else tuple(known.runs)


def time_scale(net: nn.Module) -> float:
    """The network's own time scale (the width, for a mean-field `TwoLayer`), 1 for other modules."""
    known = _network(net)
    return 1.0 if known is None else known.time_scale


def output_axes(net: nn.Module, f: Tensor) -> int:
    """How many axes of the outputs ``f = net(x)`` belong to one run: one for ``(n,)``, two for ``(n, q)``."""
    known = _network(net)
    declared = None if known is None else known.output_axes
    return declared or f.ndim - len(run_axes(net))


def trainable(net: nn.Module) -> list[Tensor]:
    """The trainable parameters, in the order of ``net.parameters()``.

    Raises:
        ValueError: if there are none, or if the run axes of a stack do not lead them.
    """
    parameters: list[Tensor] = [p for p in net.parameters() if p.requires_grad]
    if not parameters:
        raise ValueError("the network has no trainable parameters: call net.requires_grad_(True) on what should move")
    if runs := run_axes(net):
        for p in parameters:
            if tuple(p.shape[: len(runs)]) != runs:
                raise ValueError(
                    f"in a network with runs {runs} the run axes lead every trainable parameter; got one of shape "
                    f"{tuple(p.shape)}"
                )
    return parameters


def _network(net: nn.Module) -> Network | None:
    """``net`` as a `Network`, also where ``torch.compile`` or ``DataParallel`` has wrapped it; ``None`` for another module."""
    if isinstance(net, (nn.DataParallel, nn.parallel.DistributedDataParallel)):
        net = net.module
    elif not isinstance(net, Network):
        net = getattr(net, "_orig_mod", net)
    return net if isinstance(net, Network) else None
