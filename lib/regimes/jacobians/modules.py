"""Jacobians of any module: layer by layer where all parameters sit in linear layers, by automatic differentiation elsewhere."""

import warnings
from collections.abc import Callable, Iterator
from functools import cached_property

import torch
from torch import Tensor, nn
from torch.func import functional_call, jacrev, vmap

from regimes.guard import call, graph, untouched
from regimes.jacobians.base import Jacobian, Tensors
from regimes.network import run_axes, trainable

__all__ = ["AutogradJacobian", "LayerwiseJacobian", "is_feed_forward"]


class AutogradJacobian(Jacobian):
    """Any ``nn.Module`` that treats samples one by one; or a `regimes.network.Network` with run axes.

    ``J^T u`` is one backward pass, which torch has for every module. For rows of ``J`` and for ``J v`` there are faster ways,
    ``torch.func`` and forward mode, that torch lacks for some modules (recurrent layers, attention, PReLU, derivatives inside
    ``forward``, compiled or scripted modules) and that have been wrong without an error. So each result is compared with
    ``J^T u`` at a random ``u``, and where it fails or differs, backward passes take over. ``print`` says which way was taken.

    The Gram matrix is assembled from tiles of rows, so that at most two blocks of ``tile_bytes`` exist at a time. For a stack
    it is that of the dense Jacobian, one backward pass for each output of a run.

    Raises:
        ValueError: if an output depends on other samples of the batch, is random, or depends on no trainable parameter; if the
            outputs do not start with the run axes and one row per sample.
    """

    _forward = staticmethod(call)

    def __init__(self, net: nn.Module, x: Tensor):
        self.net, self.x = net, x
        self.parameters = trainable(net)
        self.runs = run_axes(net)
        self.ways: dict[str, str] = {}  # how rows and J v are computed
        f = graph(net, x, self._forward)
        with torch.enable_grad():  # also where the caller has switched gradients off, as measurements in a training do
            self._graph = f.flatten(len(self.runs))
        self.shape, self.samples, self.outputs = f.shape, f.shape[len(self.runs)], self._graph.detach()

    def _first_right(self, what: str, ways: dict[str, Callable[[], Tensor]], right: Callable[[Tensor], bool]) -> Tensor:
        """The result of the first way that works and is right; it is taken without a check from then on."""
        if what in self.ways:
            return ways[self.ways[what]]()
        found: Exception | str = ""
        for name, way in ways.items():
            try:
                result = way()
            except Exception as error:  # torch has a dozen classes for "not implemented for this module"
                found = error
                continue
            if right(result):
                self.ways[what] = name
                return result
            found = found or "results differ"
        raise ValueError(f"torch's derivatives of this network contradict one another ({found})") from (
            found if isinstance(found, Exception) else None
        )

    def _rows(self, x: Tensor) -> Tensor:
        """The rows of ``J`` that belong to the samples ``x``: ``(len(x) * c, p)``, float64."""
        ways = {"torch.func": lambda: self._transformed_rows(x), "backward passes": lambda: self._backward_rows(x)}

        def right(rows: Tensor) -> bool:
            f = self._graph if len(x) == self.samples else call(self.net, x)
            u = _probe(f)
            return _close(u.flatten().double() @ rows, self._pull(f, u), f)

        return self._first_right("rows", ways, right)

    def _transformed_rows(self, x: Tensor) -> Tensor:
        swapped = self._swapped()

        def one(values, xi):
            return functional_call(self.net, swapped(values), (xi[None],), tie_weights=False).reshape(-1)

        with untouched(self.net), warnings.catch_warnings():  # where torch cannot batch a backward pass it is slow, but correct
            warnings.filterwarnings("ignore", "There is a performance drop")
            blocks = vmap(jacrev(one), (None, 0))(tuple(p.detach() for p in self.parameters), x.clone())
        return torch.cat([b.flatten(0, 1).flatten(1) for b in blocks], 1).detach().double()

    def _swapped(self) -> Callable[[Tensors], dict[str, Tensor]]:
        """What ``functional_call`` needs to put one tensor per parameter in its places."""
        places = [(name, i) for i, p in enumerate(self.parameters) for name in _slots(self.net, p)]
        return lambda values: {name: values[i] for name, i in places}

    def _backward_rows(self, x: Tensor) -> Tensor:
        rows = []
        for xi in x.split(1):
            f = call(self.net, xi)
            rows += [self._pull(f, e.reshape(f.shape)) for e in torch.eye(f.numel(), dtype=f.dtype, device=f.device)]
        return torch.stack(rows)

    def _pull(self, f: Tensor, u: Tensor) -> Tensor:
        return torch.cat([g.flatten() for g in self._backward(f, u)]).double()

    def _backward(self, f: Tensor, u: Tensor, **options: bool) -> tuple[Tensor, ...]:
        gradients = torch.autograd.grad(f, self.parameters, u, retain_graph=True, materialize_grads=True, **options)
        return tuple(g.to_dense() for g in gradients)  # those of an embedding may be sparse

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
            K.append([A @ (A if b is a else self._rows(b)).mT for b in tiles[i:]])
        upper = [[K[i][j - i] if j >= i else K[j][i - j].mT for j in range(len(tiles))] for i in range(len(tiles))]
        return torch.cat([torch.cat(row, 1) for row in upper])

    def rows(self) -> Iterator[Tensor]:
        """Tiles of per-sample rows; a stack has one product for each parameter of a run."""
        return super().rows() if self.runs else (self._rows(x) for x in self.x.split(self.tile))

    def vjp(self, u: Tensor) -> tuple[Tensor, ...]:
        """One backward pass."""
        return self._backward(self._graph, u.to(self._graph.dtype))

    def jvp(self, v: Tensors) -> Tensor:
        """One forward-mode pass; two backward passes, or all rows, where torch has no forward mode."""
        ways = {
            "forward mode": lambda: self._forward_mode(v),
            "double backward": lambda: self._double_backward(v),
            "all rows": lambda: (self.dense() @ self.flatten(v)[..., None])[..., 0],
        }

        def right(product: Tensor) -> bool:
            u = _probe(self._graph)
            pulled = self.vjp(u)
            here, there = (u * product).sum(), sum((a * b).sum() for a, b in zip(pulled, v, strict=True))
            size = u.norm() * product.norm() + self.flatten(pulled).norm() * self.flatten(v).norm()
            return bool((here - there).abs() <= torch.finfo(product.dtype).eps ** 0.5 * size)

        return self._first_right("J v", ways, right)

    def _forward_mode(self, v: Tensors) -> Tensor:
        swapped = self._swapped()

        def outputs(values):
            return functional_call(self.net, swapped(values), (self.x.clone(),), tie_weights=False)

        with untouched(self.net):
            out = torch.func.jvp(outputs, (tuple(p.detach() for p in self.parameters),), (tuple(v),))[1]
        return out.detach().reshape(self.outputs.shape)

    def _double_backward(self, v: Tensors) -> Tensor:
        """``J^T u`` is linear in ``u``: the derivative of ``<J^T u, v>`` with respect to ``u`` is ``J v``."""
        u = torch.zeros_like(self._graph, requires_grad=True)
        with torch.enable_grad():
            pulled = self._backward(self._graph, u, create_graph=True)
            product = sum(((a * b.detach()).sum() for a, b in zip(pulled, v, strict=True)), v[0].new_zeros(()))
        return torch.autograd.grad(product, u)[0]

    def _describe(self) -> str:
        if not self.runs:
            self._rows(self.x[:1])
        return ", ".join(f"{what} by {way}" for what, way in self.ways.items())


class LayerwiseJacobian(AutogradJacobian):
    r"""Feed-forward modules whose parameters all sit in ``nn.Linear`` layers.

    .. math:: J J^T = \sum_l (A_l A_l^T + 1) \circ (B_l B_l^T)

    where ``A_l`` holds the layer's inputs and ``B_l`` the derivative of the outputs with respect to the layer's outputs; the
    ``1`` is there if the layer has a bias. One backward pass for each of a sample's ``c`` outputs gives all the ``B_l``, and
    they give ``J v`` too.

    That is correct if each layer is called once, on inputs ``(n, features)``, and its weights are used nowhere else. One more
    backward pass checks it: ``J^T u`` at a random ``u``, which ``A_l`` and ``B_l`` have to give as well. Where they do not,
    everything comes from `AutogradJacobian` instead.

    Raises:
        ValueError: if a parameter sits outside an ``nn.Linear`` layer, or in two of them.
    """

    def __init__(self, net: nn.Module, x: Tensor):
        if not is_feed_forward(net):
            raise ValueError("the layerwise Jacobian needs every parameter in an nn.Linear layer of its own; use 'autograd'")
        super().__init__(net, x)

    def _forward(self, net: nn.Module, x: Tensor) -> Tensor:
        self.calls: list[tuple[nn.Linear, Tensor, Tensor]] = []  # (layer, its inputs, its outputs) in the order of the calls
        handles = [m.register_forward_hook(self._remember) for m in self.net.modules() if isinstance(m, nn.Linear)]
        try:
            return call(net, x)
        finally:
            for handle in handles:
                handle.remove()

    def _remember(self, layer, inputs, output):
        if output.requires_grad:  # else no trainable parameter comes before it
            self.calls.append((layer, inputs[0].detach(), output))

    def gram(self) -> Tensor:
        """A Hadamard product per layer."""
        if not self._layers:
            return super().gram()
        zero = self._graph.new_zeros((), dtype=torch.float64)
        return sum((self._hadamard(layer, A, B) for layer, A, B in self._layers), zero)

    def jvp(self, v: Tensors) -> Tensor:
        """``rowsum(B_l * (A_l V^T + u))`` of each layer, which moves by ``V`` and its bias by ``u``."""
        if not self._layers:
            return super().jvp(v)
        move, total = dict(zip(self.parameters, v, strict=True)), torch.zeros_like(self._graph, dtype=torch.float64)
        for layer, A, B in self._layers:
            if layer.weight in move:
                total += ((B @ move[layer.weight].double()) * A).sum(-1)
            if layer.bias in move:
                total += B @ move[layer.bias].double()
        return total.to(self._graph.dtype)

    @cached_property
    def _layers(self) -> list[tuple[nn.Linear, Tensor, Tensor]]:
        """Each layer with its ``A`` and ``B``, a row for each output; none where that is not all of ``J``."""
        layers = [layer for layer, _, _ in self.calls]
        if len({*layers}) < len(layers) or not all(a.ndim == 2 and len(a) == self.samples for _, a, _ in self.calls):
            return []
        c = len(self._graph) // self.samples
        inputs = [a.double().repeat_interleave(c, 0) if c > 1 else a.double() for _, a, _ in self.calls]
        found = list(zip(layers, inputs, self._sensitivities(), strict=True))
        return found if self._confirms(found) else []

    def _sensitivities(self) -> list[Tensor]:
        """``B_l`` for each call: ``(N, out_features)``, rows in the order of the outputs."""
        zs = [z for _, _, z in self.calls]
        c = len(self._graph) // self.samples
        one_output = torch.eye(c, dtype=self._graph.dtype, device=self._graph.device).repeat(1, self.samples)
        each = [torch.autograd.grad(self._graph, zs, e, retain_graph=True, materialize_grads=True) for e in one_output]
        return [torch.stack(b, 1).flatten(0, 1).double() for b in zip(*each, strict=True)]

    def _hadamard(self, layer: nn.Linear, A: Tensor, B: Tensor) -> Tensor:
        inputs = (A @ A.mT) * layer.weight.requires_grad
        if layer.bias is not None and layer.bias.requires_grad:
            inputs += 1
        return inputs.mul_(B @ B.mT)

    def _confirms(self, layers: list[tuple[nn.Linear, Tensor, Tensor]]) -> bool:
        u = _probe(self._graph)
        pulled = {layer.weight: (u[:, None] * B).mT @ A for layer, A, B in layers}
        pulled |= {layer.bias: B.mT @ u.double() for layer, _, B in layers}
        mine = torch.cat([pulled.get(p, torch.zeros_like(p)).flatten() for p in self.parameters])
        return _close(mine.double(), self._pull(self._graph, u), self._graph)

    def _describe(self) -> str:
        return "J J^T and J v layer by layer, else " + super()._describe()


def is_feed_forward(net: nn.Module) -> bool:
    """Whether ``net`` is a single network in which every parameter sits in exactly one ``nn.Linear`` layer."""
    layers = [m for m in net.modules() if isinstance(m, nn.Linear)]
    theirs = [id(p) for m in layers for p in (m.weight, m.bias) if isinstance(p, nn.Parameter)]
    compiled = any(hasattr(m, "_orig_mod") for m in net.modules())  # their layers call no hooks
    return bool(theirs) and not compiled and not run_axes(net) and sorted(theirs) == sorted(id(p) for p in net.parameters())


def _slots(net: nn.Module, p: Tensor) -> Iterator[str]:
    """Every place where ``net`` keeps the parameter ``p``, by name; a layer registered twice is one place.

    ``torch.func.functional_call`` would find tied weights by itself, but restores a layer registered twice wrongly: it must get
    each place once, and ``tie_weights=False``.
    """
    for prefix, module in net.named_modules():
        for name, parameter in module._parameters.items():
            if parameter is p:
                yield f"{prefix}.{name}" if prefix else name


def _probe(f: Tensor, seed: int = 0) -> Tensor:
    """Random numbers like ``f``, always the same."""
    return torch.randn(f.shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64, device="cpu").to(f)


def _close(a: Tensor, b: Tensor, computed: Tensor) -> bool:
    """Whether two numbers or vectors agree: to 4e-10 if they were computed in float64, to 7e-5 if in float32."""
    return bool((a - b).norm() <= torch.finfo(computed.dtype).eps ** 0.6 * torch.maximum(a.norm(), b.norm()))
