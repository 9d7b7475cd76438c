"""Figures of lesson 02. Each function returns the figure and the sentence that says what it shows."""

from collections.abc import Sequence

import torch
from matplotlib.figure import Figure
from torch import Tensor

from regimes.sweeps import Sweep
from regimes.theory.gauss_newton import step_loss
from regimes.training import Trace
from regimes_course.kit.plotting import BLUE, GREEN, LOSS, ORANGE, curve, legend, panels, predicted, step_axis
from regimes_course.kit.words import median, span

__all__ = ["bound", "envelope", "peaks", "race", "threshold", "width"]

LABELS = (("noise", ORANGE, "s"), ("teacher", BLUE, "o"))


def width(widths: Sequence[int], mean: Tensor, spread: Tensor) -> tuple[Figure, str]:
    """Distances ``(widths, clouds)`` of the mean of the pieces from the whole, and of the pieces from their mean."""
    fig, (ax,) = panels(size=(5.4, 3.2))
    m = torch.tensor(widths, dtype=torch.float64)
    curve(ax, m, spread, "a piece from the mean", color=ORANGE, marker="s", markevery=1)
    curve(ax, m, mean, "mean of the pieces from the whole", color=BLUE, marker="o", markevery=1)
    for distance, power, label in ((spread, -0.5, "predicted: $m^{-1/2}$, $m^{-1}$"), (mean, -1.0, None)):
        line = distance.log().mean().exp() * (m / m.log().mean().exp()) ** power  # its level is fitted, its slope is not
        predicted(ax, m, line, label)
    ax.set(xlabel="width m of a piece", ylabel="distance of test outputs", xscale="log", yscale="log")
    ax.set_xticks(widths, [str(w) for w in widths], minor=False)
    ax.minorticks_off()
    legend(ax, loc="lower left")
    return fig, (
        f"From m = {widths[0]} to {widths[-1]} the pieces come nearer to their mean, from {median(spread[0]):.2g} to "
        f"{median(spread[-1]):.2g}, and their mean comes much nearer to the whole, from {median(mean[0]):.2g} to "
        f"{median(mean[-1]):.2g} (medians of {mean.shape[1]} clouds; band: all of them)."
    )


def race(newton: Trace, descent: Trace, kappa: Tensor, condition: Tensor) -> tuple[Figure, str]:
    """A row for noise and one for teacher labels, a column a conditioning: losses ``(k, labels, conditionings, seeds)``."""
    fig, axes = panels(len(kappa), 2, size=(2.5, 2.4), sharex=True, sharey=True)
    for i, (name, *_) in enumerate(LABELS):
        for j, k in enumerate(kappa.flatten()):
            ax = axes[i * len(kappa) + j]
            curve(ax, descent.step, descent.relative[:, i, j], "gradient descent")
            curve(ax, newton.step, newton.relative[:, i, j], "Gauss-Newton")
            predicted(ax, newton.step, step_loss(newton.step, 0.02))
            ax.set(title=f"{name} labels, κ = {k:.0f}", yscale="log", ylim=(1e-5, 200))
            step_axis(ax, descent.step)
            ax.set_xticks([0, 10, 100])
            ax.label_outer()
    axes[0].set_ylabel(LOSS)
    axes[len(kappa)].set_ylabel(LOSS)
    legend(axes[len(kappa)], loc="lower left", fontsize=8)
    left, high = descent.relative[-1, :, 2], newton.relative[:, 0].amax((0, 2))
    ill, worst = (f"κ = {k:.0f}" for k in kappa.flatten()[[2, -1]])
    return fig, (
        f"Condition numbers of K from {condition.min():.0e} to {condition.max():.0e}. Gauss-Newton lies on its dashed "
        f"prediction, except on noise labels at {ill} and {worst}, where its loss first rises, to as much as {high[2]:.2g} and "
        f"{high[-1]:.2g} times the start. Gradient descent after {descent.step[-1]} steps at {ill}: "
        f"{span(left[0])} of the loss is left with noise labels, {span(left[1], '.1e')} with a teacher's."
    )


def bound(condition: Tensor, factor: Tensor) -> tuple[Figure, str]:
    """How many times faster the loss falls than its worst-case bound, ``(labels, ...)``, against the condition number."""
    fig, (ax,) = panels(size=(5.4, 3.0))
    for (name, colour, marker), values in zip(LABELS, factor, strict=True):
        style = {"color": colour, "marker": marker, "linestyle": "", "alpha": 0.7}
        ax.plot(condition.flatten(), values.flatten(), label=f"{name} labels", **style)
    predicted(ax, [condition.min(), condition.max()], [1, 1], "the bound")
    ax.set(xlabel="condition number of K at the start", ylabel="measured rate / bound", xscale="log", yscale="log")
    legend(ax)
    said = (f"{span(values[j])} at κ = {k}" for values in factor for j, k in ((0, 1), (2, 100)))
    return fig, (
        "How many times faster than its worst-case bound gradient descent is, from step 500 on. Noise labels: {}, {}; "
        "teacher labels: {}, {}.".format(*said)
    )


def envelope(damped: Trace, low: Tensor, high: Tensor, eps: Tensor) -> tuple[Figure, str]:
    """Losses ``(k, dampings, seeds)`` of damped flows, above ``exp(-2 t)`` and below the bound of the smallest eigenvalue."""
    fig, axes = panels(len(eps), size=(3.0, 2.8), sharey=True)
    for i, (ax, e) in enumerate(zip(axes, eps.flatten(), strict=True)):
        curve(ax, damped.time, damped.relative[:, i], "damped Gauss-Newton")
        predicted(ax, damped.time, low[:, 0, 0], "predicted envelope")
        predicted(ax, damped.time, high[:, i].amax(1), None)
        ax.set(title=f"damping ε = {e.item():g}", xlabel="time t", yscale="log")
    axes[0].set_ylabel("relative loss $L/L_0$")
    legend(axes[0], loc="lower left", fontsize=8)
    rate, least = (-loss[-1].log() / damped.time[-1] for loss in (damped.relative, high))
    said = (f"{span(rate[i])} at ε = {e.item():g} (at least {span(least[i], '.1g')})" for i, e in enumerate(eps.flatten()))
    return fig, (
        "Damped flows in their envelopes (median and range of the seeds; upper bound of the widest). "
        f"The mean rate of the loss is {', '.join(said)}; 2 without damping."
    )


def threshold(parameters: Sequence[int], last: Tensor, samples: int) -> tuple[Figure, str]:
    """Loss that is left ``(widths, seeds)`` against the number of parameters."""
    fig, (ax,) = panels(size=(5.4, 3.0))
    curve(ax, torch.tensor(parameters), last, "Gauss-Newton", markevery=1)
    predicted(ax, [samples, samples], [1e-10, 3], "as many as samples")
    ax.set(xlabel="number of parameters p = 7m", ylabel="relative loss at t = 10", xscale="log", yscale="log")
    ax.set_xticks(parameters[::2], [str(p) for p in parameters[::2]], minor=False)
    ax.minorticks_off()
    legend(ax)
    p = torch.tensor(parameters)
    return fig, (
        f"With fewer parameters than the {samples} samples at least {last[p < samples].min():.1e} of the loss is left; with "
        f"{parameters[5]} or more at most {last[5:].max():.0e}."
    )


def peaks(sweep: Sweep) -> tuple[Figure, str]:
    """The largest loss on the way ``(κ, η, seeds)``, relative to the start."""
    fig, (ax,) = panels(size=(5.4, 3.0))
    eta, peak = sweep.grid["eta"], sweep["peak"]
    for k, values, colour, marker in zip(sweep.grid["kappa"], peak, (BLUE, GREEN, ORANGE), "o^s", strict=True):
        curve(ax, eta, values, f"κ = {k:.0f}", color=colour, marker=marker, markevery=1)
    predicted(ax, [eta[0], eta[-1]], [1, 1], "the law: no peak")
    ax.set(xlabel="step η", ylabel="largest loss / first loss", xscale="log", yscale="log")
    ax.set_xticks(eta, [f"{e:g}" for e in eta], minor=False)
    ax.minorticks_off()
    legend(ax)
    at = peak[..., 4, :]
    return fig, (
        f"With η = {eta[4]:g} the training loss rises to {span(at[1], '.3g')} times its start at κ = 100, and to "
        f"{span(at[2], '.3g')} times at κ = 1000. The largest loss on the way is {peak[..., -1, :].max():.3g} times the first "
        f"with η = 1, and {peak[0].max():.3g} times at κ = 10 ({peak.shape[-1]} seeds; median and range are drawn)."
    )
