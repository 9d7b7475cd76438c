"""The Jacobian of a network that wraps another one."""

from collections.abc import Iterator

from torch import Tensor

from regimes.jacobians.base import Jacobian, Tensors

__all__ = ["DerivedJacobian"]


class DerivedJacobian(Jacobian):
    """``factor`` times another Jacobian, at outputs and for parameters of its own.

    Args:
        J: the other Jacobian.
        factor: a number.
        outputs: like ``J.outputs``.
        parameters: with the shapes of ``J.parameters``.
    """

    def __init__(self, J: Jacobian, factor: float, outputs: Tensor, parameters: list[Tensor]):
        self.J, self.factor, self.outputs, self.parameters = J, factor, outputs, parameters
        self.shape, self.samples = J.shape, J.samples

    def gram(self) -> Tensor:
        """``factor^2`` times that of ``J``."""
        return self.factor**2 * self.J.gram()

    def rows(self) -> Iterator[Tensor]:
        """``factor`` times those of ``J``."""
        return (self.factor * rows for rows in self.J.rows())

    def vjp(self, u: Tensor) -> tuple[Tensor, ...]:
        """``factor`` times that of ``J``."""
        return self.J.vjp(self.factor * u)

    def jvp(self, v: Tensors) -> Tensor:
        """``factor`` times that of ``J``."""
        return self.factor * self.J.jvp(v)
