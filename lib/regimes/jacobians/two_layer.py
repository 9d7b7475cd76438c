"""Closed forms for one hidden layer, with run axes."""

import torch
from torch import Tensor

from regimes.jacobians.base import Jacobian, Tensors, trainable
from regimes.networks import TwoLayer, TwoLayerLinear

__all__ = ["TwoLayerJacobian", "TwoLayerLinearJacobian"]


class TwoLayerJacobian(Jacobian):
    r"""Closed form for one hidden layer, from two ``n x m`` arrays.

    With features :math:`\Phi = \phi(X W^T)`, sensitivities :math:`D = \phi'(X W^T)\,\mathrm{diag}(v)` and output scale ``s``,

    .. math:: J J^T = s^2 [\Phi\Phi^T + (D D^T) \circ (X X^T)], \quad
              J^T u = s\,[D^T \mathrm{diag}(u) X,\ \Phi^T u], \quad
              J (V, u) = s\,[\mathrm{rowsum}((D V) \circ X) + \Phi u].

    ``X`` carries the bias column. Cost ``4 n^2 m`` flops for the Gram matrix, memory ``O(n m + n^2)``, whatever ``p`` is.
    """

    def __init__(self, net: TwoLayer, x: Tensor):
        self.s, self.trains_W, self.trains_v = net.scale, net.W.requires_grad, net.v.requires_grad
        self.parameters = trainable(net)
        with torch.no_grad():
            self.X = net.augmented(x)
            self.Phi, slope = net.hidden(x)
            self.D = slope * net.v[..., None, :]
            self.outputs = self.s * (self.Phi @ net.v[..., None])[..., 0]
        self.shape, self.samples = self.outputs.shape, self.outputs.shape[-1]

    def gram(self) -> Tensor:
        """``s^2 [Phi Phi^T + (D D^T) * (X X^T)]``; a frozen layer leaves its term out."""
        Phi, D, X = self.Phi.double(), self.D.double(), self.X.double()
        K = self.trains_v * (Phi @ Phi.mT)
        return self.s**2 * (K.addcmul_(D @ D.mT, X @ X.mT) if self.trains_W else K)

    def vjp(self, u: Tensor) -> tuple[Tensor, ...]:
        """``s [D^T diag(u) X, Phi^T u]``."""
        u = u[..., None]
        hidden = [self.s * (self.D.mT @ (u * self.X))] if self.trains_W else []
        output = [self.s * (self.Phi.mT @ u)[..., 0]] if self.trains_v else []
        return (*hidden, *output)

    def jvp(self, v: Tensors) -> Tensor:
        """``s [rowsum((D V) * X) + Phi u]``."""
        parts = iter(v)
        hidden = ((self.D @ next(parts)) * self.X).sum(-1) if self.trains_W else 0.0
        output = (self.Phi @ next(parts)[..., None])[..., 0] if self.trains_v else 0.0
        return self.s * (hidden + output)


class TwoLayerLinearJacobian(Jacobian):
    r"""Closed form for :math:`f(X) = X U V^T`, outputs flattened sample by sample: ``N = n q``.

    .. math:: J J^T = (X U)(X U)^T \otimes I_q + X X^T \otimes V V^T, \quad
              J^T R = [X^T R V,\; R^T X U], \quad
              J (\dot U, \dot V) = X \dot U V^T + X U \dot V^T .
    """

    def __init__(self, net: TwoLayerLinear, x: Tensor):
        self.trains_U, self.trains_V = net.U.requires_grad, net.V.requires_grad
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
        parts = [(XU @ XU.mT, eye)] * self.trains_V + [(X @ X.mT, V @ V.mT)] * self.trains_U
        return sum(torch.einsum("...ik,...ab->...iakb", a, b).flatten(-4, -3).flatten(-2) for a, b in parts)

    def vjp(self, u: Tensor) -> tuple[Tensor, ...]:
        """``[X^T R V, R^T X U]`` for ``u`` the flattened ``R``."""
        R = u.unflatten(-1, (self.samples, self.q))
        hidden = [self.X.mT @ (R @ self.V)] if self.trains_U else []
        return (*hidden, *([R.mT @ self.XU] if self.trains_V else []))

    def jvp(self, v: Tensors) -> Tensor:
        """``X dU V^T + X U dV^T``, flattened."""
        parts = iter(v)
        hidden = self.X @ next(parts) @ self.V.mT if self.trains_U else 0.0
        return (hidden + (self.XU @ next(parts).mT if self.trains_V else 0.0)).flatten(-2)
