"""Optimizers: a direction times a step size. Ordinary ``torch.optim.Optimizer``s, except that ``step`` takes the data.

Step sizes are times: after ``k`` steps of size ``lr`` the optimizer has followed its flow for ``t = k * lr``. For
`GaussNewton`, ``lr`` is the step ``eta`` in function space (the residual shrinks by ``1 - eta``); for `GradientDescent` it is
the time of the gradient flow of the *mean* loss.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from regimes.directions import Direction, gauss_newton, gradient
from regimes.jacobians import jacobian
from regimes.linalg import SmallestEigenvalue
from regimes.losses import Loss, squared
from regimes.network import run_axes, time_scale, trainable
from regimes.networks import Reversible
from regimes.reversible_gauss_newton import check_exact, exact_gauss_newton

__all__ = [
    "DirectionOptimizer",
    "EdgeFraction",
    "ExactGaussNewton",
    "GaussNewton",
    "GradientDescent",
    "ReversibleGaussNewton",
    "TorchOptimizer",
    "move",
]


@torch.no_grad()
def move(net: nn.Module, tensors: tuple[Tensor, ...], step: float | Tensor) -> None:
    """``w <- w - step * tensor`` in place, for each trainable parameter.

    ``step`` is a number, or a tensor that broadcasts to the runs of the network.

    Raises:
        ValueError: for a step of another shape.
    """
    runs, step = run_axes(net), torch.as_tensor(step, dtype=torch.float64)
    try:
        step = step.expand(runs)
    except RuntimeError:
        raise ValueError(f"a step of shape {tuple(step.shape)} does not fit a network with runs {runs}") from None
    for w, t in zip(trainable(net), tensors, strict=True):
        w -= step.to(w.device, w.dtype).reshape(runs + (1,) * (w.ndim - len(runs))) * t


class DirectionOptimizer(torch.optim.Optimizer):
    """What gradient descent and Gauss-Newton share: ``step(x, y)`` moves the network by ``lr`` along ``direction(x, y)``.

    An optimizer of your own defines only its direction, and `regimes.training.train` runs it:

    >>> class SignDescent(DirectionOptimizer):
    ...     def direction(self, x, y):
    ...         d = gradient(self.net, x, y)
    ...         return d._replace(tensors=tuple(t.sign() for t in d.tensors))
    >>> net, x = nn.Linear(1, 1).double(), torch.ones(3, 1, dtype=torch.float64)
    >>> optimizer = SignDescent(net, lr=0.1)
    >>> bool(optimizer.step(x, x + 5) > optimizer.step(x, x + 5))
    True

    Computing a direction must change nothing: it may be called more often than steps are taken.

    Learning-rate schedulers and ``state_dict`` work as with any torch optimizer, if ``lr`` is a number.

    Attributes:
        net: the network it moves.
        last: the `Direction` of the latest step, ``None`` before the first.
        dt: the time the latest step took, a number or one per run; zero before the first.
    """

    def __init__(self, net: nn.Module, lr: float | Tensor, **options):
        if not isinstance(lr, EdgeFraction):
            _positive(lr, "the step size lr")
        self.net = net
        self.last: Direction | None = None
        self.dt: float | Tensor = 0.0
        super().__init__(trainable(net), {"lr": lr, **options})

    def direction(self, x: Tensor, y: Tensor) -> Direction:
        """The direction at the current parameters."""
        raise NotImplementedError

    def step(self, x: Tensor, y: Tensor, direction: Direction | None = None) -> Tensor:
        """One step on the data ``x, y``. Returns the loss *before* it, one number per run.

        ``direction`` may be what `direction` returns here, to save computing it again.
        """
        self.last = direction or self.direction(x, y)
        self.dt = self._step_size(x)
        move(self.net, self.last.tensors, self.dt)
        return self.last.loss

    def _step_size(self, x: Tensor) -> float | Tensor:
        return self.param_groups[0]["lr"]


@dataclass(frozen=True)
class EdgeFraction:
    """A step size that follows the kernel: ``fraction`` of the stability limit ``2 n / lambda_max(K)`` of gradient descent.

    Recomputed every ``every`` steps, because ``lambda_max(K)`` grows during training: more than tenfold on noise labels, where
    a step size that is refreshed too rarely diverges. ``at_most`` caps it where the kernel is so small at initialisation (tiny
    weights, or none: a kernel of zero) that its limit says nothing about the next steps.
    """

    fraction: float = 0.5
    every: int = 5
    at_most: float = math.inf

    def __post_init__(self):
        _positive(self.fraction, "the fraction of the stability limit")
        if not self.at_most > 0:
            raise ValueError(f"the largest step EdgeFraction may choose must be positive; got at_most={self.at_most}")
        if self.every < 1:
            raise ValueError(f"EdgeFraction is recomputed once in so many steps, at least one; got every={self.every}")

    def __call__(self, net: nn.Module, x: Tensor) -> Tensor:
        """The step size for each run.

        Raises:
            ValueError: without ``at_most``, for a kernel that is zero, or so small that the step is infinite.
        """
        J = jacobian(net, x)
        largest = time_scale(net) * torch.linalg.eigvalsh(J.gram())[..., -1]
        step = (self.fraction * 2 * J.samples / largest.clamp(min=0)).clamp(max=self.at_most)
        if torch.isinf(step).any():
            raise ValueError(
                "the kernel is zero, so that gradient descent has no stability limit: give EdgeFraction an at_most, the "
                "largest step it may take; or take another initialisation, or train the layer that is frozen"
            )
        return step


class GradientDescent(DirectionOptimizer):
    r"""Full-batch gradient descent on the mean loss, :math:`w \leftarrow w - \mathrm{lr}\; c\, J^T r / n`.

    ``c`` is the network's time scale (the width in mean-field scaling). On frozen features the outputs obey
    :math:`r \leftarrow (1 - \mathrm{lr}\,K/n)\, r`: stable while ``lr < 2 n / lambda_max(K)``.

    Args:
        net: a `TwoLayer` or any module.
        lr: a positive number, one per run, or an `EdgeFraction`.
        loss: see `regimes.losses`.

    Raises:
        ValueError: for a step size that is not positive and finite.
    """

    def __init__(self, net: nn.Module, lr: float | Tensor | EdgeFraction, *, loss: Loss = squared):
        self._count, self._edge = 0, None
        super().__init__(net, lr)
        self.loss = loss

    def direction(self, x: Tensor, y: Tensor) -> Direction:
        """The gradient of the mean loss."""
        return gradient(self.net, x, y, loss=self.loss)

    def _step_size(self, x: Tensor) -> float | Tensor:
        lr = self.param_groups[0]["lr"]
        if not isinstance(lr, EdgeFraction):
            return lr
        if self._count % lr.every == 0:
            self._edge = lr(self.net, x)
        self._count += 1
        return self._edge


class GaussNewton(DirectionOptimizer):
    r"""Gauss-Newton on the squared loss, :math:`w \leftarrow w - \eta\, c J^T (c J J^T + \epsilon I)^{-1} r`.

    Any module will do that treats samples one by one. Each step of 0.5 about halves the residual, and quarters the loss:

    >>> _ = torch.manual_seed(0)
    >>> net = nn.Sequential(nn.Linear(2, 30), nn.Tanh(), nn.Linear(30, 1), nn.Flatten(0)).double()
    >>> x = torch.randn(8, 2, dtype=torch.float64)
    >>> y = x[:, 0] * x[:, 1]
    >>> optimizer = GaussNewton(net, lr=0.5)
    >>> losses = [optimizer.step(x, y).item() for _ in range(20)]
    >>> losses[19] < 1e-9 * losses[0]
    True

    Args:
        net: a `TwoLayer` or any module.
        lr: the step ``eta`` in function space, a positive number or one per run. One is a full step, two the stability limit.
        damping: ``epsilon`` on the kernel ``K = c J J^T``: zero (the minimum-norm step), a positive number, one per run, or
            `SmallestEigenvalue`.
        singular: ``"error"`` or ``"drop"``: see `regimes.directions.gauss_newton`.

    Raises:
        ValueError: for a step size that is not positive, or a damping that `regimes.directions.gauss_newton` rejects.
    """

    def __init__(
        self,
        net: nn.Module,
        lr: float | Tensor = 0.05,
        *,
        damping: float | Tensor | SmallestEigenvalue = 0.0,
        singular: str = "error",
    ):
        if isinstance(lr, EdgeFraction):
            raise ValueError("EdgeFraction is a step size for GradientDescent; the stability limit of GaussNewton is lr = 2")
        if not callable(damping) and (torch.as_tensor(damping) < 0).any():
            raise ValueError(f"damping must be >= 0; got {damping}")
        super().__init__(net, lr, damping=damping, singular=singular)

    def direction(self, x: Tensor, y: Tensor) -> Direction:
        """The Gauss-Newton direction."""
        options = self.param_groups[0]
        return gauss_newton(self.net, x, y, damping=options["damping"], singular=options["singular"])


class ReversibleGaussNewton(DirectionOptimizer):
    r"""The exact Gauss-Newton step of a reversible network, :math:`w \leftarrow w - \alpha\,\delta` with :math:`J\delta = r`.

    To first order it changes the outputs as `GaussNewton` does, by a different and longer step that costs little more than a
    gradient.

    Args:
        net: a `Reversible`.
        lr: the step ``alpha`` in function space.
        loss, newton, solver, cutoff, tolerance: see `regimes.reversible_gauss_newton.exact_gauss_newton`.

    Raises:
        ValueError: for a step size that is not positive, or whatever
            `regimes.reversible_gauss_newton.exact_gauss_newton` rejects.
    """

    def __init__(
        self,
        net: Reversible,
        lr: float | Tensor = 0.5,
        *,
        loss: Loss = squared,
        newton: bool = False,
        solver: str = "cholesky",
        cutoff: float = 0.0,
        tolerance: float = 1e-3,
    ):
        if isinstance(lr, EdgeFraction):
            raise ValueError("EdgeFraction is a step size for GradientDescent; ReversibleGaussNewton takes lr from 0 to 1")
        check_exact(net, loss, newton, solver, cutoff)
        super().__init__(net, lr)
        self.options = {"loss": loss, "newton": newton, "solver": solver, "cutoff": cutoff, "tolerance": tolerance}

    def direction(self, x: Tensor, y: Tensor) -> Direction:
        """The exact direction."""
        return exact_gauss_newton(self.net, x, y, **self.options)


ExactGaussNewton = ReversibleGaussNewton  # as the paper calls it


class TorchOptimizer(DirectionOptimizer):
    """Any optimizer of ``torch.optim``, with the interface of the others: its gradient is `regimes.directions.gradient`.

    Args:
        inner: for example ``torch.optim.Adam(net.parameters(), lr=1e-3)``. Its own ``lr`` applies, and a scheduler is given
            this one. To save a run, save ``inner.state_dict()``.
        net: the network.
        loss: see `regimes.losses`.
    """

    def __init__(self, net: nn.Module, inner: torch.optim.Optimizer, *, loss: Loss = squared):
        super().__init__(net, inner.param_groups[0]["lr"])
        self.inner, self.loss = inner, loss

    def direction(self, x: Tensor, y: Tensor) -> Direction:
        """The gradient of the mean loss."""
        return gradient(self.net, x, y, loss=self.loss)

    def step(self, x: Tensor, y: Tensor, direction: Direction | None = None) -> Tensor:
        """One step of the inner optimizer. Returns the loss before it."""
        self.last, self.dt = direction or self.direction(x, y), self.inner.param_groups[0]["lr"]
        for w, t in zip(trainable(self.net), self.last.tensors, strict=True):
            w.grad = t
        self.inner.step()
        return self.last.loss


def _positive(value, what):
    t = torch.as_tensor(value)
    if not (torch.isfinite(t) & (t > 0)).all():
        raise ValueError(f"{what} must be a positive, finite number; got {value}")
