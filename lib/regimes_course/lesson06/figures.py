"""Figures of lesson 06. Each function returns the figure and the sentence that says what it shows."""

from collections.abc import Mapping, Sequence

import torch
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from torch import Tensor

from regimes_course.kit.plotting import BLUE, GREEN, GREY, ORANGE, PINK, curve, legend, panels, predicted
from regimes_course.kit.words import median, span
from regimes_course.lesson06.experiments import CORNERS, LINE, TENT, Path, path, tent

__all__ = [
    "dial",
    "frozen",
    "hero",
    "kernel_error",
    "learned",
    "mirror",
    "pairs",
    "scalings",
    "signs",
    "two_scalings",
    "widths",
    "world_lines",
]

NAMES = {"erf": "erf", "relu": "ReLU"}
LOOK = {"erf": (BLUE, "o"), "relu": (ORANGE, "s")}
MODES = ((0, 1), (1, 4), (4, 16), (16, 64))  # first and last eigenvector of the groups that are drawn


RICH, LAZY = 0.1, 10.0  # the dials of the first picture


def hero() -> tuple[Figure, str]:
    """A rich and a lazy network beside each other: what they say, and where their units bend it while they train."""
    runs = path(RICH), path(LAZY)
    fig, axes = panels(2, 2, size=(3.6, 2.6), sharex=True)
    fig.suptitle("Same network, same start, same points: one number decides who moves", fontsize=12)
    titles = ("The bends travel to the three corners", "The bends stay where they were drawn")
    for run, function, lines, title, colour in zip(runs, axes[:2], axes[2:], titles, (BLUE, ORANGE), strict=True):
        function.plot(LINE, run.outputs(LINE), color=colour)
        function.plot(TENT, tent(TENT), "ko", markersize=5)
        function.set(ylim=(-0.3, 1.4), title=f"{'rich' if run.alpha < 1 else 'lazy'}: α = {run.alpha:g}")
        where = {"transform": function.transAxes, "ha": "center", "va": "top"}
        function.text(0.5, 0.98, f"weights moved {run.moved[-1]:.2g} × their length", color=colour, **where)
        lines.add_collection(world_lines(run, colour))
        for corner in CORNERS:
            predicted(lines, [corner, corner], [0, 1], linewidth=1)
        lines.set(xlim=(-1.05, 1.05), ylim=(0, 1), xlabel="x")
        lines.set_title(title, fontsize=10)
        lines.set_yticks([0, 1], ["start", "end"])
        lines.grid(False)
    axes[0].set_ylabel("output")
    axes[2].set_ylabel("training time (log)")
    (far, rich), (near, lazy) = ((run.moved[-1].item(), run.at_corners()) for run in runs)
    return fig, (
        f"After {runs[0].step[-1]:,} steps the rich network (α = {RICH:g}) has moved its weights by {far:.2g} times "
        f"their length, and {rich:.0%} of its bends, by size, sit at a corner of the data (dashed); the lazy one "
        f"(α = {LAZY:g}) has moved by {near:.2g}, and {lazy:.0%} do. Below: a line for each unit, darker for larger ones."
    )


def world_lines(run: Path, colour: str) -> LineCollection:
    """A line for each unit: where it bends the function, upwards through the training; fainter for smaller units."""
    time = run.step.double().log1p()
    time, size = time / time[-1], run.sizes[-1]
    opacity = 0.8 * (size / size.quantile(0.9)).clamp(0.12, 1)
    return LineCollection(
        [torch.stack([bend, time], 1).numpy() for bend in run.bends.clamp(-9, 9).T],
        colors=[to_rgba(colour, a) for a in opacity.tolist()],
        linewidths=0.9,
    )


def learned(x: Tensor, seen: Mapping[int, tuple[Tensor, Tensor]]) -> tuple[Figure, str]:
    """What a lazy network says after some steps, beside what was predicted with its kernel at the start."""
    fig, axes = panels(len(seen), size=(2.7, 2.8), sharey=True)
    off = {k: (f - law).square().mean().sqrt().item() for k, (f, law) in seen.items()}
    for ax, (k, (f, law)) in zip(axes, seen.items(), strict=True):
        ax.plot(x, f, color=ORANGE, label="network, trained")
        predicted(ax, x, law, "predicted")
        ax.plot(TENT, tent(TENT), "ko", markersize=4, label="data")
        ax.set(title=f"after {k:,} steps", xlabel="x")
    axes[0].set_ylabel("output")
    legend(axes[0], loc="upper left", fontsize=8)
    fig.suptitle("Predicted without training: broad shapes first, corners last", fontsize=11.5)
    told = ", ".join(f"{gap:.1g} after {k:,}" for k, gap in off.items())
    return fig, f"The network is off the prediction by {told} steps (root mean square)."


def pairs(
    x: Tensor, found: Mapping[float, tuple[Tensor, Tensor]], shares: Mapping[int, Sequence[tuple[float, float]]]
) -> tuple[Figure, str]:
    """Kernels after training, sorted by the two signs that count; and what kernels get right, by samples a pair.

    Args:
        x: inputs ``(n, d)``.
        found: kernel ``(n, n)`` and share of new samples right, by the dial.
        shares: by the number of signs: samples a pair of signs, and share of new samples right.
    """
    fig, (*heats, ax) = panels(3, size=(3.1, 3.5))
    group = 2 * (x[:, 0] > 0).int() + (x[:, 1] > 0).int()
    order, edges = group.argsort(stable=True), [int((group < g).sum()) for g in range(5)]
    middles = [(a + b - 1) / 2 for a, b in zip(edges, edges[1:], strict=False)]
    off = ~torch.eye(len(x), dtype=torch.bool)
    for heat, (alpha, (K, right)) in zip(heats, found.items(), strict=True):
        K = K[order][:, order]
        K = torch.where(off, K - K[off].mean(), 0.0)
        limit = K.abs().quantile(0.99).item()
        heat.imshow(K.numpy(), cmap="RdBu_r", vmin=-limit, vmax=limit, interpolation="nearest")
        heat.grid(False)
        heat.set_xticks(middles, ["− −", "− +", "+ −", "+ +"])
        heat.set_yticks(middles, ["− −", "− +", "+ −", "+ +"])
        heat.tick_params(length=0)
        heat.set(title=f"α = {alpha:g}: {right:.0%} right", xlabel="samples, by their first two signs")
    for (d, values), colour, marker in zip(shares.items(), (BLUE, GREEN, ORANGE, PINK), "o^sD", strict=True):
        ax.plot(*zip(*values, strict=True), marker, color=colour, label=f"{d} signs", markersize=5)
    predicted(ax, [1, 1], [0.5, 1], "one sample a pair")
    ax.set(xscale="log", xlabel="samples for each pair", title="A kernel pays for every pair")
    ax.set_xticks([0.1, 0.3, 1, 3], ["0.1", "0.3", "1", "3"], minor=False)
    ax.minorticks_off()
    ax.set_ylabel("new samples right")
    legend(ax, loc="upper left", fontsize=8)
    every = [pair for values in shares.values() for pair in values]
    few, many = ([right for ratio, right in every if low <= ratio <= high] for low, high in ((0, 0.5), (1, 99)))
    (rich, (_, well)), (lazy, (_, badly)) = found.items()
    return fig, (
        f"The kernel after training, less its mean (red: above, blue: below). It has four blocks at α = {rich:g}, where "
        f"{well:.0%} of new samples are right. Of blocks at α = {lazy:g}, where {badly:.0%} are right, a trace was there at "
        "the start, as samples that share signs are a little closer. Right: "
        f"regression with the kernel of infinite width gets at most {max(few):.0%} right with half a sample for each pair or "
        f"less, at least {min(many):.0%} with one or more."
    )


def two_scalings(x: Tensor, runs: Mapping[tuple[str, int], tuple[Tensor, Tensor, Tensor, float]]) -> tuple[Figure, str]:
    """Functions and bends of trained networks ``(W, v, outputs on x, moved)``, by scaling and width."""
    fig, axes = panels(2, len(runs) // 2, size=(3.6, 2.3), sharex=True, sharey=True)
    for ax, ((name, m), (W, v, f, moved)) in zip(axes, runs.items(), strict=True):
        colour = ORANGE if name.startswith("NTK") else BLUE
        bend, size = -W[:, 1] / W[:, 0], v.abs() * W.norm(dim=1)
        inside = bend.abs() < 1
        heights = 0.35 * (size / size[inside].max())[inside]
        ax.vlines(bend[inside], -0.45, -0.45 + heights, color=colour, linewidth=0.9, alpha=0.6)
        ax.plot(x, f, color=colour)
        ax.plot(TENT, tent(TENT), "ko", markersize=4)
        for corner in CORNERS:
            predicted(ax, [corner, corner], [-0.45, -0.1], linewidth=1)
        ax.set_title(f"{name}, {m:,} units: moved {100 * moved:.2g} %", fontsize=9)
        ax.set_ylim(-0.5, 1.2)
    for ax in axes[-2:]:
        ax.set_xlabel("x")
    for ax in axes[::2]:
        ax.set(ylabel="output", yticks=(0, 0.5, 1))
    fig.suptitle("Wide is lazy in one scaling and not in the other", fontsize=11.5)
    told = "; ".join(f"{name}, {m:,} units {100 * run[3]:.2g} %" for (name, m), run in runs.items())
    return fig, f"How far the weights moved: {told}. Spikes below: bends, as high as their unit is large."


def mirror(score: Sequence[float]) -> tuple[Figure, str]:
    """The odd function that is to blame; shares right of training samples, new ones, training samples with flipped signs."""
    fig, (left, right) = panels(2, size=(3.6, 2.7))
    z = torch.linspace(-3, 3, 121, dtype=torch.float64)
    left.plot(z, torch.erf(z / 2**0.5), color=BLUE, label="erf")
    left.plot(z, torch.erf(-z / 2**0.5), color=ORANGE, linestyle="-", label="erf of the mirror image")
    predicted(left, z[[0, -1]], [0, 0], "their sum")
    left.set(xlabel="what goes into a unit, z", ylabel="what comes out", title="An odd unit, and its mirror image")
    legend(left, loc="upper center", fontsize=8)
    left.set_ylim(-1.1, 2.3)
    right.barh(["training\nsamples", "new\nsamples", "training samples,\nsigns flipped"], score, color=(BLUE, GREY, ORANGE))
    for i, share in enumerate(score):
        right.text(share + 0.02, i, f"{share:.0%}", va="center")
    right.set(xlim=(0, 1.2), xlabel="share right", xticks=(0, 0.5, 1), title="It fits, and knows nothing")
    right.invert_yaxis()
    right.grid(False)
    known, new, flipped = score
    return fig, (
        f"Right are {known:.0%} of the training samples, {new:.0%} of new ones, and {flipped:.0%} of the training samples with "
        "all signs flipped."
    )


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
    power(ax, m, ntk, -1.0, "slope −1", linestyle=":")
    width_axis(ax, m, "drift of the kernel")
    legend(ax, loc="center right", bbox_to_anchor=(1, 0.62), fontsize=8)
    (first, last), (ntk_first, ntk_last) = (median(drift)[[0, -1]] for drift in (mean_field, ntk))
    return fig, (
        f"From {m[0]} to {m[-1]} units the drift goes from {first:.2g} to {last:.2g} in mean-field scaling and from "
        f"{ntk_first:.2g} to {ntk_last:.2g} in NTK scaling (medians of {ntk.shape[-1]} seeds)."
    )


def power(ax: Axes, m: Sequence[int], values: Tensor, slope: float, label: str | None, **look) -> None:
    """A power law in the width: its slope is predicted, its level fitted."""
    x, middle = torch.tensor(m, dtype=torch.float64), median(values)
    level = (middle.log() - slope * x.log()).mean()
    predicted(ax, m, (level + slope * x.log()).exp(), label, **look)


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
