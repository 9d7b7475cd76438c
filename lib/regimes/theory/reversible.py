"""Reversible networks: how well running forwards and back recovers the inputs, with rounding.

Derived here; Buffelli et al. 2024 rely on the inverse and do not say when it fails.
"""

from torch import Tensor

__all__ = ["inversion_error"]


def inversion_error(growth: Tensor, eps: float) -> Tensor:
    r"""An estimate of :math:`|x - f^{-1}(f(x))| / |x|` with rounding: :math:`\epsilon\, (|z| / |x|)^2`.

    The state ``z = f(x)`` is rounded by about ``eps |z|``. The blocks preserve volume: on the way back they magnify some
    directions by as much as they magnified others on the way forward, ``|z| / |x|``. An estimate of the order of magnitude.

    Args:
        growth: ``|z| / |x|``, at least one.
        eps: the machine precision of the dtype, ``torch.finfo(dtype).eps``.
    """
    return eps * growth**2
