"""Regression: labels from a teacher, a linear map, a wave."""

import torch
from torch import Tensor

from regimes.networks import TwoLayer
from regimes.problems.problem import Problem
from regimes.seeds import seeded

__all__ = ["chebyshev", "linear_regression", "teacher_student", "wave"]


def teacher_student(
    n: int = 40,
    d: int = 5,
    *,
    teacher_width: int = 3,
    kappa: float | Tensor = 1.0,
    labels: str = "teacher",
    noise: float = 0.0,
    n_test: int = 500,
    seed: int | Tensor = 0,
) -> Problem:
    r"""Gaussian inputs, labelled by a narrow two-layer network or by noise.

    Inputs are ``N(0, I_d)`` with coordinate ``i`` scaled by :math:`\kappa^{-i/(d-1)}`, so that ``kappa`` is their condition
    number. The teacher has ``teacher_width`` SiLU units in mean-field scaling and all its parameters ``N(0, 1)``; labels are
    divided by the root mean square of the test labels, so that predicting zero costs a loss of one half.

    Args:
        noise: standard deviation of the noise added to the training labels, relative to their root mean square.
        n, n_test: numbers of training and test samples.
        d: number of inputs.
        teacher_width: number of hidden units of the teacher.
        kappa: at least one; a number, or a tensor that broadcasts against ``seed``.
        labels: ``"teacher"``, or ``"noise"`` for ``N(0, 1)`` labels that no small network can predict.
        seed: an integer, or a tensor of them: the shape of ``seed`` broadcast with ``kappa`` gives the run axes. The same
            seed draws the same teacher and the same Gaussians for every ``kappa``.

    Raises:
        ValueError: for unknown labels, sizes below one, negative noise, or ``kappa < 1``.

    Source: Arbel et al. 2023 (their published code, with the labels normalised).
    """
    kappas, seeds = torch.broadcast_tensors(torch.as_tensor(kappa, dtype=torch.float64), torch.as_tensor(seed))
    if labels not in ("teacher", "noise"):
        raise ValueError(f"unknown labels {labels!r}; choose 'teacher' or 'noise'")
    if min(n, d, n_test, teacher_width) < 1:
        raise ValueError(f"sizes must be at least one; got {n=}, {d=}, {n_test=}, {teacher_width=}")
    if not 0 <= noise < float("inf"):
        raise ValueError(f"label noise is a standard deviation, at least zero; got {noise}")
    if (kappas < 1).any():
        raise ValueError(f"kappa is a condition number, at least one; got {kappas.tolist()}")
    runs = tuple(seeds.shape)
    scale = kappas[..., None] ** -torch.linspace(0, 1, d, dtype=torch.float64)
    z = seeded(seeds, lambda g: torch.randn(n + n_test, d + 1, generator=g, dtype=torch.float64))
    x, normal = z[..., :d], z[..., d]
    x = x * scale[..., None, :]
    # A seed of its own: with that of the inputs the teacher's weights would be the same numbers as the first samples.
    teacher = TwoLayer(d, teacher_width, runs=runs, std=1.0, output_std=1.0, seed=seeds + 10**6)
    with torch.no_grad():
        y = normal if labels == "noise" else teacher(x)
    y = y / y[..., n:].square().mean(-1, keepdim=True).sqrt()
    noisy, known = y + noise * normal, teacher if labels == "teacher" else None
    return Problem(x[..., :n, :], noisy[..., :n], x[..., n:, :], y[..., n:], known)


def linear_regression(
    n: int = 20,
    d: int = 50,
    *,
    outputs: int = 1,
    whitened: bool = False,
    noise: float = 0.01,
    n_test: int = 500,
    seed: int = 0,
) -> Problem:
    r"""Fewer samples than inputs, labelled by a linear map: :math:`Y = X\Theta + \text{noise}`, ``(n, q)``.

    Inputs and the entries of :math:`\Theta` are ``N(0, 1/d)``.

    Args:
        n, d, outputs: samples, inputs, outputs per sample ``q``.
        whitened: replace the training inputs by inputs with the same row space and all singular values one.
        noise: standard deviation of the noise on the training labels.
        n_test: number of test samples.
        seed: an integer.

    Raises:
        ValueError: for sizes below one, ``n >= d`` (the fit would be unique), or negative noise.

    Source: Min et al. 2021, section 5.
    """
    if min(n, outputs, n_test) < 1 or n >= d or noise < 0:
        raise ValueError(
            f"1 <= n < d, outputs, n_test >= 1 and noise >= 0 are needed; got {n=}, {d=}, {outputs=}, {n_test=}, {noise=}"
        )
    g = torch.Generator().manual_seed(seed)
    x, theta, e = (
        torch.randn(*shape, generator=g, dtype=torch.float64) for shape in ((n + n_test, d), (d, outputs), (n, outputs))
    )
    x, theta = x / d**0.5, theta / d**0.5
    train, test = x[:n], x[n:]
    if whitened:
        W, _, Vh = torch.linalg.svd(train, full_matrices=False)
        train = W @ Vh
    return Problem(train, train @ theta + noise * e, test, test @ theta)


def wave(n: int = 8) -> Problem:
    """A wave on a line: ``n`` equally spaced points on [-2, 2], without noise; the test grid extends a little further.

    Labels are divided by their root mean square on the grid, so that predicting zero costs a loss of one half.

    Raises:
        ValueError: for fewer than two points.
    """
    if n < 2:
        raise ValueError(f"a wave needs at least two points; got {n}")
    x = torch.linspace(-2, 2, n, dtype=torch.float64)[:, None]
    grid = torch.linspace(-2.6, 2.6, 200, dtype=torch.float64)[:, None]
    y, y_grid = (torch.sin(2.2 * t[:, 0]) + 0.3 * t[:, 0] for t in (x, grid))
    size = y_grid.square().mean().sqrt()
    return Problem(x, y / size, grid, y_grid / size)


def chebyshev(degree: int = 3, n: int = 20) -> Problem:
    """A Chebyshev polynomial on ``n`` equally spaced points on [-1, 1], ``cos(degree arccos x)``; the test grid is finer.

    Raises:
        ValueError: for a degree below one, or fewer than two points.

    Source: Cohen et al. 2021 (published code), for the task.
    """
    if degree < 1 or n < 2:
        raise ValueError(f"a degree of at least one and two points are needed; got {degree=}, {n=}")
    x, grid = (torch.linspace(-1, 1, k, dtype=torch.float64)[:, None] for k in (n, 200))
    y, y_grid = (torch.cos(degree * torch.arccos(t[:, 0])) for t in (x, grid))
    return Problem(x, y, grid, y_grid)
