"""Figures of lesson 02. Each function returns the figure and the sentence that says what it shows."""

import math
from collections.abc import Mapping, Sequence

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from regimes.metrics import feature_movement
from regimes.sweeps import Sweep
from regimes.theory.gauss_newton import step_loss
from regimes.training import Trace
from regimes_course.kit.output import movie
from regimes_course.kit.plotting import (
    BLUE,
    GREEN,
    GREY,
    LOSS,
    ORANGE,
    PINK,
    curve,
    legend,
    new_figure,
    panels,
    predicted,
    style,
)
from regimes_course.kit.words import median, span
from regimes_course.lesson02.cloud import cloud
from regimes_course.lesson02.experiments import STEPS, history, problem

__all__ = ["bound", "envelope", "hero", "narrow", "peaks", "pieces", "race", "starts", "threshold", "width"]

LABELS = (("noise", ORANGE, "s"), ("teacher", BLUE, "o"))


WIDTHS = (20, 1000)  # of the first picture
METHOD = "gradient descent"  # its rule: by Gauss-Newton the losses would be the same for any two clouds
FRAME = (-3.4, 3.0), (-3.2, 3.0)  # what it shows of the plane
PLATE = {"facecolor": "white", "alpha": 0.8, "linewidth": 0, "pad": 1}  # of words over dots
FRAMES = (*range(0, 15, 5), *range(15, 50, 2), 50, 60, 80, 120, STEPS)  # close together while the arms shoot out


def hero() -> tuple[Figure, str, bytes]:
    """Two widths, a row each, at three moments, and their losses. The movie shows both widths side by side."""
    steps, runs = (10, 30, STEPS), [history(m, 0.1, METHOD) for m in WIDTHS]
    fig = new_figure((7.4, 4.3))
    with style():
        grid = fig.add_gridspec(2, 4, width_ratios=(1, 1, 1, 1.15))
        rows = [[fig.add_subplot(grid[i, j]) for j in range(3)] for i in range(2)]
        curves = fig.add_subplot(grid[:, 3])
    for i, (row, m) in enumerate(zip(rows, WIDTHS, strict=True)):
        for ax, k in zip(row, steps, strict=True):
            _moment(ax, m, k)
            ax.set_title("" if i else f"step {k}")
            ax.tick_params(labelbottom=bool(i), labelleft=ax is row[0])
        row[0].set_ylabel(f"{m} units")
    for run, m, colour, look in zip(
        runs, WIDTHS, (PINK, GREEN), ({"linewidth": 4, "alpha": 0.5}, {"linewidth": 1.6}), strict=True
    ):
        curves.plot(run.loss, color=colour, label=f"{m} units", **look)
    curves.set(title="training loss", xlabel="step", xlim=(0, 100), ylim=(0, None))
    curves.yaxis.tick_right()
    with style():
        curves.legend(loc="upper right")
        named, place = rows[0][0].get_legend_handles_labels(), {"loc": "outside lower left", "ncols": 3}
        fig.legend(*named, title="a hidden unit, at its two input weights (large: large |v|)", **place)
    fig.suptitle("Twenty units or a thousand: one cloud, and one training curve", fontsize=11.5)
    losses = ", ".join(" and ".join(f"{run.loss[k]:.2g}" for run in runs) + f" after step {k}" for k in (20, 50))
    moved = [feature_movement(run.W[-1], run.W[0]).item() for run in runs]
    (left, right), (low, high) = FRAME
    first, second = runs[1].W[-1, :, :2].T
    outside = int(((first < left) | (first > right) | (second < low) | (second > high)).sum())
    says = (
        f"The losses of {WIDTHS[0]} units and of {WIDTHS[1]} wait alike and fall alike: {losses}. Their weights move by "
        f"{moved[0]:.2g} and {moved[1]:.2g} times their length at the start: first along one line, then towards three dashed "
        f"rays, the units of the network that made the labels. ({outside} of the {WIDTHS[1]} end outside the frame.)"
    )
    return fig, says, movie([_frame(k) for k in FRAMES])


def _frame(k: int) -> Figure:
    fig, axes = panels(len(WIDTHS), size=(2.6, 2.7), sharex=True, sharey=True)
    for ax, m in zip(axes, WIDTHS, strict=True):
        _moment(ax, m, k)
        ax.grid(visible=False)
        ax.set_title(f"{m} units, step {k}")
        ax.text(0.04, 0.04, f"loss {history(m, 0.1, METHOD).loss[k]:.2g}", transform=ax.transAxes, fontsize=9, bbox=PLATE)
    return fig


def _moment(ax: Axes, m: int, k: int) -> None:
    run = history(m, 0.1, METHOD)
    _, update = cloud(ax, problem().teacher)
    update(run.W[: k + 1], run.v[k], run.v[k].abs().max().item() or 1.0, area=54 if m < 100 else 16)
    ax.set(xlim=FRAME[0], ylim=FRAME[1], aspect="equal", xticks=(-2, 0, 2), yticks=(-2, 0, 2))


def pieces(angle: Tensor, off: Mapping[int, Tensor]) -> tuple[Figure, str]:
    """Outputs of pieces of a cloud less those of all of it, ``(pieces, inputs)`` by their width, around a circle of inputs."""
    fig, axes = panels(len(off), size=(2.4, 3.0), sharey=True)
    said, sizes = [], []
    for ax, (m, values) in zip(axes, sorted(off.items()), strict=True):
        spread, mean = (size.square().mean().sqrt().item() for size in (values.std(0), values.mean(0)))
        for i, piece in enumerate(values[:16]):
            ax.plot(angle, piece, color=BLUE, linewidth=0.6, alpha=0.7, label="_" if i else "a piece (16 drawn)")
        ax.plot(angle, values.mean(0), color=ORANGE, linewidth=2.5, label="mean of all pieces")
        predicted(ax, angle, 0 * angle, "the whole cloud")
        ax.set(title=f"{m} units", xlabel="direction of the input", ylim=(-0.35, 0.35))
        ax.set_xticks([0, math.pi, 2 * math.pi], ["0", "π", "2π"])
        ax.text(0.04, 0.03, f"scatter {spread:.2g}\nmean off by {mean:.2g}", transform=ax.transAxes)
        sizes.append((spread, mean))
        said.append(f"{spread:.2g} and {mean:.2g} with {m} units")
    axes[0].set_ylabel("output less that of the whole")
    legend(axes[-1], loc="upper right", fontsize=9)
    (first, near), (last, nearer) = sizes[0], sizes[-1]
    wider = max(off) / min(off)
    fig.suptitle(
        f"{wider:g} times as wide: networks scatter {first / last:.2g} times less (predicted: {math.sqrt(wider):.2g}),\n"
        f"their mean is {near / nearer:.2g} times nearer (predicted: {wider:g})",
        fontsize=11,
    )
    return fig, (
        "How much single networks scatter around their mean, and how far that is from the whole cloud (root mean squares "
        f"around the circle): {', '.join(said)}."
    )


def starts(start: Tensor, ends: Mapping[float, Sequence[Tensor]], law: float) -> tuple[Figure, str]:
    """Clouds ``(W, v, losses)`` that began at ``std * start``, by ``std``; ``law`` is when one percent should be left."""
    fig, axes = panels(len(ends), size=(1.8, 2.9))
    told, steps = [], []
    for ax, (std, (W, v, losses)) in zip(axes, ends.items(), strict=True):
        steps.append(int((losses > 0.01 * losses[0]).sum()))
        moved = 100 * feature_movement(W, std * start).item()
        told.append(f"{moved:.0f} % from std {std:g}")
        _, update = cloud(ax, problem().teacher)
        update(torch.stack([std * start, W]), v, v.abs().max().item(), area=20)
        ax.plot(*std * start[:, :2].T, "o", color=GREY, markersize=1.5, zorder=1.5, label="start")
        reach = 1.1 * torch.stack([std * start, W])[..., :2].abs().max().item()
        ax.set(xlim=(-reach, reach), ylim=(-reach, reach), aspect="equal", xlabel="first weight")
        when = f"1 % left\nat step {steps[-1]}" if steps[-1] < len(losses) else "not yet\nat 1 %"
        ax.set_title(f"std {std:g}: {when}, units\nmoved {moved:.0f} %", fontsize=10.5)
    axes[0].set_ylabel("second")
    with style():
        fig.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=4)
    took, reached = span(torch.tensor(steps), "d"), max(steps) < len(losses)
    blind = reached and max(abs(step - law) for step in steps) <= max(1, 0.1 * law)
    fig.suptitle(
        f"The loss does not see whether the units move: {took} steps to 1 %, predicted {law:.3g}"
        if blind
        else f"Steps to 1 % of the loss: {took if reached else 'not always reached'}, predicted {law:.3g}",
        fontsize=11.5,
    )
    return fig, (
        f"After {len(losses)} steps, as drawn, the weights had moved by {', '.join(told)} of their length at the start "
        f"(mind the scales). One percent of the loss was left after {took if reached else 'more'} steps (predicted: {law:.3g})."
    )


def narrow(labels: Tensor, outputs: Mapping[int, Tensor], weights: int) -> tuple[Figure, str]:
    """Outputs ``(n,)`` of trained networks of several widths against the labels; a unit has so many ``weights``."""
    fig, axes = panels(len(outputs), size=(1.8, 3.2), sharex=True, sharey=True)
    ends, told, fitted = torch.stack([labels.min(), labels.max()]), [], []
    for ax, (m, f) in zip(axes, outputs.items(), strict=True):
        left = ((f - labels).square().sum() / labels.square().sum()).item()
        predicted(ax, ends, ends, "output = label")
        ax.plot(labels, f, "o", color=BLUE, markersize=4, alpha=0.7, label="a sample")
        share = f"{100 * left:.2g} % left" if left > 1e-6 else "fitted"
        ax.set(title=f"{m} units,\n{weights * m} weights:\n{share}", xlabel="label", aspect="equal")
        told.append(f"{left:.1g} with {weights * m} weights")
        fitted += [str(weights * m)] if left <= 1e-6 else []
    axes[0].set_ylabel("output")
    needed = f"{len(labels)} labels: fewer weights than that cannot fit them; fitted here: {', '.join(fitted) or 'none'}"
    fig.suptitle(needed, fontsize=11.5)
    return fig, (
        f"Of the squared error of a network that says zero to all {len(labels)} samples, this share is left: {', '.join(told)}."
    )


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
            ax.set(xlabel="step k", xlim=(0, descent.step[-1].item()))
            ax.label_outer()
    axes[0].set_ylabel(LOSS)
    axes[len(kappa)].set_ylabel(LOSS)
    legend(axes[len(kappa)], loc="upper right", fontsize=8)
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
    ax.set(
        xlabel="condition number of K at the start",
        ylabel="measured rate / bound\n(1: the bound is exact)",
        xscale="log",
        yscale="log",
    )
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


def threshold(parameters: Sequence[int], last: Mapping[float, Tensor], samples: int) -> tuple[Figure, str]:
    """Loss that is left ``(widths, seeds)`` against the number of parameters, by the size of the steps."""
    fig, (ax,) = panels(size=(5.4, 3.2))
    p = torch.tensor(parameters)
    for (eta, left), colour, marker in zip(last.items(), (ORANGE, BLUE), "so", strict=True):
        curve(ax, p, left, f"Gauss-Newton, η = {eta:g}", markevery=1, color=colour, marker=marker)
    predicted(ax, [samples, samples], [1e-10, 3], "$p = n$")
    ax.set(xlabel="number of parameters p = 7m", ylabel="relative loss at t = 10", xscale="log", yscale="log")
    ax.set_xticks(parameters[::2], [str(p) for p in parameters[::2]], minor=False)
    ax.minorticks_off()
    legend(ax)
    told = []
    for eta, left in last.items():
        fitted = p[int((left.amax(1) >= 1e-6).nonzero().max()) + 1]
        told.append(
            f"with η = {eta:g} at least {left[p < samples].min():.1g} of the loss is left where p < {samples}, "
            f"and all runs fit from p = {fitted} on"
        )
    return fig, f"Noise labels of {samples} samples, {left.shape[1]} seeds each: {'; '.join(told)}."


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
