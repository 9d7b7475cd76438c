"""Figures of lesson 07. Each function returns the figure and the sentence that says what it shows."""

import math
from collections.abc import Mapping, Sequence

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from regimes.sweeps import Sweep
from regimes.theory import gauss_newton as theory
from regimes.theory.reversible import inversion_error
from regimes.training import Trace
from regimes_course.kit.plotting import BLUE, GREEN, GREY, LOSS, ORANGE, PINK, SKY, curve, legend, panels, predicted
from regimes_course.kit.words import median, span

__all__ = ["COMPARED", "LOOKS", "batches", "climax", "exactness", "inversion", "lazy", "rates"]

FOUR = (BLUE, "o"), (GREEN, "^"), (ORANGE, "s"), (PINK, "D")
COMPARED = "exact Gauss-Newton, α = 0.5", "min-norm Gauss-Newton, α = 0.5", "Adam"

# A colour and a marker for each optimizer of the lesson.
LOOKS = {
    "exact Gauss-Newton": (BLUE, "o"),
    "exact Gauss-Newton, α = 0.5": (BLUE, "o"),
    "exact Gauss-Newton, α = 0.1": (SKY, "v"),
    "min-norm Gauss-Newton": (GREEN, "^"),
    "min-norm Gauss-Newton, α = 0.5": (GREEN, "^"),
    "gradient descent": (ORANGE, "s"),
    "Adam": (PINK, "D"),
    "slow Adam": (GREY, "P"),
}


def inversion(stds: Sequence[float], depths: Sequence[int], found: Mapping[torch.dtype, Tensor]) -> tuple[Figure, str]:
    """Error of the inverse and growth of the state ``(std, depth, 2, seeds)`` against the number of blocks, a panel a dtype."""
    fig, axes = panels(len(found), size=(4.4, 3.1), sharey=True)
    x = torch.tensor(depths, dtype=torch.float64)
    for ax, (dtype, both) in zip(axes, found.items(), strict=True):
        error, growth = both.double().unbind(2)
        law = inversion_error(growth, torch.finfo(dtype).eps)
        for i, (std, (colour, marker)) in enumerate(zip(stds, FOUR, strict=False)):
            curve(ax, x, error[i].clamp(1e-18, 10), f"std {std:g}", color=colour, marker=marker, markevery=1)
            predicted(ax, x, median(law[i]).clamp(1e-18, 10), r"predicted, $\epsilon(|z|/|x|)^2$" if i == 0 else None)
        ax.axhline(1, color=GREY, linewidth=1, linestyle=":")
        ax.set(title=str(dtype).removeprefix("torch."), xlabel="blocks L", xscale="log", yscale="log", ylim=(1e-18, 20))
        ax.set_xticks(depths, [str(d) for d in depths], minor=False)
        ax.minorticks_off()
    axes[0].set_ylabel("error of the inverse / inputs")
    legend(axes[1], loc="lower right", fontsize=8, ncols=2)
    double, single = (both[:, :, 0] for both in found.values())
    bound = 10 ** math.ceil(math.log10(10 * double[0, -1].max()))  # rounding differs from machine to machine
    return fig, (
        f"With std {stds[0]:g} the inverse of {depths[-1]} blocks misses the inputs by less than {bound:.0e} in float64. With "
        f"std {stds[-1]:g} and {depths[-2]} blocks nothing is left of them: the error is above 1 % even in float64. In float32 "
        f"that happens from {_first(depths, single[-1])} blocks on."
    )


def _first(depths: Sequence[int], error: Tensor) -> int:
    return next(d for d, e in zip(depths, error.amin(-1), strict=True) if e > 0.01)


def exactness(missed: Mapping[str, Tensor]) -> tuple[Figure, str]:
    """``|J delta - r| / |r|`` of ways to compute the step, one dot a seed; a dashed line at a few rounding errors."""
    fig, (ax,) = panels(size=(7.6, 3.4))
    for i, (name, values) in enumerate(missed.items()):
        good = name.startswith("exact")
        colour, marker = (BLUE, "o") if good else (ORANGE, "s")
        ax.plot(values, [i] * len(values), marker, color=colour, markersize=6, alpha=0.8)
    predicted(ax, [2.2e-15, 2.2e-15], [-0.5, len(missed) - 0.5], "predicted for exact steps: ten rounding errors")
    ax.set_yticks(range(len(missed)), missed)
    ax.invert_yaxis()
    ax.set(xscale="log", xlim=(1e-17, 10), xlabel=r"$|J\delta - r|\,/\,|r|$ (0: the step is exact)")
    legend(ax, loc="upper right")
    good = max(values.max().item() for name, values in missed.items() if name.startswith("exact"))
    bound = 1e-13 if good < 1e-13 else 1e-8
    told = ", ".join(f"{name} {median(v):.2g}" for name, v in missed.items() if not name.startswith(("exact", "in float32")))
    return (
        fig,
        f"The exact steps miss the residual by less than {bound:.0e} of it. Medians of the others: {told}.",
    )


def rates(traces: Mapping[float, Trace], alphas: Sequence[float], gaps: Tensor) -> tuple[Figure, str]:
    """Relative losses of full-batch runs (left), and the gap ``(alpha, seeds)`` between the two inverses at t = 1 (right)."""
    fig, (left, right) = panels(2, size=(4.4, 3.1))
    for (alpha, trace), (colour, marker) in zip(traces.items(), ((BLUE, "o"), (GREEN, "^"), (ORANGE, "s")), strict=True):
        curve(left, trace.step, trace.relative, f"α = {alpha:g}", color=colour, marker=marker)
        predicted(
            left, trace.step, theory.step_loss(trace.step, alpha), r"predicted, $(1-\alpha)^{2k}$" if alpha == 0.1 else None
        )
    left.set(xlabel="step k", ylabel=LOSS, yscale="log", ylim=(1e-7, 200), xlim=(0, 30))
    legend(left, loc="upper right", fontsize=8)
    t = torch.tensor(alphas, dtype=torch.float64)
    curve(right, t, gaps, "measured", color=PINK, marker="D", markevery=1)
    predicted(right, t, median(gaps)[0] * t / t[0], "predicted order: α")
    right.set(xlabel="step α", ylabel="gap of the residuals at t = 1", xscale="log", yscale="log")
    right.set_xticks(alphas, [f"{a:g}" for a in alphas], minor=False)
    right.set_yticks([0.005, 0.01, 0.02], ["0.005", "0.01", "0.02"], minor=False)
    right.minorticks_off()
    legend(right, loc="upper left", fontsize=8)
    laws = ", ".join(f"{-theory.discrete_rate(a) * a:.3g}" for a in traces)
    slopes = "; ".join(f"{-trace.rate((1e-2, 1e-6)).mean() * a:.3g} at α = {a:g}" for a, trace in traces.items())
    return fig, (
        f"Slopes of log L a step: {slopes}; 2 log(1 − α) is {laws}. "
        f"Halving α halves the gap: the exponent is {span((gaps[0] / gaps[-1]).log() / (t[0] / t[-1]).log(), '.3g')}."
    )


def climax(exact: Sweep, shortest: Sweep, evidence: Mapping[str, Sweep]) -> tuple[Figure, str]:
    """Training loss and test accuracy ``(seeds, steps)`` of the two inverses, and of variants of the exact one at their end."""
    fig, (left, middle, right) = panels(3, size=(3.5, 3.2), width_ratios=(1, 1, 1.15))
    for name, run in (("exact Gauss-Newton", exact), ("min-norm Gauss-Newton", shortest)):
        colour, marker = LOOKS[name]
        for ax, what in ((left, "loss"), (middle, "test")):
            curve(ax, torch.arange(run[what].shape[1]), run[what].mT, name, color=colour, marker=marker, markevery=1)
    k = torch.arange(exact["loss"].shape[1])
    predicted(left, k, theory.step_loss(k, 0.5), r"predicted, $(1-\alpha)^{2k}$")
    left.set(xlabel="step k", ylabel=LOSS, yscale="log")
    middle.set(xlabel="step k", ylabel="test accuracy", ylim=(0, 1))
    middle.axhline(0.1, color=GREY, linewidth=1, linestyle=":")
    legend(left, loc="lower left", fontsize=7.5)
    runs = {"min-norm": shortest, "exact": exact, **evidence}
    ends = {name: run["test"][:, -1] for name, run in runs.items()}
    for i, (name, values) in enumerate(ends.items()):
        colour, marker = LOOKS["min-norm Gauss-Newton" if name == "min-norm" else "exact Gauss-Newton"]
        right.plot(values, [i] * len(values), marker, color=colour, markersize=6, alpha=0.8)
    right.set_yticks(range(len(ends)), ends)
    right.invert_yaxis()
    right.set(xlim=(0, 1), xlabel="test accuracy at the end")
    told = ", ".join(f"{name} {median(v):.2f}" for name, v in ends.items())
    last = shortest["loss"].shape[1] - 1
    losses = " and ".join(f"{median(run['loss'][:, last]):.1e}" for run in (exact, shortest))
    return (
        fig,
        f"After {last} steps the training losses are {losses} of their start. Test accuracies at the end (medians): {told}.",
    )


def batches(changes: Mapping[str, Tensor], long: Mapping[str, Mapping[str, Tensor]]) -> tuple[Figure, str]:
    """What a step does to its own batch and to the next ``(2, steps, seeds)``, and stored training losses of long runs."""
    fig, (left, *axes) = panels(1 + len(long), size=(3.6, 3.3))
    for i, (name, change) in enumerate(changes.items()):
        mean = 100 * change.mean(1)
        at = torch.tensor([0.0, 1.0]) + 0.36 * i - 0.18
        look = {"color": LOOKS[name][0], "hatch": "" if i == 0 else "//", "edgecolor": "white"}
        left.bar(at.numpy(), median(mean).numpy(), 0.34, label=name, **look)
        left.plot(at[:, None].expand_as(mean), mean, ".", color="black", markersize=4)
    predicted(left, [-0.4, 0.4], [100 * (theory.step_loss(1, 0.5) - 1)] * 2, "predicted, own batch, α = 0.5")
    left.axhline(0, color=GREY, linewidth=1)
    left.set_xticks([0, 1], ["own batch", "next batch"])
    left.set(ylabel="change of the loss by a step (%)", ylim=(-125, 10))
    legend(left, loc="lower right", fontsize=7.5)
    for ax, (data, runs) in zip(axes, long.items(), strict=True):
        _long(ax, runs)
        ax.set(title=f"{data}, 40 epochs", xlabel="epoch", yscale="log", ylim=(0.08, 1.2))
        ax.set_yticks([0.1, 0.2, 0.4, 0.8], ["0.1", "0.2", "0.4", "0.8"], minor=False)
        ax.minorticks_off()
    axes[0].set_ylabel("training loss (whole set)")
    legend(axes[0], loc="upper right", fontsize=7.5)
    own = "; ".join(
        f"{name} {100 * median(c.mean(1))[0]:.0f} % and {100 * median(c.mean(1))[1]:+.0f} %" for name, c in changes.items()
    )
    end = {name: loss[:, -1] for name, loss in next(iter(long.values())).items()}
    told = ", ".join(f"{name}: {median(v):.3f}" for name, v in end.items())
    return fig, f"Own and next batch: {own}. Training losses at the end with shifted images: {told} (medians of 3 stored runs)."


def _long(ax: Axes, runs: Mapping[str, Tensor]) -> None:
    for name, loss in runs.items():
        colour, marker = LOOKS[name]
        curve(ax, torch.arange(loss.shape[1]), loss.mT, name, color=colour, marker=marker, markevery=(3, 8), linewidth=1.4)


def lazy(found: Mapping[str, Mapping[str, Tensor]], start: Tensor) -> tuple[Figure, str]:
    """At the first record below the same training loss: CKA by block, drift of the kernel, participation ratio."""
    fig, (left, middle, right) = panels(3, size=(3.5, 3.2), width_ratios=(1.3, 1, 1))
    for i, (name, at) in enumerate(found.items()):
        colour, marker = LOOKS[name]
        curve(left, torch.arange(1, len(at["cka"]) + 1), at["cka"], name, color=colour, marker=marker, markevery=1)
        for ax, what in ((middle, "drift"), (right, "participation")):
            ax.plot([i] * len(at[what]), at[what], marker, color=colour, markersize=6, alpha=0.8)
    predicted(left, [1, len(at["cka"])], [1, 1], "predicted, lazy limit")
    predicted(middle, [-0.5, len(found) - 0.5], [0, 0])
    predicted(right, [-0.5, len(found) - 0.5], [median(start)] * 2)
    left.set(xlabel="block", ylabel="CKA with the start", ylim=(0.6, 1.03))
    middle.set(title="drift of the kernel", ylim=(-0.4, None))
    right.set(title="participation ratio", ylim=(0, None))
    short = {"exact Gauss-Newton": "exact GN", "gradient descent": "GD"}
    for ax in (middle, right):
        ax.set_xticks(range(len(found)), [short.get(name, name) for name in found], rotation=30, ha="right")
    legend(left, loc="lower left", fontsize=8)
    told = (
        f"{name} {median(at['cka'][-1]):.3f}, {median(at['drift']):.2g}, {median(at['participation']):.2g}"
        for name, at in found.items()
    )
    return (
        fig,
        f"CKA of the last block, drift and participation ratio (medians; the ratio starts at {median(start):.2g}): "
        f"{'; '.join(told)}.",
    )
