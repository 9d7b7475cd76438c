"""Figures of lesson 01."""

from collections.abc import Mapping

import torch
from matplotlib.figure import Figure
from torch import Tensor

from regimes.figures.base import curve, eigenvalues, legend, panels, predicted
from regimes.training import Trace

__all__ = ["damping", "images", "modes", "race", "spectra"]

LOSS = "relative loss $L_k/L_0$"


def spectra(lam: Tensor, kappa: Tensor) -> Figure:
    """Eigenvalues ``(conditionings, seeds, n)`` of the kernels at the start; the first seed of each is drawn."""
    fig, (ax,) = panels(size=(5.4, 3.2))
    eigenvalues(ax, lam[:, 0], [f"κ = {k:.0f}" for k in kappa.flatten()])
    legend(ax)
    return fig


def modes(K: Tensor, measured: Tensor, theirs: Tensor, indices=(1, 5, 10, 20)) -> Figure:
    """Residuals ``(k, n)`` along eigenvectors of ``K``, as a share of the start: measured as markers, predicted dashed."""
    Q = torch.linalg.eigh(K)[1].flip(-1)
    measured, theirs = (residual @ Q for residual in (measured, theirs))
    step = torch.arange(len(measured))
    fig, (ax,) = panels(size=(5.4, 3.2))
    for index, colour, marker in zip(indices, ("#0072B2", "#D55E00", "#009E73", "#CC79A7"), "os^D", strict=True):
        share, line = ((a[:, index - 1] / measured[0, index - 1]).abs() for a in (measured, theirs))
        curve(ax, step, share, f"mode {index}", color=colour, marker=marker, linestyle="", markevery=20)
        predicted(ax, step, line, "predicted" if index == indices[-1] else None)
    ax.set(xlabel="step k", ylabel="share of the mode that is left", yscale="log", ylim=(1e-6, 3))
    legend(ax, loc="lower right", fontsize=8)
    return fig


def race(gauss_newton: Mapping[float, Trace], descent: Trace, kappa: Tensor) -> Figure:
    """A panel a conditioning: losses ``(k, conditionings, seeds)`` of gradient descent and of Gauss-Newton by step size."""
    fig, axes = panels(len(kappa), size=(3.3, 3.0), sharey=True)
    for i, (ax, k) in enumerate(zip(axes, kappa.flatten(), strict=True)):
        curve(ax, descent.step, descent.relative[:, i], "gradient descent")
        for (eta, trace), marker in zip(gauss_newton.items(), "o^", strict=True):
            curve(ax, trace.step, trace.relative[:, i], f"GN, η = {eta}", look="Gauss-Newton", marker=marker)
            label = "predicted" if marker == "^" else None
            predicted(ax, trace.step, (1 - eta) ** (2.0 * trace.step), label)
        ax.set(title=f"κ = {k:.0f}", xlabel="step k", yscale="log", xscale="symlog", ylim=(1e-8, 3))
    axes[0].set_ylabel(LOSS)
    legend(axes[0], loc="lower left", fontsize=8)
    return fig


def damping(damped: Trace, envelope: tuple[Tensor, Tensor], eps: Tensor, error: Tensor, bound: Tensor) -> Figure:
    """Left: damped losses in their envelope. Right: distance of the damped step from the gradient, and its bound."""
    fig, (left, right) = panels(2, size=(4.4, 3.1))
    curve(left, damped.time, damped.relative, "damped Gauss-Newton")
    for line, label in zip(envelope, ("predicted envelope", None), strict=True):
        predicted(left, damped.time, line, label)
    left.set(xlabel="time t = ηk", ylabel="relative loss $L/L_0$", yscale="log", ylim=(1e-6, 3))
    curve(right, eps, error, "measured", look="damped Gauss-Newton")
    predicted(right, eps, bound, "bound λ_max/ε")
    right.set(xlabel="damping ε", ylabel="distance from the gradient", xscale="log", yscale="log", ylim=(1e-5, 9))
    for ax in (left, right):
        legend(ax)
    return fig


def images(runs: Mapping[str, Trace], step: Tensor, line: Tensor) -> Figure:
    """Training loss and test accuracy (measured as ``accuracy``) of runs by method; a predicted loss dashed."""
    fig, (left, right) = panels(2, size=(4.4, 3.1))
    for name, trace in runs.items():
        curve(left, trace.step, trace.relative, name)
        curve(right, trace.step, trace.measured["accuracy"], name)
    predicted(left, step, line)
    left.set(xlabel="step k", ylabel=LOSS, yscale="log", xscale="symlog", ylim=(1e-8, 3))
    right.set(xlabel="step k", ylabel="test accuracy", xscale="symlog", ylim=(0.5, 1.02))
    legend(left, loc="lower left")
    return fig
