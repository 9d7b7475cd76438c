"""Figures of lesson 05. Each function returns the figure and the sentence that says what it shows."""

from collections.abc import Mapping, Sequence

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from regimes.sweeps import Sweep
from regimes.theory import gauss_newton as theory
from regimes.training import Trace
from regimes_course.kit.plotting import (
    BLUE,
    GREEN,
    GREY,
    LOOKS,
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
from regimes_course.lesson05.experiments import LOOK, watched

__all__ = [
    "floors",
    "hero",
    "hidden",
    "left_over",
    "limits",
    "noise",
    "outputs",
    "rest",
    "shrinkage",
    "starts",
    "steps",
    "two_starts",
]

TEST = "test loss"
PLATE = {"facecolor": "white", "alpha": 0.8, "linewidth": 0, "pad": 1}  # of words over lines
ITSELF, AGAIN, RANDOM = "the network itself", "last layer re-fitted", "random hidden layer, re-fitted"


def hero() -> tuple[Figure, str]:
    """Losses with gap and gain as arrows; under them, at three times, the hidden weights and the outputs on new inputs."""
    run = watched()
    gap, gain = _ratios(run.time, run.test, run.refit)
    fig = new_figure((7.2, 7.4))
    with style():
        rows = fig.subfigures(3, 1, height_ratios=(1.25, 1, 1))
        top, axes = rows[0].subplots(), [row.subplots(1, 3) for row in rows[1:]]
    _losses(top, run.time, run.test, run.refit, named=True)
    top.set_title(f"At t = {LOOK:g} the network still looks poor. Its hidden layer is already done.", fontsize=11.5)
    rays = 9 * run.teacher / run.teacher.norm(dim=1, keepdim=True)
    for weights, says, moment in zip(*axes, run.moments, strict=True):
        for ray in rays:
            predicted(weights, [0, ray[0]], [0, ray[1]], linewidth=1, zorder=1)
            predicted(weights, [0, -ray[0]], [0, -ray[1]], linewidth=1, zorder=1, linestyle=":")
        weights.plot(*moment.W[:, :2].T, "o", color=BLUE, markersize=3.5, alpha=0.7)
        reach = 1.25 * moment.W[:, :2].abs().max().item()
        ticks = [-1, 0, 1] if reach > 1 else [-0.2, 0, 0.2]
        ticks = [3 * tick for tick in ticks] if reach > 3 else ticks
        weights.set(xlim=(-reach, reach), ylim=(-reach, reach), aspect="equal", xticks=ticks, yticks=ticks)
        weights.set(title=f"t = {moment.time:g}", xlabel="weight $w_1$ of a unit")
        says.plot(run.y_test, moment.refit, "^", color=GREEN, markersize=2.5, alpha=0.5)
        says.plot(run.y_test, moment.f, "o", color=BLUE, markersize=2.5, alpha=0.6)
        share = theory.shrinkage(moment.step, run.eta)
        says.plot([-4, 4], [-4 * share, 4 * share], "--", color="black", linewidth=1.2, zorder=5)
        says.text(0.05, 0.86, f"{share:.2f} y (section 4)", transform=says.transAxes)
        says.set(xlim=(-4, 4), ylim=(-4, 4), xticks=(-3, 0, 3), yticks=(-3, 0, 3), aspect="equal", xlabel="right answer y")
    axes[0][0].set_ylabel("weight $w_2$")
    axes[1][0].set_ylabel("output, new inputs")
    i = int((run.time == LOOK).nonzero())
    return fig, (
        f"At t = {LOOK:g} the test loss is {run.test[i]:.2g}; with the last layer re-fitted it is {run.refit[i]:.2g}, "
        f"{gap:,.0f} times lower, and a random hidden layer reaches {run.refit[0]:.2g} (the gain is drawn a little later). "
        "Middle: two of the four weights of each hidden unit; dashed, the two units that made the labels, dotted, the opposite "
        "directions. Bottom: what the network says (blue), and would say with a new last layer (green)."
    )


def two_starts(time: Tensor, runs: Mapping[float, tuple[Sequence[float], Sequence[float]]]) -> tuple[Figure, str]:
    """Test losses and re-fitted ones of runs that start with hidden weights of different size, by it."""
    fig, axes = panels(len(runs), size=(3.6, 3.7), sharey=True)
    told = []
    for ax, (std, (test, again)) in zip(axes, runs.items(), strict=True):
        _losses(ax, time, test, again)
        gap, gain = _ratios(time, test, again)
        ax.set_title(f"std {std:g}: " + ("much learned, quietly" if gain > 3 else "nothing learned, but a gap"))
        told.append(f"from std {std:g} G = {_plain(gap)} and F = {gain:.3g}")
    every = [loss for pair in runs.values() for losses in pair for loss in losses]
    axes[0].set(ylabel=TEST, ylim=(min(every) / 4, 2 * max(every)))
    with style():
        fig.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=3)
    return fig, f"At t = {LOOK:g}: {'; '.join(told)}. A gap is on both sides, a gain on one."


def noise(time: Tensor, test: Sequence[float], again: Sequence[float]) -> tuple[Figure, str]:
    """The same for one run that was trained on noisy labels."""
    fig, (ax,) = panels(size=(6.6, 3.3))
    _losses(ax, time, test, again, named=True)
    gap, gain = _ratios(time, test, again)
    ax.set_title(f"Noisy labels: what was learned is worth {'less' if gain < 1 else 'more'} than random features")
    return fig, f"Trained on noisy labels: at t = {LOOK:g} the gap is G = {gap:.2g}, and the gain F = {gain:.2g}."


def _plain(ratio: float) -> str:
    return f"{ratio:,.0f}" if ratio > 100 else f"{ratio:.3g}"


def _ratios(time: Tensor, test: Sequence[float], again: Sequence[float]) -> tuple[float, float]:
    """Gap and gain when we look."""
    test, again = (torch.as_tensor(values, dtype=torch.float64) for values in (test, again))
    i = int((time - LOOK).abs().argmin())
    return (test[i] / again[i]).item(), (again[0] / again[i]).item()


def _losses(ax: Axes, time: Tensor, test: Sequence[float], again: Sequence[float], named: bool = False) -> None:
    """Losses over time; at `LOOK` a double arrow for the gap, and a little later one for the gain."""
    test, again = (torch.as_tensor(values, dtype=torch.float64) for values in (test, again))
    i, end = int((time - LOOK).abs().argmin()), time[-1].item()
    gap, gain = _ratios(time, test, again)
    ax.plot(time, test, "-", color=BLUE, label=ITSELF)
    ax.plot(time, again, "-", color=GREEN, label=AGAIN)
    ax.plot([0, end], [again[0], again[0]], "-.", color=GREY, label=RANDOM)
    arrow = {"arrowstyle": "<->", "shrinkA": 0, "shrinkB": 0, "linewidth": 1.4}
    for x, high, colour in ((LOOK, test[i].item(), "black"), (1.8 * LOOK, again[0].item(), GREY)):
        ax.annotate("", (x, high), (x, again[i].item()), arrowprops=arrow | {"color": colour})
    half = (test[i] * again[i]).sqrt().item()
    ax.text(-0.02 * end, half, f"gap\nG = {_plain(gap)}", ha="right", va="center")
    spot = (again[0] * again[i]).sqrt().item() if gain > 3 else 0.8 * again.min().item()
    told = f"gain{' ' if named or gain < 3 else chr(10)}F = {gain:.3g}"  # on two lines where the panel is narrow
    ax.text(1.8 * LOOK + 0.03 * end, spot, told, va="center" if gain > 3 else "top", color=GREY, bbox=PLATE)
    if named:
        words = {"transform": ax.get_yaxis_transform(), "ha": "right", "va": "bottom"}
        j = int(0.62 * len(time))
        j = j if test[j] > 2 * again[j] else j // 2  # where the two curves are apart
        side = "bottom" if test[j] > again[j] else "top"
        ax.text(time[j].item(), test[j].item(), f" {ITSELF}", color=BLUE, va=side, ha="left")
        ax.text(0.99, again[0].item() * 1.08, RANDOM, color=GREY, **words)
        ax.text(0.99, again[-1].item() * 0.85, AGAIN, color=GREEN, **(words | {"va": "top"}))
    ax.set(xlabel="time t", ylabel=TEST if named else "", yscale="log", xlim=((-0.2 if named else -0.4) * end, end))
    ax.set_xticks(range(0, round(end) + 1))
    ax.set_ylim(again.min().item() / 4, 2 * test.max().item())


def outputs(y: Tensor, runs: Mapping[str, Mapping[float, Tensor]]) -> tuple[Figure, str]:
    """Outputs ``(n,)`` on the training data against their targets, by method and by the share of them that is predicted."""
    fig, axes = panels(len(runs), size=(3.6, 3.5), sharex=True, sharey=True)
    ends, told = torch.stack(y.aminmax()), []
    for ax, (name, seen) in zip(axes, runs.items(), strict=True):
        for (share, f), marker, colour in zip(seen.items(), "os^", (SKY, BLUE, "0.2"), strict=True):
            ax.plot(y, f, marker, color=colour, markersize=4, alpha=0.8, label=f"{(1 - share) ** 2:.0%} of the loss left")
            predicted(ax, ends, share * ends, f"predicted: {share:.2g} y")
        told.append(f"{((f - share * y).norm() / (share * y).norm()).item():.0%} with {name}")
        ax.set(title=name, xlabel="target y")
    axes[0].set_ylabel("output f")
    legend(axes[0], loc="upper left", fontsize=8)
    fig.suptitle("Gauss-Newton says everything equally quietly; gradient descent does not", fontsize=11.5)
    return fig, f"Training data at three times; at the last one the outputs miss the dashed line by {' and by '.join(told)}."


def rest(eta: Sequence[float], factors: Mapping[float, Sequence[float]]) -> tuple[Figure, str]:
    """The factor between the louder network's test loss and the re-fitted one, against the step, by the damping."""
    fig, (ax,) = panels(size=(6.4, 3.6))
    for (eps, values), colour, marker in zip(factors.items(), (ORANGE, BLUE, GREEN), "so^", strict=True):
        curve(ax, torch.tensor(eta), torch.tensor(values), f"damping ε = {eps:g}", color=colour, marker=marker, markevery=1)
    ax.axhline(1, color=GREY, linestyle=":", label="nothing left to gain")
    ax.set(xscale="log", yscale="log", xlabel="step η", ylabel="factor that is left")
    ax.set_xticks(eta, [f"{e:g}" for e in eta], minor=False)
    ax.set_yticks([1, 10, 100], ["1", "10", "100"])
    ax.minorticks_off()
    legend(ax, loc="upper left", fontsize=9)
    ax.set_title("Smaller steps close the rest, less damping does not")
    (small, few), (eps, ours), (large, many) = factors.items()
    return fig, (
        f"At t = {LOOK:g}, {_plain(ours[1])} is left at η = {eta[1]:g} with our damping, {eps:g}, and {ours[-1]:.2g} at "
        f"η = {eta[-1]:g}. With ε = {small:g} more is left at every step, {few[1]:.3g} and {few[-1]:.2g}; with "
        f"ε = {large:g} smaller steps soon stop helping, {many[1]:.2g} and {many[-1]:.2g}."
    )


def starts(sweep: Sweep) -> tuple[Figure, str]:
    """Test losses ``(std, seeds)`` of three methods over random features', a line a teacher; and how far the units turned."""
    fig, (left, right) = panels(2, size=(4.4, 3.2))
    std, random = sweep.grid["std"], sweep["random"]
    for name, look in (("GD", "gradient descent"), ("GN", "Gauss-Newton")):
        colour, marker = LOOKS[look]
        ratio = sweep[name] / random
        for i, each in enumerate(ratio.T):
            left.plot(std, each, color=colour, linewidth=0.7, alpha=0.6, label="_" if i else f"{look}, each teacher")
        left.plot(std, median(ratio), color=colour, marker=marker, label="_median", linewidth=2.2)
    left.axhline(1, color=GREY, linestyle="-.", label="random features")
    curve(right, std, sweep["turned"], "Gauss-Newton", markevery=1)
    left.set(ylabel="test loss / random features'", xscale="log", yscale="log")
    right.set(ylabel="cosine distance to the start", xscale="log", yscale="log")
    for ax in (left, right):
        ax.set(xlabel="std of the hidden weights at the start")
        ax.set_xticks(std, [f"{s:g}" for s in std], minor=False)
        ax.minorticks_off()
    legend(left, loc="lower right")
    GN, RF, turned = (median(sweep[name]) for name in ("GN", "random", "turned"))
    said = (
        f"At std {std[i]:g} the median test loss is {GN[i]:.1e} with Gauss-Newton and {RF[i]:.1e} with random features, "
        f"and the hidden units have turned by {turned[i]:.1g}."
        for i in (1, -1)
    )
    return fig, f"{' '.join(said)} ({sweep['GN'].shape[-1]} seeds; medians are thick.)"


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


def left_over(eta: Sequence[float], dampings: Sequence[float], miss: Tensor, left: Tensor) -> tuple[Figure, str]:
    """What one number leaves over, ``(steps, dampings, seeds)``: relative miss of the outputs, and the factor to the re-fit."""
    fig, axes = panels(2, size=(4.4, 3.2))
    x = torch.tensor(eta, dtype=miss.dtype)
    for i, (eps, colour, marker) in enumerate(zip(dampings, (ORANGE, BLUE, GREEN), "so^", strict=True)):
        for ax, values in zip(axes, (miss, left), strict=True):
            curve(ax, x, values[:, i], f"ε = {eps:g}", color=colour, marker=marker, markevery=1)
    for ax, label, level in zip(
        axes, ("relative miss of the outputs", "rescaled / re-fitted test loss"), (None, 1), strict=True
    ):
        ax.set(xlabel="step η", ylabel=label, xscale="log", yscale="log")
        ax.set_xticks(eta, [f"{e:g}" for e in eta], minor=False)
        ax.minorticks_off()
        if level:
            ax.axhline(level, color=GREY, linestyle=":", label="nothing left to gain")
        legend(ax, loc="upper left", fontsize=8)
    far, mean = median(miss), left.log().mean(-1).exp()
    said = (
        f"ε = {eps:g}: {', '.join(f'{100 * far[k, i]:.2g} %' for k in (1, -1))} and {mean[1, i]:.3g}, {mean[-1, i]:.3g}"
        for i, eps in enumerate(dampings)
    )
    return fig, (
        f"Median miss and geometric mean of the factor at η = {eta[1]:g} and then {eta[-1]:g}: {'; '.join(said)} "
        f"({miss.shape[-1]} seeds)."
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
