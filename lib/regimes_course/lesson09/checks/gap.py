"""Exercise 1: how far an activation is from homogeneous."""

import math
from collections.abc import Callable
from random import Random

import torch
from torch.nn import functional as F

from regimes_course.kit.checking import Function, Mistake, Trial
from regimes_course.kit.comparing import number, same
from regimes_course.lesson09 import pictures

__all__ = ["NEAR_HOMOGENEITY_GAP"]


def softplus(z):
    """``log(1 + e^z)``."""
    return F.softplus(z)


def gelu(z):
    """``z`` times the normal distribution function."""
    return F.gelu(z)


def gelu_slope(z):
    """Its derivative."""
    return (1 + torch.erf(z / 2**0.5)) / 2 + z * torch.exp(-z * z / 2) / math.sqrt(2 * math.pi)


def leaky_silu(z):
    """``z / 2`` plus half a SiLU."""
    return 0.5 * z + 0.5 * F.silu(z)


def leaky_silu_slope(z):
    """Its derivative."""
    s = torch.sigmoid(z)
    return 0.5 + 0.5 * (s + z * s * (1 - s))


def relu(z):
    """The larger of ``z`` and zero."""
    return torch.relu(z)


def relu_slope(z):
    """Its derivative, zero at zero."""
    return (z > 0).to(z.dtype)


def tanh_slope(z):
    """The derivative of tanh."""
    return 1 - torch.tanh(z) ** 2


def square(z):
    """``z^2``, which has no bound."""
    return z * z


def square_slope(z):
    """Its derivative."""
    return 2 * z


def _grid(low, high, count):
    return torch.linspace(low, high, count, dtype=torch.float64)


def _cases() -> dict[str, tuple]:
    return {
        "softplus at three points": (softplus, torch.sigmoid, torch.tensor([-1.0, 0.0, 2.0], dtype=torch.float64)),
        "softplus": (softplus, torch.sigmoid, _grid(-12, 9, 421)),
        "GELU": (gelu, gelu_slope, _grid(-7, 8, 301)),
        "leaky SiLU": (leaky_silu, leaky_silu_slope, _grid(-15, 11, 521)),
        "GELU, from 0.5 to 3": (gelu, gelu_slope, _grid(0.5, 3, 101)),
        "ReLU": (relu, relu_slope, _grid(-3, 4, 141)),
        "tanh": (torch.tanh, tanh_slope, _grid(-9, 6, 301)),
        "z squared": (square, square_slope, _grid(-3, 4, 141)),
    }


def _literal(phi, dphi, z):
    """Point by point."""
    largest = torch.zeros((), dtype=z.dtype)
    for point in z:
        largest = torch.maximum(largest, torch.abs(phi(point) - point * dphi(point)))
    return largest


def _draw(rng: Random) -> tuple:
    pairs = [case[:2] for case in list(_cases().values())[1:]]
    return *rng.choice(pairs), _grid(rng.uniform(-9, -0.1), rng.uniform(0.1, 9), rng.randint(1, 60))


def _does(trials: list[Trial], answer: Callable) -> bool:
    """Whether this answer gives the same numbers."""
    return all(same(number(t.got.value), number(answer(*t.args)), 1e-7) for t in trials)


def _some_too_small(trials: list[Trial]) -> bool:
    pairs = [(number(t.got.value), number(t.want.value)) for t in trials if not t.right]
    return 0 < len(pairs) < len(trials) - 1 and all(isinstance(got, float) and 0 <= got < want for got, want in pairs)


NEAR_HOMOGENEITY_GAP = Function(
    key="09/near_homogeneity_gap",
    picture=pictures.near_homogeneity_gap,
    reference=_literal,
    cases=_cases,
    draw=_draw,
    praise="It agrees with going through the grid point by point: softplus 0.693, GELU 0.294, half of SiLU's 0.439, ReLU zero.",
    alternatives=(
        lambda phi, dphi, z: (phi(z) - z * dphi(z)).abs().max(),
        lambda phi, dphi, z: torch.linalg.vector_norm(phi(z) - z * dphi(z), ord=math.inf),
        lambda phi, dphi, z: torch.maximum((phi(z) - z * dphi(z)).max(), (z * dphi(z) - phi(z)).max()),
    ),
    mistakes=(
        Mistake(
            "no absolute value",
            "This takes the largest value without the absolute value: for GELU, whose gap is negative everywhere, that is zero.",
            lambda phi, dphi, z: (phi(z) - z * dphi(z)).max(),
        ),
        Mistake(
            "absolute value of the largest",
            "This takes the absolute value after the maximum. Where the difference is negative, the maximum is the smallest defect, not the largest: abs() first.",
            lambda phi, dphi, z: (phi(z) - z * dphi(z)).max().abs(),
            lambda trials: any(
                _does(trials, lambda phi, dphi, z, s=s: (s * (phi(z) - z * dphi(z))).max().abs()) for s in (1, -1)
            ),
        ),
        Mistake(
            "all points",
            "This returns a gap for each point. Return one number, the largest.",
            lambda phi, dphi, z: (phi(z) - z * dphi(z)).abs(),
        ),
        Mistake(
            "without z",
            "This subtracts the slope itself. Euler's identity has z times the slope.",
            lambda phi, dphi, z: (phi(z) - dphi(z)).abs().max(),
        ),
        Mistake(
            "mean",
            "This takes the mean over the grid. A bound that holds for all z is the largest value.",
            lambda phi, dphi, z: (phi(z) - z * dphi(z)).abs().mean(),
        ),
        Mistake(
            "sum",
            "This adds where it should subtract: for a homogeneous function phi(z) = z phi'(z), and the difference is zero.",
            lambda phi, dphi, z: (phi(z) + z * dphi(z)).abs().max(),
        ),
        Mistake(
            "from the identity",
            "This measures how far phi is from z. ReLU is far from that and homogeneous all the same: use the slope.",
            lambda phi, dphi, z: (phi(z) - z).abs().max(),
        ),
        Mistake(
            "at zero only",
            "This looks at z = 0 only, where the gap is |phi(0)|: right for softplus, zero for GELU and SiLU, whose gap is elsewhere.",
            lambda phi, dphi, z: phi(torch.zeros((), dtype=z.dtype)).abs(),
        ),
        Mistake(
            "at the ends of the grid",
            "This looks at the ends of the grid only. The gap of GELU and SiLU is largest in between.",
            lambda phi, dphi, z: (phi(z) - z * dphi(z)).abs()[[0, -1]].max(),
        ),
        Mistake(
            "relative",
            "This divides by the size of phi. The theory bounds the gap itself, which stays finite while phi grows.",
            lambda phi, dphi, z: ((phi(z) - z * dphi(z)).abs() / phi(z).abs().clamp(min=1e-12)).max(),
        ),
        Mistake(
            "z times phi",
            "This subtracts z times phi itself. Euler's identity has z times the slope, phi'.",
            lambda phi, dphi, z: (phi(z) - z * phi(z)).abs().max(),
        ),
        Mistake(
            "squared",
            "These are squares of the defects. Return the absolute value itself.",
            lambda phi, dphi, z: (phi(z) - z * dphi(z)).square().max(),
        ),
        Mistake(
            "where it is",
            "This is the place of the largest defect on the grid. Return the defect there.",
            lambda phi, dphi, z: z[(phi(z) - z * dphi(z)).abs().argmax()],
        ),
        Mistake(
            "another grid",
            "Some of these are right and all the others too small: the largest defect was not looked at. Look at all of the given grid, on both sides of zero.",
            lambda phi, dphi, z: (phi(z) - z * dphi(z))[z >= 0].abs().max(),
            _some_too_small,
        ),
    ),
)
