r"""A committee whose students form equal groups, one per teacher unit: five numbers instead of ``p(p+1)/2 + pk``.

Each of the ``k`` groups has ``K = p/k`` students. The overlaps are ``q`` (a student with itself), ``c`` (two of one group),
``e`` (of two groups), ``m`` (with its own teacher unit) and ``n`` (with another). The symmetry is conserved. Because ``K``
enters as a multiplicity, it may be any real number of at least one, and a width of a million costs no more than one of two.

Source: the reduction is ours; the ODE is that of `regimes.theory.online_sgd`.
"""

from typing import NamedTuple

import numpy as np
from numpy import ndarray

from regimes.theory.online_sgd import Alike, drift, follow, noise, risk
from regimes.theory.sgd_phases import unspecialised_plateau

__all__ = ["SymmetricPath", "escape_time", "integrate_symmetric", "natural_path"]

Q, C, E, M, N, ONE, ZERO = range(7)  # places in the vector (q, c, e, m, n, 1, 0)


class SymmetricPath(NamedTuple):
    """A solution, all ``(t,)``: time (the sum of the step sizes), the five overlaps, and the risk without label noise."""

    time: ndarray
    q: ndarray
    c: ndarray
    e: ndarray
    m: ndarray
    n: ndarray
    risk: ndarray


def integrate_symmetric(
    k: int,
    students: float,
    time: ndarray,
    *,
    eta: float,
    label_noise: float = 0.0,
    start: tuple[float, float, float, float, float] = (1.0, 0.0, 0.0, 0.01, 0.0),
    keep: str = "both",
    rtol: float = 1e-6,
) -> SymmetricPath:
    """The five overlaps of one-pass SGD with step ``eta / d``; the teacher is orthonormal.

    Args:
        k: units of the teacher, at least two.
        students: ``K``, student units per teacher unit.
        time, eta, label_noise, keep, rtol: as for `regimes.theory.online_sgd.integrate`.
        start: ``q, c, e, m, n``. With ``m = n`` the plateau is never left.

    Raises:
        ValueError: for ``k < 2``, ``K < 1``, or ``m = n`` at the start.
    """
    if k < 2 or students < 1:
        raise ValueError(f"groups need k >= 2 teacher units and at least one student each; got {k=}, {students=}")
    if start[3] == start[4]:
        raise ValueError(f"with m = n = {start[3]:g} the students never specialise: start with m different from n")
    places, each, coefficients = _classes(k, students)
    first, other = np.zeros(3, int), np.arange(3)  # the student, and itself, a mate, a stranger

    def omega(y):
        return np.concatenate([y, np.broadcast_to([1.0, 0.0], (*y.shape[:-1], 2))], -1)[..., places]

    def alike(y):
        q, c = y[..., 0:1], y[..., 1:2]
        return Alike(
            each, np.concatenate([np.zeros((*y.shape[:-1], 3)), np.repeat(q - c, k, -1), np.zeros((*y.shape[:-1], k))], -1)
        )

    def moves(y):
        J = drift(omega(y), coefficients, 1)[..., 0, :]
        return np.concatenate([2 * J[..., :3], J[..., -k : 2 - k or None]], -1)

    def shakes(y):
        return np.concatenate([noise(omega(y), coefficients, first, other, label_noise, alike(y)), np.zeros(2)])

    y = follow(moves, shakes, np.array(start, dtype=float), time, eta=eta, keep=keep, rtol=rtol)
    q, c, e, m, n = y.T
    return SymmetricPath(np.asarray(time), q, c, e, m, n, risk(omega(y), coefficients, alike(y)))


def natural_path(
    kappa: float,
    delta: float,
    d: float,
    time: ndarray,
    *,
    k: int = 2,
    students: float = 2,
    label_noise: float = 0.0,
    keep: str = "both",
    rtol: float = 1e-5,
) -> SymmetricPath:
    """The ODE at a point of the phase diagram, in natural time, from a start that knows the teacher as little as a random one.

    Width and step are ``p = k * students * d^kappa`` and ``eta = d^-(kappa + delta)``; the overlaps of a student with the two
    kinds of teacher units differ by ``d^(-1/2)`` at the start.

    Args:
        kappa, delta: the point, see `regimes.theory.sgd_phases`.
        d: inputs.
        time: ``(t,)``, natural: the sum of the step sizes, in bad learning times ``eta``.
        k, students, label_noise, keep, rtol: as for `integrate_symmetric`.
    """
    eta = d ** -(kappa + delta)
    steps = np.asarray(time) / (eta if kappa + delta < 0 else 1)
    start, options = (1, 0, 0, d**-0.5, 0), dict(eta=eta, label_noise=label_noise, keep=keep, rtol=rtol)
    return integrate_symmetric(k, students * d**kappa, steps, start=start, **options)._replace(time=np.asarray(time))


def escape_time(d: float, p: int, k: int) -> float:
    """When gradient flow from such a start leaves the unspecialised plateau: its risk is half that of the plateau.

    Raises:
        ValueError: if ``p`` is not a multiple of ``k``, or the plateau is not left within ``200 k log(d)``.
    """
    if p % k:
        raise ValueError(f"equal groups need as many students for each teacher unit; got {p=}, {k=}")
    time = np.linspace(0, 200 * k * np.log(d), 40_001)
    path = integrate_symmetric(k, p / k, time, eta=0.0, start=(1, 0, 0, d**-0.5, 0), keep="drift", rtol=1e-9)
    left = path.risk < unspecialised_plateau(k) / 2
    if not left.any():
        raise ValueError(f"for {d=:g}, {p=}, {k=} the plateau is not left by t = {time[-1]:.3g}, which is as far as this looks")
    return float(time[left.argmax()])


def _classes(k: int, students: float) -> tuple[ndarray, ndarray, ndarray]:
    """Places of the overlaps, coefficients of single units and of whole classes of units.

    In this order: a student, a mate of its group, a stranger of the second group; the rest of each group; the teacher units.
    (For ``K = 1`` the rest of the first group has -1 members, which exactly cancels the mate.)
    """
    group = np.concatenate([[0, 0, 1], np.arange(k), np.arange(k)])
    teacher = np.arange(3 + 2 * k) >= 3 + k
    same = group[:, None] == group
    places = np.where(same, C, E)
    places = np.where(teacher[:, None] | teacher, np.where(same, M, N), places)
    places = np.where(teacher[:, None] & teacher, np.where(same, ONE, ZERO), places)
    np.fill_diagonal(places, np.where(teacher, ONE, Q))
    rest = np.full(k, students, dtype=float)
    rest[:2] -= 2, 1
    sizes = np.concatenate([np.ones(3), rest, np.ones(k)])
    each = np.where(teacher, 1 / k, -1 / (k * students))
    return places, each, sizes * each
