"""The empirical neural tangent kernel."""

from torch import Tensor, nn

from regimes.directions import time_scale
from regimes.jacobians import jacobian

__all__ = ["neural_tangent_kernel"]


def neural_tangent_kernel(net: nn.Module, x: Tensor) -> Tensor:
    r"""The kernel ``K = c J J^T`` that drives the outputs, float64, ``(..., N, N)``.

    ``c`` is the network's time scale (``m`` in mean-field scaling, 1 in NTK scaling), so that ``K`` is of order one at any
    width: under gradient flow :math:`\dot f = -K r / n`, under damped Gauss-Newton
    :math:`\dot f = -K (K + \epsilon)^{-1} r`.

    Args:
        net: a `TwoLayer` or any module.
        x: inputs ``(..., n, d)``.

    Raises:
        ValueError: for inputs of the wrong shape, or not finite.
    """
    return time_scale(net) * jacobian(net, x).gram()
