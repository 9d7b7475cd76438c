"""Deep networks that can be run backwards."""

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from regimes.arguments import run_shape, whole
from regimes.network import Network
from regimes.networks.activations import ActivationLike, get_activation
from regimes.networks.init import per_run_std, placed, seeded_normal
from regimes.networks.reversible_jacobian import ReversibleJacobian

__all__ = ["HalfLayer", "Reversible"]


class HalfLayer(NamedTuple):
    r"""What one half layer adds to the other half, :math:`F(x) = A W`, and how it varies.

    Attributes:
        x: the half it reads, ``(..., n, h)``.
        A: features ``[phi(x V), 1]``, the ones for the bias, ``(..., n, m + 1)``.
        slope: ``phi'(x V)``, ``(..., n, m)``.
        V: the fixed weights, ``(..., h, m)``.
        W: the trained weights, ``(..., m + 1, h)``.
    """

    x: Tensor
    A: Tensor
    slope: Tensor
    V: Tensor
    W: Tensor

    @property
    def output(self) -> Tensor:
        """``F(x) = A W``, ``(..., n, h)``."""
        return self.A @ self.W

    def jvp(self, t: Tensor) -> Tensor:
        """``DF(x)[t]``: how ``F`` changes if ``x`` changes by ``t``, ``(..., n, h)``."""
        return ((t @ self.V) * self.slope) @ self.W[..., :-1, :]

    def push(self, t: Tensor) -> Tensor:
        """`jvp`: its name in answers to exercises written before it had torch's."""
        return self.jvp(t)

    def vjp(self, c: Tensor) -> Tensor:
        """``DF(x)^T c``: the same, transposed."""
        return ((c @ self.W[..., :-1, :].mT) * self.slope) @ self.V.mT


class Reversible(Network):
    r"""Blocks that each change one half of their inputs by a function of the other half, and a fixed linear head.

    .. math:: x_1 \leftarrow x_1 + F_l(x_2), \qquad x_2 \leftarrow x_2 + G_l(x_1), \qquad l = 1, \dots, L

    with :math:`F(x) = [\phi(xV), 1]\, W`, and outputs :math:`f = z u` from the state :math:`z = (x_1, x_2)` after the last
    block. Whatever ``phi`` is, a block is undone by subtracting what it added, in the opposite order: no activation has to
    be kept for the way back.

    Only ``W`` of shape ``(..., L, 2, m + 1, h)`` is trained; its last row is the bias. ``V`` of shape ``(..., L, 2, h, m)``,
    ``N(0, 1/h)``, and the head ``u`` of shape ``(..., d, q)``, with orthonormal columns, are fixed. ``h = d / 2``; leading axes
    are runs.

    Args:
        inputs, outputs: ``d``, even, and ``q <= d``.
        width: ``m``. Features of ``n`` samples have full row rank only if ``m + 1 >= n``; take ``m >= 1.5 n``.
        blocks: ``L``.
        runs: shape of the run axes.
        activation: as for `TwoLayer`.
        from_zero: the outputs are :math:`f = (z - x)\, u` instead, which start near zero.
        std: standard deviation of ``W`` at initialisation, a number or a tensor of shape ``runs``; biases start at zero.
        seed, dtype, device: as for `TwoLayer`.

    Raises:
        ValueError: for an odd number of inputs, more outputs than inputs, a size below one, or a negative standard deviation.

    Source: Buffelli et al. 2024, eq. 14-15; the head is in their published code.
    """

    output_axes = 2
    V: Tensor
    u: Tensor

    def __init__(
        self,
        inputs: int,
        outputs: int,
        width: int,
        *,
        blocks: int = 2,
        runs: tuple[int, ...] = (),
        activation: ActivationLike = "relu",
        from_zero: bool = False,
        std: float | Tensor = 1e-3,
        seed: int | Tensor | torch.Generator = 0,
        dtype: torch.dtype = torch.float64,
        device: torch.device | str | None = None,
    ):
        super().__init__()
        sizes = {"inputs": inputs, "outputs": outputs, "width": width, "blocks": blocks}
        inputs, outputs, width, blocks = (whole(value, name) for name, value in sizes.items())
        if min(inputs, outputs, width, blocks) < 1:
            raise ValueError(f"sizes must be at least one; got {inputs=}, {outputs=}, {width=}, {blocks=}")
        if inputs % 2 or outputs > inputs:
            raise ValueError(f"inputs are split into halves and there are at most as many outputs; got {inputs=}, {outputs=}")
        self.inputs, self.outputs, self.width, self.blocks, self.runs = inputs, outputs, width, blocks, run_shape(runs)
        self.activation, self.from_zero, h = get_activation(activation), from_zero, inputs // 2
        V, w, u = seeded_normal(seed, self.runs, [(blocks, 2, h, width), (blocks, 2, width, h), (inputs, outputs)])
        self.register_buffer("V", placed(V / h**0.5, device, dtype))
        self.register_buffer("u", placed(torch.linalg.qr(u)[0], device, dtype))
        self.W = nn.Parameter(placed(pad(per_run_std(std, self.runs, "std", 4) * w, (0, 0, 0, 1)), device, dtype))

    def half_layer(self, block: int, second: int, x: Tensor) -> HalfLayer:
        """The first (``second=0``) or the second half layer of a block, at the half ``x`` that it reads."""
        V, W = self.V[..., block, second, :, :], self.W[..., block, second, :, :]
        phi, slope = self.activation(x @ V)
        return HalfLayer(x, pad(phi, (0, 1), value=1.0), slope, V, W)

    def states(self, x: Tensor) -> Iterator[Tensor]:
        """The state ``(..., n, d)`` after each block, one after the other.

        Raises:
            ValueError: if ``x`` does not end in ``(n, d)``.
        """
        if x.ndim < 2 or x.shape[-1] != self.inputs:
            raise ValueError(f"inputs must have shape (..., n, {self.inputs}); got {tuple(x.shape)}")
        x1, x2 = x.chunk(2, -1)
        for block in range(self.blocks):
            x1 = x1 + self.half_layer(block, 0, x2).output
            x2 = x2 + self.half_layer(block, 1, x1).output
            yield torch.cat([x1, x2], -1)

    def backwards(self, z: Tensor) -> Iterator[tuple[int, HalfLayer, HalfLayer]]:
        """From the last block to the first: its index, its first and its second half layer, at states rebuilt from ``z``.

        Only one block is held at a time.
        """
        x1, x2 = z.chunk(2, -1)
        for block in reversed(range(self.blocks)):
            G = self.half_layer(block, 1, x1)
            x2 = x2 - G.output
            F = self.half_layer(block, 0, x2)
            x1 = x1 - F.output
            yield block, F, G

    def encode(self, x: Tensor) -> Tensor:
        """The state ``z`` after the last block, ``(..., n, d)``."""
        for state in self.states(x):
            z = state
        return z

    def inverse(self, z: Tensor) -> Tensor:
        """The inputs with the state ``z``: every block undone, the last one first."""
        for _, F, G in self.backwards(z):
            x = torch.cat([G.x - F.output, F.x], -1)
        return x

    def forward(self, x: Tensor) -> Tensor:
        """Outputs ``(..., n, q)`` for inputs ``(..., n, d)``; ``x`` without run axes is shared by all runs."""
        return self.read(self.encode(x), x)

    def read(self, z: Tensor, x: Tensor) -> Tensor:
        """The outputs of the state ``z`` that the inputs ``x`` lead to: ``z u``, or ``(z - x) u``."""
        return (z - x if self.from_zero else z) @ self.u

    def jacobian(self, x: Tensor) -> ReversibleJacobian:
        """The Jacobian of the outputs in closed form: see `regimes.network.Network`."""
        return ReversibleJacobian(self, x)

    def extra_repr(self) -> str:
        """Shown by ``print(net)``."""
        runs = f", runs={self.runs}" if self.runs else ""
        return f"d={self.inputs}, L={self.blocks}, m={self.width}, q={self.outputs}, {self.activation}{runs}"
