"""Figures of lesson 05. Each function returns the figure and the sentence that says what it shows."""

from collections.abc import Mapping, Sequence

import torch
from matplotlib.figure import Figure
from torch import Tensor

from regimes.sweeps import Sweep
from regimes.theory import gauss_newton as theory
from regimes.training import Trace
from regimes_course.kit.plotting import BLUE, GREEN, GREY, LOOKS, ORANGE, PINK, curve, legend, panels, predicted
from regimes_course.kit.words import median, span

__all__ = ["floors", "hidden", "limits", "shrinkage", "starts", "steps"]

TEST = "test loss"


def starts(sweep: Sweep) -> tuple[Figure, str]:
    """Test losses ``(std, seeds)`` of three methods (left), and how far the hidden units turned (right)."""
    fig, (left, right) = panels(2, size=(4.4, 3.2))
    std = sweep.grid["std"]
    for name, look in (("random", "random features"), ("GD", "gradient descent"), ("GN", "Gauss-Newton")):
        curve(left, std, sweep[name], look, markevery=1)
    curve(right, std, sweep["turned"], "Gauss-Newton", markevery=1)
    left.set(ylabel=TEST, xscale="log", yscale="log")
    right.set(ylabel="cosine distance to the start", xscale="log", yscale="log")
    for ax in (left, right):
        ax.set(xlabel="std of the hidden weights at the start")
        ax.set_xticks(std, [f"{s:g}" for s in std], minor=False)
        ax.minorticks_off()
    legend(left, loc="lower right")
    GN, random, turned = (median(sweep[name]) for name in ("GN", "random", "turned"))
    said = (
        f"At std {std[i]:g} the median test loss is {GN[i]:.1e} with Gauss-Newton and {random[i]:.1e} with random features, "
        f"and the hidden units have turned by {turned[i]:.1g}."
        for i in (1, -1)
    )
    return fig, f"{' '.join(said)} (Median and range of {sweep['GN'].shape[-1]} seeds.)"


def floors(sweep: Sweep) -> tuple[Figure, str]:
    """Test loss ``(std, damping, seeds)`` against the damping; crosses on the upper edge are runs that diverged."""
    fig, (ax,) = panels(size=(5.8, 3.2))
    eps, gone = sweep.grid["damping"], sweep.diverged >= 0
    for i, (colour, marker) in enumerate(((BLUE, "o"), (PINK, "D"))):
        whole = ~gone[i].any(-1)
        curve(
            ax, eps[whole], sweep["test"][i][whole], f"std = {sweep.grid['std'][i]:g}", color=colour, marker=marker, markevery=1
        )
    lost = gone.any(-1).any(0)
    ax.plot(eps[lost], torch.full_like(eps[lost], 5e4), "x", color=ORANGE, markersize=9, mew=2, label="diverged")
    ax.axhline(0.5, color=GREY, linewidth=1, linestyle=":", label="predicting zero")
    ax.set(xlabel="damping ε", ylabel=TEST, xscale="log", yscale="log", ylim=(1e-7, 1e5))
    legend(ax, loc="upper right", fontsize=8)
    test = sweep["test"][0]
    return fig, (
        f"At std {sweep.grid['std'][0]:g} a damping of {eps[1]:.0e} ends at test losses of {span(test[1], '.0e')}, "
        f"one of {eps[5]:.0e} at {span(test[5], '.0e')}; with {eps[0]:.0e}, {int(gone[0, 0].sum())} of {gone.shape[-1]} runs "
        "diverge. "
        f"At std {sweep.grid['std'][1]:g} the medians are {span(median(sweep['test'][1]), '.0e')} at all dampings."
    )


def hidden(watched: Mapping[float, tuple[Trace, Tensor, Tensor]]) -> tuple[Figure, str]:
    """A panel a start: training loss, test loss, and test loss rescaled, re-fitted, and of random features, over time."""
    fig, axes = panels(len(watched), size=(4.4, 3.4), sharey=True)
    said = []
    for ax, (std, (trace, rescaled, random)) in zip(axes, watched.items(), strict=True):
        t, test, again = trace.time[1:], trace.measured["test"], trace.measured["refit"]
        curve(ax, t, median(test)[1:], "test", color=BLUE, marker="o")
        curve(ax, t, median(rescaled)[1:], "test, rescaled", color=ORANGE, marker="s")
        curve(ax, t, median(again)[1:], "test, re-fitted", color=GREEN, marker="^")
        curve(ax, t[[0, -1]], median(random).expand(2), "random features", linestyle="-.", marker="")
        curve(ax, t, median(trace.loss)[1:], "training", color=PINK, marker="", linewidth=1.2)
        predicted(ax, t, median(trace.loss)[0] * theory.flow_loss(t), "predicted, $e^{-2t}$")
        ax.set(title=f"std = {std:g}", xlabel="time t", yscale="log", ylim=(1e-6, 1))
        i = int((trace.step == 25).nonzero())
        levels = zip(
            ("test", "rescaled", "re-fitted", "random features"), (test[i], rescaled[i], again[i], random), strict=True
        )
        said.append(f"std {std:g}: " + ", ".join(f"{name} {median(level):.0e}" for name, level in levels))
    axes[0].set_ylabel("loss")
    legend(axes[1], loc="lower left", fontsize=8)
    return fig, f"Medians of {random.numel()} seeds; at t = 0.5 the test losses are, at {'; at '.join(said)}."


def shrinkage(newton: Trace, descent: Trace, y: Tensor, steps: Sequence[int], eta: float) -> tuple[Figure, str]:
    """Outputs against targets of one run at three steps of Gauss-Newton, and of gradient descent at the same losses."""
    fig, axes = panels(2, size=(4.2, 3.3), sharex=True, sharey=True)
    y, off = y[0], []
    for ax, trace, name in zip(axes, (newton, descent), ("Gauss-Newton", "gradient descent"), strict=True):
        for k, marker, colour in zip(steps, "os^", (BLUE, ORANGE, GREEN), strict=True):
            share = theory.shrinkage(k, eta)
            at = int((trace.relative[:, 0] - newton.relative[k, 0]).abs().argmin())
            f = trace.measured["f"][at, 0]
            label = f"loss {trace.relative[at, 0]:.2f} of the start"
            ax.plot(y, f, marker, color=colour, markersize=4, alpha=0.8, label=label)
            predicted(ax, y.aminmax(), share * torch.stack(y.aminmax()), "predicted" if k == steps[-1] else None)
        off.append((f - share * y).norm() / (share * y).norm())
        ax.set(title=name, xlabel="target y")
        legend(ax, loc="upper left", fontsize=8)
    axes[0].set_ylabel("output f")
    return fig, (
        "Training points of one run at three times. With Gauss-Newton the outputs lie on dashed lines of slope 1 − (1−η)^k "
        f"and at the last time miss them by {off[0]:.1%}. With gradient descent at the same training loss they miss them by "
        f"{off[1]:.0%}."
    )


def steps(eta: Sequence[float], losses: Tensor, peaks: Tensor, random: Tensor) -> tuple[Figure, str]:
    """Test loss and largest training loss ``(steps, dampings, seeds)`` against the step, for two dampings."""
    fig, (left, right) = panels(2, size=(4.4, 3.2))
    looks = (("ε = 5e-4", ORANGE, "s"), ("ε = 5e-3", BLUE, "o"))
    for i, (label, colour, marker) in enumerate(looks):
        curve(left, torch.tensor(eta, dtype=losses.dtype), losses[:, i], label, color=colour, marker=marker, markevery=1)
        curve(right, torch.tensor(eta, dtype=peaks.dtype), peaks[:, i], label, color=colour, marker=marker, markevery=1)
    colour, _ = LOOKS["random features"]
    left.axhline(median(random), color=colour, linestyle="-.", label="random features")
    predicted(right, [min(eta), max(eta)], [1, 1], "the flow: no peak")
    left.set(ylabel=TEST, yscale="log")
    right.set(ylabel="largest / first training loss", yscale="log")
    for ax in (left, right):
        ax.set(xlabel="step η", xscale="log")
        ax.set_xticks(eta, [f"{e:g}" for e in eta], minor=False)
        ax.minorticks_off()
        legend(ax, loc="upper left", fontsize=8)
    little = median(losses)[:, 0]
    return fig, (
        f"Median test losses with ε = 5e-4: {little[0]:.0e} at η = {eta[0]:g}, {little[-2]:.0e} at η = {eta[-2]:g}, "
        f"{little[-1]:.0e} at η = {eta[-1]:g}. At η = {eta[0]:g} the training loss first rises to {span(peaks[0, 0], '.0f')} "
        "times its start."
    )


def limits(noises: Mapping[float, Sweep], widths: Mapping[int, Sweep]) -> tuple[Figure, str]:
    """Random features' test loss divided by Gauss-Newton's ``(std, seeds)``, against label noise and against width."""
    fig, axes = panels(2, size=(4.4, 3.0), sharey=True)
    for ax, runs, xlabel in zip(axes, (noises, widths), ("label noise", "width m"), strict=True):
        x = torch.arange(len(runs))
        for i, (label, colour, marker) in enumerate((("std = 0.1", BLUE, "o"), ("std = 10", PINK, "D"))):
            gains = torch.stack([run["gain"][i] for run in runs.values()])
            curve(ax, x, gains, label, color=colour, marker=marker, markevery=1)
        ax.axhline(1, color=GREY, linewidth=1, linestyle=":")
        ax.set(xlabel=xlabel, yscale="log")
        ax.set_xticks(x, [f"{key:g}" for key in runs])
    axes[0].set_ylabel("random features / Gauss-Newton")
    legend(axes[0])
    noisy = ", ".join(f"{median(run['gain'][0]):.2g} at noise {level:g}" for level, run in noises.items())
    wide = ", ".join(f"{median(run['gain'][0]):.2g} at m = {m}" for m, run in widths.items())
    return fig, f"How many times better than random features, at std = 0.1 (medians): {noisy}; without noise {wide}."
