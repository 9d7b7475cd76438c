"""Margins: how far apart the classes are, in the network's own scale."""

import math

import torch
from torch import Tensor, nn

from regimes.jacobians import jacobian
from regimes.losses import logistic, match_labels
from regimes.network import output_axes, run_axes, time_scale, trainable

__all__ = ["homogeneity_gap", "normalised_margin", "smoothed_margin"]


def homogeneity_gap(net: nn.Module, x: Tensor) -> Tensor:
    r"""How far outputs are from homogeneous in the trained parameters: :math:`|f(x_i) - \langle \nabla_w f(x_i), w \rangle|`.

    Zero where ``f`` is homogeneous of degree one (Euler's identity). For a `TwoLayer` in which only ``W`` is trained it is at
    most ``kappa = sup |phi(z) - z phi'(z)|``.

    Args:
        net: a `TwoLayer` or any module.
        x: ``(..., n, d)``.

    Returns:
        ``(..., n)``, one number per output.

    Source: Cai et al. 2024, assumption of near-homogeneity.
    """
    J = jacobian(net, x)
    return (J.outputs - J.jvp(J.parameters)).abs().detach()


def normalised_margin(net: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    r"""The margin divided by the length of the trained parameters, :math:`\bar\gamma = \sqrt c \min_i y_i f(x_i) / |w|`.

    One number per run. Because of the time scale ``c`` (the width, in mean-field scaling) it does not depend on the width.
    Negative if a sample is on the wrong side. It measures a direction alone only where the network is homogeneous of degree
    one in its trained parameters.

    Args:
        net: a `TwoLayer` or any module with one output per sample, ``(..., n)`` or ``(..., n, 1)``.
        x, y: inputs ``(..., n, d)`` and labels -1 and +1, ``(..., n)`` or ``(..., n, 1)``.

    Raises:
        ValueError: for other labels, labels of another shape, or several outputs per sample.
    """
    with torch.no_grad():
        labels, f = _labels(net, x, y)
        return (labels * f).amin(-1) / _length(net)


def smoothed_margin(net: nn.Module, x: Tensor, y: Tensor, kappa: float) -> Tensor:
    r"""A margin made from the risk, :math:`\gamma^a = \sqrt c\,(\log\frac{1}{2nL} - \kappa) / |w|`, one number per run.

    At most `normalised_margin` as soon as :math:`L \le 1/2n`. Computed from the logarithm of the risk, so that it is correct
    even where the risk itself underflows.

    Args:
        net: a `TwoLayer` or any module with one output per sample, ``(..., n)`` or ``(..., n, 1)``.
        x, y: inputs ``(..., n, d)`` and labels -1 and +1, ``(..., n)`` or ``(..., n, 1)``.
        kappa: the constant of near-homogeneity: see `homogeneity_gap`.

    Raises:
        ValueError: for other labels, labels of another shape, or several outputs per sample.

    Source: Cai et al. 2024 (their auxiliary margin, with a mean in the risk).
    """
    with torch.no_grad():
        labels, f = _labels(net, x, y)
        n = f.shape[-1]
        return (-logistic.log_value(f, labels, n) - math.log(2 * n) - kappa) / _length(net)


def _labels(net: nn.Module, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    f = net(x)
    return match_labels(y, f, output_axes(net, f))


def _length(net: nn.Module) -> Tensor:
    """``|w| / sqrt(c)`` of the trained parameters, one number per run."""
    runs, parameters = len(run_axes(net)), trainable(net)
    square = sum((p.detach().flatten(runs).square().sum(-1) for p in parameters), parameters[0].new_zeros(()))
    return (square / time_scale(net)).sqrt()
