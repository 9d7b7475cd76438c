"""Two classes, labelled -1 and +1: toy data of a few points, and handwritten digits inside the unit ball."""

import torch
from torch import Tensor
from torch.nn import functional as F

from regimes.problems.images import shuffled_pair
from regimes.problems.problem import Problem

__all__ = ["digits_in_the_ball", "five_points", "tug_of_war", "two_points", "xor"]


def two_points(gamma: float | Tensor) -> tuple[Tensor, Tensor]:
    r"""Two points that pull apart: :math:`x_1 = (\gamma, c)`, :math:`x_2 = (\gamma, -c/2)` with :math:`c = \sqrt{1-\gamma^2}`.

    Both have the label +1. A linear function separates them along the first axis alone, with the margin ``gamma``; along the
    second they disagree, and a large step jumps from one side to the other.

    Args:
        gamma: strictly between 0 and 1; a tensor gives one run per margin.

    Returns:
        Inputs ``(..., 2, 2)`` and labels ``(2,)``.

    Raises:
        ValueError: for any other ``gamma``.

    Source: Wu et al. 2024 (COLT), the data of their lower bound.
    """
    gamma = _between_0_and_1(gamma, "the margin gamma")
    c = (1 - gamma**2).sqrt()
    return torch.stack([torch.stack([gamma, c], -1), torch.stack([gamma, -c / 2], -1)], -2), _labels(1, 1)


def tug_of_war(g: float | Tensor) -> tuple[Tensor, Tensor]:
    """Four points: ``(1, g)`` and ``(-2, g)`` with the label +1, their negatives with -1; all divided by the largest length.

    Separated along the second axis, with a margin of about ``g / 2``; along the first each class pulls both ways.

    Args:
        g: strictly between 0 and 1; a tensor gives one run per entry.

    Returns:
        Inputs ``(..., 4, 2)`` and labels ``(4,)``.

    Raises:
        ValueError: for any other ``g``.

    Source: after the toy data of Wu et al. 2024 (COLT), figure 1.
    """
    g = _between_0_and_1(g, "the slope g")
    first = torch.stack([torch.ones_like(g), g], -1)
    second = torch.stack([torch.full_like(g, -2.0), g], -1)
    x = torch.stack([first, second, -first, -second], -2)
    return x / (4 + g**2).sqrt()[..., None, None], _labels(1, 1, -1, -1)


def xor() -> tuple[Tensor, Tensor]:
    """The four corners of a square on the unit circle, ``(4, 2)``; neighbours have opposite labels. Not linearly separable."""
    corners = torch.tensor([[1, 1], [-1, 1], [-1, -1], [1, -1]], dtype=torch.float64)
    return corners / 2**0.5, _labels(1, -1, 1, -1)


def five_points() -> tuple[Tensor, Tensor]:
    """Five points in three dimensions, ``(5, 3)``, which two neurons classify together and neither alone.

    Source: Cai et al. 2024, figure 4 (caption).
    """
    x = [[0.05, 1, 2], [0.05, -2, 1], [-1, 0, 2], [0.05, -2, -2], [0.05, 1, -2]]
    return torch.tensor(x, dtype=torch.float64), _labels(1, 1, -1, 1, 1)


def digits_in_the_ball(
    first: int = 3, second: int = 8, *, n: int = 100, centred: bool = True, seed: int | Tensor = 0
) -> Problem:
    """Two digits as in `regimes.problems.digits`, scaled so that the longest training image has length one.

    Args:
        first, second, n, seed: see `regimes.problems.digits`.
        centred: subtract the mean training image and append a feature of constant 1 before scaling (65 inputs). Otherwise
            pixels are divided by 16 and nothing else (64 inputs): all images then point in much the same direction.

    Raises:
        ValueError: as `regimes.problems.digits`.
    """
    x, y = shuffled_pair(first, second, n, seed)
    x = x / 16
    if centred:
        x = F.pad(x - x[..., :n, :].mean(-2, keepdim=True), (0, 1), value=1.0)
    x = x / x[..., :n, :].norm(dim=-1).amax(-1)[..., None, None]
    return Problem(x[..., :n, :], y[..., :n], x[..., n:, :], y[..., n:])


def _between_0_and_1(value: float | Tensor, what: str) -> Tensor:
    value = torch.as_tensor(value, dtype=torch.float64)
    if not ((value > 0) & (value < 1)).all():
        raise ValueError(f"{what} must lie strictly between 0 and 1; got {value.tolist()}")
    return value


def _labels(*signs: int) -> Tensor:
    return torch.tensor(signs, dtype=torch.float64)
