"""Optimizers: a direction times a step size. They are optimizers of torch, except that ``step`` takes the data.

Step sizes are times: after ``k`` steps of size ``lr`` the optimizer has followed its flow for ``t = k * lr``. For
`GaussNewton`, ``lr`` is the step ``eta`` in function space (the residual shrinks by ``1 - eta``); for `GradientDescent` it is
the time of the gradient flow of the *mean* loss.
"""

import inspect
import math
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from functools import wraps
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim.optimizer import _global_optimizer_post_hooks, _global_optimizer_pre_hooks

from regimes.arguments import positive, require_tensors, whole
from regimes.data import checked_once
from regimes.directions import Direction, gauss_newton, gradient
from regimes.jacobians import jacobian
from regimes.linalg import SmallestEigenvalue, check_singular
from regimes.losses import AnyLoss, as_loss, squared
from regimes.network import has_closed_form, run_axes, time_scale, trainable
from regimes.networks import Reversible
from regimes.reversible_gauss_newton import check_exact, exact_gauss_newton
from regimes.solvers import Damping, check_damping, check_solver

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


# What each optimizer's last step was made on, and found out: beside the optimizers, since it is no part of a copy.
_last_step: WeakKeyDictionary["DirectionOptimizer", tuple[tuple, list, dict]] = WeakKeyDictionary()
GLOBAL_HOOKS = _global_optimizer_pre_hooks, _global_optimizer_post_hooks
_MISSING: Any = None  # the data of a step, where torch's optimizers have none


@torch.no_grad()
def move(net: nn.Module, tensors: tuple[Tensor, ...], step: float | Tensor) -> None:
    """``w <- w - step * tensor`` in place, for each trainable parameter.

    ``step`` is a number, or a tensor that broadcasts to the runs of the network.

    Raises:
        ValueError: for a step of another shape.
    """
    if isinstance(step, (int, float)):
        for w, t in zip(trainable(net), tensors, strict=True):
            w.sub_(t, alpha=float(step))
        return
    runs = run_axes(net)
    step = step.double() if isinstance(step, Tensor) else torch.tensor(step, dtype=torch.float64, device="cpu")
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

    What a direction needs to remember, such as momentum, is an attribute of the optimizer or in its ``state``.

    Learning-rate schedulers work as with any torch optimizer, if ``lr`` is a number; so do ``state_dict``, which ``torch.load``
    reads with its default settings, ``pickle`` and ``copy.deepcopy``. A copy made together with its network,
    ``deepcopy((net, optimizer))``, moves the copy.

    Attributes:
        net: the network it moves.
        last: the `Direction` of the latest step, ``None`` before the first.
        dt: the time the latest step took, a number or one per run; zero before the first.

    Raises:
        ValueError: for a network that is no module or has no trainable parameters, or a step size that is not positive.
    """

    state: defaultdict[Any, Any]  # of parameters, as torch has it, and of names

    def __init__(self, net: nn.Module, lr: "float | Tensor | EdgeFraction", **options):
        if not isinstance(net, nn.Module):
            raise ValueError(f"an optimizer is made for the network itself, {type(self).__name__}(net, ...); got {_kind(net)}")
        if not isinstance(lr, EdgeFraction):
            positive(lr, "the step size lr")
        self.net = net
        self.last: Direction | None = None
        self.dt: float | Tensor = 0.0
        super().__init__(trainable(net), {"lr": lr, **options})

    def direction(self, x: Tensor, y: Tensor) -> Direction:
        """The direction at the current parameters."""
        raise NotImplementedError

    def step(  # type: ignore[override]  # it takes the data, not a closure
        self, x: Tensor = _MISSING, y: Tensor = _MISSING, direction: Direction | None = None
    ) -> Tensor:
        """One step on the data ``x, y``. Returns the loss *before* it, one number per run.

        ``direction`` may be what `direction` returns here, to save computing it again.

        Raises:
            TypeError: without data, as the optimizers of torch are called.
            ValueError: for data that are not tensors, or that do not fit.
        """
        if direction is None:
            _require_data(x, y)
            direction = self._here(x, y)
        self.last, self.dt = direction, self._step_size(x)
        move(self.net, self.last.tensors, self.dt)
        return self.last.loss

    @staticmethod
    def profile_hook_step(func: Callable[..., Any]) -> Callable[..., Any]:
        """What torch puts around ``step``, only where there are hooks or a profile: it takes as long as a small network."""
        watched = torch.optim.Optimizer.profile_hook_step(func)

        @wraps(func)
        def step(self, *args, **kwargs):
            hooks = self._optimizer_step_pre_hooks, self._optimizer_step_post_hooks, *GLOBAL_HOOKS
            return (watched if any(hooks) or torch.autograd._profiler_enabled() else func)(self, *args, **kwargs)

        return step

    def _step_size(self, x: Tensor) -> float | Tensor:
        return self.param_groups[0]["lr"]

    def _here(self, x: Tensor, y: Tensor) -> Direction:
        """The direction; what the last step found out about these data and layers is asked again only if they have changed."""
        with checked_once(x, y, known=self._known(x, y)):
            return self.direction(x, y)

    def _known(self, x: Tensor, y: Tensor) -> dict:
        if x.is_inference() or y.is_inference():  # such tensors keep no count of their changes
            return {}
        modules = list(self.net.modules())
        held = x, y, modules  # and so no other object takes the id of one of them
        mark: list[tuple] = [(id(t), t._version) for t in (x, y)]
        mark += [(id(m), m.training, has_closed_form(m, "jacobian")) for m in modules]
        mark += [(p.dtype, p.device) for p in self.net.parameters()]
        _, before, known = _last_step.get(self, (held, mark, {}))
        known = known if mark == before else {}
        _last_step[self] = held, mark, known
        return known

    def state_dict(self) -> dict[str, Any]:
        """As of any torch optimizer, in numbers, tensors and dictionaries."""
        saved = super().state_dict()
        groups = [{name: _packed(value) for name, value in group.items()} for group in saved["param_groups"]]
        return {**saved, "param_groups": groups}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Go on as the optimizer whose ``state_dict`` this was."""
        groups = [{name: _unpacked(value) for name, value in group.items()} for group in state_dict["param_groups"]]
        super().load_state_dict({**state_dict, "param_groups": groups})

    def __getstate__(self) -> dict[str, Any]:
        # torch keeps only its own attributes; like torch, this leaves out hooks and what a scheduler has put around step
        return {name: value for name, value in vars(self).items() if name != "step" and not name.startswith("_optimizer_")}


def _require_data(x: object, y: object) -> None:
    if x is _MISSING or y is _MISSING or callable(x):
        raise TypeError("step takes the data, step(x, y), and computes the gradient itself: no closure, no loss.backward()")
    require_tensors(x=x, y=y)


@dataclass(frozen=True)
class EdgeFraction:
    """A step size that follows the kernel: ``fraction`` of the stability limit ``2 n / lambda_max(K)`` of gradient descent.

    Recomputed every ``every`` steps, because ``lambda_max(K)`` grows during training: more than tenfold on noise labels, where
    a step size that is refreshed too rarely diverges. ``at_most`` caps it where the kernel is so small at initialisation (tiny
    weights, or none: a kernel of zero) that its limit says nothing about the next steps. The count of steps and the present
    step are part of the optimizer's ``state_dict``, so that a run that is continued is the same run.
    """

    fraction: float = 0.5
    every: int = 5
    at_most: float = math.inf

    def __post_init__(self):
        positive(self.fraction, "the fraction of the stability limit")
        if not self.at_most > 0:
            raise ValueError(f"the largest step EdgeFraction may choose must be positive; got at_most={self.at_most}")
        if whole(self.every, "every") < 1:
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


RULES = {kind.__name__: kind for kind in (EdgeFraction, SmallestEigenvalue)}


def _packed(option: Any) -> Any:
    """An option as what ``torch.load`` reads by default: a rule as a dictionary with its name, NumPy's numbers as Python's."""
    if type(option) in RULES.values():
        return {"rule": type(option).__name__, **asdict(option)}
    if isinstance(option, np.ndarray):
        return torch.from_numpy(option)
    return option.item() if isinstance(option, np.generic) else option


def _unpacked(option: Any) -> Any:
    if not (isinstance(option, dict) and option.get("rule") in RULES):
        return option
    return RULES[option["rule"]](**{name: value for name, value in option.items() if name != "rule"})


class GradientDescent(DirectionOptimizer):
    r"""Full-batch gradient descent on the mean loss, :math:`w \leftarrow w - \mathrm{lr}\; c\, J^T r / n`.

    ``c`` is the network's time scale (the width in mean-field scaling). On frozen features the outputs obey
    :math:`r \leftarrow (1 - \mathrm{lr}\,K/n)\, r`: stable while ``lr < 2 n / lambda_max(K)``.

    Args:
        net: a `TwoLayer` or any module.
        lr: a positive number, one per run, or an `EdgeFraction`.
        loss: one of `regimes.losses`, or any function of outputs and targets: see `regimes.directions.gradient`.

    Raises:
        ValueError: for a step size that is not positive and finite, or a loss that is none.
    """

    def __init__(self, net: nn.Module, lr: float | Tensor | EdgeFraction, *, loss: AnyLoss = squared):
        as_loss(loss)
        super().__init__(net, lr)
        self.loss = loss

    def direction(self, x: Tensor, y: Tensor) -> Direction:
        """The gradient of the mean loss."""
        return gradient(self.net, x, y, loss=self.loss)

    def _step_size(self, x: Tensor) -> float | Tensor:
        lr = self.param_groups[0]["lr"]
        if not isinstance(lr, EdgeFraction):
            return lr
        taken, step = self.state.get("edge", (0, None))
        if taken % lr.every == 0:
            step = lr(self.net, x)
        self.state["edge"] = taken + 1, step
        return step


class GaussNewton(DirectionOptimizer):
    r"""Gauss-Newton, on the squared loss :math:`w \leftarrow w - \eta\, c J^T (c J J^T + \epsilon I)^{-1} r`.

    Any module will do that treats samples one by one. Each step of 0.5 about halves the residual, and quarters the loss:

    >>> _ = torch.manual_seed(0)
    >>> net = nn.Sequential(nn.Linear(2, 30), nn.Tanh(), nn.Linear(30, 1), nn.Flatten(0)).double()
    >>> x = torch.randn(8, 2, dtype=torch.float64)
    >>> y = x[:, 0] * x[:, 1]
    >>> optimizer = GaussNewton(net, lr=0.5)
    >>> losses = [optimizer.step(x, y).item() for _ in range(20)]
    >>> losses[19] < 1e-9 * losses[0]
    True

    With another ``loss`` it is the generalised Gauss-Newton step, Newton's for the loss of the linearised network:

    >>> optimizer = GaussNewton(net, lr=0.5, damping=1e-3, loss=nn.BCEWithLogitsLoss())
    >>> losses = [optimizer.step(x, (y > 0).double()).item() for _ in range(20)]
    >>> losses[19] < 1e-2 * losses[0]
    True

    Args:
        net: a `TwoLayer` or any module.
        lr: the step ``eta`` in function space, a positive number or one per run. One is a full step, two the stability limit.
        damping: ``epsilon`` on the kernel ``K = c J J^T``: zero (the minimum-norm step), a positive number, one per run, or
            `SmallestEigenvalue`.
        singular, loss, solver: see `regimes.directions.gauss_newton`.

    Raises:
        ValueError: for a step size that is not positive, or an option that `regimes.directions.gauss_newton` rejects.
    """

    def __init__(
        self,
        net: nn.Module,
        lr: float | Tensor = 0.05,
        *,
        damping: Damping = 0.0,
        singular: str = "error",
        loss: AnyLoss = squared,
        solver: str = "auto",
    ):
        if isinstance(lr, EdgeFraction):
            raise ValueError("EdgeFraction is a step size for GradientDescent; the stability limit of GaussNewton is lr = 2")
        check_damping(damping)
        check_singular(singular)
        check_solver(solver)
        as_loss(loss)
        super().__init__(net, lr, damping=damping, singular=singular)
        self.loss, self.solver = loss, solver

    def direction(self, x: Tensor, y: Tensor) -> Direction:
        """The Gauss-Newton direction."""
        options = self.param_groups[0]
        chosen = {"damping": options["damping"], "singular": options["singular"], "loss": self.loss, "solver": self.solver}
        return gauss_newton(self.net, x, y, **chosen)


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

    net: Reversible
    options: dict[str, Any]

    def __init__(
        self,
        net: Reversible,
        lr: float | Tensor = 0.5,
        *,
        loss: AnyLoss = squared,
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

    That is ``c`` times the gradient of the mean loss, with the network's time scale ``c``: the width ``m`` for a mean-field
    `TwoLayer`, 1 for other modules. So ``lr`` counts in the time of the flow, and ``weight_decay=a`` of
    SGD or Adam adds ``a / 2c`` times the squared weights to the loss.

    Settings and state are those of ``inner``, shared: a scheduler may be given either, and ``state_dict`` is that of ``inner``.
    One that looks at several points within a step (``torch.optim.LBFGS``) is given a closure.

    Args:
        inner: for example ``torch.optim.Adam(net.parameters(), lr=1e-3)``. Its own ``lr`` applies, that of its first group
            counts as time.
        net: the network.
        loss: see `regimes.losses`.

    Raises:
        ValueError: if ``inner`` is no optimizer of torch, or does not hold exactly the network's trainable parameters, here or
            in a later step; or if it needs a closure, whose loss is one number, and ``net`` is a stack of runs.
    """

    def __init__(self, net: nn.Module, inner: torch.optim.Optimizer, *, loss: AnyLoss = squared):
        if not isinstance(inner, torch.optim.Optimizer) or isinstance(inner, DirectionOptimizer):
            raise ValueError(
                "TorchOptimizer(net, inner) takes the network, then an optimizer of torch.optim such as "
                f"torch.optim.Adam(net.parameters(), lr=1e-3); got {_kind(net)} and {_kind(inner)}"
            )
        as_loss(loss)
        super().__init__(net, lr=1.0)
        self.inner, self.loss = inner, loss
        self._needs_closure = _needs_closure(inner)
        if self._needs_closure and run_axes(net):
            raise ValueError(
                f"{_kind(inner)} mixes all that it holds, and so the runs of a stack, {run_axes(net)}: train them one by one"
            )
        self._share()
        self._check()

    def direction(self, x: Tensor, y: Tensor) -> Direction:
        """The gradient of the mean loss."""
        return gradient(self.net, x, y, loss=self.loss)

    def step(  # type: ignore[override]  # it takes the data, not a closure
        self, x: Tensor = _MISSING, y: Tensor = _MISSING, direction: Direction | None = None
    ) -> Tensor:
        """One step of the inner optimizer. Returns the loss before it."""
        _require_data(x, y)
        self._check()
        self.last, self.dt = direction or self._here(x, y), self.param_groups[0].get("lr", 1.0)
        self.inner.zero_grad()  # also of parameters that have been frozen since
        self._hand_over(self.last)
        if self._needs_closure:

            def closure() -> Any:  # a tensor, where torch's annotation says float
                return time_scale(self.net) * self._hand_over(self._here(x, y)).loss

            self.inner.step(closure)
        else:
            self.inner.step()
        return self.last.loss

    def state_dict(self) -> dict[str, Any]:
        """That of the inner optimizer."""
        return self.inner.state_dict()

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Into the inner optimizer."""
        self.inner.load_state_dict(dict(state_dict))
        self._share()

    def _share(self) -> None:
        self.param_groups, self.state, self.defaults = self.inner.param_groups, self.inner.state, self.inner.defaults

    def _check(self) -> None:
        self._share()  # they are new ones after inner.load_state_dict()
        own = {id(p) for p in trainable(self.net)}
        theirs = {id(p) for group in self.param_groups for p in group["params"] if p.requires_grad}
        if own != theirs:
            raise ValueError(
                f"this {_kind(self.inner)} holds {len(own & theirs)} of the network's {len(own)} trainable parameters and "
                f"{len(theirs - own)} others: make it anew with net.parameters(), and freeze what should stay by "
                "requires_grad_(False)"
            )

    def _hand_over(self, direction: Direction) -> Direction:
        for w, t in zip(trainable(self.net), direction.tensors, strict=True):
            w.grad = t
        return direction


def _needs_closure(inner: torch.optim.Optimizer) -> bool:
    closure = inspect.signature(inner.step).parameters.get("closure")
    return closure is not None and closure.default is inspect.Parameter.empty


def _kind(thing: object) -> str:
    return f"the class {thing.__name__}" if isinstance(thing, type) else type(thing).__name__
