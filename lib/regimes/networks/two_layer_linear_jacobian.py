"""The Jacobian of a linear function of two layers in closed form, with run axes."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from regimes.jacobians.base import Jacobian, Tensors
from regimes.network import trainable

if TYPE_CHECKING:
    from regimes.networks.two_layer_linear import TwoLayerLinear

__all__ = ["TwoLayerLinearJacobian"]


class TwoLayerLinearJacobian(Jacobian):
    r"""Closed form for :math:`f(X) = X U V^T`, outputs flattened sample by sample: ``N = n q``.

    .. math:: J J^T = (X U)(X U)^T \otimes I_q + X X^T \otimes V V^T, \quad
              J^T R = [X^T R V,\; R^T X U], \quad
              J (\dot U, \dot V) = X \dot U V^T + X U \dot V^T .
    """

    def __init__(self, net: "TwoLayerLinear", x: Tensor):
        self.trained = [name for name, p in net.named_parameters() if p.requires_grad]
        self.parameters = trainable(net)
        with torch.no_grad():
            f = net(x)
            self.X, self.V, self.XU = x, net.V.detach(), x @ net.U
        self.shape, self.samples, self.q = f.shape, f.shape[-2], f.shape[-1]
        self.outputs = f.flatten(-2)

    def gram(self) -> Tensor:
        """A sum of two Kronecker products; a frozen layer leaves its term out."""
        X, V, XU = self.X.double(), self.V.double(), self.XU.double()
        eye = torch.eye(self.q, dtype=X.dtype, device=X.device)
        factors = {"V": lambda: (XU @ XU.mT, eye), "U": lambda: (X @ X.mT, V @ V.mT)}
        parts = [pair() for name, pair in factors.items() if name in self.trained]
        each = (torch.einsum("...ik,...ab->...iakb", a, b).flatten(-4, -3).flatten(-2) for a, b in parts)
        return sum(each, X.new_zeros(()))

    def rows(self) -> Iterator[Tensor]:
        """``[X x V, 1_q x X U]``, sample by sample."""
        V, eye = self.V.double(), torch.eye(self.q, dtype=torch.float64, device=self.V.device)
        for X, XU in zip(*(t.double().split(self.tile, -2) for t in (self.X, self.XU)), strict=True):
            hidden = [torch.einsum("...ik,...al->...iakl", X, V)] if "U" in self.trained else []
            output = [torch.einsum("...il,ab->...iabl", XU, eye)] if "V" in self.trained else []
            yield torch.cat([part.flatten(-4, -3).flatten(-2) for part in (*hidden, *output)], -1)

    def vjp(self, u: Tensor) -> tuple[Tensor, ...]:
        """``[X^T R V, R^T X U]`` for ``u`` the flattened ``R``."""
        R = u.unflatten(-1, (self.samples, self.q))
        hidden = [self.X.mT @ (R @ self.V)] if "U" in self.trained else []
        return (*hidden, *([R.mT @ self.XU] if "V" in self.trained else []))

    def jvp(self, v: Tensors) -> Tensor:
        """``X dU V^T + X U dV^T``, flattened."""
        move = dict(zip(self.trained, v, strict=True))
        zero = self.X.new_zeros(())
        hidden = self.X @ move["U"] @ self.V.mT if "U" in move else zero
        return (hidden + (self.XU @ move["V"].mT if "V" in move else zero)).flatten(-2)
