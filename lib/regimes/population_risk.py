r"""Gradient descent on the population risk: what one-pass SGD does on average, without its noise.

Inputs are ``N(0, I_d)``, and the labels come from a teacher. Committees of erf or ReLU units have this gradient in closed form:
for two units at an angle, ``E[phi'(w.x) phi(w'.x) x] = A w' + B w`` with two numbers ``A`` and ``B``.

Source: Saad and Solla 1995 (erf); Cho and Saul 2009, the arc-cosine kernel (ReLU).
"""

import math

import torch
from torch import Tensor

from regimes.directions import Direction
from regimes.networks import TwoLayer

__all__ = ["PopulationGradient", "overlap_risk", "population_risk"]


def _erf(own: Tensor, other: Tensor, cross: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """``E[phi phi]``, ``A`` and ``B`` for ``phi(z) = erf(z / sqrt 2)``: ``(m, k)``, from squared lengths and overlaps."""
    own, other = own[..., :, None], other[..., None, :]
    kernel = 2 / math.pi * torch.asin(cross / ((1 + own) * (1 + other)).sqrt())
    A = 2 / math.pi / ((1 + own) * (1 + other) - cross.square()).sqrt()
    return kernel, A, -A * cross / (1 + own)


def _relu(own: Tensor, other: Tensor, cross: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The same for ``phi(z) = max(z, 0)``, from the angle between the units."""
    own, other = own.sqrt()[..., :, None], other.sqrt()[..., None, :]
    cos = (cross / (own * other)).clamp(-1, 1)  # rounding: acos(1 + 1e-16) is NaN
    sin = (1 - cos.square()).sqrt() / (2 * math.pi)
    A = 0.5 - torch.acos(cos) / (2 * math.pi)
    return own * other * (sin + A * cos), A, other / own * sin


KERNELS = {"erf": _erf, "relu": _relu}


class PopulationGradient:
    """The gradient of the population risk ``E[(f - f*)^2] / 2`` in the hidden weights: a field for `regimes.flows`.

    ``RungeKutta4(student, PopulationGradient(teacher), dt)`` is its flow. A field is called with samples; this one ignores
    them: ``train(student, None, None, flow, steps)``.

    Args:
        teacher: a committee, with the runs of the student or without any.
    """

    def __init__(self, teacher: TwoLayer):
        self.teacher = teacher

    @torch.no_grad()
    def __call__(self, net: TwoLayer, x: Tensor | None = None, y: Tensor | None = None) -> Direction:
        """The gradient, in the network's time scale, and the risk.

        Raises:
            ValueError: for a student whose output weights are trained, and as `population_risk`.
        """
        if net.v.requires_grad:
            raise ValueError("the population gradient moves hidden weights only: freeze v (regimes.networks.committee does)")
        pair, W, V = _pair(net, self.teacher), net.W, self.teacher.W
        a, b = net.scale * net.v, self.teacher.scale * self.teacher.v
        (K, A, B), (k, C, D) = pair(W, W), pair(W, V)
        inside, outside = a[..., :, None] * a[..., None, :], -a[..., :, None] * b[..., None, :]
        G = (inside * A) @ W + (outside * C) @ V + ((inside * B).sum(-1) + (outside * D).sum(-1))[..., None] * W
        return Direction((net.time_scale * G,), _risk(K, a, k, b, pair(V, V)[0]))


@torch.no_grad()
def population_risk(net: TwoLayer, teacher: TwoLayer) -> Tensor:
    """``E[(f - f*)^2] / 2`` over ``x ~ N(0, I)``, without label noise, one number per run. Rounding below zero is clipped.

    Raises:
        ValueError: for activations other than erf and ReLU, or two different ones, or networks with biases.
    """
    pair, W, V = _pair(net, teacher), net.W, teacher.W
    return _risk(pair(W, W)[0], net.scale * net.v, pair(W, V)[0], teacher.scale * teacher.v, pair(V, V)[0])


def overlap_risk(Q: Tensor, M: Tensor) -> Tensor:
    """The same for mean committees of erf units and an orthonormal teacher, from ``Q`` (..., p, p) and ``M`` (..., p, k)."""
    p, k = M.shape[-2:]
    own, one = Q.diagonal(dim1=-2, dim2=-1), torch.ones(k, dtype=Q.dtype, device=Q.device)
    K, cross, P = _erf(own, own, Q)[0], _erf(own, one, M)[0], _erf(one, one, torch.diag(one))[0]
    return _risk(K, Q.new_full((p,), 1 / p), cross, one / k, P)


def _risk(K: Tensor, a: Tensor, cross: Tensor, b: Tensor, P: Tensor) -> Tensor:
    """``(a K a - 2 a cross b + b P b) / 2`` from the second moments of the units and the output weights."""
    total = ((K @ a[..., None] - 2 * cross @ b[..., None])[..., 0] * a).sum(-1) + ((P @ b[..., None])[..., 0] * b).sum(-1)
    return total.clamp(min=0) / 2


def _pair(net: TwoLayer, teacher: TwoLayer):
    """The closed forms for the activation of the two networks, as a function of two lists of units."""
    names = {str(net.activation), str(teacher.activation)}
    if len(names) > 1 or not names <= KERNELS.keys() or net.bias or teacher.bias:
        raise ValueError(
            f"the population risk is in closed form for two networks without bias, both with erf or both with relu units; got "
            f"{net.activation} and {teacher.activation}, bias {net.bias} and {teacher.bias}"
        )
    kernels = KERNELS[names.pop()]
    return lambda W, V: kernels(W.square().sum(-1), V.square().sum(-1), W @ V.mT)
