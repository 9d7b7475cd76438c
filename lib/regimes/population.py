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
    """``E[phi phi]``, ``A`` and ``B`` for ``phi(z) = erf(z / sqrt 2)``, from the squared lengths and the overlap of two units."""
    kernel = 2 / math.pi * torch.asin(cross / ((1 + own) * (1 + other)).sqrt())
    A = 2 / math.pi / ((1 + own) * (1 + other) - cross.square()).sqrt()
    return kernel, A, -A * cross / (1 + own)


def _relu(own: Tensor, other: Tensor, cross: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The same for ``phi(z) = max(z, 0)``, from the angle between the units."""
    cos = (cross / (own * other).sqrt()).clamp(-1, 1)
    angle, sin = torch.acos(cos), (1 - cos.square()).sqrt()
    A = (math.pi - angle) / (2 * math.pi)
    kernel = (own * other).sqrt() * (sin / (2 * math.pi) + A * cos)
    return kernel, A, (other / own).sqrt() * sin / (2 * math.pi)


KERNELS = {"erf": _erf, "relu": _relu}


class PopulationGradient:
    """The gradient of the population risk ``E[(f - f*)^2] / 2`` by the hidden weights: a field for `regimes.flows`.

    ``RungeKutta4(student, PopulationGradient(teacher), dt)`` is its flow. A field is asked with samples; this one ignores them:
    ``train(student, None, None, flow, steps)``.

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
            raise ValueError("the population gradient moves hidden weights: freeze v (regimes.networks.committee does)")
        (kernel, A, B), units, c = _pairs(net, self.teacher)
        m = net.width
        pull = c[..., :m, None] * c[..., None, :]  # of each unit on each student unit
        G = (pull * A[..., :m, :]) @ units + (pull * B[..., :m, :]).sum(-1, keepdim=True) * net.W
        return Direction((net.time_scale * G,), _risk(kernel, c))


@torch.no_grad()
def population_risk(net: TwoLayer, teacher: TwoLayer) -> Tensor:
    """``E[(f - f*)^2] / 2`` over ``x ~ N(0, I)``, without label noise, one number a run. Rounding below zero is clipped.

    Raises:
        ValueError: for activations other than erf and ReLU, or two different ones, or networks with biases.
    """
    (kernel, _, _), _, c = _pairs(net, teacher)
    return _risk(kernel, c)


def overlap_risk(Q: Tensor, M: Tensor) -> Tensor:
    """The same for mean committees of erf units with an orthonormal teacher, from ``Q`` (..., p, p) and ``M`` (..., p, k) alone."""
    p, k = M.shape[-2:]
    P = torch.eye(k, dtype=M.dtype, device=M.device).expand(*M.shape[:-2], k, k)
    overlap = torch.cat([torch.cat([Q, M], -1), torch.cat([M.mT, P], -1)], -2)
    c = torch.cat([M.new_full((p,), 1 / p), M.new_full((k,), -1 / k)])
    length = overlap.diagonal(dim1=-2, dim2=-1)
    return _risk(_erf(length[..., :, None], length[..., None, :], overlap)[0], c)


def _risk(kernel: Tensor, c: Tensor) -> Tensor:
    return ((kernel @ c[..., None])[..., 0] * c).sum(-1).clamp(min=0) / 2


def _pairs(net: TwoLayer, teacher: TwoLayer) -> tuple[tuple[Tensor, Tensor, Tensor], Tensor, Tensor]:
    """Kernel, A and B of all pairs of units of student and teacher, the units, and their coefficients in ``f - f*``."""
    names = {str(net.activation), str(teacher.activation)}
    if len(names) > 1 or not names <= KERNELS.keys() or net.bias or teacher.bias:
        raise ValueError(
            f"the population risk is in closed form for two networks without bias, both with erf or both with relu units; got "
            f"{net.activation} and {teacher.activation}, bias {net.bias} and {teacher.bias}"
        )
    runs = net.runs
    units = torch.cat([net.W, teacher.W.expand(*runs, -1, -1)], -2).detach()
    c = torch.cat([net.scale * net.v, -teacher.scale * teacher.v.expand(*runs, -1)], -1).detach()
    overlap = units @ units.mT
    length = overlap.diagonal(dim1=-2, dim2=-1)
    return KERNELS[names.pop()](length[..., :, None], length[..., None, :], overlap), units, c
