"""Figures of lesson 04. Each function returns the figure and the sentence that says what it shows."""

from collections.abc import Mapping, Sequence

import torch
from IPython.display import Markdown
from matplotlib.figure import Figure
from torch import Tensor

from regimes.training import Trace
from regimes_course.kit.plotting import BLUE, GREEN, GREY, ORANGE, PINK, SKY, curve, legend, panels, predicted
from regimes_course.kit.words import digits3, median, span

__all__ = ["drift", "rates", "slowest", "table", "widths"]


def slowest(trace: Trace, dt: float) -> Tensor:
    """The smallest rate ``-d(log L)/dt`` between records, one a run, while the loss is above its rounding floor."""
    rate = -trace.loss.log().diff(dim=0) / dt
    return torch.where(trace.loss[1:] > 1e-22 * trace.loss[0], rate, torch.inf).amin(0)


def rates(sizes: Tensor, rate: Tensor, bounds: Mapping[str, Tensor]) -> tuple[Figure, str]:
    """Smallest rates of the loss from starts of several sizes and two special ones, beside the lower bounds."""
    fig, (ax,) = panels(size=(6.4, 3.2))
    x = torch.arange(len(rate))
    ax.plot(x, rate, "o", color=BLUE, markersize=7, label="measured (slowest moment)")
    for (name, bound), marker in zip(bounds.items(), ("_", "+"), strict=True):
        ax.plot(x, bound.clamp(min=0.3), marker, color="black", markersize=14, mew=1.6, label=f"bound, {name}")
    labels = [f"{s:g} / {0.01 / s:.2g}" for s in sizes.tolist()] + ["orthogonal", "balanced"]
    ax.set_xticks(x, labels, rotation=30, ha="right")
    ax.set(xlabel="size of U / size of V at the start", ylabel="rate of the loss", yscale="log", ylim=(0.25, 100))
    ax.text(x[-1], 0.32, " no bound", fontsize=8, color=GREY, ha="right", va="bottom")
    legend(ax, loc="upper center", fontsize=8)
    best = bounds["with margin"]
    return fig, (
        f"The slowest rate met on the way is {span(rate / best, '.3g')} times its bound. It is {rate[0]:.2g} from a small "
        f"first layer, {rate[5]:.2g} from a large one, {rate[2:5].min():.2g} in between, and {rate[7]:.2g} from a balanced "
        "start, about which the imbalance alone says nothing."
    )


def drift(dts: Sequence[float], drifts: Mapping[str, Tensor]) -> tuple[Figure, str]:
    """Change of the imbalance up to a fixed time ``(steps, seeds)``, against the step, with lines of slope 1 and 4."""
    fig, (ax,) = panels(size=(5.4, 3.2))
    t = torch.tensor(dts, dtype=torch.float64)
    for (name, values), colour, marker in zip(drifts.items(), (ORANGE, BLUE, GREEN), "so^", strict=True):
        curve(ax, t, values, name, color=colour, marker=marker, markevery=1)
    for name, order in (("gradient descent", 1), ("Runge-Kutta 4", 4)):
        line = median(drifts[name])[-1] * (t / t[-1]) ** order
        predicted(ax, t, line, "predicted: slopes 1 and 4" if order == 1 else None)
    ax.set(xlabel="step (in the time of the sum)", ylabel="change of the imbalance", xscale="log", yscale="log")
    ax.set_xticks(dts, [f"{dt:g}" for dt in dts], minor=False)
    ax.minorticks_off()
    legend(ax, loc="center right", fontsize=8)
    ends = (f"{name} {digits3(median(values)[-1].item())}" for name, values in drifts.items())
    return fig, f"Change of the imbalance up to t = 4 with the smallest step {dts[-1]:g} (medians): {', '.join(ends)}."


def widths(m: Sequence[int], flow: Mapping[float, Tensor], laws: Mapping[float, Tensor]) -> tuple[Figure, str]:
    """Distance to the min-norm solution ``(widths, draws)`` by exponent of the start, on its law."""
    fig, (ax,) = panels(size=(6.2, 3.6))
    x = torch.tensor(m, dtype=torch.float64)
    looks = zip((PINK, SKY, GREEN, BLUE, ORANGE, GREY), "Dv^osX", strict=True)
    for (alpha, values), (colour, marker) in zip(flow.items(), looks, strict=True):
        curve(ax, x, values, f"α = {alpha:g}", color=colour, marker=marker, markevery=1, linestyle="")
        predicted(ax, x, laws[alpha], "the law" if alpha == 1 else None)
    ax.set(xlabel="width m", ylabel="r.m.s. distance to the min-norm solution", xscale="log", yscale="log")
    legend(ax, loc="center left", bbox_to_anchor=(1, 0.5))
    off = torch.stack([(median(flow[a]) / laws[a] - 1).abs() for a in flow]).max()
    first, last = (median(flow[a]) for a in (0.15, 1.0))
    return fig, (
        f"From m = {m[0]} to {m[-1]} the distance goes from {first[0]:.2g} to {first[-1]:.2g} with α = 0.15, and from "
        f"{last[0]:.2g} to {last[-1]:.2g} with α = 1. The law is off by at most {off:.1%}."
    )


def table(kept: Mapping[str, Mapping[str, float]]) -> Markdown:
    """What each optimizer of the zoo kept, as a table."""
    rows = [
        "| optimizer | U2 moved by | imbalance changed by | from inside the set, ends at | from a random start |",
        "|---|---|---|---|---|",
    ]
    for name, found in kept.items():
        rows.append(
            f"| {name} | " + " | ".join(_short(found[key]) for key in ("moved", "imbalance", "inside", "generic")) + " |"
        )
    return Markdown("\n".join(rows))


def _short(value: float) -> str:
    return "less than 1e-9" if value < 1e-9 else f"{value:.2g}"
