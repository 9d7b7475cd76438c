"""The derivatives of a network with one hidden layer in closed form, with run axes."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from regimes.hessians import Hessian
from regimes.jacobians.base import Jacobian, Tensors
from regimes.losses import AnyLoss, match_loss
from regimes.network import trainable

if TYPE_CHECKING:
    from regimes.networks.two_layer import TwoLayer

__all__ = ["TwoLayerHessian", "TwoLayerJacobian"]


class TwoLayerJacobian(Jacobian):
    r"""Closed form for one hidden layer, from two ``n x m`` arrays.

    With features :math:`\Phi = \phi(X W^T)`, sensitivities :math:`D = \phi'(X W^T)\,\mathrm{diag}(v)` and output scale ``s``,

    .. math:: J J^T = s^2 [\Phi\Phi^T + (D D^T) \circ (X X^T)], \quad
              J^T u = s\,[D^T \mathrm{diag}(u) X,\ \Phi^T u], \quad
              J (V, u) = s\,[\mathrm{rowsum}((D V) \circ X) + \Phi u].

    ``X`` carries the bias column. Cost ``4 n^2 m`` flops for the Gram matrix, memory ``O(n m + n^2)``, whatever ``p`` is.
    """

    def __init__(self, net: "TwoLayer", x: Tensor):
        self.s, self.parameters, self.trained = net.scale, trainable(net), _trained(net)
        with torch.no_grad():
            self.X = net.augmented(x)
            self.Phi, slope = net.hidden(x)
            self.D = slope * net.v[..., None, :]
            self.outputs = self.s * (self.Phi @ net.v[..., None])[..., 0]
        self.shape, self.samples = self.outputs.shape, self.outputs.shape[-1]

    def gram(self) -> Tensor:
        """``s^2 [Phi Phi^T + (D D^T) * (X X^T)]``; a frozen layer leaves its term out."""
        Phi, D, X = self.Phi.double(), self.D.double(), self.X.double()
        if "v" not in self.trained:
            return self.s**2 * ((D @ D.mT) * (X @ X.mT))
        K = Phi @ Phi.mT
        return self.s**2 * (K.addcmul_(D @ D.mT, X @ X.mT) if "W" in self.trained else K)

    def rows(self) -> Iterator[Tensor]:
        """``s [D x X, Phi]``, the products of a sample's sensitivities and inputs beside its features."""
        for D, X, Phi in zip(*(t.double().split(self.tile, -2) for t in (self.D, self.X, self.Phi)), strict=True):
            hidden = [(D[..., None] * X[..., None, :]).flatten(-2)] if "W" in self.trained else []
            yield self.s * torch.cat([*hidden, *([Phi] if "v" in self.trained else [])], -1)

    def vjp(self, u: Tensor) -> tuple[Tensor, ...]:
        """``s [D^T diag(u) X, Phi^T u]``."""
        u = u[..., None]
        hidden = [self.s * (self.D.mT @ (u * self.X))] if "W" in self.trained else []
        output = [self.s * (self.Phi.mT @ u)[..., 0]] if "v" in self.trained else []
        return (*hidden, *output)

    def jvp(self, v: Tensors) -> Tensor:
        """``s [rowsum((D V) * X) + Phi u]``."""
        move = dict(zip(self.trained, v, strict=True))
        zero = self.Phi.new_zeros(())
        hidden = ((self.D @ move["W"]) * self.X).sum(-1) if "W" in move else zero
        output = (self.Phi @ move["v"][..., None])[..., 0] if "v" in move else zero
        return self.s * (hidden + output)


class TwoLayerHessian(Hessian):
    r"""Closed form for one hidden layer, from a few ``n x m`` arrays.

    With features :math:`\Phi = \phi(Z)`, :math:`Z = X W^T`, derivatives :math:`\phi'`, :math:`\phi''`, output scale ``s``, and
    for a direction ``(V, u)`` the changes :math:`P = X V^T` of the pre-activations and
    :math:`q_i = \ell''_i\,[J (V, u)]_i` of the derivative of the loss, row by row

    .. math:: H (V, u) = \tfrac sn \big[(q\, v\phi' + \ell'(v \phi'' P + u \phi'))^T X,\;
                                        \Phi^T q + (\phi' P)^T \ell' \big].

    A product costs about two gradients; the second derivative of the activation is taken by autograd.
    """

    def __init__(self, net: "TwoLayer", x: Tensor, y: Tensor, loss: AnyLoss):
        super().__init__(net)
        self.trained = _trained(net)
        with torch.no_grad():
            self.X, self.v = net.augmented(x), net.v.detach()[..., None, :]
            self.Phi, self.slope, self.bend = _three(net.activation, self.X @ net.W.mT)
            outputs = net.scale * (self.Phi @ self.v.mT)[..., 0]
            loss, y = match_loss(loss, y, outputs, outputs.shape)
            self.factor = net.scale / outputs.shape[-1]  # s / n
            self.s, self.l1, self.l2 = net.scale, loss.grad(outputs, y)[..., None], loss.hessian_diag(outputs, y)[..., None]

    def product(self, v: Tensors) -> tuple[Tensor, ...]:
        """Two matrix products, as large as those of a gradient."""
        move = dict(zip(self.trained, v, strict=True))
        P = self.X @ move["W"].mT if "W" in move else torch.zeros_like(self.slope)
        u = move["v"][..., None, :] if "v" in move else torch.zeros_like(self.v)
        q = self.s * self.l2 * (self.v * self.slope * P + u * self.Phi).sum(-1, keepdim=True)
        moved = q * self.v * self.slope + self.l1 * (self.v * self.bend * P + u * self.slope)
        hidden = [self.factor * (moved.mT @ self.X)] if "W" in move else []
        output = [self.factor * (q * self.Phi + self.l1 * self.slope * P).sum(-2)] if "v" in move else []
        return (*hidden, *output)

    def dense(self) -> Tensor:
        """``J^T diag(l'') J / n``, plus a block for the weights of each unit, plus what couples them to its output weight."""
        m, d = self.slope.shape[-1], self.X.shape[-1]
        hidden = [((self.v * self.slope)[..., None] * self.X[..., None, :]).flatten(-2)] if "W" in self.trained else []
        J = torch.cat([*hidden, *([self.Phi] if "v" in self.trained else [])], -1)
        H = self.factor * self.s * (J.mT @ (self.l2 * J))
        if "W" in self.trained:  # the diagonal is a view, (..., d, d, m): what is added to it is added to H
            blocks = H[..., : m * d, : m * d].unflatten(-1, (m, d)).unflatten(-3, (m, d)).diagonal(dim1=-4, dim2=-2)
            blocks += self.factor * torch.einsum("...ij,...ia,...ib->...abj", self.l1 * self.v * self.bend, self.X, self.X)
        if len(self.trained) == 2:
            mixed = self.factor * ((self.l1 * self.slope).mT @ self.X)  # (..., m, d)
            mixed = (
                torch.diag_embed(mixed.mT).movedim(-3, -2).flatten(-3, -2)
            )  # a unit's weights couple to its own output weight only
            H[..., : m * d, m * d :] += mixed
            H[..., m * d :, : m * d] += mixed.mT
        return H


def _trained(net: "TwoLayer") -> list[str]:
    return [name for name, p in net.named_parameters() if p.requires_grad]


def _three(activation, z: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """``phi``, ``phi'`` and ``phi''``; the last is zero for a piecewise linear activation."""
    with torch.enable_grad():
        z = z.detach().requires_grad_()
        phi, slope = activation(z)
        bend = torch.autograd.grad(slope.sum(), z)[0] if slope.requires_grad else torch.zeros_like(z)
    return phi.detach(), slope.detach(), bend
