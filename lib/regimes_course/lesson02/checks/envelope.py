"""Exercise 2: the loss of the damped Gauss-Newton flow on a kernel that stands still, and its envelope."""

from collections.abc import Callable
from itertools import combinations
from random import Random

import torch
from torch import Tensor

from regimes.theory import gauss_newton as theory
from regimes_course.kit.checking import Function, Mistake, random
from regimes_course.lesson02 import pictures

__all__ = ["DAMPED_ENVELOPE"]

F64 = torch.float64


def _kernel(seed: int, *eigenvalues: float) -> Tensor:
    """A symmetric matrix with these eigenvalues along random directions."""
    Q = torch.linalg.qr(random(seed, len(eigenvalues), len(eigenvalues)))[0]
    K = (Q * torch.tensor(eigenvalues, dtype=F64)) @ Q.mT
    return (K + K.mT) / 2


def _cases() -> dict[str, tuple]:
    simple = torch.tensor([[2.0, 0.0], [0.0, 0.5]], dtype=F64), torch.tensor([1.0, 2.0], dtype=F64)
    t, five = torch.tensor([0.3, 1.0, 1.6, 2.5], dtype=F64), (5.0, 1.2, 0.4, 0.1, 0.02)
    return {
        "K = diag(2, 1/2), r0 = [1, 2], damping 1/2": (torch.tensor([0.0, 0.5, 1.0, 2.0], dtype=F64), *simple, 0.5),
        "a 5 x 5 kernel, damping 0.1": (t, _kernel(0, *five), 3 * random(1, 5) + 1, 0.1),
        "the same, damping 0": (t, _kernel(0, *five), 3 * random(1, 5) + 1, 0.0),
        "a 6 x 6 kernel, damping 30": (10 * t, _kernel(2, 7.0, 2.0, 0.9, 0.3, 0.2, 0.1), random(3, 6) - 0.5, 30.0),
        "a singular kernel, damping 0.2": (t[:2], _kernel(4, 4.0, 1.0, 0.3, 0.05, 0.0, 0.0), random(5, 6) + 0.3, 0.2),
        "an eigenvalue of -1e-6 by rounding, damping 1e-5": (
            t,
            _kernel(6, 2.0, 0.5, 0.01, 1e-4, -1e-6),
            random(7, 5) + 0.2,
            1e-5,
        ),
    }


def _by_matrix_exponential(t: Tensor, K: Tensor, r0: Tensor, damping: float) -> Tensor:
    """Lets ``exp(-t K (K + damping I)^-1)`` act on the residual; no mode is taken apart."""
    _, s, Vh = torch.linalg.svd(K)
    K = (K + (Vh.mT * s) @ Vh) / 2  # (K + |K|) / 2: without its negative part
    A = torch.linalg.solve(K + damping * torch.eye(len(K), dtype=F64), K) if damping else torch.eye(len(K), dtype=F64)
    loss = [(torch.linalg.matrix_exp(-time * A) @ r0).square().sum() / r0.square().sum() for time in t]
    least = torch.linalg.svdvals(K)[-1]
    slowest = least / (least + damping)
    return torch.stack([torch.stack(loss), torch.exp(-2 * t), torch.exp(-2 * slowest * t)])


def _rate(lam, damping):
    return lam / (lam + damping)


def _envelope(
    t: Tensor,
    K: Tensor,
    r0: Tensor,
    damping: float,
    *,
    rate: Callable = _rate,
    power: int = 2,
    weights: Callable = lambda c: c**2 / (c @ c),
    modes: Callable = lambda Q, r: Q.mT @ r,
    end: int = 0,
    least: float = 0.0,
    decay: Callable = torch.exp,
) -> Tensor:
    """A right answer, with one thing at a time to get wrong."""
    lam, Q = torch.linalg.eigh(K)
    rho = rate(lam.clamp(min=least), damping)
    loss = (weights(modes(Q, r0)) * decay(-power * rho * t[:, None])).sum(1)
    return torch.stack([loss, decay(-power * t), decay(-power * rho[end] * t)])


def _by_symmetric_eigenvalues(t, K, r0, damping):
    """Diagonalises the operator of the flow itself; the ends by the library's formula."""
    lam = torch.linalg.eigvalsh(K).clamp(min=0)
    rho, Q = torch.linalg.eigh(K @ torch.linalg.inv(K + damping * torch.eye(len(K), dtype=F64)))
    r = ((Q.mT @ r0)[:, None] * torch.exp(-rho.clamp(min=0)[:, None] * t)).T @ Q.mT
    return torch.stack([r.square().sum(1) / r0.square().sum(), *theory.damped_envelope(t, lam[0], damping)])


def _by_loops(t, K, r0, damping):
    lam, Q = torch.linalg.eigh(K)
    rates = [max(l.item(), 0.0) / (max(l.item(), 0.0) + damping) for l in lam]
    shares = [(Q[:, i] @ r0).item() ** 2 / (r0 @ r0).item() for i in range(len(r0))]
    rows = [[sum(c * torch.exp(-2 * rho * s) for c, rho in zip(shares, rates, strict=True)) for s in t]]
    return torch.stack([torch.stack(rows[0]), torch.exp(-2 * t), torch.exp(-2 * min(rates) * t)])


def _rates_averaged(t, K, r0, damping):
    lam, Q = torch.linalg.eigh(K)
    rho, c = _rate(lam.clamp(min=0), damping), Q.mT @ r0
    return torch.stack([torch.exp(-2 * t * (c**2 @ rho) / (c @ c)), torch.exp(-2 * t), torch.exp(-2 * rho[0] * t)])


def _draw(rng: Random) -> tuple:
    n, seed = rng.randint(1, 6), rng.randrange(10**6)
    eigenvalues = [10 ** rng.uniform(-2, 1) for _ in range(n)]
    t = torch.tensor([rng.uniform(0, 3) for _ in range(rng.randint(1, 4))], dtype=F64)
    return t, _kernel(seed, *eigenvalues), random(seed + 1, n) + 0.3, rng.choice([0.0, 10 ** rng.uniform(-2, 1)])


def _in_some_rows(wrong: Callable) -> list[Callable]:
    """Answers that are wrong in one or two of their three rows, and right in the others."""

    def mixed(rows):
        def answer(t, K, r0, damping):
            right, other = _envelope(t, K, r0, damping), wrong(t, K, r0, damping)
            return torch.stack([other[i] if i in rows else right[i] for i in range(3)])

        return answer

    return [mixed(rows) for count in (1, 2) for rows in combinations(range(3), count)]


def _with(**options) -> Callable:
    return lambda *args: _envelope(*args, **options)


def _lower(t, K, r0, damping):
    rows = _envelope(t, K, r0, damping)
    return torch.stack([rows[0], _envelope(t, K, r0, damping, end=-1)[2], rows[2]])


def _square_of_the_sum(start: Callable[[Tensor], Tensor]) -> Callable:
    """With the sum squared in the loss, divided by ``start`` of the coefficients."""

    def answer(t, K, r0, damping):
        lam, Q = torch.linalg.eigh(K)
        c, rho = Q.mT @ r0, _rate(lam.clamp(min=0), damping)
        rows = _envelope(t, K, r0, damping)
        return torch.stack([(c * torch.exp(-rho * t[:, None])).sum(1) ** 2 / start(c), rows[1], rows[2]])

    return answer


def _upside_down(lam, damping):
    return damping / (lam + damping)


def _gradient_flow(t, K, r0, damping):
    """With both ends of the envelope as the gradient flow has them, those of the largest and of the smallest eigenvalue."""
    rows = _envelope(t, K, r0, damping, rate=lambda lam, eps: lam)
    return torch.stack([rows[0], _envelope(t, K, r0, damping, rate=lambda lam, eps: lam, end=-1)[2], rows[2]])


DAMPED_ENVELOPE = Function(
    key="02/damped_envelope",
    picture=pictures.damped_envelope,
    reference=_by_matrix_exponential,
    cases=_cases,
    draw=_draw,
    praise="It agrees with the matrix exponential of the flow, also on a singular kernel.",
    alternatives=(_envelope, _by_symmetric_eigenvalues, _by_loops),
    mistakes=(
        Mistake(
            "loss not squared",
            "An exponent lacks its 2: the residual's modes decay like this. The loss is quadratic in the residual: each rate is 2 rho, and 2 where rho = 1.",
            _with(power=1),
            also=_in_some_rows(_with(power=1)),
        ),
        Mistake(
            "not stacked",
            "The three rows are right: return them as one tensor of shape (3, k), by torch.stack.",
            lambda *args: tuple(_envelope(*args)),
        ),
        Mistake(
            "transposed",
            "This is the answer with rows and columns exchanged: loss, low and high are rows of length k.",
            lambda *args: _envelope(*args).T,
        ),
        Mistake(
            "order swapped",
            "The two ends of the envelope are the wrong way round: low, exp(-2 t), comes before high.",
            lambda *args: _envelope(*args)[[0, 2, 1]],
        ),
        Mistake(
            "largest eigenvalue",
            "The upper end of the envelope belongs to the slowest mode: it takes the smallest eigenvalue, not the largest.",
            lambda *args: _envelope(*args, end=-1),
        ),
        Mistake(
            "ratio upside down",
            "This uses damping / (lambda + damping), which is 0 without damping. The rate is lambda / (lambda + damping), which is 1 then.",
            _with(rate=_upside_down),
            also=[*_in_some_rows(_with(rate=_upside_down))[:1], *_in_some_rows(_with(rate=_upside_down))[2:3]],
        ),
        Mistake(
            "damping ignored",
            "This is the undamped flow, in which all modes decay alike. With damping a mode has the rate lambda / (lambda + damping).",
            lambda *args: _envelope(*args, rate=lambda lam, eps: torch.ones_like(lam)),
        ),
        Mistake(
            "gradient flow",
            "These are rates of the gradient flow, in proportion to lambda. The Gauss-Newton flow divides by K + damping: lambda / (lambda + damping).",
            _with(rate=lambda lam, eps: lam / len(lam)),
            also=[
                _with(rate=lambda lam, eps: lam),
                _gradient_flow,
                *_in_some_rows(_with(rate=lambda lam, eps: lam / len(lam)))[:1],
                *_in_some_rows(_with(rate=lambda lam, eps: lam))[:1],
            ],
        ),
        Mistake(
            "start ignored",
            "This gives all modes the same weight. The residual at the start decides: mode i has the share c_i^2 / |r0|^2 of the loss.",
            lambda *args: _envelope(*args, weights=lambda c: torch.full_like(c, 1 / len(c))),
        ),
        Mistake(
            "weights not squared",
            "The modes are weighted by |c_i|. The loss is quadratic in the residual, so the weights are c_i^2.",
            lambda *args: _envelope(*args, weights=lambda c: c.abs() / c.abs().sum()),
        ),
        Mistake(
            "absolute loss",
            "This is the loss itself, |r|^2 / 2n. Divide by the loss at the start: at t = 0 the answer is 1.",
            lambda *args: _envelope(*args, weights=lambda c: c**2 / (2 * len(c))),
        ),
        Mistake(
            "not divided",
            "This is |r|^2. Divide by |r0|^2: at t = 0 the answer is 1.",
            lambda *args: _envelope(*args, weights=lambda c: c**2),
        ),
        Mistake(
            "rows for columns",
            "The eigenvectors are the columns of Q, so the modes of the residual are Q^T r0; this is Q r0.",
            lambda *args: _envelope(*args, modes=lambda Q, r: Q @ r),
        ),
        Mistake(
            "rates averaged",
            "This averages the rates and then takes one exponential. Each mode decays by itself: average the exponentials.",
            _rates_averaged,
        ),
        Mistake(
            "finite steps",
            "This takes 1 - x for exp(-x), which is one step of an integrator. The flow has the exponential.",
            lambda *args: _envelope(*args, decay=lambda x: 1 + x),
        ),
        Mistake(
            "rounding not clamped",
            "On a kernel whose smallest eigenvalue is zero, rounding can make it negative, and then the bound grows with time. Take negative "
            "eigenvalues for zero.",
            lambda *args: _envelope(*args, least=-torch.inf),
        ),
        Mistake(
            "lower end from the largest eigenvalue",
            "The lower end takes the largest eigenvalue. That is a bound too, but asked for is the end of the undamped flow, exp(-2 t).",
            lambda *args: _lower(*args),
        ),
        Mistake(
            "residual not rotated",
            "The shares are the squared entries of r0 itself. They belong to the modes: c = Q^T r0.",
            lambda *args: _envelope(*args, modes=lambda Q, r: r),
        ),
        Mistake(
            "square of the sum",
            "This squares a sum over the modes. They are perpendicular to each other: sum their squares.",
            _square_of_the_sum(lambda c: c.sum() ** 2),
            also=[_square_of_the_sum(lambda c: c @ c)],
        ),
    ),
)
