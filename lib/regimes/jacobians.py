r"""The Jacobian of a network's outputs by its parameters, as a linear operator.

``J`` has a row for each of the ``N`` outputs (``n`` samples times ``c`` outputs a sample) and a column for each of the ``p``
parameters. Everything in the course asks it for at most four things: ``gram()`` is ``J J^T``, ``vjp(u)`` is ``J^T u``,
``jvp(v)`` is ``J v``, ``dense()`` is ``J`` itself. The first three never build the ``N x p`` matrix.

Three backends give one interface; `jacobian` chooses:

- *closed form* for `regimes.networks.TwoLayer` and `TwoLayerLinear`, with run axes;
- *layerwise* for modules whose parameters all sit in ``nn.Linear`` layers: one Hadamard product a layer;
- *autograd* for everything else (convolutions, attention, your own module), through ``torch.func``.

Gram matrices are float64 also for float32 parameters: the small eigenvalues a Gauss-Newton step divides by are lost in a
float32 product.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.func import functional_call, jacrev, vmap

from regimes.networks import TwoLayer, TwoLayerLinear

__all__ = ["AutogradJacobian", "Jacobian", "LayerwiseJacobian", "TwoLayerJacobian", "TwoLayerLinearJacobian", "jacobian"]

Tensors = Sequence[Tensor]


class Jacobian(ABC):
    """The Jacobian of ``net(x)`` by the trainable parameters of ``net``, at their present values.

    Attributes:
        outputs: ``(..., N)``, the outputs at which it was taken, flattened over samples and outputs a sample.
        shape: the shape of ``net(x)``.
        samples: ``n``.
        parameters: the trainable parameters, in the order of ``net.parameters()``.
    """

    outputs: Tensor
    shape: torch.Size
    samples: int
    parameters: list[Tensor]

    @abstractmethod
    def gram(self) -> Tensor:
        """``J J^T``, float64, ``(..., N, N)``."""

    @abstractmethod
    def vjp(self, u: Tensor) -> tuple[Tensor, ...]:
        """``J^T u`` for ``u`` of shape ``(..., N)``: one tensor a parameter."""

    @abstractmethod
    def jvp(self, v: Tensors) -> Tensor:
        """``J v`` for ``v`` with one tensor a parameter: ``(..., N)``."""

    def dense(self) -> Tensor:
        """``J`` as a matrix ``(..., N, p)``, row by row: for small cases and for tests."""
        rows = torch.eye(self.outputs.shape[-1], dtype=self.outputs.dtype, device=self.outputs.device)
        return torch.stack([self.flatten(self.vjp(e.expand_as(self.outputs))) for e in rows], -2)

    def flatten(self, tensors: Tensors) -> Tensor:
        """One tensor a parameter, joined to one vector a run: ``(..., p)``."""
        runs = self.outputs.shape[:-1]
        return torch.cat([t.reshape(*runs, -1) for t in tensors], -1)


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
        self.parameters = _trainable(net)
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
        self.parameters = _trainable(net)
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


class AutogradJacobian(Jacobian):
    """Any ``nn.Module`` that treats samples one by one, through ``torch.func``.

    The Gram matrix is summed from tiles of per-sample Jacobian rows, so that at most two blocks of ``tile_bytes`` exist.

    Raises:
        ValueError: if an output depends on other samples of the batch, is random, or has no trainable parameter behind it.
    """

    tile_bytes = 2**28

    def __init__(self, net: nn.Module, x: Tensor):
        self.net, self.x = net, x
        self.named = {k: p for k, p in net.named_parameters() if p.requires_grad}
        self.parameters = _trainable(net)
        _refuse_batch_statistics(net)
        with torch.enable_grad():
            f = self._forward()
        self.shape, self.samples, self._graph = f.shape, f.shape[0], f.reshape(-1)
        self.outputs = self._graph.detach()
        with torch.no_grad():
            alone = net(x[:1]).reshape(-1)
        if not torch.allclose(alone, self.outputs[: len(alone)], rtol=1e-3, atol=1e-5):
            raise ValueError(
                "the output for a sample changes when the other samples of the batch change (or is random): its Jacobian "
                "row is not defined sample by sample. Call net.eval(), or remove the layer that mixes samples"
            )

    def _forward(self) -> Tensor:
        f = self.net(self.x)
        if f.shape[:1] != self.x.shape[:1]:
            raise ValueError(f"net(x) must have one row a sample, {len(self.x)} rows; got shape {tuple(f.shape)}")
        return f

    def _rows(self, x: Tensor) -> Tensor:
        """The rows of ``J`` that belong to the samples ``x``: ``(len(x) * c, p)``, float64."""

        def one(parameters, xi):
            return functional_call(self.net, parameters, (xi[None],)).reshape(-1)

        blocks = vmap(jacrev(one), (None, 0))(self.named, x)
        return torch.cat([b.flatten(0, 1).flatten(1) for b in blocks.values()], 1).detach().double()

    def gram(self) -> Tensor:
        """``J J^T`` from tiles of rows."""
        row_bytes = 8 * sum(p.numel() for p in self.parameters) * len(self._graph) // self.samples
        tiles = self.x.split(max(1, self.tile_bytes // row_bytes))
        K = []
        for i, a in enumerate(tiles):
            A = self._rows(a)
            K.append([None] * i + [A @ (A if b is a else self._rows(b)).mT for b in tiles[i:]])
        upper = [[K[i][j] if j >= i else K[j][i].mT for j in range(len(tiles))] for i in range(len(tiles))]
        return torch.cat([torch.cat(row, 1) for row in upper])

    def vjp(self, u: Tensor) -> tuple[Tensor, ...]:
        """One backward pass."""
        u = u.to(self._graph.dtype)
        return torch.autograd.grad(self._graph, self.parameters, u, retain_graph=True, materialize_grads=True)

    def jvp(self, v: Tensors) -> Tensor:
        """One forward-mode pass."""
        tangents = dict(zip(self.named, v, strict=True))
        values = {k: p.detach() for k, p in self.named.items()}
        out = torch.func.jvp(lambda p: functional_call(self.net, p, (self.x,)).reshape(-1), (values,), (tangents,))[1]
        return out.detach()


class LayerwiseJacobian(AutogradJacobian):
    r"""Feed-forward modules whose parameters all sit in ``nn.Linear`` layers.

    .. math:: J J^T = \sum_l (A_l A_l^T + 1) \circ (B_l B_l^T)

    where ``A_l`` holds the layer's inputs, ``B_l`` the derivative of the outputs by what the layer puts out, and the ``1`` is
    there for a layer with a bias. One backward pass for each of the ``c`` outputs a sample gives all the ``B_l``.

    The sum holds if each layer is called once, on inputs ``(n, features)``, and its weights are used nowhere else. That is
    checked with one more backward pass, ``u^T J J^T u = |J^T u|^2`` at one ``u``; where it fails, the Gram matrix comes
    from `AutogradJacobian` instead.

    Raises:
        ValueError: if a parameter sits outside an ``nn.Linear`` layer, or in two of them.
    """

    def __init__(self, net: nn.Module, x: Tensor):
        if not is_feed_forward(net):
            raise ValueError("the layerwise Jacobian needs every parameter in an nn.Linear layer of its own; use 'autograd'")
        super().__init__(net, x)

    def _forward(self) -> Tensor:
        self.calls = []  # (layer, its inputs, its outputs) in the order of the calls
        handles = [m.register_forward_hook(self._remember) for m in self.net.modules() if isinstance(m, nn.Linear)]
        try:
            return super()._forward()
        finally:
            for handle in handles:
                handle.remove()

    def _remember(self, layer, inputs, output):
        if output.requires_grad:  # else nothing trainable has been met yet
            self.calls.append((layer, inputs[0].detach(), output))

    def gram(self) -> Tensor:
        """A Hadamard product a layer."""
        if all(a.ndim == 2 and len(a) == self.samples for _, a, _ in self.calls):
            K = sum(self._hadamard(layer, a, B) for (layer, a, _), B in zip(self.calls, self._sensitivities(), strict=True))
            if self._confirms(K):
                return K
        return super().gram()

    def _sensitivities(self) -> list[Tensor]:
        """``B_l`` for each call: ``(N, features out)``, rows in the order of the outputs."""
        zs = [z for _, _, z in self.calls]
        each = [
            torch.autograd.grad(f.sum(), zs, retain_graph=True, materialize_grads=True)
            for f in self._graph.reshape(self.samples, -1).unbind(1)
        ]
        return [torch.stack(b, 1).flatten(0, 1).double() for b in zip(*each, strict=True)]

    def _hadamard(self, layer: nn.Linear, a: Tensor, B: Tensor) -> Tensor:
        A = a.double().repeat_interleave(len(B) // self.samples, 0)
        inputs = (A @ A.mT) * layer.weight.requires_grad
        if layer.bias is not None and layer.bias.requires_grad:
            inputs = inputs + 1
        return inputs * (B @ B.mT)

    def _confirms(self, K: Tensor) -> bool:
        u = torch.linspace(-1, 1, len(K), dtype=K.dtype, device=K.device).sin() + 0.5
        return torch.allclose(u @ K @ u, self.flatten(self.vjp(u)).double().square().sum(), rtol=1e-3)


CLOSED_FORMS = {TwoLayer: TwoLayerJacobian, TwoLayerLinear: TwoLayerLinearJacobian}
BACKENDS = {"layerwise": LayerwiseJacobian, "autograd": AutogradJacobian}


def jacobian(net: nn.Module, x: Tensor, backend: str = "auto") -> Jacobian:
    """The Jacobian of ``net(x)`` by the trainable parameters of ``net``.

    Args:
        net: a `TwoLayer`, or any module that maps ``(n, ...)`` to ``(n,)`` or ``(n, c)`` sample by sample.
        x: the inputs.
        backend: ``"auto"``, or one of ``"closed form"``, ``"layerwise"``, ``"autograd"``.

    Raises:
        ValueError: for inputs without samples, of another dtype than the network, or not finite; for an unknown backend, or
            one that cannot serve this network.
    """
    _check_inputs(net, x)
    if backend not in ("auto", "closed form", *BACKENDS):
        raise ValueError(f"unknown backend {backend!r}; choose auto, closed form, {', '.join(BACKENDS)}")
    closed = next((form for kind, form in CLOSED_FORMS.items() if isinstance(net, kind)), None)
    if backend == "closed form" and closed is None:
        names = " and ".join(kind.__name__ for kind in CLOSED_FORMS)
        raise ValueError(f"the closed form is for {names} networks; got {type(net).__name__}")
    if backend == "auto":
        backend = "closed form" if closed else "layerwise" if is_feed_forward(net) else "autograd"
    return (closed if backend == "closed form" else BACKENDS[backend])(net, x)


def is_feed_forward(net: nn.Module) -> bool:
    """Whether every parameter of ``net`` sits in an ``nn.Linear`` layer, and in one only."""
    layers = [m for m in net.modules() if isinstance(m, nn.Linear)]
    theirs = [id(p) for m in layers for p in m.parameters(recurse=False)]
    return bool(theirs) and sorted(theirs) == sorted(id(p) for p in net.parameters())


def _check_inputs(net: nn.Module, x: Tensor) -> None:
    dtype = _trainable(net)[0].dtype
    if not x.numel():
        raise ValueError(f"there is no sample in inputs of shape {tuple(x.shape)}")
    if x.is_floating_point() and x.dtype != dtype:
        raise ValueError(f"the network is {dtype} and the inputs are {x.dtype}: convert one, net.to(x.dtype) or x.to({dtype})")
    if x.is_floating_point() and not torch.isfinite(x).all():
        raise ValueError("inputs contain numbers that are not finite (NaN or infinity)")


def _trainable(net: nn.Module) -> list[Tensor]:
    parameters = [p for p in net.parameters() if p.requires_grad]
    if not parameters:
        raise ValueError("the network has no trainable parameters: call net.requires_grad_(True) on what should move")
    return parameters


def _refuse_batch_statistics(net: nn.Module) -> None:
    mixing = (nn.modules.batchnorm._BatchNorm, nn.modules.dropout._DropoutNd)
    for name, module in net.named_modules():
        if isinstance(module, mixing) and module.training:
            raise ValueError(f"{name or 'the network'} is a {type(module).__name__} in training mode: call net.eval()")
