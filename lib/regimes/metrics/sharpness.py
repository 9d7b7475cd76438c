r"""Sharpness: the largest curvature of the loss.

Along an eigenvector of the Hessian with eigenvalue :math:`\lambda`, gradient descent with step size :math:`\eta` multiplies
the distance to the minimum of a quadratic by :math:`1 - \eta\lambda`. So it is stable while the *stability number*
:math:`\eta S / 2` of the largest eigenvalue ``S`` is below one.
"""

from collections.abc import Callable

from torch import Tensor, nn

from regimes.hessians import Hessian
from regimes.losses import AnyLoss, squared
from regimes.metrics.hessian_spectrum import hessian_eigenvalues, largest_eigenvalues

__all__ = ["largest_eigenvalue", "sharpness", "sometimes"]


def sharpness(
    net: nn.Module, x: Tensor, y: Tensor, *, loss: AnyLoss = squared, method: str = "auto", backend: str = "auto"
) -> Tensor:
    r"""The largest eigenvalue of the Hessian of the mean loss, times the network's time scale ``c``: one number per run.

    In the units in which ``lr`` of `regimes.optimizers.GradientDescent` is a step: gradient descent with this ``lr`` is at the
    edge of stability where ``lr * sharpness / 2 == 1``, at any width and in any scaling. (Its step in parameter space is
    ``lr * c``, with ``c`` the width ``m`` for a mean-field `TwoLayer` and 1 for other modules. The kernel ``K = c J J^T`` has
    the same units: at a perfect fit of the squared loss the sharpness is ``lambda_max(K) / n``.)

    It is the largest *algebraic* eigenvalue: a negative one does not count, however large its modulus.

    Args:
        net: a `TwoLayer` (closed form, any run axes), or any module (double backward).
        x, y: the training data, ``(..., n, d)`` and ``(..., n)``.
        loss: see `regimes.losses`.
        method: ``"dense"`` (all eigenvalues), ``"lanczos"`` (about a dozen products with the Hessian, run by run), or
            ``"auto"``: dense up to 150 parameters for a `TwoLayer`, up to 20 for other modules.
        backend: see `regimes.hessians.hessian`.

    Raises:
        ValueError: for parameters that are not finite (a diverged run), targets that do not fit the outputs, or an unknown
            method.
    """
    return hessian_eigenvalues(net, x, y, loss=loss, method=method, backend=backend)[..., 0]


def largest_eigenvalue(H: Hessian, tol: float = 1e-4) -> float:
    """The largest algebraic eigenvalue of the Hessian of one run, by Lanczos iteration: see `largest_eigenvalues`."""
    return largest_eigenvalues(H, tol=tol)[0].item()


def sometimes(measure: Callable[[nn.Module], Tensor], every: int) -> tuple[Callable[[nn.Module], Tensor], int]:
    """The pair ``(measure, every)``: a measurement that is too expensive to make at each step of `regimes.training.train`."""
    return measure, every
