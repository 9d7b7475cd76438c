r"""Two-layer linear networks: how fast the flow converges, and how far from the min-norm solution it ends.

Conventions: predictor :math:`\Theta = U V^T` with ``U (d, m)`` and ``V (q, m)``; data ``X (n, d)`` of rank ``r`` with
singular values ``s`` and ``X = W diag(s) Phi1^T``; ``U = Phi1 U1 + Phi2 U2``, where ``U2`` is what the data cannot see;
whitened target ``Yt = W^T Y``. Loss and time are the paper's: :math:`L = \frac12 \|Y - X U V^T\|_F^2`, a sum, and
:math:`\dot w = -\partial L/\partial w`. For the mean :math:`|.|^2/2n` divide every rate by ``n``. The imbalance
:math:`\Lambda = U_1^T U_1 - V^T V` is conserved.

Sources: [1] Min, Tarmoun, Vidal, Mallada, ICML 2021; [2] the same authors' second version, arXiv 2105.06351v2. What
is marked *derived* is in neither. The exact solutions are in `regimes.theory.linear_flows`.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import pad

__all__ = [
    "Levels",
    "conditional_law",
    "distance_law",
    "exponent",
    "full_step_law",
    "imbalance_levels",
    "imbalance_rate",
    "margin_rate",
    "random_init_bound",
    "smallest_width",
    "start_rate",
]


class Levels(NamedTuple):
    """What the bounds use of the spectrum of the imbalance; each ``(...)``."""

    level: Tensor
    spread_plus: Tensor
    spread_minus: Tensor


def imbalance_levels(eigenvalues: Tensor, r: int, q: int) -> Levels:
    r"""The level :math:`[\lambda_r(\Lambda)]_+ + [\lambda_q(-\Lambda)]_+` and the spreads of the imbalance.

    Eigenvalues count from the largest, :math:`[x]_+ = \max(x, 0)`. The spreads are :math:`[\lambda_1(\Lambda)]_+ -
    [\lambda_r(\Lambda)]_+` and :math:`[\lambda_1(-\Lambda)]_+ - [\lambda_q(-\Lambda)]_+`. The level is ``c`` of [1],
    Thm 1; all three are in [2], section 3.

    A term whose index exceeds the width is zero. No argument is needed for that: among ``m`` eigenvalues no more than
    ``m`` are positive.

    Args:
        eigenvalues: ``(..., k)`` of the imbalance, in any order; zeros may be missing.
        r: rank of the data.
        q: outputs per sample.

    Raises:
        ValueError: unless ``r`` and ``q`` are at least 1.

    >>> levels = imbalance_levels(torch.tensor([5.0, 2.0, -3.0]), r=2, q=1)
    >>> [value.item() for value in levels]
    [5.0, 3.0, 0.0]
    """
    if min(r, q) < 1:
        raise ValueError(f"data of rank r and q outputs, both at least 1, are needed; got r={r}, q={q}")
    (top, plus), (bottom, minus) = _first_and_last(eigenvalues, r), _first_and_last(-eigenvalues, q)
    return Levels(plus + minus, top - plus, bottom - minus)


def imbalance_rate(levels: Levels, smallest: float | Tensor) -> Tensor:
    """Lower bound ``2 smallest level`` on the rate of ``L - L*`` from the imbalance alone; [1], Thm 1.

    ``L(t) - L* <= exp(-rate t) (L(0) - L*)`` with ``smallest = min(s)^2``. Zero for a balanced start: no statement.
    """
    return 2 * smallest * levels.level


def margin_rate(levels: Levels, product: Tensor, smallest: float | Tensor) -> Tensor:
    r"""Lower bound on the rate :math:`-\dot L/(L - L^*)` at one state, from imbalance and product; [2], Prop. 1.

    :math:`\lambda\,[\sqrt{(D_+ + D)^2 + 4\sigma_q^2} - D_+ + \sqrt{(D_- + D)^2 + 4\sigma_r^2} - D_-]` with the level
    ``D``, the spreads, the singular values of the product (zero beyond its shorter side), and ``smallest`` for
    :math:`\lambda`. Never below `imbalance_rate`; an equality for ``r = q = 1`` (*derived*).

    Args:
        levels: of the imbalance at this state.
        product: ``(..., r, q)``, ``U1 V^T``.
        smallest: ``min(s)^2``.
    """
    return smallest * _both(levels, *_singular_values(product))


def start_rate(levels: Levels, product: Tensor, target: Tensor, s: Tensor) -> Tensor:
    r"""Lower bound on the rate of ``L - L*`` for all time, known at initialisation; [2], Thm 3.

    `margin_rate` with each singular value of the product replaced by what it cannot fall below,
    :math:`[\sigma(Y_t) - \|Y_t - \mathrm{diag}(s) U_1 V^T\|_F]_+ / \max(s)`. ``L(t) - L* <= exp(-rate t) (L(0) - L*)``,
    without a further factor of two.

    Args:
        levels: of the imbalance.
        product: ``(..., r, q)``, ``U1 V^T`` at initialisation.
        target: ``(..., r, q)``, ``Yt``.
        s: ``(..., r)``, the singular values of ``X``.
    """
    distance = torch.linalg.matrix_norm(target - s[..., None] * product)
    margins = [(sigma - distance).clamp(min=0) / s.amax(-1) for sigma in _singular_values(target)]
    return s.amin(-1) ** 2 * _both(levels, *margins)


def smallest_width(alpha: float, *, d: int, q: int, s: Tensor, delta: float = 0.05) -> int:
    r"""The first width that `random_init_bound` covers: the first ``m`` above ``h0^(1 / (4 alpha - 1))``.

    :math:`h_0 = \max\{16, 4 q (\max s / \min s)^4\}\,\tau^2` with :math:`\tau = \sqrt{q + d} + \sqrt{2\log(2/\delta)}`.

    Source: [1], Thm 2, with two constants corrected. The proof bounds the first error with ``S^(-1/2)`` where its own
    definition has ``S^(+1/2)``; repaired, the ratio of the largest and smallest ``s^2`` enters squared. And the tail of
    the singular values of a Gaussian matrix, ``2 exp(-t^2 / 2)``, gives ``t = sqrt(2 log(2 / delta))``, not
    ``log(2 / delta) / 2``.

    Raises:
        ValueError: unless ``1/4 < alpha <= 1/2`` and ``0 < delta < 1``.

    >>> smallest_width(0.5, d=60, q=1, s=torch.ones(20))
    1773
    """
    if not 0.25 < alpha <= 0.5:
        raise ValueError(f"the theorem covers 1/4 < alpha <= 1/2; got alpha={alpha}: use distance_law outside this range")
    ratio = (s.max() / s.min()).item() ** 4
    return math.floor((max(16.0, 4 * q * ratio) * _tail(d, q, delta) ** 2) ** (1 / (4 * alpha - 1))) + 1


def random_init_bound(m: int, alpha: float, *, d: int, q: int, s: Tensor, target: Tensor, delta: float = 0.05) -> float:
    r"""Upper bound on :math:`\|\Theta(\infty) - \hat\Theta\|_F`, which holds with probability ``1 - delta``; [1], Thm 2.

    For independent entries of variance ``m^(-2 alpha)`` and :math:`\hat\Theta = X^+ Y`:
    :math:`2\,C^{1/\gamma} \sqrt{q + r}\,\tau\, m^{1/2 - 2\alpha}` with :math:`\gamma = m^{1 - 2\alpha}`,
    :math:`C = \exp(1 + \max(s) \|Y_t\|_F / \min(s)^2)` and :math:`\tau` of `smallest_width`, where the corrections to the
    printed constants are explained. The paper states the spectral norm and proves the Frobenius norm; its ``Y`` may be
    replaced by ``Yt``. The bound is loose, by more than a factor of ten: it gives the exponent, not the size.

    Args:
        m: width.
        alpha: exponent of the initialisation.
        d: inputs.
        q: outputs per sample.
        s: ``(r,)``, the singular values of ``X``.
        target: ``(r, q)``, ``Yt``.
        delta: probability that the bound fails, at most.

    Raises:
        ValueError: unless ``1/4 < alpha <= 1/2``, ``0 < delta < 1``, and ``m`` is at least `smallest_width`.
    """
    least = smallest_width(alpha, d=d, q=q, s=s, delta=delta)
    if m < least:
        raise ValueError(f"for these data and alpha={alpha} the theorem covers widths from {least}; got m={m}: widen the net")
    log_c = 1 + (s.max() * torch.linalg.matrix_norm(target) / s.min() ** 2).item()
    size = 2 * math.sqrt(q + len(s)) * _tail(d, q, delta) * m ** (0.5 - 2 * alpha)
    return math.exp(log_c * m ** (2 * alpha - 1)) * size


def conditional_law(m: float | Tensor, alpha: float | Tensor, norm: float | Tensor, outside: int) -> Tensor:
    r"""Root mean square distance to :math:`\hat\Theta` given the last layer: ``sqrt(outside) m^(-alpha) norm`` (derived).

    Once the error is zero, the distance is :math:`\|U_2 V^T\|_F`. ``U2`` never moves and the other weights never see
    it, so it is independent of where ``V`` ends. Exact at every width, for every rule that steps in the row space.

    Args:
        m: width.
        alpha: the entries of ``U2`` are normal with variance ``m^(-2 alpha)``.
        norm: :math:`\|V\|_F` at the end.
        outside: directions outside the row space, ``d - r``.
    """
    m, alpha, norm = (torch.as_tensor(value, dtype=torch.float64) for value in (m, alpha, norm))
    return math.sqrt(outside) * m**-alpha * norm


def distance_law(m: float | Tensor, alpha: float | Tensor, sigma: Tensor, outside: int) -> Tensor:
    r"""Root mean square distance to :math:`\hat\Theta` where the flow ends, for wide networks (derived).

    The root of :math:`(d - r)\, m^{-2\alpha} \sum_j \sqrt{\gamma^2 + \sigma_j^2}` with :math:`\gamma = m^{1 - 2\alpha}`: what
    `conditional_law` says of the :math:`\|V\|_F^2` at which the flow ends from ``U1 V^T = 0``, ``U1 U1^T = gamma``,
    ``V V^T = gamma``, which a random start approaches as ``m`` grows. From there it is exact: for gradient flow if all
    singular values of the data are equal, for Gauss-Newton flow on any data.

    Args:
        m: width.
        alpha: exponent of the initialisation.
        sigma: ``(q,)``, singular values of :math:`\hat\Theta`, which are those of ``Yt`` when ``s = 1``; zeros included.
        outside: ``d - r``.

    >>> round(distance_law(1024, 1.0, torch.tensor([1.0, 0.0]), outside=40).item(), 5)
    0.00618
    """
    gamma = torch.as_tensor(m, dtype=torch.float64) ** (1 - 2 * torch.as_tensor(alpha, dtype=torch.float64))
    return conditional_law(m, alpha, torch.hypot(gamma[..., None], sigma).sum(-1).sqrt(), outside)


def full_step_law(m: float | Tensor, alpha: float | Tensor, norm: float | Tensor, q: int, outside: int) -> Tensor:
    r"""The distance of `distance_law` after one full undamped Gauss-Newton step instead of the flow (derived).

    The step solves the problem and ends at :math:`\|V\|_F^2 = q\gamma + \|\hat\Theta\|_F^2 / 4\gamma`: the smaller the
    initialisation, the farther it overshoots. In ``m`` the distance has the exponent ``max(1/2 - 2 alpha, -1/2)``.

    Args:
        m: width.
        alpha: exponent of the initialisation.
        norm: :math:`\|\hat\Theta\|_F`.
        q: outputs per sample.
        outside: ``d - r``.
    """
    gamma = torch.as_tensor(m, dtype=torch.float64) ** (1 - 2 * torch.as_tensor(alpha, dtype=torch.float64))
    return conditional_law(m, alpha, (q * gamma + torch.as_tensor(norm) ** 2 / (4 * gamma)).sqrt(), outside)


def exponent(alpha: float) -> tuple[float | None, float]:
    """The exponents of the distance in ``m``: what [1], Thm 2 proves (None outside ``1/4 < alpha <= 1/2``), and the law's.

    ``1/2 - 2 alpha`` while the noise of the first outputs dominates; from ``alpha = 1/2`` on, ``-alpha`` (*derived*, for
    a target that is not zero).

    >>> exponent(0.5), exponent(0.75)
    ((-0.5, -0.5), (None, -0.75))
    """
    noise = 0.5 - 2 * alpha
    return noise if 0.25 < alpha <= 0.5 else None, max(noise, -alpha)


def _first_and_last(eigenvalues: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """The largest and the ``count``-th largest, zero where negative or missing."""
    positive = pad(eigenvalues.clamp(min=0).sort(-1, descending=True).values, (0, count))
    return positive[..., 0], positive[..., count - 1]


def _singular_values(matrix: Tensor) -> tuple[Tensor, Tensor]:
    """The ``q``-th and the ``r``-th singular value of ``(..., r, q)``, zero beyond the shorter side."""
    r, q = matrix.shape[-2:]
    last = torch.linalg.svdvals(matrix)[..., -1]
    return last * (q <= r), last * (r <= q)


def _both(levels: Levels, sigma_q: Tensor, sigma_r: Tensor) -> Tensor:
    """``sqrt((spread + level)^2 + 4 sigma^2) - spread``, summed over the two signs, written without cancellation."""
    total = 2 * levels.level
    for spread, sigma in ((levels.spread_plus, sigma_q), (levels.spread_minus, sigma_r)):
        reach = spread + levels.level
        below = reach + torch.hypot(reach, 2 * sigma)
        total = total + 4 * sigma**2 / below.clamp(min=torch.finfo(below.dtype).tiny)
    return total


def _tail(d: int, q: int, delta: float) -> float:
    """By how much the singular values of a Gaussian ``(q + d, m)`` matrix may miss ``sqrt(m)``."""
    if not 0 < delta < 1:
        raise ValueError(f"delta is a probability strictly between 0 and 1; got {delta}")
    return math.sqrt(q + d) + math.sqrt(2 * math.log(2 / delta))
