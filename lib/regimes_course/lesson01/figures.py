"""Figures of lesson 01. Each function returns the figure and the sentence that says what it shows."""

from collections.abc import Mapping

import torch
from matplotlib.figure import Figure
from torch import Tensor

from regimes.theory.gauss_newton import step_loss
from regimes.training import Trace
from regimes_course.kit.plotting import LOSS, curve, eigenvalues, legend, panels, predicted, step_axis
from regimes_course.kit.words import span

__all__ = ["damping", "images", "modes", "race", "spectra"]

LOOKS = (("#0072B2", "o"), ("#D55E00", "s"), ("#009E73", "^"), ("#CC79A7", "D"))


def spectra(lam: Tensor, kappa: Tensor) -> tuple[Figure, str]:
    """Eigenvalues ``(conditionings, seeds, n)`` of the kernels at the start; the first seed of each is drawn."""
    fig, (ax,) = panels(size=(5.4, 3.2))
    eigenvalues(ax, lam[:, 0], [f"κ = {k:.0f}" for k in kappa.flatten()])
    legend(ax)
    condition = lam[..., 0] / lam[..., -1]
    return fig, (
        "Eigenvalues of K at the start, first seed, for inputs of condition number κ. "
        f"The condition number of K is {span(condition, '.0e')} in the {condition.numel()} runs."
    )


def modes(K: Tensor, measured: Tensor, theirs: Tensor, indices=(1, 5, 10, 20)) -> tuple[Figure, str]:
    """Residuals ``(k, n)`` along eigenvectors of ``K``, as a share of the start: measured as markers, predicted dashed."""
    Q = torch.linalg.eigh(K)[1].flip(-1)
    measured, theirs = (residual @ Q for residual in (measured, theirs))
    step = torch.arange(len(measured))
    fig, (ax,) = panels(size=(6.0, 3.2))
    for index, (colour, marker) in zip(indices, LOOKS, strict=True):
        share, line = ((a[:, index - 1] / measured[0, index - 1]).abs() for a in (measured, theirs))
        style = {"color": colour, "marker": marker, "linestyle": "", "markevery": 20, "zorder": 10 - index / 10}
        curve(ax, step, share, f"mode {index}", **style)
        predicted(ax, step, line, "predicted" if index == indices[-1] else None)
    ax.set(xlabel="step k", ylabel="share of the mode that is left", yscale="log", ylim=(1e-6, 3))
    legend(ax, loc="center left", bbox_to_anchor=(1, 0.5))
    return fig, (
        "Gradient descent on frozen features, mode by mode, markers on their dashed predictions. "
        f"After {step[-1]} steps {share[-1]:.2g} of mode {indices[-1]} is left."
    )


def race(gauss_newton: Mapping[float, Trace], descent: Trace, kappa: Tensor) -> tuple[Figure, str]:
    """A panel a conditioning: losses ``(k, conditionings, seeds)`` of gradient descent and of Gauss-Newton by step size."""
    fig, axes = panels(len(kappa), size=(3.3, 3.0), sharey=True)
    for i, (ax, k) in enumerate(zip(axes, kappa.flatten(), strict=True)):
        curve(ax, descent.step, descent.relative[:, i], "gradient descent")
        for (eta, trace), marker in zip(gauss_newton.items(), "o^", strict=True):
            curve(ax, trace.step, trace.relative[:, i], f"GN, η = {eta}", look="Gauss-Newton", marker=marker)
            label = "predicted" if marker == "^" else None
            predicted(ax, trace.step, step_loss(trace.step, eta), label)
        ax.set(title=f"κ = {k:.0f}", yscale="log", ylim=(1e-8, 3))
        step_axis(ax, descent.step)
    axes[0].set_ylabel(LOSS)
    legend(axes[0], loc="lower left", fontsize=8)
    left, large = descent.relative[-1], max(gauss_newton)
    worst = gauss_newton[large].relative[:, -1].max()
    return fig, (
        f"With η = {min(gauss_newton):g} Gauss-Newton follows its dashed prediction at every conditioning; "
        "gradient descent does not keep up (median and range of the seeds). "
        f"After {descent.step[-1]} steps it has {span(left[0])} of its loss left at "
        f"κ = {kappa.flatten()[0]:.0f}, and {span(left[-1])} at κ = {kappa.flatten()[-1]:.0f}. "
        f"With η = {large:g} the loss first rises to as much as {worst:.2g} times its start at κ = {kappa.flatten()[-1]:.0f}."
    )


def damping(damped: Trace, envelope: tuple[Tensor, Tensor], eps: Tensor, error: Tensor, bound: Tensor) -> tuple[Figure, str]:
    """Left: damped losses in their envelope. Right: distance of the damped step from the gradient, and its bound."""
    fig, (left, right) = panels(2, size=(4.4, 3.1))
    curve(left, damped.time, damped.relative, "damped Gauss-Newton")
    for line, label in zip(envelope, ("predicted envelope", None), strict=True):
        predicted(left, damped.time, line, label)
    left.set(xlabel="time t = ηk", ylabel="relative loss $L/L_0$", yscale="log", ylim=(1e-6, 3))
    curve(right, eps, error, "measured", look="damped Gauss-Newton")
    predicted(right, eps, bound, r"bound $\lambda_{\max}/\varepsilon$")
    right.set(xlabel="damping ε", ylabel="distance of εδ from the gradient", xscale="log", yscale="log", ylim=(1e-5, 9))
    for ax in (left, right):
        legend(ax, loc="lower left")
    return fig, (
        f"Left: with the smallest eigenvalue as damping the {damped.loss[0].numel()} losses stay in the envelope; "
        f"at time {damped.time[-1]:.1g} they "
        f"are {span(damped.relative[-1], '.1e')} of the start. Right: with large damping the step turns into the gradient, "
        "at least as fast as the bound."
    )


def images(runs: Mapping[str, Trace], step: Tensor, line: Tensor) -> tuple[Figure, str]:
    """Training loss and test accuracy (measured as ``accuracy``) of runs by method; a predicted loss dashed."""
    fig, (left, right) = panels(2, size=(4.4, 3.1))
    ends = []
    for name, trace in runs.items():
        curve(left, trace.step, trace.relative, name)
        curve(right, trace.step, trace.measured["accuracy"], name)
        ends.append(f"{name} {span(trace.measured['accuracy'][-1], '.3f')}")
        for ax in (left, right):
            step_axis(ax, trace.step)
    predicted(left, step, line)
    left.set(ylabel=LOSS, yscale="log", ylim=(1e-8, 3))
    right.set(ylabel="test accuracy", ylim=(0.5, 1.02))
    legend(left, loc="lower left")
    return fig, (
        f"Threes against eights. Left: {next(iter(runs))} on its dashed prediction; after {trace.step[-1]} steps {name} has "
        f"{span(trace.relative[-1])} of its loss left. Right: test accuracy at the end, {' and '.join(ends)}."
    )
