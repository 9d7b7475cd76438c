r"""The Hessian of the mean loss by the parameters of a network, as a linear operator.

With the Jacobian ``J`` of the outputs, and the slope :math:`\ell'_i` and curvature :math:`\ell''_i` of the loss in the outputs,

.. math:: H = \frac1n \Big[ J^T \mathrm{diag}(\ell'')\, J + \sum_i \ell'_i\, \nabla^2 f_i \Big].

The first part is the Gauss-Newton matrix; its positive eigenvalues are those of the kernel, ``lambda / n`` for the squared
loss. The second part vanishes where the fit is perfect. For the squared loss, half and mean are in it: ``L = |r|^2 / 2n``.

Two backends give one interface; `hessian` chooses: a *closed form* for `regimes.networks.TwoLayer`, and *autograd* (double
backward) for everything else. Both take run axes: the loss of a run depends on no other run.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from regimes.losses import Loss, match_targets, squared
from regimes.networks import TwoLayer

__all__ = ["AutogradHessian", "Hessian", "TwoLayerHessian", "hessian"]

Tensors = Sequence[Tensor]


class Hessian(ABC):
    """The Hessian of the mean loss by the trainable parameters of ``net``, at their present values.

    Attributes:
        parameters: the trainable parameters, in the order of ``net.parameters()``.
        runs: the shape of the run axes.
        size: ``p``, the number of parameters of a run.
    """

    def __init__(self, net: nn.Module):
        self.parameters = [p for p in net.parameters() if p.requires_grad]
        self.runs = tuple(getattr(net, "runs", ()))
        self.shapes = [p.shape[len(self.runs) :] for p in self.parameters]
        self.size = sum(shape.numel() for shape in self.shapes)
        if not self.size:
            raise ValueError("this network has no trainable parameter, so its loss has no Hessian")
        if not all(torch.isfinite(p).all() for p in self.parameters):
            raise ValueError("parameters are not finite: the run has diverged, and its loss has no curvature any more")

    @abstractmethod
    def product(self, v: Tensors) -> tuple[Tensor, ...]:
        """``H v`` for ``v`` with one tensor a parameter, run axes first: one tensor a parameter."""

    def matvec(self, v: Tensor) -> Tensor:
        """The same for vectors: ``(..., p)`` to ``(..., p)``."""
        parts = v.split([shape.numel() for shape in self.shapes], -1)
        parts = [part.reshape(*part.shape[:-1], *shape) for part, shape in zip(parts, self.shapes, strict=True)]
        return self.flatten(self.product(parts))

    def dense(self) -> Tensor:
        """``H`` as a matrix ``(..., p, p)``, column by column: for few parameters and for tests."""
        one = self.parameters[0]
        units = torch.eye(self.size, dtype=one.dtype, device=one.device)
        return torch.stack([self.matvec(e.expand(*self.runs, -1)) for e in units], -1)

    def flatten(self, tensors: Tensors) -> Tensor:
        """One tensor a parameter, joined to one vector a run: ``(..., p)``."""
        flat = (t.reshape(*t.shape[: t.ndim - len(shape)], -1) for t, shape in zip(tensors, self.shapes, strict=True))
        return torch.cat(list(flat), -1)


class TwoLayerHessian(Hessian):
    r"""Closed form for one hidden layer, from a few ``n x m`` arrays.

    With features :math:`\Phi = \phi(Z)`, :math:`Z = X W^T`, slopes :math:`\phi'`, :math:`\phi''`, output scale ``s``, and for a
    direction ``(V, u)`` the changes :math:`P = X V^T` of the pre-activations and
    :math:`q_i = \ell''_i\,[J (V, u)]_i` of the slope of the loss, row by row

    .. math:: H (V, u) = \tfrac sn \big[(q\, v\phi' + \ell'(v \phi'' P + u \phi'))^T X,\;
                                        \Phi^T q + (\phi' P)^T \ell' \big].

    A product costs about two gradients; the second derivative of the activation is taken by autograd.
    """

    def __init__(self, net: TwoLayer, x: Tensor, y: Tensor, loss: Loss):
        super().__init__(net)
        self.trains_W, self.trains_v = net.W.requires_grad, net.v.requires_grad
        with torch.no_grad():
            self.X, self.v = net.augmented(x), net.v.detach()[..., None, :]
            self.Phi, self.slope, self.bend = _three(net.activation, self.X @ net.W.mT)
            outputs = net.scale * (self.Phi @ self.v.mT)[..., 0]
            y = match_targets(y, outputs, outputs.shape)
            self.factor = net.scale / outputs.shape[-1]  # s / n
            self.s, self.l1, self.l2 = net.scale, loss.slope(outputs, y)[..., None], loss.curvature(outputs, y)[..., None]

    def product(self, v: Tensors) -> tuple[Tensor, ...]:
        """Two matrix products of the size of a gradient's."""
        parts = iter(v)
        P = self.X @ next(parts).mT if self.trains_W else torch.zeros_like(self.slope)
        u = next(parts)[..., None, :] if self.trains_v else torch.zeros_like(self.v)
        q = self.s * self.l2 * (self.v * self.slope * P + u * self.Phi).sum(-1, keepdim=True)
        moved = q * self.v * self.slope + self.l1 * (self.v * self.bend * P + u * self.slope)
        hidden = [self.factor * (moved.mT @ self.X)] if self.trains_W else []
        output = [self.factor * (q * self.Phi + self.l1 * self.slope * P).sum(-2)] if self.trains_v else []
        return (*hidden, *output)

    def dense(self) -> Tensor:
        """``J^T diag(l'') J / n`` and what is left: a block for the weights of each unit, a number a weight and output."""
        m, d = self.slope.shape[-1], self.X.shape[-1]
        J = [(self.v * self.slope)[..., None] * self.X[..., None, :]] * self.trains_W
        J = torch.cat([j.flatten(-2) for j in J] + [self.Phi] * self.trains_v, -1)
        H = self.factor * self.s * (J.mT @ (self.l2 * J))
        if self.trains_W:
            blocks = H[..., : m * d, : m * d].unflatten(-1, (m, d)).unflatten(-3, (m, d)).diagonal(dim1=-4, dim2=-2)
            blocks += self.factor * torch.einsum("...ij,...ia,...ib->...abj", self.l1 * self.v * self.bend, self.X, self.X)
        if self.trains_W and self.trains_v:
            mixed = self.factor * ((self.l1 * self.slope).mT @ self.X)  # (..., m, d)
            mixed = torch.diag_embed(mixed.mT).movedim(-3, -2).flatten(-3, -2)  # the weights of a unit meet its output alone
            H[..., : m * d, m * d :] += mixed
            H[..., m * d :, : m * d] += mixed.mT
        return H


class AutogradHessian(Hessian):
    """Any ``nn.Module``, by differentiating the gradient: about three times the cost of a gradient a product.

    Where the network is piecewise linear (ReLU) this is the Hessian almost everywhere, without what happens at the kinks.
    """

    def __init__(self, net: nn.Module, x: Tensor, y: Tensor, loss: Loss):
        super().__init__(net)
        with torch.enable_grad():
            f = net(x)
            outputs = f.flatten(len(self.runs))
            value = loss.value(outputs, match_targets(y, outputs.detach(), f.shape), f.shape[len(self.runs)])
            options = {"create_graph": True, "materialize_grads": True}
            self.gradient = torch.autograd.grad(value.sum(), self.parameters, **options)

    def product(self, v: Tensors) -> tuple[Tensor, ...]:
        """One backward pass through the gradient."""
        curved = [(g, t) for g, t in zip(self.gradient, v, strict=True) if g.requires_grad]
        if not curved:
            return tuple(torch.zeros_like(p) for p in self.parameters)
        gradient, direction = zip(*curved, strict=True)
        return torch.autograd.grad(gradient, self.parameters, direction, retain_graph=True, materialize_grads=True)


BACKENDS = {"closed form": TwoLayerHessian, "autograd": AutogradHessian}


def hessian(net: nn.Module, x: Tensor, y: Tensor, *, loss: Loss = squared, backend: str = "auto") -> Hessian:
    """The Hessian of the mean loss of ``net``, in the units of the loss: the time scale of the network is not in it.

    Args:
        net: a `TwoLayer`, or any module.
        x, y: inputs ``(..., n, d)`` and targets ``(..., n)``.
        loss: see `regimes.losses`.
        backend: ``"auto"``, ``"closed form"`` or ``"autograd"``.

    Raises:
        ValueError: for parameters that are not finite, for targets that do not fit the outputs, or an unknown backend.
    """
    closed = isinstance(net, TwoLayer)
    if backend not in ("auto", *BACKENDS) or (backend == "closed form" and not closed):
        raise ValueError(
            f"the backend is auto, autograd, or for a TwoLayer closed form; got {backend!r} for {type(net).__name__}"
        )
    if backend == "auto":
        backend = "closed form" if closed else "autograd"
    return BACKENDS[backend](net, x, y, loss)


def _three(activation, z: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """``phi``, ``phi'`` and ``phi''``; the last is zero for an activation that is piecewise linear."""
    with torch.enable_grad():
        z = z.detach().requires_grad_()
        phi, slope = activation(z)
        bend = torch.autograd.grad(slope.sum(), z)[0] if slope.requires_grad else torch.zeros_like(z)
    return phi.detach(), slope.detach(), bend
