"""Jacobians of any module: layer by layer where every parameter sits in a linear layer, by ``torch.func`` elsewhere."""

import warnings

import torch
from torch import Tensor, nn
from torch.func import functional_call, jacrev, vmap

from regimes.jacobians.base import Jacobian, Tensors
from regimes.network import output_axes, run_axes, trainable

__all__ = ["AutogradJacobian", "LayerwiseJacobian", "is_feed_forward"]


class AutogradJacobian(Jacobian):
    """Any ``nn.Module`` that treats samples one by one, through ``torch.func``; or a `regimes.network.Network` with run axes.

    The Gram matrix is assembled from tiles of per-sample Jacobian rows, so that at most two blocks of ``tile_bytes`` exist at a
    time. For a stack it is that of the dense Jacobian, one backward pass for each output of a run.

    Raises:
        ValueError: if an output depends on other samples of the batch, is random, or depends on no trainable parameter; if the
            outputs do not start with the run axes and one row per sample.
    """

    tile_bytes = 2**28

    def __init__(self, net: nn.Module, x: Tensor):
        self.net, self.x = net, x
        self.named = {k: p for k, p in net.named_parameters() if p.requires_grad}
        self.parameters = trainable(net)
        self.runs = run_axes(net)
        _refuse_batch_statistics(net)
        with torch.enable_grad():
            f = self._forward()
            self._graph = f.flatten(len(self.runs))
        self.shape, self.samples, self.outputs = f.shape, f.shape[len(self.runs)], self._graph.detach()
        if not self.runs:
            self._refuse_mixing()

    def _forward(self) -> Tensor:
        f, runs = self.net(self.x), self.runs
        if not runs and f.shape[:1] != self.x.shape[:1]:
            raise ValueError(f"net(x) must have one row per sample, {len(self.x)} rows; got shape {tuple(f.shape)}")
        if tuple(f.shape[: f.ndim - output_axes(self.net, f)]) != runs or f.ndim == len(runs):
            raise ValueError(f"net(x) must have the run axes {runs} and then one row per sample; got shape {tuple(f.shape)}")
        return f

    def _refuse_mixing(self) -> None:
        with torch.no_grad():
            alone = self.net(self.x[:1]).reshape(-1)
        if not torch.allclose(alone, self.outputs[: len(alone)], rtol=1e-3, atol=1e-5):
            raise ValueError(
                "the output for a sample changes when the other samples of the batch change (or is random): its Jacobian "
                "row is not defined sample by sample. Call net.eval(), or remove the layer that mixes samples"
            )

    def _rows(self, x: Tensor) -> Tensor:
        """The rows of ``J`` that belong to the samples ``x``: ``(len(x) * c, p)``, float64."""

        def one(parameters, xi):
            return functional_call(self.net, parameters, (xi[None],)).reshape(-1)

        with warnings.catch_warnings():  # where torch cannot batch a backward pass it is slow, but correct
            warnings.filterwarnings("ignore", "There is a performance drop")
            blocks = vmap(jacrev(one), (None, 0))(self.named, x)
        return torch.cat([b.flatten(0, 1).flatten(1) for b in blocks.values()], 1).detach().double()

    def gram(self) -> Tensor:
        """``J J^T`` from tiles of rows, or from the dense matrix of a stack."""
        if self.runs:
            J = self.dense().double()
            return J @ J.mT
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
        """One forward-mode pass; two backward passes where torch has no forward mode (weight norm, attention)."""
        try:
            return self._forward_mode(v)
        except NotImplementedError:
            return self._double_backward(v)

    def _forward_mode(self, v: Tensors) -> Tensor:
        tangents = dict(zip(self.named, v, strict=True))
        values = {k: p.detach() for k, p in self.named.items()}
        out = torch.func.jvp(lambda p: functional_call(self.net, p, (self.x,)), (values,), (tangents,))[1]
        return out.detach().reshape(self.outputs.shape)

    def _double_backward(self, v: Tensors) -> Tensor:
        """``J^T u`` is linear in ``u``: the derivative of ``<J^T u, v>`` with respect to ``u`` is ``J v``."""
        u = torch.zeros_like(self._graph, requires_grad=True)
        with torch.enable_grad():
            pulled = torch.autograd.grad(self._graph, self.parameters, u, create_graph=True, materialize_grads=True)
            product = sum((a * b.detach()).sum() for a, b in zip(pulled, v, strict=True))
        return torch.autograd.grad(product, u)[0]


class LayerwiseJacobian(AutogradJacobian):
    r"""Feed-forward modules whose parameters all sit in ``nn.Linear`` layers.

    .. math:: J J^T = \sum_l (A_l A_l^T + 1) \circ (B_l B_l^T)

    where ``A_l`` holds the layer's inputs and ``B_l`` the derivative of the outputs with respect to the layer's outputs; the
    ``1`` is there if the layer has a bias. One backward pass for each of a sample's ``c`` outputs gives all the ``B_l``.

    The sum is correct if each layer is called once, on inputs ``(n, features)``, and its weights are used nowhere else. One
    more backward pass checks that, ``u^T J J^T u = |J^T u|^2`` at one ``u``; where it fails, the Gram matrix comes from
    `AutogradJacobian` instead.

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
        if output.requires_grad:  # else no trainable parameter comes before it
            self.calls.append((layer, inputs[0].detach(), output))

    def gram(self) -> Tensor:
        """A Hadamard product per layer."""
        if all(a.ndim == 2 and len(a) == self.samples for _, a, _ in self.calls):
            K = sum(self._hadamard(layer, a, B) for (layer, a, _), B in zip(self.calls, self._sensitivities(), strict=True))
            if self._confirms(K):
                return K
        return super().gram()

    def _sensitivities(self) -> list[Tensor]:
        """``B_l`` for each call: ``(N, out_features)``, rows in the order of the outputs."""
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


def is_feed_forward(net: nn.Module) -> bool:
    """Whether ``net`` is a single network in which every parameter sits in exactly one ``nn.Linear`` layer."""
    layers = [m for m in net.modules() if isinstance(m, nn.Linear)]
    theirs = [id(p) for m in layers for p in m.parameters(recurse=False)]
    return bool(theirs) and not run_axes(net) and sorted(theirs) == sorted(id(p) for p in net.parameters())


def _refuse_batch_statistics(net: nn.Module) -> None:
    mixing = (nn.modules.batchnorm._BatchNorm, nn.modules.dropout._DropoutNd)
    for name, module in net.named_modules():
        if isinstance(module, mixing) and module.training:
            raise ValueError(f"{name or 'the network'} is a {type(module).__name__} in training mode: call net.eval()")
