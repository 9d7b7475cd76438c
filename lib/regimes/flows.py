"""Flows: the same directions, integrated in continuous time, ``dw/dt = -direction``.

A flow has the ``step(x, y)`` and ``dt`` of an optimizer, so that `regimes.training.train` runs either.
"""

from collections.abc import Callable
from typing import Any

import torch
from scipy.integrate import solve_ivp
from torch import Tensor, nn

from regimes.arguments import positive, require_tensors
from regimes.directions import Direction, gradient
from regimes.network import trainable
from regimes.networks import TwoLayerLinear
from regimes.optimizers import move

__all__ = ["Adaptive", "Field", "Flow", "Lorentz", "RungeKutta4"]

Field = Callable[[nn.Module, Tensor, Tensor], Direction]


class Flow:
    """What the integrators share: a network, the direction field it follows, and the time a step covers.

    A field is a function of a network and data, and any may be followed: `regimes.directions.gradient`, or your own.

    >>> from regimes.networks import TwoLayer
    >>> def ascent(net, x, y):
    ...     d = gradient(net, x, y)
    ...     return d._replace(tensors=tuple(-t for t in d.tensors))
    >>> flow = RungeKutta4(TwoLayer(1, 5), ascent, dt=0.1)
    >>> x = torch.ones(3, 1, dtype=torch.float64)
    >>> bool(flow.step(x, x[:, 0]) < flow.step(x, x[:, 0]))
    True

    An integrator of your own adds ``step(x, y, direction=None)``, which moves ``net`` for a time ``dt`` and returns the loss
    before that.
    """

    def __init__(self, net: nn.Module, field: Field, dt: float):
        positive(dt, "the time step dt", single=True)
        self.net, self.field, self.dt = net, field, dt

    def direction(self, x: Tensor, y: Tensor) -> Direction:
        """The field at the current parameters."""
        if not x is y is None:  # a field of one's own may need no data
            require_tensors(x=x, y=y)
        return self.field(self.net, x, y)


class RungeKutta4(Flow):
    """The classical fourth-order Runge-Kutta method with a fixed step.

    Args:
        net: the network it moves.
        field: ``field(net, x, y)``, for example `regimes.directions.gauss_newton`, or a ``partial`` of it with damping.
        dt: time of one step, in the units of the flow: see `regimes.optimizers`.

    Raises:
        ValueError: if ``dt`` is not positive.
    """

    def step(self, x: Tensor, y: Tensor, direction: Direction | None = None) -> Tensor:
        """Follow the flow for a time ``dt``. Returns the loss before."""
        start, dt = [w.detach().clone() for w in trainable(self.net)], self.dt
        slopes = [direction or self.direction(x, y)]
        for reach in (dt / 2, dt / 2, dt):
            _place(self.net, start)
            move(self.net, slopes[-1].tensors, reach)
            slopes.append(self.direction(x, y))
        _place(self.net, start)
        for slope, weight in zip(slopes, (1, 2, 2, 1), strict=True):
            move(self.net, slope.tensors, weight * dt / 6)
        return slopes[0].loss


class Lorentz(Flow):
    r"""Gradient flow of a `TwoLayerLinear` by steps that conserve the imbalance exactly.

    With ``Z = [V; U]`` the flow is :math:`\dot Z = A Z`, :math:`A = [[0, B^T], [B, 0]]`, :math:`B = -X^T R / n`. Such an ``A``
    generates Lorentz transformations, which leave :math:`Z^T \mathrm{diag}(-1, 1) Z = U^T U - V^T V` as it is, and so does its
    Cayley map :math:`(1 - \frac{dt}{2} A)^{-1} (1 + \frac{dt}{2} A)`. First order in ``dt``: conservation is not accuracy.

    Args:
        net: the network it moves.
        dt: time of one step, in the time of the mean loss.

    Raises:
        ValueError: for any other kind of network, one with a frozen layer, or a ``dt`` that is not positive.
    """

    net: TwoLayerLinear

    def __init__(self, net: TwoLayerLinear, dt: float):
        if not isinstance(net, TwoLayerLinear):
            raise ValueError(f"the Lorentz step is for TwoLayerLinear networks; got {type(net).__name__}")
        if len(trainable(net)) < 2:
            raise ValueError(
                "the Lorentz step moves U and V together; one of them is frozen: use RungeKutta4(net, gradient, dt)"
            )
        super().__init__(net, gradient, dt)

    @torch.no_grad()
    def step(self, x: Tensor, y: Tensor, direction: Direction | None = None) -> Tensor:
        """Follow the flow for a time ``dt``. Returns the loss before."""
        loss = (direction or self.direction(x, y)).loss
        U, V, q = self.net.U, self.net.V, self.net.outputs
        B = x.mT @ (y - self.net(x)) / x.shape[-2]
        A = torch.zeros(*B.shape[:-2], q + B.shape[-2], q + B.shape[-2], dtype=B.dtype, device=B.device)
        A[..., :q, q:], A[..., q:, :q] = B.mT, B
        eye, half = torch.eye(A.shape[-1], dtype=A.dtype, device=A.device), self.dt / 2 * A
        Z = torch.linalg.solve(eye - half, (eye + half) @ torch.cat([V, U], -2))
        V.copy_(Z[..., :q, :])
        U.copy_(Z[..., q:, :])
        return loss


class Adaptive(Flow):
    """SciPy's adaptive integrators (``solve_ivp``), for a single network or a stack in which all runs share the steps.

    Args:
        net: the network it moves.
        field: as for `RungeKutta4`.
        dt: the time that one call of ``step`` covers; the integrator chooses its own steps within it.
        method, rtol, atol: as for ``scipy.integrate.solve_ivp``. In float32 they are raised to what it carries, or the
            integrator would shrink its steps for ever: ``rtol`` to 100 machine precisions (SciPy's own bound in float64),
            ``atol`` to one, times the root mean square of the weights.

    Raises:
        ValueError: if ``dt`` is not positive, or the network is in half precision.
        RuntimeError: if the integrator gives up, with its message.
    """

    def __init__(
        self, net: nn.Module, field: Field, dt: float, *, method: str = "DOP853", rtol: float = 1e-9, atol: float = 1e-12
    ):
        super().__init__(net, field, dt)
        self.options: dict[str, Any] = {"method": method, "rtol": rtol, "atol": atol}

    def step(self, x: Tensor, y: Tensor, direction: Direction | None = None) -> Tensor:
        """Follow the flow for a time ``dt``. Returns the loss before."""
        dtype = trainable(self.net)[0].dtype
        if torch.finfo(dtype).bits < 32:
            raise ValueError(f"an error cannot be controlled in {dtype}: use net.float() or net.double(), or RungeKutta4")
        loss = (direction or self.direction(x, y)).loss

        def velocity(_, w):
            self._set(w)
            return -torch.cat([t.flatten() for t in self.direction(x, y).tensors]).double().cpu().numpy()

        w0 = nn.utils.parameters_to_vector(trainable(self.net)).detach().double().cpu().numpy()
        options, eps = dict(self.options), 0.0 if dtype == torch.float64 else torch.finfo(dtype).eps
        options["rtol"] = max(options["rtol"], 100 * eps)
        options["atol"] = max(options["atol"], eps * float((w0**2).mean() ** 0.5))
        solution = solve_ivp(velocity, (0.0, self.dt), w0, t_eval=[self.dt], **options)
        if not solution.success:
            raise RuntimeError(f"the integrator stopped inside a step of {self.dt}: {solution.message}")
        self._set(solution.y[:, -1])
        return loss

    def _set(self, w) -> None:
        weights = trainable(self.net)
        nn.utils.vector_to_parameters(torch.as_tensor(w, device="cpu").to(weights[0]), weights)


@torch.no_grad()
def _place(net, values):
    for w, value in zip(trainable(net), values, strict=True):
        w.copy_(value)
