"""Slow, literal, obviously correct versions: the oracle of the tests and of the benchmarks, for one run at a time."""

import torch
from torch import Tensor, nn
from torch.func import functional_call, jacrev

__all__ = ["augmented_step", "dense_jacobian", "minimum_norm_step", "parameter_space_step"]


def dense_jacobian(net: nn.Module, x: Tensor) -> Tensor:
    """``J`` as an ``(N, p)`` matrix, by reverse-mode differentiation of the whole batch."""
    parameters = {k: p.detach() for k, p in net.named_parameters() if p.requires_grad}
    blocks = jacrev(lambda p: functional_call(net, p, (x,)).reshape(-1))(parameters)
    return torch.cat([b.flatten(1) for b in blocks.values()], 1)


def minimum_norm_step(J: Tensor, r: Tensor) -> Tensor:
    """The shortest ``delta`` among those with the smallest ``|J delta - r|``, by LAPACK's SVD-based least squares."""
    return torch.linalg.lstsq(J, r[:, None], driver="gelsd").solution[:, 0]


def augmented_step(J: Tensor, r: Tensor, damping: float) -> Tensor:
    """The damped step as plain least squares: the ``delta`` that minimises ``|J delta - r|^2 + damping |delta|^2``.

    Written as one tall system with the rows of ``sqrt(damping) I`` under ``J``; nothing is squared.
    """
    p = J.shape[1]
    tall = torch.cat([J, damping**0.5 * torch.eye(p, dtype=J.dtype)])
    return torch.linalg.lstsq(tall, torch.cat([r, r.new_zeros(p)])[:, None], driver="gelsd").solution[:, 0]


def parameter_space_step(J: Tensor, r: Tensor, damping: float) -> Tensor:
    """The damped step in parameter space, ``(J^T J + damping I)^-1 J^T r``: the textbook form, with a ``p x p`` matrix."""
    p = J.shape[1]
    return torch.linalg.solve(J.mT @ J + damping * torch.eye(p, dtype=J.dtype), J.mT @ r)
