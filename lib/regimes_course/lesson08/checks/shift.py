"""Exercise 3: the largest eigenvalue by power iteration, with a shift."""

from collections.abc import Callable

import torch
from torch import Tensor

from regimes_course.kit.checking import Behaviour, Mistake, random
from regimes_course.lesson08 import pictures
from regimes_course.lesson08.checks.largest import NOT_BELOW_ZERO, UNLUCKY_START, Seen, ask, magnitude, matrices

__all__ = ["SHIFTED"]

ALLOWED = 300  # products a matrix


def observe(answer: Callable) -> list[Seen]:
    """Ask for the largest eigenvalue of each matrix, given a number that no eigenvalue exceeds in size."""
    cases = {name: (H, torch.linalg.eigvalsh(H)) for name, H in matrices().items()}
    return [
        ask(lambda hvp, dim, top=lam: answer(hvp, dim, 1.05 * top.abs().max().item()), name, H.matmul, lam)
        for name, (H, lam) in cases.items()
    ]


def _power(hvp: Callable, dim: int, shift: float, steps: int = 200) -> tuple[Tensor, float, float]:
    """The last vector, its Rayleigh quotient with H, and the last growth."""
    v, growth = random(5, dim), 1.0
    for _ in range(steps):
        w = hvp(v) + shift * v
        growth = (w.norm() / v.norm()).item()
        v = w / w.norm()
    return v, (v @ hvp(v)).item(), growth


SHIFTED = Behaviour(
    key="08/shifted_power",
    picture=pictures.shifted_power,
    observe=observe,
    passed=lambda seen: all(s.right and s.products <= ALLOWED for s in seen),
    praise=lambda seen: (
        f"Right at minima, at saddles and at a maximum, with at most {max(s.products for s in seen)} products each."
    ),
    otherwise=lambda seen: next(
        f"for {s.name} the largest eigenvalue is {s.spectrum[-1]:.6g}, and your function found {s.value:.6g}."
        for s in seen
        if not s.right
    ),
    alternatives=(
        lambda hvp, dim, size: _power(hvp, dim, size)[1],
        lambda hvp, dim, size: _power(hvp, dim, size)[2] - size,
        lambda hvp, dim, size: _power(hvp, dim, 1.5 * size, 280)[1],
    ),
    mistakes=(
        Mistake(
            "no number",
            "It must return one number, the eigenvalue; this is something else.",
            lambda hvp, dim, size: _power(hvp, dim, size)[0],
            lambda seen: any(s.kind not in ("float", "int") for s in seen),
        ),
        Mistake(
            "no product",
            "This does not ask for a single product with the matrix.",
            lambda hvp, dim, size: size,
            lambda seen: all(s.products == 0 for s in seen),
        ),
        Mistake(
            "too many products",
            f"The eigenvalues are right, but one of them took more than {ALLOWED} products.",
            lambda hvp, dim, size: _power(hvp, dim, size, 2000)[1],
            lambda seen: all(s.right for s in seen),
        ),
        Mistake(
            "no shift",
            "This is the eigenvalue of largest magnitude, -3 for diag(1, -3): power iteration follows it. Add size times the identity first.",
            lambda hvp, dim, size: _power(hvp, dim, 0.0)[1],
            lambda seen: all(s.near(magnitude(s), 1e-3) for s in seen),
        ),
        Mistake(
            "absolute value",
            "This is the largest absolute value of an eigenvalue: the growth of a vector forgets the sign. Add size times the identity first.",
            lambda hvp, dim, size: _power(hvp, dim, 0.0)[2],
            lambda seen: all(s.near(abs(magnitude(s)), 1e-3) for s in seen),
        ),
        Mistake(
            "shift not taken back",
            "This is the largest eigenvalue plus size. Take the shift out again, or return the Rayleigh quotient with the matrix itself.",
            lambda hvp, dim, size: _power(hvp, dim, size)[2],
            lambda seen: all(s.near(s.spectrum[-1].item() + 1.05 * s.spectrum.abs().max().item(), 1e-3) for s in seen),
        ),
        Mistake(
            "shifted the other way",
            "This is the smallest eigenvalue: the shift has the wrong sign. H - size · 1 has only eigenvalues below zero, and the smallest is the largest in size.",
            lambda hvp, dim, size: _power(hvp, dim, -size)[1],
            lambda seen: all(s.near(s.spectrum[0].item(), 0.05) for s in seen),
        ),
        NOT_BELOW_ZERO,
        UNLUCKY_START,
        Mistake(
            "stopped early",
            "These are near, and not right to six digits. If you iterate, take more products.",
            lambda hvp, dim, size: _power(hvp, dim, size, 9)[1],
            lambda seen: all(abs(s.value - s.spectrum[-1]) <= 0.2 * s.spectrum.abs().max() for s in seen),
        ),
    ),
)
