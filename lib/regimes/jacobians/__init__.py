r"""The Jacobian of a network's outputs with respect to its parameters, as a linear operator.

``J`` has a row for each of the ``N`` outputs (``n`` samples times ``c`` outputs each) and a column for each of the ``p``
parameters. Everything in the course needs at most four operations: ``gram()`` is ``J J^T``, ``vjp(u)`` is ``J^T u``,
``jvp(v)`` is ``J v``, ``dense()`` is ``J`` itself. The first three never build the ``N x p`` matrix.

Three backends give one interface; `jacobian` chooses:

- *closed form* where the network has one (`regimes.network.Network`), as those of `regimes.networks` do, with run axes;
- *layerwise* for modules whose parameters all sit in ``nn.Linear`` layers: one Hadamard product per layer;
- *autograd* for everything else (convolutions, attention, recurrent layers, your own module): through ``torch.func``, or by
  plain backward passes where ``torch.func`` cannot transform the module; ``print(jacobian(net, x))`` says which.

Gram matrices are float64 also for float32 parameters: the small eigenvalues a Gauss-Newton step divides by are lost in a
float32 product.
"""

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn

from regimes.data import once
from regimes.guard import check_call, check_match, explained
from regimes.jacobians.base import Jacobian
from regimes.jacobians.derived import DerivedJacobian
from regimes.jacobians.modules import AutogradJacobian, LayerwiseJacobian, is_feed_forward
from regimes.network import Network, has_closed_form, trainable

__all__ = [
    "AutogradJacobian",
    "DerivedJacobian",
    "Jacobian",
    "LayerwiseJacobian",
    "is_feed_forward",
    "jacobian",
]

BACKENDS = {"layerwise": LayerwiseJacobian, "autograd": AutogradJacobian}


def jacobian(net: nn.Module, x: Tensor, backend: str = "auto") -> Jacobian:
    """The Jacobian of ``net(x)`` with respect to the trainable parameters of ``net``.

    Inside `regimes.training.train`, inputs are checked and the backend is chosen at the first step only.

    Args:
        net: a `TwoLayer`, or any module that maps ``(n, ...)`` to ``(n,)`` or ``(n, c)`` sample by sample. A module that has a
            faster Jacobian, or is a stack of runs, inherits from `regimes.network.Network`.
        x: the inputs.
        backend: ``"auto"``, or one of ``"closed form"``, ``"layerwise"``, ``"autograd"``.

    Raises:
        ValueError: for inputs without samples, of a different dtype from the network, or not finite; for an unknown backend, or
            one that cannot serve this network.
    """
    check_call(x)
    return once((net, backend), lambda: _choose(net, x, backend), x)(net, x)


def _choose(net: nn.Module, x: Tensor, backend: str) -> Callable[[Any, Tensor], Jacobian]:
    """What makes the Jacobian of this network, if it can take these inputs."""
    check_match(net, x)
    trainable(net)
    if backend not in ("auto", "closed form", *BACKENDS):
        raise ValueError(f"unknown backend {backend!r}; choose auto, closed form, {', '.join(BACKENDS)}")
    if backend in ("auto", "closed form") and has_closed_form(net, "jacobian"):
        return _closed_form
    if backend == "closed form":
        raise ValueError(f"the closed form is for a Network that has one, such as TwoLayer; got {type(net).__name__}")
    if backend == "auto":
        backend = "layerwise" if is_feed_forward(net) else "autograd"
    return BACKENDS[backend]


def _closed_form(net: Network, x: Tensor) -> Jacobian:
    with explained(x):
        return net.jacobian(x)
