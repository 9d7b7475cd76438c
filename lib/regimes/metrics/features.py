"""The hidden layer: how far it moved, and what its features are worth."""

import copy

import torch
from torch import Tensor

from regimes.losses import match_targets
from regimes.networks import TwoLayer

__all__ = ["feature_movement", "refit", "weighted_cosine_distance"]


def refit(net: TwoLayer, x: Tensor, y: Tensor, *, cutoff: float = 1e-6) -> TwoLayer:
    r"""A copy of the network whose output weights are fitted again, the hidden ones left as they are.

    The new ``v`` is the shortest that solves :math:`s\Phi v = y` in the least-squares sense, with the features
    :math:`\Phi` (n, m) and the output scale ``s``; eigenvalues of :math:`\Phi\Phi^T` below ``cutoff`` times the largest are
    dropped. At initialisation this is the random-feature fit; during training it says what the features are worth.

    Args:
        net: a `TwoLayer`, or a stack of them.
        x, y: the training data, ``(..., n, d)`` and ``(..., n)``.
        cutoff: ``1e-6`` by default. The result depends on it where features are nearly linearly dependent: with ``1e-10`` the
            random features of an initialisation with small weights predict several times worse.

    Raises:
        ValueError: for targets of a different shape or dtype from the outputs, or a cut-off outside ``[0, 1)``.

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
    """How far hidden weights moved, ``|W - W_0| / |W_0|`` (Frobenius): two tensors ``(..., m, k)`` to ``(...)``."""
    return torch.linalg.matrix_norm((W - start).detach()) / torch.linalg.matrix_norm(start.detach())


def weighted_cosine_distance(W: Tensor, reference: Tensor) -> Tensor:
    r"""How far the directions of hidden units are from the nearest of some reference units; longer units count more.

    .. math:: D = \sum_j p_j \min_i \sqrt{2 (1 - \cos(w_j, w'_i))}, \qquad p_j = |w_j|^2 / \textstyle\sum_l |w_l|^2

    Zero if every unit points along a reference unit; at most 2. Pass weights without their biases, ``net.W[..., :-1]``.

    Args:
        W: ``(..., m, d)``.
        reference: ``(..., m', d)``: the units of the teacher, or the units at initialisation.

    Source: Arbel et al. 2023 (published code).
    """
    W, reference = W.detach(), reference.detach()
    length = W.norm(dim=-1)
    tiny = torch.finfo(W.dtype).tiny  # a unit of length zero has no direction: its share is zero, and 0 / tiny is 0, not NaN
    unit, other = W / length[..., None].clamp(min=tiny), reference / reference.norm(dim=-1, keepdim=True).clamp(min=tiny)
    chord = torch.cdist(unit, other, compute_mode="donot_use_mm_for_euclid_dist").amin(-1)  # |u - u'|^2 = 2 (1 - cos)
    share = length.square() / length.square().sum(-1, keepdim=True).clamp(min=tiny)
    return (share * chord).sum(-1)
