r"""Expectations of erf units over Gaussian fields, in closed form.

The unit is :math:`g(u) = \mathrm{erf}(u/\sqrt2)`, so :math:`g'(u) = \sqrt{2/\pi}\,e^{-u^2/2}`; the fields :math:`u` are jointly
Gaussian with mean zero and covariance :math:`\Omega`. One idea gives all four formulas: a factor :math:`g'(u_j)` is itself a
Gaussian, so it *tilts* the measure into another Gaussian, with a smaller covariance (`tilt`). What is left is an expectation
without :math:`g'`.

Source: Saad and Solla 1995 for the integrals I2, I3, I4; the derivation by tilting is ours.
"""

import numpy as np
from numpy import ndarray

__all__ = ["I2", "I3", "I4", "J2", "tilt"]


def tilt(omega: ndarray, *units: int | ndarray) -> tuple[ndarray, ndarray]:
    r"""The covariance of the fields under the density times :math:`\prod_{j\in S} e^{-u_j^2/2}`, and the mass that is left.

    .. math:: \tilde\Omega = \Omega - \Omega_{\cdot S} (I + \Omega_{SS})^{-1} \Omega_{S\cdot}, \qquad
              E\Big[\prod_{j\in S} e^{-u_j^2/2} F(u)\Big] = \det(I + \Omega_{SS})^{-1/2}\; \tilde E[F(u)]

    Args:
        omega: ``(..., n, n)``.
        units: ``S``: one or two integers, which may coincide; or index arrays ``(s,)``, which make a stack of tilts.

    Returns:
        The tilted covariance ``(..., s, n, n)`` and the factor ``det(...)^(-1/2)`` ``(..., s)``, both without ``s`` for
        integers.
    """
    S = np.stack(np.broadcast_arrays(*units), -1)  # (s, |S|)
    rows = omega[..., S, :]  # (..., s, |S|, n)
    A = np.eye(S.shape[-1]) + np.take_along_axis(rows, np.broadcast_to(S[..., None, :], rows.shape[:-1] + S.shape[-1:]), -1)
    inverse, det = _inverse(A)
    tilted = omega[..., None, :, :] if S.ndim > 1 else omega
    return tilted - np.swapaxes(rows, -1, -2) @ (inverse @ rows), det**-0.5


def I2(omega: ndarray, a: int, b: int) -> ndarray:
    r"""``E[g(u_a) g(u_b)]`` :math:`= \frac2\pi \arcsin \Omega_{ab} / \sqrt{(1+\Omega_{aa})(1+\Omega_{bb})}`.

    >>> round(float(I2(np.eye(2), 0, 0)), 4)  # = 1/3: asin(1/2) = pi/6
    0.3333
    """
    return 2 / np.pi * np.arcsin(omega[..., a, b] / np.sqrt((1 + omega[..., a, a]) * (1 + omega[..., b, b])))


def J2(omega: ndarray, i: int, j: int) -> ndarray:
    """``E[g'(u_i) g'(u_j)]``: two tilts, and nothing left to average."""
    return 2 / np.pi * tilt(omega, i, j)[1]


def I3(omega: ndarray, j: int, b: int, a: int) -> ndarray:
    r"""``E[g'(u_j) u_b g(u_a)]``: tilt by ``u_j``; Stein's lemma does the rest.

    .. math:: \tilde E[u_b\, g(u_a)] = \tilde\Omega_{ba}\, \tilde E[g'(u_a)]
    """
    tilted, mass = tilt(omega, j)
    return 2 / np.pi * mass * tilted[..., b, a] / np.sqrt(1 + tilted[..., a, a])


def I4(omega: ndarray, i: int, j: int, a: int, b: int) -> ndarray:
    """``E[g'(u_i) g'(u_j) g(u_a) g(u_b)]``: tilt by both, then `I2`."""
    tilted, mass = tilt(omega, i, j)
    return 2 / np.pi * mass * I2(tilted, a, b)


def _inverse(A: ndarray) -> tuple[ndarray, ndarray]:
    """Inverse and determinant of symmetric matrices with one or two rows."""
    if A.shape[-1] == 1:
        return 1 / A, A[..., 0, 0]
    a, b, d = A[..., 0, 0], A[..., 0, 1], A[..., 1, 1]
    det = a * d - b * b
    return np.stack([np.stack([d, -b], -1), np.stack([-b, a], -1)], -2) / det[..., None, None], det
