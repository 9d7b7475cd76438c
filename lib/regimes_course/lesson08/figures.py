"""Figures of lesson 08. Each function returns the figure and the sentence that says what it shows."""

from collections.abc import Mapping, Sequence

import torch
from matplotlib.figure import Figure
from torch import Tensor

from regimes.theory.edge_of_stability import quadratic_factor
from regimes.theory.gauss_newton import step_loss
from regimes.training import Trace
from regimes_course.kit.plotting import (
    BLUE,
    GREEN,
    GREY,
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
from regimes_course.lesson08.climb import END, GRAIN, Task, descend, flow, middle, start
from regimes_course.lesson08.experiments import climb_of_width, gauss_newton, logistic_digits

__all__ = ["breaks", "central", "digits", "hero", "lazy", "newton", "pushed", "sharpening", "two_certainties", "windows"]

LOOKS = ((BLUE, "o"), (ORANGE, "s"), (GREEN, "^"), (PINK, "D"), (GREY, "v"))
NUMBER = "stability number ηS/2"
TIME = "time t = ηk (step size × number of steps)"
RUNS = {0.4: GREEN, 0.6: ORANGE, 0.8: BLUE}  # of the first picture


def hero() -> tuple[Figure, str]:
    """Sharpness of three runs and of the flow, over time; on the right one swing along the top eigenvector, and its loss."""
    task, p, fig = Task(), start(0), new_figure((9.4, 4.6))
    with style():
        axes = fig.subplot_mosaic([["climb", "swing"], ["climb", "loss"]], width_ratios=(1.6, 1))
    climb, smooth = axes["climb"], task.sharpness(flow(task, p)[::10])
    predicted(climb, 10 * GRAIN * torch.arange(len(smooth)), smooth, "gradient flow")
    climb.text(196, 7.0, "infinitely small steps", ha="right")
    peaks = {}
    for eta, colour in RUNS.items():
        path = descend(task, p, eta, round(END / eta))
        t, S = 4 * eta * torch.arange(1 + (len(path) - 3) // 4), task.sharpness(middle(path)[::4])
        peaks[eta] = eta * S.max().item() / 2
        climb.axhline(2 / eta, color=colour, linestyle=":", linewidth=1.3)
        climb.text(3, 2 / eta + 0.08, f"edge 2/η = {2 / eta:.2g}", color=colour, fontsize=9)
        climb.plot(t, S, color=colour, label=f"η = {eta:g}")
        climb.text(END - 3, S[-1] + 0.1, f"η = {eta:g}", color=colour, ha="right", va="bottom")
    climb.set(xlabel=TIME, ylabel="sharpness S (the largest curvature)", xlim=(0, END), ylim=(0, 8))
    climb.set_title("One climb. Each run overshoots its edge, falls, and stays there")
    first, path = 230, descend(task, p, 0.6, 275)
    steps, zoom = torch.arange(first, 276), path[first:]
    loss = task.loss(zoom)
    axes["swing"].plot(steps, (zoom - path[234]) @ task.direction(path[234]), "o-", color=ORANGE, markersize=3, linewidth=0.8)
    axes["swing"].set(title="η = 0.6: a swing out of nothing ...", ylabel="place along the\nsharpest direction")
    axes["loss"].plot(steps, loss, "o-", color=ORANGE, markersize=3, linewidth=0.8)
    axes["loss"].set(title="... the loss jumps, and comes back", xlabel="step k", ylabel="loss", ylim=(0, None))
    told = ", ".join(f"{peak:.2f} times that at η = {eta:g}" for eta, peak in peaks.items())
    return fig, (
        f"Each run climbs beyond its dotted line, the curvature from which on steps of its size should explode: to {told}. "
        f"With infinitely small steps (dashed) the curvature climbs from {smooth[0]:.2g} to {smooth[-1]:.2g}. "
        f"On the right the loss goes from {loss[0]:.2g} up to "
        f"{loss.max():.2g} and back to {loss[-1]:.2g} within {len(zoom) - 1} steps."
    )


def pushed(numbers: Mapping[float, Sequence[float]], losses: Mapping[float, Sequence[float]]) -> tuple[Figure, str]:
    """Stability numbers, at every fourth step after the edge was crossed, by the push along the sharpest direction."""
    fig, (ax,) = panels(size=(6.6, 3.5))
    words = {0.0: "left alone", 0.01: "pushed by one hundredth"}
    for (push, values), colour in zip(numbers.items(), (BLUE, ORANGE, GREEN), strict=False):
        values = torch.as_tensor(values, dtype=torch.float64)
        ax.plot(4 * torch.arange(len(values)), values, color=colour)
        top = int(values.argmax()) if push == 0 else len(values) // 2
        ax.text(4 * top - 2, values[top] + 0.01, words.get(push, f"pushed by {push:g}"), color=colour, ha="right", va="bottom")
    predicted(ax, torch.tensor([0, 4 * (len(values) - 1)]), torch.ones(2), "the edge")
    ax.text(4 * len(values) - 4, 1.01, "the edge", ha="right", va="bottom")
    ax.set(xlabel="steps after crossing the edge", ylabel=NUMBER, ylim=(0.9, 0.1 + max(map(max, numbers.values()))))
    ax.set_title("A push tames the run, even along the sharpest direction")
    told = [
        f"{max(values):.3g} {words.get(push, f'pushed by {push:g}')} (largest loss {max(losses[push]):.2g})"
        for push, values in numbers.items()
    ]
    return fig, f"Largest stability number: {', '.join(told)}."


def central(eta: float, measured: Tensor, centre: Tensor, wanted: Tensor) -> tuple[Figure, str]:
    """The loss of gradient descent ``(k + 1,)``, and of the central flow, two values a step: its centre, and with its swing."""
    fig, (ax,) = panels(size=(7.2, 4.0))
    end, task = eta * (len(measured) - 1), Task()
    smooth = task.loss(flow(task, start(0), end))
    t, half, fine = (
        dt * torch.arange(1, n + 1) for dt, n in ((eta, len(measured)), (eta / 2, len(centre)), (GRAIN, len(smooth)))
    )
    ax.plot(t - eta, measured, color=ORANGE, linewidth=0.6, alpha=0.6)
    ax.plot(
        eta * torch.arange(10, len(measured) - 9), measured.unfold(0, 20, 1).mean(1), color=ORANGE, label="gradient descent"
    )
    ax.plot(half, centre, color=BLUE, label="centre")
    ax.plot(fine - GRAIN, smooth, color=GREY, label="gradient flow")
    predicted(ax, half[19::20], wanted[: len(wanted) // 20 * 20].unflatten(0, (-1, 20)).mean(1), linewidth=1.6)
    late = torch.tensor([[values[round((end - 50) / dt) :].mean() for values, dt in ((wanted, eta / 2), (centre, eta / 2))]])
    late, real = late[0] / (now := measured[round((end - 50) / eta) :].mean()), smooth[round((end - 50) / GRAIN) :].mean()
    at = int(0.87 * len(centre))
    x, low, high = half[at].item(), centre[at].item(), wanted[at - 10 : at + 10].mean().item()
    arrow = {"arrowstyle": "<->", "shrinkA": 0, "shrinkB": 0, "linewidth": 1.3, "color": "black"}
    ax.annotate("", (x, high), (x, low), arrowprops=arrow)
    ax.text(x + 3, (low * high) ** 0.5, "the\nswing", va="center")
    ax.text(0.99 * end, 1.9 * high, "gradient descent,\nand its mean", color=ORANGE, ha="right", va="bottom")
    ax.annotate(
        "predicted, with its swing",
        (0.38 * end, wanted[round(0.38 * len(wanted))]),
        (0.2 * end, 0.18),
        arrowprops={"arrowstyle": "-"},
    )
    ax.text(0.66 * end, 1.13 * centre[round(0.66 * len(centre))].item(), "its centre", color=BLUE, va="bottom")
    ax.text(0.6 * end, 0.75 * smooth[int(0.6 * len(smooth))].item(), "gradient flow", color=GREY, va="top", ha="right")
    ax.set(xlabel="time t = ηk", ylabel="loss", yscale="log", xlim=(0, end))
    ax.set_title("The dashed curve knows of no swing, and predicts its mean")
    return fig, (
        f"Over the last 50 units of time the dashed curve is {late[0]:.3g} times the measured mean loss, its centre alone "
        f"{late[1]:.2g} times, and gradient flow {(real / now).item():.2g} times."
    )


WIDTHS = {20: SKY, 80: BLUE, 320: "#003355"}


def lazy(runs: Mapping[tuple[str, int], tuple[Sequence[float], Sequence[float]]]) -> tuple[Figure, str]:
    """Sharpness against the loss that is left, of seed 0 by scaling and width; further seeds are thin."""
    fig, axes = panels(2, size=(4.6, 3.9), sharey=True)
    titles = ("1/m in front: three widths, one climb", "1/√m in front: the wider, the less it climbs")
    told = []
    for ax, scaling, title in zip(axes, ("mean_field", "ntk"), titles, strict=True):
        for m, colour in WIDTHS.items():
            loss, S, _ = climb_of_width(scaling, m, (0, 1, 2))
            for other in (1, 2):
                ax.plot(loss[:, other], S[:, other], color=colour, linewidth=0.6, label="_")
            ax.plot(*runs[scaling, m], color=colour, linewidth=2.4, label=f"m = {m}")
        reach = torch.as_tensor(runs[scaling, m][0], dtype=torch.float64)
        frozen = climb_of_width(scaling, m, (0, 1, 2))[2][0].item()
        predicted(ax, torch.stack([reach[-1], reach[0]]), torch.full((2,), frozen), "features frozen, m = 320")
        ends = torch.tensor([_at(0.05, *runs[scaling, m]) for m in WIDTHS])
        told.append(f"{', '.join(f'{S:.3g}' for S in ends)} with {'1/m' if scaling == 'mean_field' else '1/√m'} in front")
        ax.set(xscale="log", xlim=(0.35, 2.5e-3), title=title, xlabel="loss still to go (training runs to the right)")
        ax.set_xticks([0.3, 0.1, 0.03, 0.01, 0.003], ["0.3", "0.1", "0.03", "0.01", "0.003"], minor=False)
        ax.minorticks_off()
    axes[0].set(ylabel="sharpness S", ylim=(0, 8.6))
    legend(axes[0], loc="upper left")
    return fig, f"Sharpness when the loss is 0.05, at widths 20, 80, 320: {'; '.join(told)}. (Thin: two further seeds each.)"


def _at(wanted: float, loss: Sequence[float], S: Sequence[float]) -> float:
    """The sharpness when the loss first is at most what is wanted."""
    return float(S[next(k for k, value in enumerate(loss) if value <= wanted)])


def breaks() -> tuple[Figure, str]:
    """The stability number with the logistic loss on digits (left), and Gauss-Newton at two steps (right)."""
    fig, (left, right) = panels(2, size=(4.6, 3.5))
    step, number, _ = logistic_digits()
    left.plot(step, number, color=PINK)
    predicted(left, torch.tensor([0, int(step[-1])]), torch.ones(2), "the edge")
    left.text(step[-1], 1.03, "the edge", ha="right")
    left.set(xlabel="step k", ylabel=NUMBER, title="Logistic loss: it overshoots and never returns")
    etas = (1.9, 2.1)
    losses = gauss_newton(etas, kappa=[1.0], seeds=torch.tensor([0])).flatten(1)
    for eta, loss, colour in zip(etas, losses.T, (BLUE, ORANGE), strict=True):
        k = torch.arange(61)
        right.plot(k, loss[:61], color=colour)
        predicted(right, k[:31], step_loss(k[:31], eta), f"predicted {eta:g}")
        right.text(44, loss[44] * (20 if eta > 2 else 4), f"η = {eta:g}", color=colour, ha="center")
    right.set(xlabel="step k", ylabel="loss / its start", yscale="log", title="Gauss-Newton: the edge is 2, everywhere")
    return fig, (
        f"Left: ηS/2 goes from {number[0]:.2g} to {number.max():.2g} and ends at {number[-1]:.2g}. Right: after 20 steps the "
        f"loss is {losses[20, 0]:.2g} of its start at η = 1.9 and {losses[20, 1]:.0f} times its start at η = 2.1. "
        "Dashed: (1 − η)²ᵏ; far from a fit it holds no more."
    )


def windows(runs: Mapping[float, Tensor], every: float) -> tuple[Figure, str]:
    """Predicted over measured mean loss, ``(windows, seeds)`` by the step; windows of ``every`` units of time from the
    crossing on, NaN where a run has ended."""
    fig, axes = panels(len(runs), size=(3.5, 3.2), sharey=True)
    told = []
    for ax, (eta, ratio) in zip(axes, runs.items(), strict=True):
        after = every * (1 + torch.arange(len(ratio)))
        for i, one in enumerate(ratio.T):
            ax.plot(
                after[~one.isnan()], one[~one.isnan()], color=RUNS.get(eta, PINK), linewidth=1, label="_" if i else "a seed"
            )
        predicted(ax, after[[0, -1]], torch.ones(2), "as predicted")
        ax.set(title=f"η = {eta:g}", xlabel="time after the crossing")
        early, later = (part[~part.isnan()] for part in (ratio[:3], ratio[3:]))
        told.append(f"{span(early)} up to {3 * every:g}, {span(later)} later at η = {eta:g}")
    axes[0].set_ylabel("predicted / measured loss")
    legend(axes[-1])
    return fig, f"Central flow's mean loss over the measured one, in windows of {every:g} units of time: {'; '.join(told)}."


def two_certainties(share: Tensor, top: Tensor, eta: float, S: Tensor, imbalance: Tensor, wanted: Tensor) -> tuple[Figure, str]:
    """A quadratic's component ``(k, shares, seeds)`` along its top eigenvector (left); sharpness and imbalance of ``u v``,
    ``(k, starts)`` (right)."""
    fig, (left, right) = panels(2, size=(4.5, 3.2))
    k = torch.arange(len(top))
    for i, (colour, marker) in enumerate(LOOKS[: len(share)]):
        curve(left, k, top[:, i], f"η = {share[i]:g} · 2/S", color=colour, marker=marker, markersize=4)
        predicted(left, k, quadratic_factor(k, 2 * share[i], 1.0), "predicted" if i == 0 else None)
    left.set(xlabel="step k", ylabel="top component / its start", yscale="log", title="a quadratic", ylim=(1e-4, 1e7))
    k = torch.arange(len(S))
    curve(right, k, S[:, 0], "sharpness S", color=BLUE, marker="o", markersize=4)
    curve(right, k, imbalance[:, 0], "$u^2 - v^2$", color=ORANGE, marker="s", markersize=4)
    predicted(right, k, wanted[:, 0], "predicted $u^2 - v^2$")
    right.axhline(2 / eta, color=GREY, linestyle=":", linewidth=1.2, label="2/η")
    right.set(xlabel="step k", title=f"the product u v, η = {eta:g}", xlim=(0, 40))
    legend(left, loc="upper left", ncols=2, fontsize=8)
    legend(right, fontsize=8)
    end = top[-1].abs()
    return fig, (
        f"After {len(top) - 1} steps the top component is {median(end[0]):.2g} times its start at η = {share[0]:g} · 2/S and "
        f"{median(end[-1]):.2g} times at {share[-1]:g} · 2/S, as predicted. The product u v starts with S = {S[0, 0]:.3g}, "
        f"beyond 2/η = {2 / eta:g}, and ends with S = {S[-1, 0]:.3g}: it is thrown into a flatter valley."
    )


def sharpening(eta: Tensor, loss: Tensor, step: Tensor, S: Tensor) -> tuple[Figure, str]:
    """Loss ``(k, steps, seeds)``, sharpness ``(l, steps, seeds)`` and stability number of gradient descent with some steps."""
    fig, axes = panels(3, size=(3.7, 3.3))
    for i, (colour, marker) in enumerate(LOOKS[: len(eta)]):
        look = {"color": colour, "marker": marker, "markersize": 4}
        label = f"η = {eta[i]:g}"
        k = torch.arange(len(loss))
        axes[0].plot(k, loss[:, i, 0], color=colour, linewidth=0.9, label=f"{label}, one run")
        curve(axes[1], step, S[:, i], label, **look)
        curve(axes[2], step, eta[i] * S[:, i] / 2, label, **look)
        predicted(axes[1], step[[0, -1]], torch.full((2,), 2 / eta[i]), "2/η" if i == 0 else None)
    predicted(axes[2], step[[0, -1]], torch.ones(2), "the edge")
    axes[0].set(ylabel="loss", yscale="log")
    axes[1].set(ylabel="sharpness S")
    axes[2].set(ylabel=NUMBER)
    for ax, top in zip(axes, (1.0, 0.92, 0.6), strict=True):  # where no curve is
        ax.set(xlabel="step k")
        legend(ax, loc="upper right", bbox_to_anchor=(1, top), fontsize=8)
    means = late(eta[:, None] * S / 2)
    return fig, (
        f"Median and range of {S.shape[-1]} seeds. Over the last third the mean of ηS/2 is {span(means[0])} at η = {eta[0]:g}, "
        f"and differs from one by at most {(means[1:] - 1).abs().max():.1g} at the larger steps."
    )


def digits(runs: Mapping[str, tuple[Trace, Tensor]]) -> tuple[Figure, str]:
    """Loss (left) and stability number (right) of runs on digits, ``label: (trace, number)``; numbers are equally spaced."""
    fig, (left, right) = panels(2, size=(4.8, 3.3))
    said = []
    for (label, (trace, number)), (colour, marker) in zip(runs.items(), LOOKS, strict=False):
        left.plot(trace.step + 1, trace.loss[:, 0], color=colour, linewidth=0.9, label=f"{label}, one run")
        curve(right, _spaced(trace.step, number) + 1, number, label, color=colour, marker=marker, markersize=4)
        said.append(f"{label}: largest {span(number.amax(0))}, at the end {span(number[-1])}")
    predicted(right, right.get_xlim(), [1, 1], "the edge")
    left.set(ylabel="loss", yscale="log")
    right.set(ylabel=NUMBER)
    for ax in (left, right):
        ax.set(xlabel="step k + 1", xscale="log")
        legend(ax, fontsize=8)
    return fig, f"Stability numbers ({number.shape[-1]} seeds). {'. '.join(said)}."


def newton(etas: Tensor, newton: Tensor, edge: Tensor, share: float, descent: Trace, number: Tensor) -> tuple[Figure, str]:
    """Relative losses ``(k, steps, runs)`` of Gauss-Newton near an interpolant (left); gradient descent from there (right),
    at ``share`` of its largest stable step ``edge``, with its stability number ``(l, runs)`` at equally spaced steps."""
    fig, (left, right) = panels(2, size=(4.8, 3.3))
    k = torch.arange(len(newton))
    for i, (colour, marker) in enumerate(LOOKS[: len(etas)]):
        curve(left, k, newton[:, i], f"η = {etas[i]:g}", color=colour, marker=marker, markersize=4)
        early = k[:31]
        predicted(left, early, step_loss(early, etas[i].item()), "predicted, $(1-\\eta)^{2k}$" if i == 0 else None)
    left.set(title="Gauss-Newton", ylim=(1e-4, 1e6))
    k, relative = descent.step, descent.relative.flatten(1)
    curve(right, k, relative, "loss / its start", look="gradient descent", linewidth=1, markersize=4)
    curve(right, _spaced(k, number), number, NUMBER, color=BLUE, marker="o", markersize=4)
    predicted(right, k[[0, -1]], torch.ones(2), "the edge")
    right.set(title=f"gradient descent, η = {share:g} · 2/S")
    for ax in (left, right):
        ax.set(xlabel="step k", yscale="log")
        legend(ax, fontsize=8)
    left.set_ylabel("loss / its start")
    return fig, (
        f"After 20 steps the loss of Gauss-Newton is {span(newton[20, 0])} of its start at η = {etas[0]:g}, and "
        f"{span(newton[20, -1])} times its start at η = {etas[-1]:g}, in {newton.shape[-1]} runs. The limit of gradient "
        f"descent differs from run to run, {span(edge)}; at {share:g} times its limit it multiplies its loss by "
        f"{span(relative.amax(0))}, and ends with ηS/2 = {span(number[-1])}."
    )


def late(values: Tensor) -> Tensor:
    """The mean over the last third of the records: ``(k, ...)`` to ``(...)``."""
    return values[-(len(values) // 3) :].mean(0)


def _spaced(step: Tensor, number: Tensor) -> Tensor:
    """The steps at which the numbers were measured."""
    return step[:: (len(step) - 1) // (len(number) - 1)]
