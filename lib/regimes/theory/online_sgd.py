r"""One-pass SGD on committee machines in high dimension: a small ODE for the overlaps.

A committee is the *mean* of erf units: :math:`f = \frac1p \sum_j g(u_j)` with :math:`u_j = w_j\cdot x`, inputs ``x ~ N(0,
I_d)`` and rows ``w_j`` of length of order one; the teacher :math:`f^* = \frac1k\sum_r g(u^*_r)` likewise. A step on one fresh
sample with label :math:`f^* + \sqrt\Delta\,\zeta` is :math:`w_j \leftarrow w_j + \frac{\eta}{d}\, E\, g'(u_j)\, x`, with the
error ``E = label - f`` and ``eta`` = learning rate over width. The overlaps :math:`Q = WW^T`, :math:`M = WW^{*T}` then
follow, as ``d`` grows,

.. math:: \dot M = J_*, \qquad \dot Q = J + J^T + \eta N,
    \qquad J_{jb} = E[g'(u_j)\,u_b\,E], \quad N_{jl} = E[g'(u_j)\,g'(u_l)\,E^2]

in the time ``t = eta * steps / d``, the sum of the step sizes: ``J`` is the drift, ``N`` the noise, and everything depends on
``d`` and on the widths through ``eta`` alone. All matrices may carry leading axes ``...``.

Source: Veiga et al. 2022 (their ODE off the plateau line drops one of the two terms; see `integrate`).
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy import ndarray
from scipy.integrate import solve_ivp

from regimes.theory.gaussian import tilt

__all__ = ["Alike", "Path", "coefficients", "covariance", "drift", "follow", "integrate", "noise", "risk", "second_moment"]

KEEP = ("both", "drift", "noise")


class Alike(NamedTuple):
    """Classes of units that are equal in law: one representative stands for all.

    Attributes:
        each: ``(n,)``, the coefficient of a single unit; that of the class is ``c``, which may be any multiple of it.
        gap: ``(..., n)``, the overlap of a unit with itself, minus that of two different units of the class.
    """

    each: ndarray
    gap: ndarray


class Path(NamedTuple):
    """A solution of the ODE.

    Attributes:
        time: ``(t,)``, the sum of the step sizes.
        Q, M: ``(t, p, p)`` and ``(t, p, k)``.
        risk: ``(t,)``, without label noise.
    """

    time: ndarray
    Q: ndarray
    M: ndarray
    risk: ndarray


def coefficients(p: int, k: int) -> ndarray:
    """``c`` of the error ``E = sum_a c_a g(u_a) + noise``: ``-1/p`` for each student unit, ``+1/k`` for each teacher unit."""
    return np.concatenate([np.full(p, -1 / p), np.full(k, 1 / k)])


def covariance(Q: ndarray, M: ndarray, P: ndarray) -> ndarray:
    """``Omega``, the covariance of all fields ``(u, u*)``: from ``(..., p, p)``, ``(..., p, k)`` and ``(k, k)``."""
    P = np.broadcast_to(P, (*M.shape[:-2], *P.shape[-2:]))
    return np.block([[Q, M], [np.swapaxes(M, -1, -2), P]])


def second_moment(omega: ndarray, c: ndarray, alike: Alike | None = None) -> ndarray:
    """``E[(sum_a c_a g(u_a))^2]``, which is ``sum_ab c_a c_b I2(a, b)``: ``(..., n, n)`` to ``(...)``.

    With ``alike``, ``c`` is summed over each class, and pairs within a class overlap by ``gap`` less than a unit with itself.
    """
    itself = np.diagonal(omega, axis1=-2, axis2=-1)
    size = 1 + itself
    total = np.arcsin(omega / np.sqrt(size[..., :, None] * size[..., None, :])) @ c @ c
    if alike is not None:
        inside = np.arcsin(itself / size) - np.arcsin((itself - alike.gap) / size)
        total = total + inside @ (c * alike.each - c * c)
    return 2 / np.pi * total


def risk(omega: ndarray, c: ndarray, alike: Alike | None = None) -> ndarray:
    """The population risk ``E[(f - f*)^2] / 2``, without label noise: ``(...)``. Rounding below zero is clipped."""
    return np.maximum(second_moment(omega, c, alike), 0) / 2


def drift(omega: ndarray, c: ndarray, units: int) -> ndarray:
    r"""``J``, with ``J_jb = E[g'(u_j) u_b E]``, for the first ``units`` fields ``j``: ``(..., units, n)``.

    The sum over ``a`` of ``c_a I3(j, b, a)`` is one matrix product:
    :math:`J = D\Omega - \mathrm{diag}\big(\sum_a D_{ja}\Omega_{ja} / (1+\Omega_{jj})\big)\,\Omega`, where
    :math:`D_{ja} = \frac2\pi c_a\, [(1+\Omega_{jj})(1+\Omega_{aa}) - \Omega_{ja}^2]^{-1/2}`.
    """
    size, rows = 1 + np.diagonal(omega, axis1=-2, axis2=-1), omega[..., :units, :]
    own = size[..., :units, None]
    D = 2 / np.pi * c / np.sqrt(own * size[..., None, :] - rows**2)
    return D @ omega - (D * rows).sum(-1, keepdims=True) / own * rows


def noise(omega: ndarray, c: ndarray, i: ndarray, j: ndarray, label_noise: float, alike: Alike | None = None) -> ndarray:
    r"""``N_ij = E[g'(u_i) g'(u_j) E^2]`` for the pairs of fields in the index arrays ``i`` and ``j``: ``(..., pairs)``.

    Tilt by ``u_i`` and ``u_j``; what is left is the second moment of the error under the tilted measure, plus the variance
    ``label_noise`` of the labels.
    """
    tilted, mass = tilt(omega, i, j)
    return 2 / np.pi * mass * (second_moment(tilted, c, alike) + label_noise)


def integrate(
    Q: ndarray,
    M: ndarray,
    time: ndarray,
    *,
    eta: float,
    label_noise: float = 0.0,
    P: ndarray | None = None,
    keep: str = "both",
    symmetric: str = "error",
    rtol: float = 1e-6,
) -> Path:
    """The overlaps of one-pass SGD with step ``eta / d``, starting from ``Q, M``.

    Args:
        Q, M: the overlaps at the start, ``(p, p)`` and ``(p, k)``: the run's own, not typical ones.
        time: ``(t,)``, ascending from the start's time 0 or later; ``eta * steps / d``.
        eta: learning rate over width.
        label_noise: the variance ``Delta``.
        P: overlaps of the teacher; the identity (an orthonormal one) unless given.
        keep: ``"both"`` terms, as SGD at finite ``d`` has them; ``"drift"`` alone, the limit where ``eta`` vanishes (perfect
            learning); ``"noise"`` alone, the limit where it diverges (bad learning: ``M`` is frozen).
        symmetric: what to do with a start at which no student unit distinguishes the teacher's units (``M = 0``, say): such a
            start never leaves the unspecialised plateau. ``"error"`` or ``"allow"``.
        rtol: relative tolerance of the integrator (LSODA).

    Raises:
        ValueError: for shapes that do not fit, overlaps that no units have, a step or a noise below zero, or a symmetric start.
        RuntimeError: if the integrator gives up, with its message, or is led to overlaps that no units have.
    """
    Q, M, time = np.asarray(Q), np.asarray(M), np.asarray(time)
    p, k = M.shape
    P = np.eye(k) if P is None else P
    _valid(Q, M, P, eta, label_noise, keep)
    if symmetric != "allow" and k > 1 and np.ptp(M, axis=1).max() < 1e-9:
        raise ValueError(
            "no unit of the student distinguishes the teacher's units (each row of M is constant): from here the ODE never "
            'leaves the unspecialised plateau. Start from the overlaps of a random student, or pass symmetric="allow"'
        )
    c, (i, j) = coefficients(p, k), np.triu_indices(p)
    place = np.empty((p, p), int)  # where Q_ij stands in the vector of the ODE
    place[i, j] = place[j, i] = np.arange(len(i))

    def unpack(y: ndarray) -> tuple[ndarray, ndarray]:
        return y[..., : len(i)][..., place], y[..., len(i) :].reshape(*y.shape[:-1], p, k)

    def moves(y):
        J = drift(covariance(*unpack(y), P), c, p)
        S = J[..., :p] + np.swapaxes(J[..., :p], -1, -2)
        return np.concatenate([S[..., i, j], J[..., p:].reshape(*y.shape[:-1], p * k)], -1)

    def shakes(y):
        return np.concatenate([noise(covariance(*unpack(y), P), c, i, j, label_noise), np.zeros(p * k)])

    y = follow(moves, shakes, np.concatenate([Q[i, j], M.ravel()]), time, eta=eta, keep=keep, rtol=rtol)
    Q, M = unpack(y)
    return Path(time, Q, M, risk(covariance(Q, M, P), c))


Field = Callable[[ndarray], ndarray]


def follow(moves: Field, shakes: Field, start: ndarray, time: ndarray, *, eta: float, keep: str, rtol: float) -> ndarray:
    """Solve ``dy/dt = moves(y) + eta * shakes(y)``, or with one of the two terms: ``(t, variables)``.

    ``moves`` takes a stack of states ``(..., variables)``. The ODE is stiff near the end of learning (an explicit method needs
    ten thousand evaluations), so LSODA gets the Jacobian of ``moves`` by differences, in one call; leaving the noise out of it
    changes the number of steps, not the solution.
    """
    h, eye = 1e-6, np.eye(len(start))
    parts = {"both": lambda y: moves(y) + eta * shakes(y), "drift": moves, "noise": lambda y: eta * shakes(y)}

    def jacobian(_, y):
        return ((moves(y + h * eye) - moves(y - h * eye)) / (2 * h)).T

    with np.errstate(invalid="ignore"):  # reported below
        solution = solve_ivp(
            lambda _, y: parts[keep](y),
            (0.0, max(float(time[-1]), 1e-300)),
            start,
            t_eval=time,
            method="LSODA",
            rtol=rtol,
            atol=1e-3 * rtol,
            jac=None if keep == "noise" else jacobian,
        )
    if not solution.success:
        raise RuntimeError(f"the integrator stopped before t = {time[-1]:g}: {solution.message}")
    lost = ~np.isfinite(solution.y).all(0)
    if lost.any():
        raise RuntimeError(
            f"rounding led to overlaps that no units have, before t = {solution.t[lost][0]:g}: at such a start (units that are "
            "equal, say) noise pulls them apart. Use a smaller rtol, or start from units that differ"
        )
    return solution.y.T


def _valid(Q, M, P, eta, label_noise, keep):
    p, k = M.shape
    if Q.shape != (p, p) or P.shape != (k, k):
        raise ValueError(f"for M of shape (p, k) = {M.shape}, Q is (p, p) and P is (k, k); got {Q.shape} and {P.shape}")
    if eta < 0 or label_noise < 0 or keep not in KEEP:
        raise ValueError(f"eta >= 0, label_noise >= 0 and keep in {KEEP} are needed; got {eta=}, {label_noise=}, {keep=}")
    lowest = np.linalg.eigvalsh(covariance(Q, M, P))[0]
    if lowest < -1e-8:
        raise ValueError(
            f"no units have these overlaps: the covariance of the fields has an eigenvalue {lowest:.2g} below zero"
        )
