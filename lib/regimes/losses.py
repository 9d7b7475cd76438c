"""Losses, as functions of the outputs alone: value, gradient, and the diagonal of the Hessian.

Wherever the library takes a ``loss``, it takes one of these, an object of your own with the methods of `Loss`, or any function
of outputs and targets, such as ``torch.nn.BCEWithLogitsLoss()``: see `as_loss`.
"""

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol, TypeAlias

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from regimes.data import finite, passes
from regimes.errors import Unsolvable

__all__ = [
    "AnyLoss",
    "AutogradLoss",
    "CrossEntropy",
    "Logistic",
    "Loss",
    "Overflow",
    "Squared",
    "as_loss",
    "logistic",
    "match_classes",
    "match_labels",
    "match_loss",
    "match_targets",
    "output_hessian",
    "squared",
]


class Loss(Protocol):
    """What the library asks of a loss of outputs ``f`` and targets ``y``, both ``(..., n)`` or ``(..., n * c)``.

    ``hessian_diag`` is needed for the Hessian in closed form only. A loss may also know its whole Hessian in the outputs of a
    sample, ``hessian(f, y, n)`` of shape ``(..., n, c, c)``, for `regimes.directions.gauss_newton`, which otherwise
    differentiates ``value``.
    """

    def value(self, f: Tensor, y: Tensor, n: int) -> Tensor:
        """The mean over the ``n`` samples, one number per run."""

    def grad(self, f: Tensor, y: Tensor) -> Tensor:
        """The derivative of ``n * value`` with respect to each output, in the shape of ``f``."""

    def hessian_diag(self, f: Tensor, y: Tensor) -> Tensor:
        """The second derivative of ``n * value`` with respect to each output, in the shape of ``f``."""


AnyLoss: TypeAlias = Loss | Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Squared:
    r"""The squared loss, with a half and a mean: :math:`L = \frac{1}{2n} \sum_i (f_i - y_i)^2`.

    Its gradient in output space is the residual ``r = f - y`` itself, without the half and without the ``1/n``. With several
    outputs per sample the sum runs over all of them and ``n`` still counts samples.
    """

    def value(self, f: Tensor, y: Tensor, n: int) -> Tensor:
        """The loss, one number per run: ``(..., n)`` to ``(...)``."""
        r = f - _alike(y, f, n)
        return torch.linalg.vecdot(r, r) / (2 * n)

    def grad(self, f: Tensor, y: Tensor) -> Tensor:
        """The residual ``f - y``."""
        return f - _alike(y, f)

    def hessian_diag(self, f: Tensor, y: Tensor) -> Tensor:
        """One, everywhere."""
        _alike(y, f)
        return torch.ones_like(f)


@dataclass(frozen=True)
class Logistic:
    r"""The logistic loss of labels -1 and +1: :math:`L = \frac{1}{n} \sum_i \log(1 + e^{-q_i})`, with :math:`q_i = y_i f_i`.

    Exact to rounding for any ``q``: the loss is ``-logsigmoid(q)``, its gradient ``-y sigma(-q)``, its second derivative
    ``sigma(q) sigma(-q)``; ``1 - sigma(q)`` or ``log(1 + exp(-q))`` would be zero or infinite from ``|q|`` = 37 or 710 on.

    Source: Cai et al. 2024.
    """

    def value(self, f: Tensor, y: Tensor, n: int) -> Tensor:
        """The loss, one number per run: ``(..., n)`` to ``(...)``.

        Raises:
            ValueError: for labels other than -1 and +1.
        """
        return -F.logsigmoid(_signs(_alike(y, f, n)) * f).sum(-1) / n

    def log_value(self, f: Tensor, y: Tensor, n: int) -> Tensor:
        """The logarithm of the loss, also where the loss itself underflows to zero (``q`` > 745 in float64).

        Beyond ``q`` = 36, ``log(1 + e^-q)`` is ``e^-q`` to rounding, so its logarithm is ``-q``; the sum is a ``logsumexp``.
        """
        q = _signs(_alike(y, f, n)) * f
        log = torch.where(q > FAR, -q, (-F.logsigmoid(q.clamp(max=FAR))).log())
        return log.logsumexp(-1) - math.log(n)

    def grad(self, f: Tensor, y: Tensor) -> Tensor:
        """``-y sigma(-y f)``."""
        return -_signs(_alike(y, f)) * torch.sigmoid(-y * f)

    def hessian_diag(self, f: Tensor, y: Tensor) -> Tensor:
        """``sigma(f) sigma(-f)``: at most a quarter, and at most the loss of the sample."""
        _signs(_alike(y, f))
        return torch.sigmoid(f) * torch.sigmoid(-f)

    def hessian(self, f: Tensor, y: Tensor, n: int) -> Tensor:
        """`hessian_diag` on the diagonals of ``(..., n, c, c)``."""
        return self.hessian_diag(f, y).unflatten(-1, (n, -1)).diag_embed()


class Overflow(Unsolvable):
    """A Newton step in output space is too large for the machine's numbers."""

    why = "a Newton step in output space overflows"


@dataclass(frozen=True)
class CrossEntropy:
    r"""Cross entropy of several classes: :math:`L = -\frac1n \sum_i \sum_c y_{ic} \log p_{ic}` with ``p = softmax(f)``.

    Outputs and targets come flattened, ``(..., n * classes)``; each sample's targets are probabilities, one-hot for a label.

    Raises:
        ValueError: for targets that are negative or do not sum to one for each sample.

    Source: Buffelli et al. 2024 for `newton` (published code).
    """

    classes: int

    def value(self, f: Tensor, y: Tensor, n: int) -> Tensor:
        """The loss, one number per run."""
        return -(self._split(_alike(y, f, n), True) * torch.log_softmax(self._split(f), -1)).sum((-1, -2)) / n

    def grad(self, f: Tensor, y: Tensor) -> Tensor:
        """``p - y``."""
        return (torch.softmax(self._split(f), -1) - self._split(_alike(y, f), True)).flatten(-2)

    def hessian_diag(self, f: Tensor, y: Tensor) -> Tensor:
        """``p (1 - p)``, the diagonal of each sample's Hessian ``H = diag(p) - p p^T``."""
        self._split(_alike(y, f), True)
        p = torch.softmax(self._split(f), -1)
        return (p * (1 - p)).flatten(-2)

    def hessian(self, f: Tensor, y: Tensor, n: int) -> Tensor:
        """``diag(p) - p p^T`` for each sample, ``(..., n, classes, classes)``.

        On the diagonal, ``p_c`` times the sum of the others: ``1 - p_c`` would be zero where a class is almost certain.
        """
        self._split(_alike(y, f, n), True)
        p = torch.softmax(self._split(f), -1)
        others = p[..., :, None] * p[..., None, :] * (1 - torch.eye(self.classes, dtype=p.dtype, device=p.device))
        return others.sum(-1).diag_embed() - others

    def newton(self, f: Tensor, y: Tensor) -> Tensor:
        r"""The shortest solution of :math:`H s = p - y`: :math:`s_c = \overline{y / p} - y_c / p_c`, a mean over classes.

        As large as one over the probability of the right class: explosive where the network is confident and wrong.

        Raises:
            Overflow: (a ValueError) where that is too large for the machine's numbers.
        """
        log_p, y = torch.log_softmax(self._split(f), -1), self._split(_alike(y, f), True)
        ratio = torch.where(y > 0, y * torch.exp(-log_p), 0.0)
        if not torch.isfinite(ratio).all():
            least = torch.where(y > 0, log_p, 0.0).min().item() / math.log(10)
            raise Overflow(
                f"the probability of a right class is 10 to the power {least:.3g}: a Newton step in output space divides by "
                "it, and overflows. Use a smaller step (0.1 or less), or newton=False"
            )
        return (ratio.mean(-1, keepdim=True) - ratio).flatten(-2)

    def _split(self, t: Tensor, target: bool = False) -> Tensor:
        t = t.unflatten(-1, (-1, self.classes))
        if target and not passes(t, _are_probabilities):
            raise ValueError(f"the targets of a sample are {self.classes} probabilities that sum to one; use one_hot(labels)")
        return t


@dataclass(frozen=True)
class AutogradLoss:
    """Any function of outputs and targets that returns one number, with derivatives by autograd: made by `as_loss`.

    ``value`` is what the function returns, whatever its own convention: a mean over samples like the losses here, a mean over
    all outputs like ``torch.nn.MSELoss()``, or a sum. The gradient and the Hessian are those of this number, times ``n`` like
    those of every `Loss`. So ``torch.nn.MSELoss()`` is twice `squared` for one output per sample, and ``2 / q`` of it for
    ``q`` of them.

    The function sees the outputs of one run at a time, in the shape of ``net(x)``: ``(n,)`` or ``(n, q)``.

    Attributes:
        function: ``function(outputs, targets)``.
        shape: of ``net(x)``, run axes first; ``None`` for outputs ``(..., n)``.

    Raises:
        ValueError: where the function fails, or returns anything but one real number that depends on the outputs in a way
            torch can differentiate.
    """

    function: Callable[[Tensor, Tensor], Tensor]
    shape: tuple[int, ...] | None = None

    def value(self, f: Tensor, y: Tensor, n: int) -> Tensor:
        """What the function returns, one number per run."""
        runs = f.shape[:-1]
        if self.shape is None:
            y = _alike(y, f, n).expand_as(f)
        each = [self._call(f[i].reshape(self._own(f)), y[i]) for i in itertools.product(*map(range, runs))]
        return torch.stack(each).reshape(runs)

    def grad(self, f: Tensor, y: Tensor) -> Tensor:
        """``n`` times the derivative of `value` with respect to each output."""
        return _slope(self, f, y, self._own(f)[0])[0].detach()

    def hessian_diag(self, f: Tensor, y: Tensor) -> Tensor:
        """``n`` times the second derivative of `value` with respect to each output; not for a loss that couples samples."""
        return output_hessian(self, f, y, self._own(f)[0]).diagonal(dim1=-2, dim2=-1).flatten(-2)

    def match(self, y: Tensor, outputs: Tensor, shape: tuple[int, ...]) -> tuple["AutogradLoss", Tensor]:
        """The loss of outputs of this ``shape``, and the targets of each run: see `match_loss`."""
        _check_kind(y, outputs)
        axes = outputs.ndim - 1
        runs, own = tuple(shape[:axes]), tuple(shape[axes:])
        if y.is_floating_point():
            _check_numbers(y, outputs)
        if len(own) <= y.ndim <= len(shape) and y.shape == shape[len(shape) - y.ndim :]:
            return replace(self, shape=shape), y.expand(shape)
        if y.shape[: axes + 1] != (*runs, own[0]):
            if y.shape[:1] != own[:1]:
                raise ValueError(_do_not_fit(y, outputs, shape))
            y = y.expand(*runs, *y.shape)
        loss, first = replace(self, shape=shape), (0,) * axes
        if loss._spreads(outputs[first].reshape(own), y[first]):
            raise ValueError(_do_not_fit(y[first], outputs, shape))
        return loss, y

    def _spreads(self, f: Tensor, y: Tensor) -> bool:
        """Whether targets of another shape than the outputs would be spread over them, as targets ``(n,)`` over ``(n, 1)``.

        Where it is a coincidence of sizes, such as class numbers of as many samples as there are classes, a function that
        takes such targets takes one sample more as well.
        """
        if not _broadcasts(y.shape, f.shape):
            return False
        if [k for k in y.shape if k > 1] == [k for k in f.shape if k > 1]:
            return True
        for more in (1, 2):
            longer = [torch.cat([t, *[t[-1:]] * more]) for t in (f, y)]
            if not _broadcasts(*(t.shape for t in longer)):
                try:
                    self._call(*longer)
                except ValueError:
                    return True
                return False
        return True

    def _own(self, f: Tensor) -> tuple[int, ...]:
        return f.shape[-1:] if self.shape is None else self.shape[f.ndim - 1 :]

    def _call(self, f: Tensor, y: Tensor) -> Tensor:
        name = getattr(self.function, "__name__", type(self.function).__name__)
        try:
            value = self.function(f, y)
        except (RuntimeError, TypeError, ValueError, IndexError) as error:
            raise ValueError(
                f"the loss {name} failed on outputs {tuple(f.shape)}, {f.dtype}, and targets {tuple(y.shape)}, {y.dtype}: "
                f"{error}"
            ) from error
        if not isinstance(value, Tensor) or value.ndim or value.is_complex():
            got = f"a tensor {tuple(value.shape)}, {value.dtype}" if isinstance(value, Tensor) else type(value).__name__
            raise ValueError(
                f"a loss returns one real number as a tensor; {name} returned {got}. Take its mean (reduction='mean')"
            )
        if f.requires_grad and torch.is_grad_enabled() and not value.requires_grad:
            raise ValueError(f"the loss {name} does not depend on the outputs by operations that torch can differentiate")
        return value


squared, logistic = Squared(), Logistic()
FAR = 36.0  # from here on log(1 + e^-q) is e^-q to rounding, in float64


def _signs(y: Tensor, who: str = "the logistic loss") -> Tensor:
    if not passes(y, _are_signs):
        other = y[~(y.abs() == 1)].flatten()[0].item()
        raise ValueError(f"{who} takes labels -1 and +1; got {other:g}. For labels 0 and 1 pass 2 * y - 1")
    return y


def _are_signs(y: Tensor) -> Tensor:
    return (y.abs() == 1).all()


def _are_probabilities(y: Tensor) -> bool:
    """Of the classes along the last axis."""
    return bool((y >= 0).all()) and torch.allclose(y.sum(-1), torch.ones_like(y[..., 0]))


def as_loss(loss: AnyLoss) -> Loss:
    """A loss of the library, or one with the methods of `Loss`, as it is; any other function as an `AutogradLoss`.

    Half the mean square by hand, and by the library:

    >>> from regimes import TwoLayer, gradient
    >>> net, x, y = TwoLayer(1, 5), torch.ones(3, 1).double(), torch.ones(3).double()
    >>> mine = gradient(net, x, y, loss=lambda f, y: ((f - y) ** 2).mean() / 2)
    >>> torch.allclose(mine.tensors[1], gradient(net, x, y).tensors[1])
    True

    Raises:
        ValueError: for anything that is not a loss.
    """
    if isinstance(loss, type):
        raise ValueError(f"a loss is an object, not a class: pass {loss.__name__}() with its settings")
    if not isinstance(loss, nn.Module) and callable(getattr(loss, "value", None)):
        return loss  # type: ignore[return-value]  # a `value` makes a `Loss`
    if not callable(loss):
        raise ValueError(
            f"a loss is one of regimes.losses, or a function of outputs and targets such as torch.nn.MSELoss(); got {loss!r}"
        )
    return AutogradLoss(loss)


def output_hessian(loss: Loss, f: Tensor, y: Tensor, n: int) -> Tensor:
    """The Hessian of ``n * value`` with respect to the outputs of each sample, ``(..., n, q, q)``.

    The loss's own ``hessian`` where it has one; else by differentiating ``value`` twice, one backward pass for each of the
    ``q`` outputs of a sample, and ``log2(n)`` to see that no sample's gradient depends on another sample's outputs.

    Raises:
        ValueError: for a loss that couples samples, or has no second derivative in torch.
        Unsolvable: (a ValueError) for second derivatives that are not finite.
    """
    if hasattr(loss, "hessian"):
        return loss.hessian(f, y, n)
    slope, f = _slope(loss, f, y, n)

    def product(v: Tensor) -> Tensor:
        if not slope.requires_grad:
            return torch.zeros_like(v)
        v = v.expand(*f.shape[:-1], n, -1).flatten(-2)
        try:
            moved = torch.autograd.grad(slope, f, v, retain_graph=True, materialize_grads=True)[0]
        except RuntimeError as error:
            raise ValueError(
                f"torch has no second derivative of this loss ({error}). Write it in other operations, or use gradient descent"
            ) from error
        return moved.unflatten(-1, (n, -1))

    q = f.shape[-1] // n
    H = torch.stack([product(e) for e in torch.eye(q, dtype=f.dtype, device=f.device)], -1)
    if not torch.isfinite(H).all():
        raise Unsolvable("the second derivative of the loss is not finite at these outputs. Use a smaller step")
    u = torch.randn(n, q, generator=torch.Generator().manual_seed(0), dtype=torch.float64, device="cpu").to(f)
    size, index = H.abs().amax((-3, -2, -1)), torch.arange(n, device=f.device)
    halves = [(index >> bit) % 2 for bit in range((n - 1).bit_length())]  # of any two samples, one half holds only one
    moved = [(product(u * half[:, None]) * (1 - half)[:, None]).abs().amax((-2, -1)) for half in halves]
    if any((far > 1e3 * torch.finfo(f.dtype).eps * size).any() for far in moved):
        raise ValueError(
            "the loss couples samples: how it depends on one sample's outputs depends on those of others. gradient() and "
            "hessian() take it; this needs a sum or a mean over samples"
        )
    return (H + H.mT) / 2


def match_loss(loss: AnyLoss, y: Tensor, outputs: Tensor, shape: tuple[int, ...]) -> tuple[Loss, Tensor]:
    """The loss and the targets as directions use them: `as_loss` and `match_targets`.

    A function of one's own also gets targets that are not of the outputs' shape, if they have a row for each sample, such as
    class numbers ``(n,)`` for outputs ``(n, c)``; but none that would be spread over the outputs (``(n,)`` for ``(n, 1)``).

    Args:
        loss: a `Loss`, or a function of outputs and targets.
        y, outputs, shape: see `match_targets`.

    Raises:
        ValueError: for a loss that is none, or targets or outputs that are not the ones it takes.
    """
    loss = as_loss(loss)
    if isinstance(loss, AutogradLoss):
        return loss.match(y, outputs, shape)
    y = match_targets(y, outputs, shape)
    if isinstance(loss, CrossEntropy) and (len(shape) - outputs.ndim < 1 or shape[-1] != loss.classes):
        raise ValueError(f"{loss} takes outputs (n, {loss.classes}); the network's outputs have shape {tuple(shape)}")
    return loss, y


def match_targets(y: Tensor, outputs: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Targets ``y`` in the shape of ``outputs``, checked and never broadcast by accident: for directions of your own.

    >>> f = torch.zeros(5, 2)  # net(x): five samples, two outputs each
    >>> match_targets(torch.ones(5, 2), f.flatten(), f.shape).shape
    torch.Size([10])

    Args:
        y: in the network's own output shape ``shape``, or without the run axes, shared by all runs.
        outputs: what the Jacobian reports, ``(..., N)``: all outputs of a run flattened.
        shape: the shape of ``net(x)``: the run axes, then ``(n,)`` or ``(n, q)``.

    Raises:
        ValueError: if ``y`` has any other shape, a different dtype, or holds numbers that are not finite.
    """
    _check_kind(y, outputs)
    own = len(shape) - (outputs.ndim - 1)  # axes of one run's outputs
    if not (own <= y.ndim <= len(shape) and y.shape == shape[len(shape) - y.ndim :]):
        raise ValueError(_do_not_fit(y, outputs, shape))
    _check_numbers(y, outputs)
    return y if own == 1 else y.flatten(y.ndim - own)


def match_labels(y: Tensor, f: Tensor, own: int) -> tuple[Tensor, Tensor]:
    """Labels -1 and +1, one per sample, and the outputs, both ``(..., n)``: for networks of two classes.

    Args:
        y: ``(..., n)`` or ``(..., n, 1)``, of any dtype; without run axes, shared by all runs.
        f: the outputs ``(..., n)`` or ``(..., n, 1)``.
        own: how many axes of ``f`` belong to one run: see `regimes.network.output_axes`.

    Raises:
        ValueError: for several outputs per sample, labels of another shape, or other labels.
    """
    _check_kind(y, f)
    shape = f.shape
    if own == 2 and shape[-1] == 1:
        f = f[..., 0]
    elif own != 1:
        raise ValueError(f"labels -1 and +1 belong to one output per sample; the network's outputs have shape {tuple(shape)}")
    fits = (t for t in (y, y[..., 0] if y.shape[-1:] == (1,) else y) if 0 < t.ndim and t.shape == f.shape[f.ndim - t.ndim :])
    labels = next(fits, None)
    if labels is None:
        raise ValueError(f"the network's outputs have shape {tuple(shape)}; the labels y have {tuple(y.shape)}")
    return _signs(labels.to(f.dtype), "a network with one output per sample"), f


def _slope(loss: Loss, f: Tensor, y: Tensor, n: int) -> tuple[Tensor, Tensor]:
    """``n`` times the gradient of the loss, differentiable, and the outputs it is the gradient at."""
    with torch.enable_grad():
        f = f.detach().requires_grad_()
        value = loss.value(f, y, n).sum()
        return n * torch.autograd.grad(value, f, create_graph=True, materialize_grads=True)[0], f


def match_classes(y: Tensor, f: Tensor) -> Tensor:
    """Class numbers ``(..., n)`` from targets ``y`` for outputs ``f`` ``(..., n, c)``.

    Args:
        y: class numbers ``(..., n)`` or ``(..., n, 1)``, integers from 0 to ``c - 1``; or one-hot ``(..., n, c)``, of which the
            largest counts. Without run axes, shared by all runs.
        f: the outputs.

    Raises:
        ValueError: for targets of another shape, or class numbers that do not exist.
    """
    _check_kind(y, f)
    if y.ndim > 1 and y.shape == f.shape[f.ndim - y.ndim :]:
        if not passes(y, finite):
            raise ValueError("targets y contain numbers that are not finite (NaN or infinity)")
        return y.long().argmax(-1) if y.dtype == torch.bool else y.argmax(-1)
    classes = f.shape[-1]
    if y.is_floating_point() or y.dtype == torch.bool:
        raise ValueError(f"{_do_not_fit(y, f.flatten(-2), f.shape)}; class numbers are integers, y.long()")
    y = y[..., 0] if y.ndim > 1 and y.shape[-1] == 1 else y
    if not (y.ndim and y.shape == f.shape[f.ndim - 1 - y.ndim : -1]):
        raise ValueError(_do_not_fit(y, f.flatten(-2), f.shape))
    if not ((y >= 0) & (y < classes)).all():
        raise ValueError(f"class numbers of {classes} outputs are 0 to {classes - 1}; got {y.min().item()} to {y.max().item()}")
    return y


def _alike(y: Tensor, f: Tensor, n: int = 1) -> Tensor:
    """``y``, if it has the shape of outputs ``f`` of ``n`` samples, or lacks run axes; so that nothing else broadcasts."""
    _check_kind(y, f)
    if not (0 < y.ndim <= f.ndim and y.shape == f.shape[f.ndim - y.ndim :]) or f.shape[-1] % n:
        raise ValueError(
            "a loss takes outputs and targets (..., N), flattened over samples and the outputs of a sample; got outputs of "
            f"shape {tuple(f.shape)} and targets of shape {tuple(y.shape)}" + f" for {n} samples" * (n > 1)
        )
    return y


def _check_kind(y: Tensor, outputs: Tensor) -> None:
    if not isinstance(y, Tensor):
        raise ValueError(f"the targets y are a {type(y).__name__}: pass a tensor, torch.as_tensor(y)")
    for what, t in (("the network's outputs", outputs), ("the targets y", y)):
        if t.is_complex():
            raise ValueError(f"{what} are complex; losses are of real numbers: pass torch.view_as_real(...) of them, flattened")


def _check_numbers(y: Tensor, outputs: Tensor) -> None:
    if y.dtype != outputs.dtype:
        raise ValueError(
            f"the network's outputs are {outputs.dtype} and the targets y are {y.dtype}: convert y.to({outputs.dtype})"
        )
    if not passes(y, finite):
        raise ValueError("targets y contain numbers that are not finite (NaN or infinity)")


def _do_not_fit(y: Tensor, outputs: Tensor, shape: tuple[int, ...]) -> str:
    own, advice = tuple(shape[outputs.ndim - 1 :]), ""
    if [k for k in y.shape if k > 1] == [k for k in own if k > 1]:
        advice = f". Pass y.reshape{own}"
    elif len(own) > 1 and own[:-1] == tuple(y.shape)[1 - len(own) :]:
        advice = f". If they are class numbers, pass one_hot(y, {own[-1]}).to({outputs.dtype}), from torch.nn.functional"
    return f"the network's outputs have shape {tuple(shape)}; the targets y have {tuple(y.shape)}{advice}"


def _broadcasts(a: tuple[int, ...], b: tuple[int, ...]) -> bool:
    return all(m == n or 1 in (m, n) for m, n in zip(reversed(a), reversed(b), strict=False))
