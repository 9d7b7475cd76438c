"""What every Jacobian provides."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

__all__ = ["Jacobian", "Tensors"]

Tensors = Sequence[Tensor]


class Jacobian(ABC):
    """The Jacobian of ``net(x)`` with respect to the trainable parameters of ``net``, at their current values.

    Attributes:
        outputs: ``(..., N)``, the outputs at which it was taken, flattened over samples and outputs per sample.
        shape: the shape of ``net(x)``.
        samples: ``n``.
        parameters: the trainable parameters, in the order of ``net.parameters()``.
    """

    outputs: Tensor
    shape: torch.Size
    samples: int
    parameters: list[Tensor]
    tile_bytes = 2**28

    @abstractmethod
    def gram(self) -> Tensor:
        """``J J^T``, float64, ``(..., N, N)``."""

    @abstractmethod
    def vjp(self, u: Tensor) -> tuple[Tensor, ...]:
        """``J^T u`` for ``u`` of shape ``(..., N)``: one tensor per parameter."""

    @abstractmethod
    def jvp(self, v: Tensors) -> Tensor:
        """``J v`` for ``v`` with one tensor per parameter: ``(..., N)``."""

    def dense(self) -> Tensor:
        """``J`` as a matrix ``(..., N, p)``, row by row: for small cases and for tests."""
        rows = torch.eye(self.outputs.shape[-1], dtype=self.outputs.dtype, device=self.outputs.device)
        return torch.stack([self.flatten(self.vjp(e.expand_as(self.outputs))) for e in rows], -2)

    def rows(self) -> Iterator[Tensor]:
        """``J`` in blocks of rows, in order, float64, ``(..., k * c, p)`` for ``k`` samples: for networks of few parameters.

        Here one block, column by column, from a product ``J v`` for each parameter.
        """
        units = torch.eye(self.size, dtype=self.outputs.dtype, device=self.outputs.device)
        yield torch.stack([self.jvp(self.unflatten(e.expand(*self.outputs.shape[:-1], -1))) for e in units], -1).double()

    @property
    def size(self) -> int:
        """``p``, the number of parameters of a run."""
        return sum(p.numel() for p in self.parameters) // self.outputs.shape[:-1].numel()

    @property
    def tile(self) -> int:
        """How many samples' rows, of all runs, fit into ``tile_bytes``."""
        return max(1, self.tile_bytes // (8 * self.size * self.outputs.numel() // self.samples))

    def __repr__(self) -> str:
        N, p = self.outputs.shape[-1], sum(p.numel() for p in self.parameters) // self.outputs[..., 0].numel()
        return f"{type(self).__name__}({N} outputs, {p} parameters; {self._describe()})"

    def _describe(self) -> str:
        """How it computes what it computes."""
        return "closed form"

    def flatten(self, tensors: Tensors) -> Tensor:
        """One tensor per parameter, joined into one vector per run: ``(..., p)``."""
        runs = self.outputs.shape[:-1]
        return torch.cat([t.reshape(*runs, -1) for t in tensors], -1)

    def unflatten(self, v: Tensor) -> tuple[Tensor, ...]:
        """The reverse of `flatten`, in the parameters' dtype."""
        runs = self.outputs.shape[:-1].numel()
        parts = v.split([p.numel() // runs for p in self.parameters], -1)
        return tuple(part.reshape(p.shape).to(p.dtype) for part, p in zip(parts, self.parameters, strict=True))
