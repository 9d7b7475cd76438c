"""What to measure about a network."""

import copy

import torch
from torch import Tensor, nn

from regimes.directions import gradient, time_scale
from regimes.kernels import neural_tangent_kernel
from regimes.losses import match_targets, squared
from regimes.networks import TwoLayer, TwoLayerLinear

__all__ = ["condition_number", "feature_movement", "loss_on", "loss_rate", "refit", "spectrum", "weighted_cosine_distance"]


def loss_on(net: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    """The squared loss ``|f(x) - y|^2 / 2n`` on other data, one number a run.

    Raises:
        ValueError: for targets of another shape or dtype than the outputs, or not finite.
    """
    with torch.no_grad():
        f = net(x)
        own = 1 if isinstance(net, TwoLayer) else 2 if isinstance(net, TwoLayerLinear) else f.ndim  # axes that are not runs
        outputs = f.flatten(-own)
        return squared.value(outputs, match_targets(y, outputs, f.shape), f.shape[-own])


def loss_rate(net: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    r"""The rate :math:`-\dot L / L` of the squared loss under gradient flow, at the present parameters, one number a run.

    :math:`|\nabla L|^2 / L` times the network's time scale; per unit of the time of the *mean* loss.
    """
    here, c = gradient(net, x, y), time_scale(net)
    runs = here.loss.ndim
    square = sum(t.flatten(runs).square().sum(-1) for t in here.tensors)
    return square / (c * here.loss)


def spectrum(net: nn.Module, x: Tensor) -> Tensor:
    """Eigenvalues of the kernel ``K = c J J^T``, largest first: ``(..., N)``. Rounding below zero is clamped to zero."""
    return torch.linalg.eigvalsh(neural_tangent_kernel(net, x)).clamp(min=0).flip(-1)


def condition_number(net: nn.Module, x: Tensor) -> Tensor:
    """``lambda_max / lambda_min`` of the kernel, one number a run; infinite where the kernel is singular."""
    lam = spectrum(net, x)
    return lam[..., 0] / lam[..., -1]


def refit(net: TwoLayer, x: Tensor, y: Tensor, *, cutoff: float = 1e-6) -> TwoLayer:
    r"""A copy of the network whose output weights are fitted anew, the hidden ones left as they are.

    The new ``v`` is the shortest that solves :math:`s\Phi v = y` in the least-squares sense, with the features
    :math:`\Phi` (n, m) and the output scale ``s``; eigenvalues of :math:`\Phi\Phi^T` below ``cutoff`` times the largest are
    dropped. At the start of a run this is the random-feature fit; along the run it says what the features are worth.

    Args:
        net: a `TwoLayer`, or a stack of them.
        x, y: the training data, ``(..., n, d)`` and ``(..., n)``.
        cutoff: ``1e-6`` unless said otherwise. The result depends on it where features are nearly dependent: with ``1e-10``
            the random features of a start with small weights predict several times worse.

    Raises:
        ValueError: for targets of another shape or dtype than the outputs, or a cut-off outside ``[0, 1)``.

    Source: Arbel et al. 2023 (published code; their cut-off is 1e-10).
    """
    if not 0 <= cutoff < 1:
        raise ValueError(f"the cut-off is a share of the largest eigenvalue, from 0 up to 1; got {cutoff}")
    with torch.no_grad():
        Phi = net.scale * net.hidden(x)[0]
        y = match_targets(y, Phi[..., 0], Phi.shape[:-1])
        lam, Q = torch.linalg.eigh(Phi.double() @ Phi.double().mT)
        keep = lam > cutoff * lam[..., -1:].clamp(min=0)
        inverse = torch.where(keep, 1 / torch.where(keep, lam, 1.0), 0.0)
        a = Q @ (inverse[..., None] * (Q.mT @ y.double()[..., None]))
        fitted = copy.deepcopy(net)
        fitted.v.copy_((Phi.mT @ a.to(Phi.dtype))[..., 0])
    return fitted


def feature_movement(W: Tensor, start: Tensor) -> Tensor:
    """How far hidden weights went, ``|W - W_0| / |W_0|`` (Frobenius): ``(..., m, k)`` twice to ``(...)``."""
    return torch.linalg.matrix_norm((W - start).detach()) / torch.linalg.matrix_norm(start.detach())


def weighted_cosine_distance(W: Tensor, reference: Tensor) -> Tensor:
    r"""How far hidden units point from the nearest of some reference units, longer units counting more.

    .. math:: D = \sum_j p_j \min_i \sqrt{2 (1 - \cos(w_j, w'_i))}, \qquad p_j = |w_j|^2 / \textstyle\sum_l |w_l|^2

    Zero if every unit points along a reference unit, at most 2. Pass weights without their bias, ``net.W[..., :-1]``.

    Args:
        W: ``(..., m, d)``.
        reference: ``(..., m', d)``: the units of the teacher, or the units at the start.

    Source: Arbel et al. 2023 (published code).
    """
    W, reference = W.detach(), reference.detach()
    length = W.norm(dim=-1)
    tiny = torch.finfo(W.dtype).tiny
    unit, other = W / length[..., None].clamp(min=tiny), reference / reference.norm(dim=-1, keepdim=True).clamp(min=tiny)
    chord = torch.cdist(unit, other, compute_mode="donot_use_mm_for_euclid_dist").amin(-1)  # |u - u'|^2 = 2 (1 - cos)
    share = length.square() / length.square().sum(-1, keepdim=True).clamp(min=tiny)
    return (share * chord).sum(-1)
