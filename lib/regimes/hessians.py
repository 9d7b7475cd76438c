r"""The Hessian of the mean loss with respect to the parameters of a network, as a linear operator.

With the Jacobian ``J`` of the outputs, and the derivatives :math:`\ell'_i`, :math:`\ell''_i` of the loss in each output,

.. math:: H = \frac1n \Big[ J^T \mathrm{diag}(\ell'')\, J + \sum_i \ell'_i\, \nabla^2 f_i \Big].

The first part is the Gauss-Newton matrix; its positive eigenvalues are those of the kernel, ``lambda / n`` for the squared
loss. The second part vanishes where the fit is perfect. The squared loss has the half and the mean: ``L = |r|^2 / 2n``.

Two backends give one interface; `hessian` chooses: a *closed form* where the network has one (`regimes.network.Network`), as
`regimes.networks.TwoLayer` does, and *autograd* (double backward) for everything else. Both take run axes: the loss of a run
depends on no other run.
"""

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

from regimes.guard import check_inputs, explained, graph
from regimes.jacobians.base import Tensors
from regimes.losses import AnyLoss, AutogradLoss, as_loss, match_loss, squared
from regimes.network import has_closed_form, run_axes, trainable

__all__ = ["AutogradHessian", "Hessian", "hessian"]


class Hessian(ABC):
    """The Hessian of the mean loss with respect to the trainable parameters of ``net``, at their current values.

    Attributes:
        parameters: the trainable parameters, in the order of ``net.parameters()``.
        runs: the shape of the run axes.
        size: ``p``, the number of parameters of a run.
    """

    def __init__(self, net: nn.Module):
        self.parameters, self.runs = trainable(net), run_axes(net)
        self.shapes = [p.shape[len(self.runs) :] for p in self.parameters]
        self.size = sum(shape.numel() for shape in self.shapes)
        if not all(torch.isfinite(p).all() for p in self.parameters):
            raise ValueError("parameters are not finite: the run has diverged, and its loss no longer has a curvature")

    @abstractmethod
    def product(self, v: Tensors) -> tuple[Tensor, ...]:
        """``H v`` for ``v`` with one tensor per parameter, run axes first; of the same form."""

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
        """One tensor per parameter, joined into one vector per run: ``(..., p)``."""
        flat = (t.reshape(*t.shape[: t.ndim - len(shape)], -1) for t, shape in zip(tensors, self.shapes, strict=True))
        return torch.cat(list(flat), -1)


class AutogradHessian(Hessian):
    """Any ``nn.Module``, by differentiating the gradient: a product costs about three gradients.

    Where the network is piecewise linear (ReLU) this is the Hessian almost everywhere; the kinks contribute nothing.
    """

    def __init__(self, net: nn.Module, x: Tensor, y: Tensor, loss: AnyLoss):
        super().__init__(net)
        f = graph(net, x)
        with torch.enable_grad():
            outputs = f.flatten(len(self.runs))
            loss, y = match_loss(loss, y, outputs.detach(), f.shape)
            value = loss.value(outputs, y, f.shape[len(self.runs)])
            gradient = torch.autograd.grad(value.sum(), self.parameters, create_graph=True, materialize_grads=True)
            self.gradient = [g.to_dense() for g in gradient]  # those of an embedding may be sparse
        try:
            self._refuse_asymmetry()
        except RuntimeError as error:
            raise ValueError(f"torch cannot differentiate this network twice: {error}") from error

    def _refuse_asymmetry(self) -> None:
        """A wrong second derivative shows in ``<a, H b> - <b, H a>``: some of torch's, and many a custom ``backward``, are."""
        generator = torch.Generator().manual_seed(0)
        v, w = ([torch.randn(p.shape, generator=generator, device="cpu").to(p) for p in self.parameters] for _ in "vw")
        (Ha, Hb), dot = (self.flatten(self.product(t)) for t in (v, w)), lambda s, t: (s * t).sum(-1)
        unit = torch.maximum(Ha.abs(), Hb.abs()).amax(-1, keepdim=True)  # else norms of a tiny H are zero
        a, b, Ha, Hb = self.flatten(v), self.flatten(w), *(t / torch.where(unit > 0, unit, 1.0) for t in (Ha, Hb))
        size = a.norm(dim=-1) * Hb.norm(dim=-1) + b.norm(dim=-1) * Ha.norm(dim=-1)
        if ((dot(a, Hb) - dot(b, Ha)).abs() > torch.finfo(a.dtype).eps ** 0.5 * size).any():
            raise ValueError(
                "torch's second derivatives of this network are not symmetric, so a layer's backward pass is differentiated "
                "wrongly (known of parametrizations.weight_norm): remove the parametrisation, or write the layer with "
                "plain operations"
            )

    def product(self, v: Tensors) -> tuple[Tensor, ...]:
        """One backward pass through the gradient."""
        curved = [(g, t) for g, t in zip(self.gradient, v, strict=True) if g.requires_grad]
        if not curved:
            return tuple(torch.zeros_like(p) for p in self.parameters)
        gradient, direction = zip(*curved, strict=True)
        return torch.autograd.grad(gradient, self.parameters, direction, retain_graph=True, materialize_grads=True)


def hessian(net: nn.Module, x: Tensor, y: Tensor, *, loss: AnyLoss = squared, backend: str = "auto") -> Hessian:
    """The Hessian of the mean loss of ``net``, in the units of the loss: without the time scale of the network.

    Args:
        net: a `TwoLayer`, or any module.
        x, y: inputs ``(..., n, d)`` and targets ``(..., n)``.
        loss: see `regimes.losses`. That of a function of your own comes from autograd: it may couple samples.
        backend: ``"auto"``, ``"closed form"`` or ``"autograd"``.

    Raises:
        ValueError: for parameters that are not finite, for targets that do not fit the outputs, an unknown backend, a network
            that mixes samples or is random, or one whose second derivatives torch gets wrong.
    """
    check_inputs(net, x)
    closed = net if has_closed_form(net, "hessian") else None
    if backend not in ("auto", "autograd", "closed form") or (backend == "closed form" and closed is None):
        raise ValueError(
            "the backend is auto, autograd, or for a Network that has one, such as TwoLayer, closed form; "
            f"got {backend!r} for {type(net).__name__}"
        )
    known = as_loss(loss)
    foreign = backend == "auto" and isinstance(known, AutogradLoss)
    if backend == "autograd" or foreign or closed is None:
        return AutogradHessian(net, x, y, known)
    with explained(x):
        return closed.hessian(x, y, known)
