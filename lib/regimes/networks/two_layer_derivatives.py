"""The derivatives of a network with one hidden layer in closed form, with run axes."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from regimes.data import made_once
from regimes.hessians import Hessian
from regimes.jacobians.base import Jacobian, Tensors
from regimes.losses import AnyLoss, match_loss

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
        W, v = net.W, net.v
        self.s, self.trained = net.scale, _trained(W, v)
        self.parameters = list(self.trained.values())
        with torch.no_grad():
            self.X = made_once(net.augmented, x)
            self.Phi, slope = net.activation(self.X @ W.mT)
            self.D = slope * v.unsqueeze(-2)
            self.outputs = self.s * (self.Phi @ v.unsqueeze(-1)).squeeze(-1)
        self.shape, self.samples = self.outputs.shape, self.outputs.shape[-1]

    def gram(self) -> Tensor:
        """``s^2 [Phi Phi^T + (D D^T) * (X X^T)]``; a frozen layer leaves its term out."""
        if "W" not in self.trained:
            return _gram(self.Phi).mul_(self.s**2)
        K = _gram(self.D).mul_(made_once(_gram, self.X))
        return _add_gram(K, self.Phi, self.s**2) if "v" in self.trained else K.mul_(self.s**2)

    def rows(self) -> Iterator[Tensor]:
        """``s [D x X, Phi]``, the products of a sample's sensitivities and inputs beside its features."""
        for D, X, Phi in zip(*(t.double().split(self.tile, -2) for t in (self.D, self.X, self.Phi)), strict=True):
            hidden = [(D[..., None] * X[..., None, :]).flatten(-2)] if "W" in self.trained else []
            yield self.s * torch.cat([*hidden, *([Phi] if "v" in self.trained else [])], -1)

    def vjp(self, u: Tensor) -> tuple[Tensor, ...]:
        """``s [D^T diag(u) X, Phi^T u]``."""
        u = (self.s * u).unsqueeze(-1)
        hidden = [self.D.mT @ (u * self.X)] if "W" in self.trained else []
        output = [(self.Phi.mT @ u).squeeze(-1)] if "v" in self.trained else []
        return (*hidden, *output)

    def jvp(self, v: Tensors) -> Tensor:
        """``s [rowsum((D V) * X) + Phi u]``."""
        move = dict(zip(self.trained, v, strict=True))
        zero = self.Phi.new_zeros(())
        hidden = ((self.D @ move["W"]) * self.X).sum(-1) if "W" in move else zero
        output = (self.Phi @ move["v"][..., None])[..., 0] if "v" in move else zero
        return self.s * (hidden + output)


class TwoLayerHessian(Hessian):
    r"""Closed form for one hidden layer, from three ``n x m`` arrays.

    With features :math:`\Phi = \phi(Z)`, :math:`Z = X W^T`, sensitivities :math:`D = \phi'(Z)\,\mathrm{diag}(v)` and output
    scale ``s``, as in `TwoLayerJacobian`; with :math:`B = \mathrm{diag}(\ell')\,\phi''(Z)\,\mathrm{diag}(v)` and
    :math:`M = \phi'(Z)^T \mathrm{diag}(\ell')\,X`; and for a direction ``(V, u)`` with the changes :math:`P = X V^T` of the
    pre-activations and :math:`q = s\,\ell'' \circ (\mathrm{rowsum}(D \circ P) + \Phi u)` of the derivatives of the loss,

    .. math:: H (V, u) = \tfrac sn \big[(B \circ P + \mathrm{diag}(q)\, D)^T X + \mathrm{diag}(u)\, M,\;
                                        \Phi^T q + \mathrm{rowsum}(M \circ V) \big].

    Only ``P`` and ``q`` depend on the direction. The second derivative of the activation is taken by autograd.
    """

    def __init__(self, net: "TwoLayer", x: Tensor, y: Tensor, loss: AnyLoss):
        super().__init__(net)
        self.trained = _trained(net.W, net.v)
        with torch.no_grad():
            self.X, v = net.augmented(x), net.v[..., None, :]
            self.Phi, slope, bend = _three(net.activation, self.X @ net.W.mT)
            outputs = net.scale * (self.Phi @ v.mT)[..., 0]
            loss, y = match_loss(loss, y, outputs, outputs.shape)
            l1, l2 = loss.grad(outputs, y)[..., None], loss.hessian_diag(outputs, y)[..., None]
            self.D, self.B, self.M = slope * v, bend * (l1 * v), (self.X.mT @ (l1 * slope)).mT
            self.curvature, self.factor = net.scale * l2, net.scale / outputs.shape[-1]  # s l'' and s / n

    def product(self, v: Tensors) -> tuple[Tensor, ...]:
        """Two matrix products, as large as those of a gradient, and a few passes over one new array ``P``."""
        move = dict(zip(self.trained, v, strict=True))
        V, u = move.get("W", torch.zeros_like(self.M)), move.get("v", torch.zeros_like(self.M[..., 0]))[..., None]
        P = self.X @ V.mT if "W" in move else torch.zeros_like(self.D)
        q = self.curvature * ((self.D * P).sum(-1, keepdim=True) + self.Phi @ u)
        moved = P.mul_(self.B).addcmul_(q, self.D)
        hidden = [self.factor * ((self.X.mT @ moved).mT + u * self.M)] if "W" in move else []
        output = [self.factor * ((self.Phi.mT @ q)[..., 0] + (self.M * V).sum(-1))] if "v" in move else []
        return (*hidden, *output)

    def dense(self) -> Tensor:
        """``J^T diag(l'') J / n``, plus a block for the weights of each unit, plus what couples them to its output weight."""
        m, d = self.M.shape[-2:]
        hidden = [(self.D[..., None] * self.X[..., None, :]).flatten(-2)] if "W" in self.trained else []
        J = torch.cat([*hidden, *([self.Phi] if "v" in self.trained else [])], -1)
        H = self.factor * (J.mT @ (self.curvature * J))
        if "W" in self.trained:  # the diagonal is a view, (..., d, d, m): what is added to it is added to H
            blocks = H[..., : m * d, : m * d].unflatten(-1, (m, d)).unflatten(-3, (m, d)).diagonal(dim1=-4, dim2=-2)
            blocks += self.factor * torch.einsum("...ij,...ia,...ib->...abj", self.B, self.X, self.X)
        if len(self.trained) == 2:  # a unit's weights couple to its own output weight only
            mixed = self.factor * torch.diag_embed(self.M.mT).movedim(-3, -2).flatten(-3, -2)
            H[..., : m * d, m * d :] += mixed
            H[..., m * d :, : m * d] += mixed.mT
        return H


def _trained(W: Tensor, v: Tensor) -> dict[str, Tensor]:
    return {name: p for name, p in (("W", W), ("v", v)) if p.requires_grad}


def _gram(A: Tensor) -> Tensor:
    """``A A^T`` in float64."""
    A = A.double()
    return A @ A.mT


def _add_gram(K: Tensor, A: Tensor, factor: float) -> Tensor:
    """``factor * (K + A A^T)`` in place of ``K``."""
    A = A.double().flatten(0, -3) if A.ndim > 2 else A.double()[None]
    K.view(len(A), *K.shape[-2:]).baddbmm_(A, A.mT, beta=factor, alpha=factor)
    return K


def _three(activation, z: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """``phi``, ``phi'`` and ``phi''``; the last is zero for a piecewise linear activation."""
    with torch.enable_grad():
        z = z.detach().requires_grad_()
        phi, slope = activation(z)
        bend = torch.autograd.grad(slope.sum(), z)[0] if slope.requires_grad else torch.zeros_like(z)
    return phi.detach(), slope.detach(), bend
