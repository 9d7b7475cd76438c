"""Figures of lesson 06. Each function returns the figure and the sentence that says what it shows."""

from collections.abc import Mapping, Sequence

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from regimes_course.kit.plotting import BLUE, GREEN, ORANGE, PINK, curve, legend, panels, predicted
from regimes_course.kit.words import median, span

__all__ = ["dial", "frozen", "kernel_error", "scalings", "signs", "widths"]

NAMES = {"erf": "erf", "relu": "ReLU"}
LOOK = {"erf": (BLUE, "o"), "relu": (ORANGE, "s")}
MODES = ((0, 1), (1, 4), (4, 16), (16, 64))  # first and last eigenvector of the groups that are drawn


def kernel_error(m: Sequence[int], errors: Mapping[str, Tensor]) -> tuple[Figure, str]:
    """Distance ``(widths, seeds)`` of kernels at the start from that of infinite width, for each activation."""
    fig, (ax,) = panels(size=(5.4, 3.2))
    for name, error in errors.items():
        colour, marker = LOOK[name]
        curve(ax, m, error, NAMES[name], color=colour, marker=marker, markevery=1)
        power(ax, m, error, -0.5, "predicted: slope −1/2" if name == "erf" else None)
    width_axis(ax, m, "relative error of the kernel")
    legend(ax)
    ends = (f"from {median(e)[0]:.0%} to {median(e)[-1]:.1%} for {NAMES[name]}" for name, e in errors.items())
    return fig, (
        f"From {m[0]} to {m[-1]} units the kernel at the start comes nearer to its closed form, along lines of slope −1/2: "
        f"its error falls {', '.join(ends)} (medians of {errors['erf'].shape[-1]} seeds)."
    )


def frozen(t: Tensor, a: Tensor, formula: Tensor, test: Tensor, test_formula: Tensor) -> tuple[Figure, str]:
    """Left: what is left of groups of modes. Right: outputs at test images against the formula.

    Args:
        t: times ``(k, seeds)``.
        a, formula: coordinates of the residual in the eigenvectors of the kernel, ``(k, seeds, n)``, measured and predicted.
        test, test_formula: outputs ``(seeds, n')``, measured and predicted.
    """
    fig, (left, right) = panels(2, size=(4.4, 3.3))
    looks = zip(MODES, (BLUE, ORANGE, GREEN, PINK), "os^D", strict=True)
    for (first, last), colour, marker in looks:
        label = f"eigenvectors {first + 1}–{last}" if last > first + 1 else "eigenvector 1"
        here, wanted = (share(c[..., first:last]) for c in (a, formula))
        curve(left, t[1:], here[1:, :1], label, color=colour, marker=marker, markevery=0.1)
        predicted(left, t[1:, 0], wanted[1:, 0], "$e^{-\\lambda t/n}$" if first == 0 else None)
    left.set(xlabel="time t", ylabel="residual left", xscale="log", yscale="log", ylim=(3e-3, 2))
    legend(left, loc="lower left", fontsize=8)
    ends = torch.stack([test[0].min(), test[0].max()])
    right.plot(test_formula[0], test[0], "o", color=BLUE, markersize=4, alpha=0.6, label="test images")
    predicted(right, ends, ends, "formula")
    right.set(xlabel="formula, from the kernel at the start", ylabel="output of the network")
    legend(right, loc="upper left", fontsize=8)
    off, rms = (test - test_formula).square().mean(-1).sqrt(), test.square().mean(-1).sqrt()
    slow = share(a[..., 16:64])[-1]
    return fig, (
        "Left: eigenvectors with large eigenvalues are learned first, as the dashed lines say; of the last group "
        f"{span(slow, '.0%')} is left at the end. Right: on test images the outputs, of size {span(rms)}, are off the "
        f"formula by {span(off)}. (One run of {len(test)} is drawn; numbers are of all.)"
    )


def widths(m: Sequence[int], found: Mapping[str, Mapping[str, Tensor]]) -> tuple[Figure, str]:
    """How far networks went, ``(widths, seeds)`` for each activation and measure, with lines of slope -1/2 and -1."""
    fig, axes = panels(len(found), size=(4.4, 3.5), sharey=True)
    looks = {"features": (GREEN, "^"), "weights": (BLUE, "o"), "drift": (ORANGE, "s"), "outputs": (PINK, "D")}
    words = {"features": "features", "weights": "weights", "drift": "kernel (drift)", "outputs": "test outputs"}
    for ax, (name, values) in zip(axes, found.items(), strict=True):
        for what, (colour, marker) in looks.items():
            curve(ax, m, values[what], words[what], color=colour, marker=marker, markevery=1)
        for what in ("features", "weights"):
            power(ax, m, values[what], -0.5, "slope −1/2" if what == "weights" else None)
        power(ax, m, values["drift"], -1.0, "slope −1", linestyle=":")
        width_axis(ax, m, "relative to the start" if ax is axes[0] else "")
        ax.set_title(NAMES[name])
    legend(axes[0], loc="lower left", fontsize=8)
    falls = (
        f"{NAMES[name]}: features {fall(v['features']):.2g}, weights {fall(v['weights']):.2g}, kernel {fall(v['drift']):.2g}"
        for name, v in found.items()
    )
    return fig, (
        f"By what factor each falls from {m[0]} to {m[-1]} units (median): {'; '.join(falls)}. "
        f"Slope −1/2 would be {(m[-1] / m[0]) ** 0.5:.2g}."
    )


def signs(m: Sequence[int], drifts: Mapping[str, tuple[Tensor, Tensor]]) -> tuple[Figure, str]:
    """Drift ``(widths, seeds)`` with random and with equal signs of the output weights, for each activation."""
    fig, axes = panels(len(drifts), size=(4.4, 3.2), sharey=True)
    said = []
    for ax, (name, (random, alike)) in zip(axes, drifts.items(), strict=True):
        curve(ax, m, random, "random signs of v", color=BLUE, marker="o", markevery=1)
        curve(ax, m, alike, "all v > 0", color=ORANGE, marker="s", markevery=1)
        power(ax, m, alike, -0.5 if name == "relu" else -1.0, "predicted for v > 0")
        width_axis(ax, m, "drift of the kernel" if ax is axes[0] else "")
        ax.set_title(f"{NAMES[name]}: predicted slope {'−1/2' if name == 'relu' else '−1'}")
        legend(ax, loc="lower left", fontsize=8)
        said.append(f"{fall(alike):.2g} for {NAMES[name]} (with random signs {fall(random):.2g})")
    return fig, (
        f"With output weights of one sign the drift falls from {m[0]} to {m[-1]} units by a factor of {' and '.join(said)}, "
        "medians."
    )


def dial(alphas: Sequence[float], right: Tensor, lazy: Tensor, drift: Tensor) -> tuple[Figure, str]:
    """Share of new samples that are right, and drift of the kernel, ``(alphas, seeds)``; ``lazy``: kernel regression."""
    fig, (left, other) = panels(2, size=(4.4, 3.2))
    curve(left, alphas, right, "network", color=BLUE, marker="o", markevery=1)
    predicted(left, alphas, median(lazy).expand(len(alphas)), "kernel regression")
    left.set(xlabel="α", ylabel="share of new samples right", xscale="log", ylim=(0.45, 1.03))
    legend(left, loc="lower left")
    curve(other, alphas, drift, "network", color=ORANGE, marker="s", markevery=1)
    line = median(drift)[-1] * alphas[-1] / torch.tensor(alphas, dtype=torch.float64)
    predicted(other, alphas[2:], line[2:], "slope −1")
    other.set(xlabel="α", ylabel="drift of the kernel", xscale="log", yscale="log")
    legend(other, loc="lower left")
    return fig, (
        f"At α = {alphas[0]:g}, {span(right[0], '.0%')} of new samples are right and the drift is {span(drift[0])}; at "
        f"α = {alphas[-1]:g} it is {span(right[-1], '.0%')} and {span(drift[-1])} ({right.shape[-1]} seeds). Kernel "
        f"regression is right on {span(lazy, '.0%')}."
    )


def scalings(m: Sequence[int], ntk: Tensor, mean_field: Tensor) -> tuple[Figure, str]:
    """Drift ``(widths, seeds)`` of one network in two scalings."""
    fig, (ax,) = panels(size=(5.4, 3.2))
    curve(ax, m, mean_field, "mean-field scaling, 1/m", color=GREEN, marker="^", markevery=1)
    curve(ax, m, ntk, "NTK scaling, 1/√m", color=ORANGE, marker="s", markevery=1)
    power(ax, m, mean_field, 0.0, "slope 0")
    power(ax, m, ntk, -0.5, "bound: slope −1/2", linestyle=":", at=0)
    width_axis(ax, m, "drift of the kernel")
    legend(ax, loc="center right", bbox_to_anchor=(1, 0.62), fontsize=8)
    (first, last), (ntk_first, ntk_last) = (median(drift)[[0, -1]] for drift in (mean_field, ntk))
    return fig, (
        f"From {m[0]} to {m[-1]} units the drift goes from {first:.2g} to {last:.2g} in mean-field scaling and from "
        f"{ntk_first:.2g} to {ntk_last:.2g} in NTK scaling (medians of {ntk.shape[-1]} seeds)."
    )


def power(
    ax: Axes, m: Sequence[int], values: Tensor, slope: float, label: str | None, *, at: int | None = None, **look
) -> None:
    """A power law in the width: its slope is predicted, its level fitted, or taken from the width number ``at``."""
    x, middle = torch.tensor(m, dtype=torch.float64), median(values)
    level = (middle.log() - slope * x.log()) if at is None else (middle.log() - slope * x.log())[at]
    predicted(ax, m, (level.mean() + slope * x.log()).exp(), label, **look)


def share(a: Tensor) -> Tensor:
    """The length of a group of coordinates relative to the first record: ``(k, seeds, g)`` to ``(k, seeds)``."""
    length = a.norm(dim=-1)
    return length / length[0]


def fall(values: Tensor) -> float:
    """By what factor the medians of ``(widths, seeds)`` fall from the first width to the last."""
    return (median(values)[0] / median(values)[-1]).item()


def width_axis(ax: Axes, m: Sequence[int], ylabel: str) -> None:
    """Both axes logarithmic, with ticks at the widths."""
    ax.set(xlabel="width m", ylabel=ylabel, xscale="log", yscale="log")
    ax.set_xticks(m, [f"{w:g}" for w in m], minor=False)
    ax.minorticks_off()
