r"""The lazy regime: kernels of infinite width in closed form, and training on a kernel that does not move.

Conventions: squared loss :math:`L = |r|^2/2n`, kernel :math:`K = c\,JJ^T` on the ``n`` training inputs, gradient flow
:math:`\dot r = -Kr/n`; ``t`` is its time, and ``k`` steps of size ``eta`` take the time ``k eta``. A kernel that does not move
predicts outputs at new inputs as well: :math:`\dot f(x') = -K(x', X)\, r/n`.

Sources: Jacot, Gabriel, Hongler 2018 (the kernel and its flow); Cho and Saul 2009 (ReLU), Williams 1997 (erf) for the
expectations; Chizat, Oyallon, Bach 2019 (lazy training).
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor

__all__ = [
    "erf_kernel",
    "flow_prediction",
    "infinite_width_kernel",
    "kernel_regression",
    "mode_flow",
    "modes",
    "relu_kernel",
    "step_prediction",
]


def relu_kernel(x: Tensor, other: Tensor | None = None) -> Tensor:
    r"""The kernel at initialisation of a `TwoLayer` with ReLU and infinite width, no bias, ``std = output_std = 1``.

    With the angle :math:`\theta` between two inputs,

    .. math:: K(x, x') = \frac{|x||x'|}{2\pi} [\sin\theta + (\pi - \theta)\cos\theta] + x \cdot x'\, \frac{\pi - \theta}{2\pi},

    from the output and from the hidden weights: :math:`E[\phi\phi'] + x\cdot x'\,E[\dot\phi\dot\phi']` over standard normal
    weights. The scaling does not matter: ``K = c J J^T`` has one limit in both.

    Args:
        x: ``(..., n, d)``.
        other: ``(..., n', d)``; ``x`` itself if not given.

    Returns:
        ``(..., n, n')``.

    Raises:
        ValueError: for inputs of different dimension.

    >>> one = torch.tensor([[1.0, 0.0], [0.0, 1.0]], dtype=torch.float64)
    >>> relu_kernel(one)  # |x|^2 on the diagonal, 1 / 2 pi off it
    tensor([[1.0000, 0.1592],
            [0.1592, 1.0000]], dtype=torch.float64)
    """
    S, length, length2 = _products(x, other)
    size = (length * length2).sqrt()
    cos = torch.where(size > 0, S / torch.where(size > 0, size, 1.0), 0.0).clamp(-1, 1)  # rounding: 1 + 1e-16 has no arccos
    theta = torch.arccos(cos)
    output = size / (2 * math.pi) * (torch.sin(theta) + (math.pi - theta) * cos)
    return output + S * (math.pi - theta) / (2 * math.pi)


def erf_kernel(x: Tensor, other: Tensor | None = None) -> Tensor:
    r"""The same for the course's ``"erf"``, :math:`\phi(z) = \mathrm{erf}(z/\sqrt2)`.

    .. math:: K(x, x') = \frac2\pi \arcsin \frac{S}{\sqrt{ab}} + \frac{2}{\pi} \frac{S}{\sqrt{ab - S^2}}, \qquad
              S = x\cdot x',\; a = 1 + |x|^2,\; b = 1 + |x'|^2

    (For :math:`\phi(z) = \mathrm{erf}(z)` multiply the inputs by :math:`\sqrt2`.)

    Args:
        x: ``(..., n, d)``.
        other: ``(..., n', d)``; ``x`` itself if not given.

    Returns:
        ``(..., n, n')``.

    Raises:
        ValueError: for inputs of different dimension.
    """
    S, length, length2 = _products(x, other)
    ab = (1 + length) * (1 + length2)
    return 2 / math.pi * (torch.arcsin(S / ab.sqrt()) + S / (ab - S.square()).sqrt())


def infinite_width_kernel(activation: str, x: Tensor, other: Tensor | None = None) -> Tensor:
    """`relu_kernel` or `erf_kernel`, by the name of the activation.

    Raises:
        ValueError: for another activation.
    """
    if str(activation) not in KERNELS:
        raise ValueError(
            f"no closed form for {activation!r}: there is one for {' and '.join(KERNELS)}. For others take the kernel of a "
            "wide network, regimes.kernels.neural_tangent_kernel"
        )
    return KERNELS[str(activation)](x, other)


KERNELS = {"relu": relu_kernel, "erf": erf_kernel}


def modes(K: Tensor, r: Tensor) -> tuple[Tensor, Tensor]:
    """Eigenvalues of a kernel, largest first ``(..., n)``, and a residual ``(..., n)`` in the basis of its eigenvectors.

    A frozen kernel moves each of these coordinates on its own; see `mode_flow`.
    """
    lam, Q = torch.linalg.eigh(K)
    return lam.flip(-1), (Q.mT @ r[..., None])[..., 0].flip(-1)


def mode_flow(lam: Tensor, t: Tensor, n: int) -> Tensor:
    r"""What is left of each mode at the times ``t``: :math:`e^{-\lambda t/n}`.

    Large eigenvalues are learned first: a mode is at :math:`1/e` at the time :math:`n/\lambda`.

    Args:
        lam: ``(..., n)``.
        t: ``(k,)``, or with run axes that broadcast against those of ``lam``, ``(k, ...)``.
        n: the number in the mean of the loss.

    Returns:
        ``(k, ..., n)``.
    """
    return torch.exp(-lam * torch.as_tensor(t, dtype=lam.dtype, device=lam.device)[..., None] / n)


def flow_prediction(K: Tensor, K_new: Tensor, r: Tensor, t: float | Tensor) -> Tensor:
    r"""By how much gradient flow on a frozen kernel has changed the outputs at new inputs at time ``t``.

    .. math:: f_t(x') - f_0(x') = -K(x', X)\, K^{-1} (1 - e^{-Kt/n})\, r_0

    Args:
        K: ``(..., n, n)``, on the training inputs.
        K_new: ``(..., n', n)``, between new inputs and training inputs; ``K`` itself for the training inputs.
        r: initial residual, ``(..., n)``.
        t: the time, a number or one per run.

    Returns:
        ``(..., n')``.

    Raises:
        ValueError: for shapes that do not fit together.
    """
    n, t = K.shape[-1], torch.as_tensor(t, dtype=K.dtype, device=K.device)[..., None]
    return -_through(K, K_new, r, lambda lam: _divided(-torch.expm1(-lam * t / n), lam, t / n))


def step_prediction(K: Tensor, K_new: Tensor, r: Tensor, lr: float | Tensor, k: int) -> Tensor:
    r"""The same after ``k`` steps of gradient descent of size ``lr``: :math:`-K(x', X)\,K^{-1}[1 - (1 - \eta K/n)^k]\, r_0`."""
    n, lr = K.shape[-1], torch.as_tensor(lr, dtype=K.dtype, device=K.device)[..., None]
    return -_through(K, K_new, r, lambda lam: _divided(1 - (1 - lr * lam / n) ** k, lam, lr * k / n))


def kernel_regression(K: Tensor, K_new: Tensor, y: Tensor, f: Tensor | float = 0.0, f_new: Tensor | float = 0.0) -> Tensor:
    r"""Where training on a frozen kernel ends: :math:`f_\infty(x') = f_0(x') + K(x', X)\,K^{-1}\,[y - f_0(X)]`.

    Args:
        K: ``(..., n, n)``, on the training inputs.
        K_new: ``(..., n', n)``, between new inputs and training inputs.
        y: labels, ``(..., n)``.
        f, f_new: initial outputs, on training and on new inputs; zero unless given.

    Returns:
        ``(..., n')``.

    Raises:
        ValueError: for shapes that do not fit together, or a kernel that is singular at its precision: two inputs are equal, or
            the network has fewer parameters than there are samples.
    """
    return f_new + _through(K, K_new, y - f, _inverse)


def _through(K: Tensor, K_new: Tensor, r: Tensor, weight: Callable[[Tensor], Tensor]) -> Tensor:
    """``K_new weight(K) r``, with a function of the eigenvalues."""
    n = K.shape[-1]
    if K.shape[-2:] != (n, n) or K_new.shape[-1] != n or r.shape[-1] != n:
        raise ValueError(
            "K (..., n, n), K_new (..., n', n) and a residual (..., n) of the same n training inputs are needed; got "
            f"{tuple(K.shape)}, {tuple(K_new.shape)} and {tuple(r.shape)}"
        )
    lam, Q = torch.linalg.eigh(K)
    return (K_new @ (Q @ (weight(lam)[..., None] * (Q.mT @ r[..., None]))))[..., 0]


def _divided(share: Tensor, lam: Tensor, limit: Tensor) -> Tensor:
    """``share / lam``, and its limit where an eigenvalue is zero."""
    return torch.where(lam == 0, limit, share / torch.where(lam == 0, 1.0, lam))


def _inverse(lam: Tensor) -> Tensor:
    """``1 / lam``, of eigenvalues in ascending order."""
    resolved = lam.shape[-1] * torch.finfo(lam.dtype).eps * lam[..., -1]
    if not (lam[..., 0] > resolved).all():
        raise ValueError(
            f"the kernel is singular at {lam.dtype} (smallest eigenvalue {lam[..., 0].min():.1e}, largest {lam.max():.1e}): "
            "rounding would decide the prediction. Leave out repeated inputs, use a wider network, or stop at a time with "
            "flow_prediction"
        )
    return 1 / lam


def _products(x: Tensor, other: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
    """``x . x'``, ``|x|^2`` as a column, ``|x'|^2`` as a row."""
    other = x if other is None else other
    if x.ndim < 2 or other.ndim < 2 or x.shape[-1] != other.shape[-1]:
        raise ValueError(f"inputs (..., n, d) and (..., n', d) are needed; got {tuple(x.shape)} and {tuple(other.shape)}")
    length, length2 = (t.square().sum(-1) for t in (x, other))
    return x @ other.mT, length[..., :, None], length2[..., None, :]
