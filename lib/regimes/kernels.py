r"""The neural tangent kernel, and two networks it explains: the linearised one, and one with a dial from rich to lazy.

Training is *lazy* where a network stays so close to its initialisation that it equals its linearisation there:
:math:`f(x; w) \approx f_0(x) + J_0(x)(w - w_0)`. Then the kernel ``K = c J J^T`` at initialisation determines everything.
"""

import copy
import itertools
import math
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from regimes.data import once
from regimes.guard import call
from regimes.jacobians import DerivedJacobian, Jacobian, jacobian
from regimes.network import Network, run_axes, time_scale, trainable

__all__ = ["RelativeToInit", "Linearised", "LazyScaling", "kernel_blocks", "neural_tangent_kernel"]


def neural_tangent_kernel(net: nn.Module, x: Tensor, other: Tensor | None = None, *, layout: str = "flat") -> Tensor:
    r"""The kernel ``K = c J J^T`` that drives the outputs, float64, ``(..., N, N)``.

    ``c`` is the network's time scale (``m`` in mean-field scaling, 1 in NTK scaling), so that ``K`` is of order one at any
    width: under gradient flow :math:`\dot f = -K r / n`, under damped Gauss-Newton
    :math:`\dot f = -K (K + \epsilon)^{-1} r`.

    The kernel of ten images for a convolutional network:

    >>> net = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 6 * 6, 1))
    >>> K = neural_tangent_kernel(net, torch.randn(10, 1, 8, 8))
    >>> K.shape, bool(torch.linalg.eigvalsh(K)[0] > 0)
    (torch.Size([10, 10]), True)

    Args:
        net: a `TwoLayer` or any module, with one output per sample or several: ``N`` counts all of them, sample by sample.
        x: inputs ``(..., n, d)``.
        other: a second set of inputs ``(..., n', d)``. The kernel between the two, ``c J(x) J(other)^T``, ``(..., N, N')``,
            says how the outputs at ``x`` move when the network is trained on ``other``.
        layout: for ``q`` outputs per sample, ``"flat"`` is ``(..., n q, n' q)``, ``"full"`` is ``(..., n, n', q, q)``, and
            ``"trace"``, ``(..., n, n')``, is its sum over equal outputs: ``q`` times the mean that ``trace_axes`` takes in the
            JAX library neural-tangents.

    Raises:
        ValueError: for inputs of the wrong shape, or that are not finite; for an unknown layout.
    """
    if layout not in LAYOUTS:
        raise ValueError(f"the layout of a kernel is one of {', '.join(LAYOUTS)}; got {layout!r}")
    with torch.enable_grad():  # also among the measurements of `regimes.training.train`
        if other is None:
            J = jacobian(net, x)
            return LAYOUTS[layout](time_scale(net) * J.gram(), J.outputs.shape[-1] // J.samples)
        axis = _sample_axis(net)
        if min(x.ndim, other.ndim) < 2 or x.shape[axis:][1:] != other.shape[axis:][1:]:
            raise ValueError(f"two sets of inputs of the same kind are needed; got {tuple(x.shape)} and {tuple(other.shape)}")
        parts = [_block(net, x, part, axis) for part in other.split(max(64, x.shape[axis]), axis)]
        K = torch.cat(parts, -1)
        return LAYOUTS[layout](K, K.shape[-1] // other.shape[axis])


def kernel_blocks(
    net: nn.Module, x: Tensor, other: Tensor | None = None, *, batch: int = 64, layout: str = "flat"
) -> Iterator[tuple[slice, slice, Tensor]]:
    """A kernel that is too large for the memory, block by block: rows, columns, and `neural_tangent_kernel` there.

    A block belongs to ``batch`` samples and ``batch`` others. Each is given once; without ``other`` its mirror image costs
    nothing. The kernel times a vector:

    >>> net, x = nn.Linear(3, 1), torch.randn(10, 3)
    >>> v, Kv = torch.ones(10).double(), torch.zeros(10).double()
    >>> for rows, columns, K in kernel_blocks(net, x, batch=4):
    ...     Kv[rows] += K @ v[columns]
    >>> torch.allclose(Kv, neural_tangent_kernel(net, x) @ v)
    True

    Args:
        net, x, other, layout: see `neural_tangent_kernel`; rows and columns are those of this layout.
        batch: samples in a block.

    Raises:
        ValueError: for a batch below one; and see `neural_tangent_kernel`.
    """
    if batch < 1 or layout not in LAYOUTS:
        raise ValueError(f"a block has at least one sample, and a layout of {', '.join(LAYOUTS)}; got {batch=}, {layout=}")
    axis = _sample_axis(net)
    left, right = (t.split(batch, axis) for t in (x, x if other is None else other))
    for (i, a), (j, b) in itertools.product(enumerate(left), enumerate(right)):
        if other is None and i > j:
            continue  # the mirror image of one that was
        K = neural_tangent_kernel(net, a, None if other is None and i == j else b)
        q = K.shape[-1] // b.shape[axis]
        unit = q if layout == "flat" else 1
        rows, columns = (slice(k * unit, (k + t.shape[axis]) * unit) for k, t in ((i * batch, a), (j * batch, b)))
        yield rows, columns, LAYOUTS[layout](K, q)
        if other is None and i < j:
            yield columns, rows, LAYOUTS[layout](K.mT, q)


def _sample_axis(net: nn.Module) -> int:
    return -2 if run_axes(net) or (isinstance(net, Network) and net.output_axes) else 0


def _full(K: Tensor, q: int) -> Tensor:
    return K.unflatten(-1, (-1, q)).unflatten(-3, (-1, q)).transpose(-3, -2)


LAYOUTS = {
    "flat": lambda K, q: K,
    "full": _full,
    "trace": lambda K, q: _full(K, q).diagonal(dim1=-2, dim2=-1).sum(-1),
}


def _block(net: nn.Module, x: Tensor, other: Tensor, axis: int) -> Tensor:
    """The kernel between two sets is a corner of the kernel of both together."""
    if axis == -2:
        runs = torch.broadcast_shapes(x.shape[:-2], other.shape[:-2])
        x, other = (t.expand(*runs, *t.shape[-2:]) for t in (x, other))
    J = jacobian(net, torch.cat([x, other], axis))
    N = x.shape[axis] * J.outputs.shape[-1] // J.samples
    return time_scale(net) * J.gram()[..., :N, N:]


def _copy(net: nn.Module) -> nn.Module:
    """A copy of the network: the initialisation, or what moves away from it."""
    try:
        copied = copy.deepcopy(net)
        if all(p.is_leaf for p in copied.parameters()):
            return copied
        error: str | RuntimeError = "a copy's parameters are not its own"  # of a scripted module
    except RuntimeError as failed:
        error = failed
    raise ValueError(
        f"a copy of the network at initialisation is needed, and torch cannot copy it: {error}. Wrap the network before it is "
        "scripted; use parametrizations.weight_norm, not the old one"
    )


class RelativeToInit(Network):
    """What the two networks share: ``net``, a copy of a network, which is trained, and ``start``, a copy that stays."""

    def __init__(self, net: nn.Module):
        super().__init__()
        self.net, self.start = _copy(net), _copy(net).requires_grad_(False)
        self.runs = run_axes(net)
        self.output_axes = net.output_axes if isinstance(net, Network) else None

    @property
    def time_scale(self) -> float:  # type: ignore[override]  # follows that of the network
        """That of the network."""
        return time_scale(self.net)

    def at_start(self) -> nn.Module:
        """The network at initialisation, with the same parameters trainable as in ``net``."""
        start = copy.deepcopy(self.start)
        for p, q in zip(start.parameters(), self.net.parameters(), strict=True):
            p.requires_grad_(q.requires_grad)
        return start


class _Push(torch.autograd.Function):
    """``J v`` as a differentiable function of ``v``, whatever backend ``J`` has."""

    @staticmethod
    def forward(ctx, J: Jacobian, *v: Tensor) -> Tensor:
        ctx.J = J
        return J.jvp(v)

    @staticmethod
    def backward(ctx, u: Tensor):
        return None, *_Pull.apply(ctx.J, u)


class _Pull(torch.autograd.Function):
    """``J^T u`` as a differentiable function of ``u``."""

    @staticmethod
    def forward(ctx, J: Jacobian, u: Tensor) -> tuple[Tensor, ...]:
        ctx.J = J
        return J.vjp(u)

    @staticmethod
    def backward(ctx, *v: Tensor):
        return None, _Push.apply(ctx.J, *v)


class Linearised(RelativeToInit):
    r"""A network's linearisation at its current parameters :math:`w_0`, as a network.

    .. math:: f(x; w) = f_0(x) + J_0(x)\,(w - w_0)

    Its parameters ``w`` are those of ``net``, a copy that starts at :math:`w_0`; its Jacobian and its kernel never change. It
    trains like any other network; `regimes.theory.lazy` says in closed form where that leads.

    Args:
        net: a `TwoLayer`, or any module; left as it is.

    Source: Lee et al. 2019, section 2.2.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Outputs, of the shape of ``net(x)``."""
        J0, f = self._at_start(x)
        return f.reshape(J0.shape)

    def jacobian(self, x: Tensor) -> Jacobian:
        """The Jacobian at initialisation."""
        parameters = trainable(self.net)
        J0, f = self._at_start(x)
        if len(parameters) < len(J0.parameters):
            J0 = jacobian(self.at_start(), x)
        return DerivedJacobian(J0, 1.0, f.detach(), parameters)

    def _at_start(self, x: Tensor) -> tuple[Jacobian, Tensor]:
        """The Jacobian at initialisation, of all parameters (a frozen one may have moved before), and ``f(x; w)``."""
        J0 = jacobian(copy.deepcopy(self.start).requires_grad_(True), x)
        moved = [w - w0.detach() for w, w0 in zip(self.net.parameters(), J0.parameters, strict=True)]
        return J0, J0.outputs + _Push.apply(J0, *moved)


class LazyScaling(RelativeToInit):
    r"""A dial from rich to lazy: a network whose change from initialisation is multiplied by ``alpha``.

    .. math:: f_\alpha(x) = \alpha\,[f(x) - f_0(x)]

    To fit the same labels at a large ``alpha`` the network has to move less. The time scale is :math:`c/\alpha^2`: then the
    kernel at initialisation is that of the network itself, a step means the same at every ``alpha``, and all that differs is
    how far the network goes. (This is the loss :math:`|f_\alpha - y|^2 / 2n\alpha^2`.) Mean-field scaling is the dial at
    :math:`\alpha = 1/\sqrt m` of the same network in NTK scaling, up to :math:`f_0`.

    Args:
        net: a `TwoLayer`, or any module; left as it is.
        alpha: a positive number.

    Raises:
        ValueError: for an ``alpha`` that is not one positive, finite number.

    Source: Chizat, Oyallon, Bach 2019, section 2 (they ask for a small ``f_0`` where we subtract it).
    """

    def __init__(self, net: nn.Module, alpha: float):
        super().__init__(net)
        self.alpha = float(alpha)
        if not 0 < self.alpha < math.inf:
            raise ValueError(f"alpha is one positive, finite number; got {alpha}")

    @property
    def time_scale(self) -> float:  # type: ignore[override]  # follows that of the network
        """That of the network, divided by ``alpha^2``."""
        return time_scale(self.net) / self.alpha**2

    def forward(self, x: Tensor) -> Tensor:
        """Outputs, of the shape of ``net(x)``; zero at initialisation."""
        return self.alpha * (self.net(x) - self._outputs_at_start(x))

    def jacobian(self, x: Tensor) -> Jacobian:
        """``alpha`` times that of the network."""
        J = jacobian(self.net, x)
        f0 = self._outputs_at_start(x).reshape(J.outputs.shape)
        return DerivedJacobian(J, self.alpha, self.alpha * (J.outputs - f0), J.parameters)

    def _outputs_at_start(self, x: Tensor) -> Tensor:
        """``f_0(x)``, computed once in a training, where ``x`` and the initialisation stay the same."""
        return self.start(x) if x.requires_grad else once((self, "f0"), lambda: call(self.start, x).detach(), x)
