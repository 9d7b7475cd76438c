"""Losses, as functions of the outputs alone: value, gradient, and the diagonal of the Hessian."""

import math
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional as F

from regimes.data import finite, passes
from regimes.errors import Unsolvable

__all__ = ["CrossEntropy", "Logistic", "Loss", "Overflow", "Squared", "logistic", "match_targets", "squared"]


class Loss(Protocol):
    """What the library asks of a loss of outputs ``f`` and targets ``y``, both ``(..., n)`` or ``(..., n * c)``."""

    def value(self, f: Tensor, y: Tensor, n: int) -> Tensor:
        """The mean over the ``n`` samples, one number per run."""

    def grad(self, f: Tensor, y: Tensor) -> Tensor:
        """The derivative of ``n * value`` with respect to each output, in the shape of ``f``."""

    def hessian_diag(self, f: Tensor, y: Tensor) -> Tensor:
        """The second derivative of ``n * value`` with respect to each output, in the shape of ``f``."""


@dataclass(frozen=True)
class Squared:
    r"""The squared loss, with a half and a mean: :math:`L = \frac{1}{2n} \sum_i (f_i - y_i)^2`.

    Its gradient in output space is the residual ``r = f - y`` itself, without the half and without the ``1/n``. With several
    outputs per sample the sum runs over all of them and ``n`` still counts samples.
    """

    def value(self, f: Tensor, y: Tensor, n: int) -> Tensor:
        """The loss, one number per run: ``(..., n)`` to ``(...)``."""
        return (f - y).square().sum(-1) / (2 * n)

    def grad(self, f: Tensor, y: Tensor) -> Tensor:
        """The residual ``f - y``."""
        return f - y

    def hessian_diag(self, f: Tensor, y: Tensor) -> Tensor:
        """One, everywhere."""
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
        return -F.logsigmoid(_signs(y) * f).sum(-1) / n

    def log_value(self, f: Tensor, y: Tensor, n: int) -> Tensor:
        """The logarithm of the loss, also where the loss itself underflows to zero (``q`` > 745 in float64).

        Beyond ``q`` = 36, ``log(1 + e^-q)`` is ``e^-q`` to rounding, so its logarithm is ``-q``; the sum is a ``logsumexp``.
        """
        q = _signs(y) * f
        log = torch.where(q > FAR, -q, (-F.logsigmoid(q.clamp(max=FAR))).log())
        return log.logsumexp(-1) - math.log(n)

    def grad(self, f: Tensor, y: Tensor) -> Tensor:
        """``-y sigma(-y f)``."""
        return -_signs(y) * torch.sigmoid(-y * f)

    def hessian_diag(self, f: Tensor, y: Tensor) -> Tensor:
        """``sigma(f) sigma(-f)``: at most a quarter, and at most the loss of the sample."""
        _signs(y)
        return torch.sigmoid(f) * torch.sigmoid(-f)


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
        return -(self._split(y, True) * torch.log_softmax(self._split(f), -1)).sum((-1, -2)) / n

    def grad(self, f: Tensor, y: Tensor) -> Tensor:
        """``p - y``."""
        return (torch.softmax(self._split(f), -1) - self._split(y, True)).flatten(-2)

    def hessian_diag(self, f: Tensor, y: Tensor) -> Tensor:
        """``p (1 - p)``, the diagonal of each sample's Hessian ``H = diag(p) - p p^T``."""
        self._split(y, True)
        p = torch.softmax(self._split(f), -1)
        return (p * (1 - p)).flatten(-2)

    def newton(self, f: Tensor, y: Tensor) -> Tensor:
        r"""The shortest solution of :math:`H s = p - y`: :math:`s_c = \overline{y / p} - y_c / p_c`, a mean over classes.

        As large as one over the probability of the right class: explosive where the network is confident and wrong.

        Raises:
            Overflow: (a ValueError) where that is too large for the machine's numbers.
        """
        log_p, y = torch.log_softmax(self._split(f), -1), self._split(y, True)
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


squared, logistic = Squared(), Logistic()
FAR = 36.0  # from here on log(1 + e^-q) is e^-q to rounding, in float64


def _signs(y: Tensor) -> Tensor:
    if not passes(y, _are_signs):
        other = y[y.abs() != 1].flatten()[0].item()
        raise ValueError(f"the logistic loss takes labels -1 and +1; got {other:g}. For labels 0 and 1 pass 2 * y - 1")
    return y


def _are_signs(y: Tensor) -> Tensor:
    return (y.abs() == 1).all()


def _are_probabilities(y: Tensor) -> bool:
    """Of the classes along the last axis."""
    return bool((y >= 0).all()) and torch.allclose(y.sum(-1), torch.ones_like(y[..., 0]))


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
    own = len(shape) - (outputs.ndim - 1)  # axes of one run's outputs
    if not (own <= y.ndim <= len(shape) and y.shape == shape[len(shape) - y.ndim :]):
        raise ValueError(f"the network's outputs have shape {tuple(shape)}; the targets y have {tuple(y.shape)}")
    if y.dtype != outputs.dtype:
        raise ValueError(
            f"the network's outputs are {outputs.dtype} and the targets y are {y.dtype}: convert y.to({outputs.dtype})"
        )
    if not passes(y, finite):
        raise ValueError("targets y contain numbers that are not finite (NaN or infinity)")
    return y.flatten(y.ndim - own)
