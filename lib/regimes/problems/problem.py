"""What a problem is: training and test data."""

from dataclasses import dataclass

from torch import Tensor

from regimes.networks import TwoLayer

__all__ = ["Problem"]


@dataclass(frozen=True)
class Problem:
    """Training and test data, with the same run axes ``...`` on all four tensors.

    Attributes:
        x: ``(..., n, d)``.
        y: ``(..., n)``, or ``(..., n, q)`` with several outputs.
        x_test: ``(..., n_test, d)``.
        y_test: like ``y``, always without label noise.
        teacher: the network the labels come from, if there is one.
    """

    x: Tensor
    y: Tensor
    x_test: Tensor
    y_test: Tensor
    teacher: TwoLayer | None = None

    @property
    def inputs(self) -> int:
        """``d``."""
        return self.x.shape[-1]

    def to(self, *args, **kwargs) -> "Problem":
        """The same problem on another device or in another dtype (as ``Tensor.to``)."""
        x, y, x_test, y_test = (t.to(*args, **kwargs) for t in (self.x, self.y, self.x_test, self.y_test))
        return Problem(x, y, x_test, y_test, self.teacher)
