"""The Jacobian of a reversible network in closed form, with run axes and without keeping any activation."""

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from regimes.jacobians.base import Jacobian, Tensors
from regimes.network import trainable

if TYPE_CHECKING:
    from regimes.networks.reversible import Reversible

__all__ = ["ReversibleJacobian"]


class ReversibleJacobian(Jacobian):
    r"""The Jacobian of a `Reversible` network's outputs with respect to ``W``, flattened sample by sample: ``N = n q``.

    With features ``A`` and the sensitivities ``S`` of the outputs to what a half layer adds, ``(n, q, h)``,

    .. math:: J J^T = \sum_{\text{half layers}} (A A^T \otimes 1_q) \circ (S S^T), \quad
              J^T r = A^T \textstyle\sum_c r_c S_c, \quad
              J \dot W = \sum_{\text{half layers}} \langle A \dot W, S_c \rangle .

    ``J^T r`` walks backwards and ``J v`` forwards; both hold one block at a time.
    """

    def __init__(self, net: "Reversible", x: Tensor):
        self.net, self.parameters = net, trainable(net)
        with torch.no_grad():
            self.x, self.z = x, net.encode(x)
            f = net.read(self.z, x)
        self.shape, self.samples, self.outputs = f.shape, f.shape[-2], f.flatten(-2)

    @torch.no_grad()
    def gram(self) -> Tensor:
        """A Hadamard product per half layer."""
        n, q = self.shape[-2:]
        c1, c2 = self.net.u.mT[..., None, :, :].expand(*self.z.shape[:-1], q, -1).chunk(2, -1)  # (..., n, q, h)
        K = self.z.new_zeros(*self.z.shape[:-2], n * q, n * q, dtype=torch.float64)
        for _, F, G in self.net.backwards(self.z):
            K += _hadamard(G.A, c2)
            c1 = c1 + _vjp_each(G, c2)
            K += _hadamard(F.A, c1)
            c2 = c2 + _vjp_each(F, c1)
        return K

    @torch.no_grad()
    def vjp(self, u: Tensor) -> tuple[Tensor, ...]:
        """``A^T`` times the cotangent of the half layer's output, on the way back."""
        c1, c2 = (u.reshape(self.shape) @ self.net.u.mT).chunk(2, -1)
        dW = torch.empty_like(self.net.W)
        for block, F, G in self.net.backwards(self.z):
            dW[..., block, 1, :, :] = G.A.mT @ c2
            c1 = c1 + G.vjp(c2)
            dW[..., block, 0, :, :] = F.A.mT @ c1
            c2 = c2 + F.vjp(c1)
        return (dW,)

    @torch.no_grad()
    def jvp(self, v: Tensors) -> Tensor:
        """How the outputs change."""
        return (self.state_jvp(v) @ self.net.u).flatten(-2)

    @torch.no_grad()
    def state_jvp(self, v: Tensors) -> Tensor:
        """How the state after the last block changes, ``(..., n, d)``."""
        (dW,), net = v, self.net
        x1, x2 = self.x.chunk(2, -1)
        t1 = t2 = torch.zeros_like(self.z).chunk(2, -1)[0]
        for block in range(net.blocks):
            F = net.half_layer(block, 0, x2)
            x1, t1 = x1 + F.output, t1 + F.jvp(t2) + F.A @ dW[..., block, 0, :, :]
            G = net.half_layer(block, 1, x1)
            x2, t2 = x2 + G.output, t2 + G.jvp(t1) + G.A @ dW[..., block, 1, :, :]
        return torch.cat([t1, t2], -1)


def _hadamard(A: Tensor, S: Tensor) -> Tensor:
    """``(A A^T x 1_q) * (S S^T)`` in float64, ``(..., n q, n q)``."""
    A, S, q = A.double(), S.double().flatten(-3, -2), S.shape[-2]
    K = (S @ S.mT).unflatten(-1, (-1, q)).unflatten(-3, (-1, q))  # (..., n, q, n, q)
    return K.mul_((A @ A.mT)[..., :, None, :, None]).flatten(-4, -3).flatten(-2)


def _vjp_each(layer, c: Tensor) -> Tensor:
    """``layer.vjp`` for each of the ``q`` outputs: ``(..., n, q, h)`` to the same."""
    W, V = layer.W[..., None, :-1, :], layer.V[..., None, :, :]
    return ((c @ W.mT) * layer.slope[..., None, :]) @ V.mT
