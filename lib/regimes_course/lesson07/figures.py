"""Figures of lesson 07. Each function returns the figure and the sentence that says what it shows."""

import math
from collections.abc import Mapping, Sequence

import torch
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from torch import Tensor

from regimes.problems import HALVES
from regimes.sweeps import Sweep
from regimes.theory import gauss_newton as theory
from regimes.theory.reversible import inversion_error
from regimes.training import Trace
from regimes_course.kit.plotting import (
    BLUE,
    GREEN,
    GREY,
    LOSS,
    ORANGE,
    PINK,
    SKY,
    curve,
    legend,
    new_figure,
    panels,
    predicted,
    style,
)
from regimes_course.kit.words import median, span
from regimes_course.lesson07.experiments import long_runs
from regimes_course.lesson07.rules import HERO, RULES, SHOWN, matched_runs, stored_rules

__all__ = [
    "COMPARED",
    "LOOKS",
    "batches",
    "block",
    "chosen",
    "climax",
    "exactness",
    "hero",
    "inversion",
    "lazy",
    "matched",
    "next_batch",
    "rates",
]

FOUR = (BLUE, "o"), (GREEN, "^"), (ORANGE, "s"), (PINK, "D")
COMPARED = "exact Gauss-Newton, η = 0.5", "min-norm Gauss-Newton, η = 0.5", "Adam"

# A colour and a marker for each optimizer of the lesson.
LOOKS = {
    "exact Gauss-Newton": (BLUE, "o"),
    "exact Gauss-Newton, η = 0.5": (BLUE, "o"),
    "exact Gauss-Newton, η = 0.1": (SKY, "v"),
    "min-norm Gauss-Newton": (GREEN, "^"),
    "min-norm Gauss-Newton, η = 0.5": (GREEN, "^"),
    "gradient descent": (ORANGE, "s"),
    "Adam": (PINK, "D"),
    "slow Adam": (GREY, "P"),
    "exact": (BLUE, "o"),
    "layer by layer": (ORANGE, "s"),
    "shortest": (GREEN, "^"),
    "Muon": (GREY, "v"),
}
RIGHT = "new images right (%)"


def hero() -> tuple[Figure, str]:
    """Training loss and test accuracy of the exact and the shortest rule, step by step: one curve, two networks."""
    runs = {rule: stored_rules()["hero"][rule] for rule in ("shortest", "exact")}
    fig, (left, right) = panels(2, size=(3.5, 3.3))
    steps = torch.arange(HERO["steps"] + 1)
    for rule, found in runs.items():
        colour, marker = LOOKS[rule]
        look = {"color": colour, "marker": marker, "markevery": 1, "markersize": 9 if rule == "shortest" else 5}
        for ax, what in ((left, "loss"), (right, "right")):
            curve(ax, steps, 100 * torch.tensor(found[what]), f"{rule} step", **look)
    predicted(left, steps, 100 * theory.step_loss(steps, 0.5), "predicted: a quarter per step")
    left.set(title="One training curve ...", xlabel="step", ylabel="training loss left (%)", yscale="log")
    legend(left, loc="lower left", fontsize=8)
    high, low = (100 * found["right"][-1] for found in runs.values())
    right.set(title="... two networks. Who chose?", xlabel="step", ylabel=RIGHT, ylim=(0, 100), xlim=(-0.2, 6.4), xticks=steps)
    right.annotate("", (5.3, low), (5.3, high), arrowprops={"arrowstyle": "<->", "shrinkA": 0, "shrinkB": 0})
    right.text(5.4, (high + low) / 2, f"{high - low:.0f}\npoints", va="center")
    right.text(3.2, high - 14, "shortest", color=LOOKS["shortest"][0])
    right.text(3.2, low - 15, '"exact"', color=LOOKS["exact"][0])
    losses = " and ".join(f"{100 * found['loss'][-1]:.2g} %" for found in runs.values())
    return fig, (
        f"After {HERO['steps']} steps {losses} of the training loss are left, and {high:.0f} % and {low:.0f} % of new images "
        "are right (shortest and exact step)."
    )


def block() -> tuple[Figure, str]:
    """A reversible block, and a digit cut into halves in three ways."""
    from sklearn.datasets import load_digits  # slow to import, and no other figure needs it

    fig = new_figure((7.2, 2.6))
    with style():
        rails, *images = fig.subplots(1, 4, width_ratios=(2.6, 1, 1, 1))
    rails.grid(visible=False)
    for y, colour, name in ((4.4, BLUE, "$x_1$"), (1.2, ORANGE, "$x_2$")):
        rails.plot([0.8, 9.4], [y, y], "-", color=colour, linewidth=2.5, zorder=1)
        rails.plot([9.4], [y], ">", color=colour, markersize=8)
        rails.text(0.1, y, name, va="center", fontsize=12)
    for x, read, changed, name in ((3, 1.2, 4.4, "F"), (6.6, 4.4, 1.2, "G")):
        rails.plot([x, x], [read, changed], "-", color=GREY, linewidth=1.5, zorder=1)
        for y, text, shape in ((2.8, name, "square,pad=0.5"), (changed, "+", "circle,pad=0.2")):
            rails.text(
                x, y, text, ha="center", va="center", fontsize=12, bbox={"boxstyle": shape, "fc": "white", "ec": GREY}, zorder=3
            )
    rails.set(xlim=(0, 10), ylim=(0.2, 5.4), xticks=[], yticks=[], title="A block: to undo it, subtract")
    rails.set_xlabel("G reads the half that F has just changed")
    rails.spines[:].set_visible(False)
    pixels = load_digits().images[13] / 16
    for ax, (name, order) in zip(images, HALVES.items(), strict=True):
        first = torch.zeros(64, dtype=torch.bool)
        first[order[:32]] = True
        tint = torch.tensor([to_rgb(BLUE if top else ORANGE) for top in first]).reshape(8, 8, 3)
        ink = torch.tensor(pixels).float()[..., None]
        ax.imshow(((0.65 + 0.35 * tint) * (1 - ink) + 0.75 * tint * ink).numpy())
        ax.set(xticks=[], yticks=[], xlabel=name)
        ax.grid(visible=False)
    images[1].set_title("Three ways to cut an image")
    return fig, (
        "Left: F reads the second half $x_2$ and is added to the first, $x_1$; then G the other way round. Right: a 3 of 8 × 8 "
        "pixels, its two halves in blue and orange, cut in three ways; unless we say so, top and bottom."
    )


def chosen(mine: Mapping[str, float], left: Mapping[str, float]) -> tuple[Figure, str]:
    """New images right under three right inverses: the reader's runs (with training loss left), stored seeds, what helps."""
    fig, (ax,) = panels(size=(7.2, 3.3))
    stored = matched_runs("right")
    ways = {
        "": ("o", "top and bottom"),
        ", checkerboard": ("X", "checkerboard"),
        ", from zero": ("^", "top and bottom, outputs from zero"),
    }
    colours, told = (BLUE, ORANGE, GREEN), []
    for j, (ending, (marker, label)) in enumerate(ways.items()):
        for i, rule in enumerate(RULES):
            dots = 100 * stored[rule + ending]
            row = [i + 0.25 * (j - 1)] * len(dots)
            ax.plot(dots, row, marker, color=colours[j], markersize=6, alpha=0.7, label=label if i == 0 else None)
        told.append("{:.0f}, {:.0f} and {:.0f} %".format(*(100 * median(stored[rule + ending]) for rule in RULES)))
    ax.plot(
        list(mine.values()),
        [RULES.index(name.split(",")[0]) - 0.25 for name in mine],
        "s",
        color=PINK,
        markersize=10,
        fillstyle="none",
        label="your run",
    )
    _guessing(ax, -0.45)
    ax.set_yticks(range(3), RULES)
    ax.set(
        xlim=(0, 100),
        ylim=(2.5, -0.5),
        xlabel=RIGHT,
        title="One training loss: what a half layer can see decides",
    )
    legend(ax, loc="lower left", bbox_to_anchor=(0.12, 0), fontsize=8)
    own = "; ".join(f"{name} {value:.0f} %" for name, value in mine.items())
    least, most = min(left, key=left.get), max(left, key=left.get)
    return fig, (
        f"New images right in your run: {own}. Training loss left: from {100 * left[least]:.2g} % ({least}) to "
        f"{100 * left[most]:.2g} % ({most}). Medians of {len(dots)} other seeds for {RULES[0]}, {RULES[1]} and {RULES[2]}: "
        f"{told[0]}; with the checkerboard {told[1]}; with outputs from zero {told[2]}."
    )


def matched(mine: Mapping[str, float], ends: Mapping[str, Tensor], start: Tensor) -> tuple[Figure, str]:
    """New images right, and how far the weights went, under five rules with one training loss; hollow: damped.

    A name of ``mine`` is one of the rules, or has one before its first comma.
    """
    fig, (left, right) = panels(2, size=(3.7, 3.2), sharey=True)
    scores, moved = matched_runs("right"), matched_runs("moved")
    for i, rule in enumerate(SHOWN):
        colour, marker = LOOKS[rule]
        for ax, values in ((left, 100 * scores[rule]), (right, moved[rule])):
            ax.plot(values, [i] * len(values), marker, color=colour, markersize=6, alpha=0.7)
        if (damped := f"{rule}, damped") in scores:
            left.plot(
                100 * scores[damped], [i + 0.3] * len(scores[damped]), marker, color=colour, markersize=6, fillstyle="none"
            )
    went = {name: (W - start).norm().item() for name, W in ends.items()}
    for ax, values in ((left, mine), (right, went)):
        for name, value in values.items():
            ax.plot([value], [SHOWN.index(name.split(",")[0]) - 0.3], "*", color="#B00020", markersize=10)
    _guessing(left, -0.45)
    left.set_yticks(range(len(SHOWN)), SHOWN)
    left.set(xlim=(0, 100), ylim=(len(SHOWN) - 0.4, -0.6), xlabel=RIGHT, title="As much loss left, and ...")
    right.set(xlim=(0, None), xlabel="how far the weights went", title="... far is not bad")
    told = ", ".join(f"{rule} {100 * median(scores[rule]):.0f} %" for rule in SHOWN)
    ways = ", ".join(f"{rule} {median(moved[rule]):.2g}" for rule in SHOWN)
    damped = ", ".join(f"{rule} {100 * median(scores[f'{rule}, damped']):.0f} %" for rule in RULES)
    own = "; ".join(f"{name} {mine[name]:.0f} % at {went[name]:.2g}" for name in mine)
    return fig, (
        f"New images right, medians of {len(scores['exact'])} seeds: {told}; with damping (hollow) {damped}. "
        f"Distance of the weights from their start: {ways}.{f' Your run (stars): {own}.' if mine else ''}"
    )


def next_batch(changes: Mapping[str, Tensor]) -> tuple[Figure, str]:
    """What each step does to the loss on its own batch and on the next one, on axes of their own; stored training losses."""
    fig, (*axes, whole) = panels(3, size=(3, 3.1))
    titles = "Its own batch: fitted", "The next one: not"
    told = []
    for ax, title, which in zip(axes, titles, (0, 1), strict=True):
        for i, (name, pair) in enumerate(changes.items()):
            colour, marker = LOOKS[name]
            values = 100 * pair[which]
            ax.plot(torch.linspace(i - 0.25, i + 0.25, len(values)), values, marker, color=colour, markersize=4, alpha=0.6)
            ax.plot([i - 0.3, i + 0.3], [values.mean()] * 2, "-", color=colour, linewidth=2.5)
        ax.axhline(0, color=GREY, linewidth=1, linestyle=":")
        ax.set_xticks(range(len(changes)), changes)
        ax.set(title=title, ylabel="change of the loss by a step (%)" if which == 0 else "")
    predicted(axes[0], [-0.4, 0.4], [100 * (theory.step_loss(1, 0.5) - 1)] * 2)
    axes[0].text(0, -70, "predicted", ha="center")
    for name, (own, other) in changes.items():
        told.append(f"{name} {100 * own.mean():.0f} % and {100 * other.mean():+.1f} %".replace("-", "−"))
    ends, runs = [], long_runs()["shifted"]
    for name, long in zip(COMPARED, ("exact", "shortest", "Adam"), strict=True):
        colour, marker = LOOKS[name]
        loss = 100 * runs[name] / runs[name][:, :1]
        curve(whole, torch.arange(loss.shape[1]), loss.mT, long, color=colour, marker=marker, markevery=(3, 8))
        ends.append(f"{long} {median(loss[:, -1]):.2g} % after {loss.shape[1] - 1}")
    whole.set(title="All batches: exact stops", xlabel="epoch", ylabel="training loss left (%)", yscale="log")
    legend(whole, loc="upper right", fontsize=8)
    return fig, (
        f"Mean change of the loss by a step, on its own batch and on the next one: {'; '.join(told)}. Right, stored runs: "
        f"training loss left over the epochs, {', '.join(ends)} (medians of {len(loss)} seeds)."
    )


def _guessing(ax: Axes, y: float) -> None:
    ax.axvline(10, color=GREY, linewidth=1, linestyle=":")
    ax.text(10.8, y, "guessing", color=GREY, fontsize=8, va="top")


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


def rates(traces: Mapping[float, Trace], etas: Sequence[float], gaps: Tensor) -> tuple[Figure, str]:
    """Relative losses of full-batch runs (left), and the gap ``(eta, seeds)`` between the two inverses at t = 1 (right)."""
    fig, (left, right) = panels(2, size=(4.4, 3.1))
    for (eta, trace), (colour, marker) in zip(traces.items(), ((BLUE, "o"), (GREEN, "^"), (ORANGE, "s")), strict=True):
        curve(left, trace.step, trace.relative, f"η = {eta:g}", color=colour, marker=marker)
        predicted(left, trace.step, theory.step_loss(trace.step, eta), r"predicted, $(1-\eta)^{2k}$" if eta == 0.1 else None)
    left.set(xlabel="step k", ylabel=LOSS, yscale="log", ylim=(1e-7, 200), xlim=(0, 30))
    legend(left, loc="upper right", fontsize=8)
    t = torch.tensor(etas, dtype=torch.float64)
    curve(right, t, gaps, "measured", color=PINK, marker="D", markevery=1)
    predicted(right, t, median(gaps)[0] * t / t[0], "predicted order: η")
    right.set(xlabel="step η", ylabel="gap of the residuals at t = 1", xscale="log", yscale="log")
    right.set_xticks(etas, [f"{a:g}" for a in etas], minor=False)
    right.set_yticks([0.005, 0.01, 0.02], ["0.005", "0.01", "0.02"], minor=False)
    right.minorticks_off()
    legend(right, loc="upper left", fontsize=8)
    laws = ", ".join(f"{-theory.discrete_rate(a) * a:.3g}" for a in traces)
    slopes = "; ".join(f"{-trace.rate((1e-2, 1e-6)).mean() * a:.3g} at η = {a:g}" for a, trace in traces.items())
    return fig, (
        f"Slopes of log L a step: {slopes}; 2 log(1 − η) is {laws}. "
        f"Halving η halves the gap: the exponent is {span((gaps[0] / gaps[-1]).log() / (t[0] / t[-1]).log(), '.3g')}."
    )


def climax(exact: Sweep, shortest: Sweep, evidence: Mapping[str, Sweep]) -> tuple[Figure, str]:
    """Training loss and test accuracy ``(seeds, steps)`` of the two inverses, and of variants of the exact one at their end."""
    fig, (left, middle, right) = panels(3, size=(3.5, 3.2), width_ratios=(1, 1, 1.15))
    for name, run in (("exact Gauss-Newton", exact), ("min-norm Gauss-Newton", shortest)):
        colour, marker = LOOKS[name]
        for ax, what in ((left, "loss"), (middle, "test")):
            curve(ax, torch.arange(run[what].shape[1]), run[what].mT, name, color=colour, marker=marker, markevery=1)
    k = torch.arange(exact["loss"].shape[1])
    predicted(left, k, theory.step_loss(k, 0.5), r"predicted, $(1-\eta)^{2k}$")
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
    fig, (own, following, *axes) = panels(2 + len(long), size=(2.8, 3.3), width_ratios=(0.6, 0.6, *[1] * len(long)))
    for ax, title, which in ((own, "own batch", 0), (following, "next batch", 1)):
        for i, (name, change) in enumerate(changes.items()):
            mean = 100 * change[which].mean(0)
            look = {"color": LOOKS[name][0], "hatch": "" if i == 0 else "//", "edgecolor": "white"}
            ax.bar([i], median(mean).item(), 0.7, **look)
            ax.plot([i] * len(mean), mean, ".", color="black", markersize=4)
        ax.axhline(0, color=GREY, linewidth=1)
        ax.set_xticks(range(len(changes)), ["exact" if "exact" in name else name for name in changes])
        ax.set_title(title)
    predicted(own, [-0.4, 0.4], [100 * (theory.step_loss(1, 0.5) - 1)] * 2)
    own.set_ylabel("change of the loss by a step (%)")
    for ax, (data, runs) in zip(axes, long.items(), strict=True):
        _long(ax, runs)
        ax.set(title=f"{data}, 40 epochs", xlabel="epoch", yscale="log", ylim=(0.08, 1.2))
        ax.set_yticks([0.1, 0.2, 0.4, 0.8], ["0.1", "0.2", "0.4", "0.8"], minor=False)
        ax.minorticks_off()
    axes[0].set_ylabel("training loss (whole set)")
    legend(axes[0], loc="upper right", fontsize=7.5)
    both = "; ".join(
        f"{name} {100 * median(c.mean(1))[0]:.0f} % and {100 * median(c.mean(1))[1]:+.0f} %" for name, c in changes.items()
    )
    end = {name: loss[:, -1] for name, loss in next(iter(long.values())).items()}
    told = ", ".join(f"{name}: {median(v):.3f}" for name, v in end.items())
    ends = f"Training losses at the end with shifted images: {told} (medians of 3 stored runs)."
    return fig, f"Own and next batch: {both} (dashed: predicted). {ends}"


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
