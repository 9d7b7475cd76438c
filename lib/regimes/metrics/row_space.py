"""The row space of data, and the shortest of all linear predictors that fit them."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from regimes.guard import evaluate
from regimes.network import output_axes

__all__ = ["RowSpace", "min_norm_distance", "row_space"]


@dataclass(frozen=True)
class RowSpace:
    r"""The row space of data: ``X = W diag(s) inside^T``.

    Attributes:
        W: ``(n, r)``, orthonormal columns.
        s: ``(r,)``, the singular values that are not zero, largest first.
        inside: ``(d, r)``, orthonormal columns that span the rows of ``X`` (:math:`\Phi_1`).
        outside: ``(d, d - r)``, those that span the rest (:math:`\Phi_2`).
    """

    W: Tensor
    s: Tensor
    inside: Tensor
    outside: Tensor

    @property
    def rank(self) -> int:
        """``r``."""
        return len(self.s)

    def split(self, U: Tensor) -> tuple[Tensor, Tensor]:
        """``U`` (..., d, m) as ``U_1`` (..., r, m) and ``U_2`` (..., d - r, m)."""
        return self.inside.mT @ U, self.outside.mT @ U

    def target(self, Y: Tensor) -> Tensor:
        r"""The whitened target :math:`\tilde Y = W^T Y`, ``(r, q)``."""
        return self.W.mT @ Y

    def min_norm(self, Y: Tensor) -> Tensor:
        r"""The shortest least-squares predictor :math:`\hat\Theta = X^+ Y`, ``(d, q)``."""
        return self.inside @ (self.target(Y) / self.s[:, None])


def row_space(x: Tensor, cutoff: float = 1e-10) -> RowSpace:
    """Split the inputs along the rows of ``x`` (n, d); singular values below ``cutoff`` of the largest count as zero.

    So do those below ``max(n, d)`` machine precisions of the largest, which are rounding (in float32 more than the default).

    Raises:
        ValueError: unless ``x`` is a matrix that is not zero.
    """
    if x.ndim != 2 or not x.any():
        raise ValueError(f"the row space is that of one matrix (n, d) that is not zero; got shape {tuple(x.shape)}")
    W, s, Vh = torch.linalg.svd(x, full_matrices=True)
    r = int((s > max(cutoff, max(x.shape) * torch.finfo(x.dtype).eps) * s[0]).sum())
    return RowSpace(W[:, :r], s[:r], Vh[:r].mT, Vh[r:].mT)


def min_norm_distance(predictor: Tensor | nn.Module, x: Tensor, y: Tensor, cutoff: float = 1e-10) -> Tensor:
    r"""How far a linear predictor is from the shortest one that fits, :math:`|\Theta - X^+ Y|` (Frobenius), one number per run.

    >>> x, y = torch.tensor([[3.0, 4.0]]), torch.tensor([5.0])  # the shortest is (0.6, 0.8)
    >>> round(min_norm_distance(torch.tensor([0.6 + 4.0, 0.8 - 3.0]), x, y).item(), 3)
    5.0

    Args:
        predictor: ``Theta``, ``(..., d)`` for targets ``(n,)`` or ``(..., d, q)`` for ``(n, q)``; or a module that is linear in
            its inputs, however deep, a `regimes.networks.TwoLayerLinear` for example: its predictor is ``net(I)``.
        x, y: one data set, inputs ``(n, d)`` and targets.
        cutoff: see `row_space`.

    Raises:
        ValueError: for shapes that do not fit, or a module that is not linear.
    """
    Theta = predictor.detach() if isinstance(predictor, Tensor) else _predictor(predictor, x)
    if y.ndim not in (1, 2) or len(y) != len(x) or Theta.shape[-y.ndim :] != (x[0].numel(), *y.shape[1:]):
        raise ValueError(
            "for targets (n,) the predictor is (..., d), for (n, q) it is (..., d, q); got targets "
            f"{tuple(y.shape)} and a predictor {tuple(Theta.shape)}, for inputs {tuple(x.shape)}"
        )
    shortest = row_space(x.flatten(1), cutoff).min_norm(y.reshape(len(y), -1))
    return torch.linalg.matrix_norm((Theta if y.ndim == 2 else Theta[..., None]) - shortest)


def _predictor(net: nn.Module, x: Tensor) -> Tensor:
    """``net(I)``, if ``net`` is zero at zero, and does to random inputs of the size of ``x`` what ``net(I)`` says."""
    like, d = next(net.parameters(), x), x[0].numel()
    units = torch.eye(d, dtype=like.dtype, device=like.device)
    probe = x.abs().max().item() * torch.randn(8, d, generator=torch.Generator().manual_seed(0)).to(units)
    f = evaluate(net, torch.cat([0 * units[:1], units, probe]).reshape(-1, *x.shape[1:]))
    axes = output_axes(net, f)
    zero, Theta, there = (f if axes == 2 else f[..., None]).split([1, d, 8], -2)
    close = torch.finfo(like.dtype).eps ** 0.5
    if (zero.abs() > close * Theta.abs().max()).any():
        raise ValueError(
            "this module is affine, net(0) is not zero: take its biases away; a column of ones in x can stand for one"
        )
    if ((there - probe @ Theta).abs() > close * (probe.abs() @ Theta.abs())).any():
        raise ValueError("this module is not linear: its outputs are not its inputs times net(I), I the unit matrix")
    return Theta if axes == 2 else Theta[..., 0]
