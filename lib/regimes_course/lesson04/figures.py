"""Figures of lesson 04. Each function returns the figure and the sentence that says what it shows.

Most of the lesson's own pictures, from `hero` to `adam`, show the plane of predictors for two inputs and one sample: all that
fit the sample lie on a line. Those of its deeper notebook follow.
"""

import math
from collections.abc import Mapping, Sequence

import matplotlib as mpl
import torch
from IPython.display import Markdown
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from torch import Tensor

from regimes.theory.linear_flows import half_time, scalar_flow, scalar_rate
from regimes.training import Trace
from regimes_course.kit.output import movie
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
from regimes_course.kit.words import digits3, median, span
from regimes_course.lesson04 import plane
from regimes_course.lesson04.plane import ANGLE, STARTS, Products, Starts, draw_starts, predictor, ray

__all__ = [
    "adam",
    "conditions",
    "drift",
    "hero",
    "hyperbolas",
    "lengths",
    "rates",
    "slowest",
    "table",
    "widths",
]

SIZES = (1 / 4, 1 / 2, 1.0)  # α of the first picture
M, WIDE = 64, 1024
WINDOW = (-1.9, 2.5, -1.7, 2.2)
PLATE = {"facecolor": "white", "alpha": 0.8, "linewidth": 0, "pad": 1}  # of words over lines
FLOW, NEWTON = ORANGE, LOOKS["Gauss-Newton"][0]


def fits(ax: Axes, window: tuple[float, float, float, float] = WINDOW) -> Line2D:
    """The plane of predictors: a line of all that fit the sample, and a star, returned, at the shortest of them."""
    far = 4 * ray(ANGLE + math.pi / 2)
    ax.add_collection(LineCollection([torch.stack([ray(ANGLE) - far, ray(ANGLE) + far])], color=GREEN, linewidth=3, alpha=0.6))
    place, look = ray(ANGLE)[:, None], {"markersize": 13, "markeredgecolor": "white", "zorder": 7}
    (star,) = ax.plot(*place, "*", color="black", label="_shortest fit", **look)
    ax.set(xlim=window[:2], ylim=window[2:], aspect="equal")
    ax.set(xticks=_whole(*window[:2]), yticks=_whole(*window[2:]))
    ax.set_xlabel(r"$\Theta_1$", labelpad=2)
    ax.grid(False)
    return star


def _whole(low: float, high: float) -> range:
    """The whole numbers between, as ticks: none if the window is small."""
    return range(math.ceil(low), math.floor(high) + 1) if high - low > 1 else range(0)


def cloud(ax: Axes, path: Tensor, colour: str = FLOW, size: float = 3.0, drawn: int = 40) -> None:
    """Networks on their way, path ``(k, runs, 2)``: black dots at the start, coloured ones at the end, some ways in grey."""
    ways = path[:, :drawn].transpose(0, 1)
    ax.add_collection(LineCollection(list(ways), colors="0.6", linewidths=0.6, alpha=0.7, zorder=2))
    ax.plot(*path[0].T, "o", color="black", markersize=size * 0.75, markeredgewidth=0, zorder=3, label="_start")
    marker = "D" if colour == PINK else "o"
    ax.plot(*path[-1].T, marker, color=colour, markersize=size, markeredgewidth=0, zorder=5, label="_end")


def close(ax: Axes, path: Tensor, colour: str = FLOW, half: float = 0.22) -> None:
    """A look from near at where the networks end: an inset around the star."""
    near = ax.inset_axes((0.02, 0.53, 0.45, 0.45))
    x, y = ray(ANGLE).tolist()
    fits(near, (x - half, x + half, y - half, y + half))
    cloud(near, path, colour, 3.5, drawn=150)
    near.lines[0].set_markersize(9)
    near.text(0.04, 0.05, "from near", transform=near.transAxes, fontsize=9)
    near.set_xlabel("")
    near.spines[["top", "right"]].set_visible(True)


def four() -> list[tuple[str, Products, str]]:
    """The ways of the first picture: the flow from three sizes, and full Gauss-Newton steps from the smallest."""
    found = []
    for alpha in SIZES:
        start = Products.of(draw_starts(alpha, M))
        found.append((f"weights of size {M**-alpha:.2g}", plane.flow(start), FLOW))
    return [*found, (f"size {M ** -SIZES[-1]:.2g}, full Gauss-Newton", plane.gauss_newton(start, 1.0, 4), NEWTON)]


def hero() -> tuple[Figure, str, bytes]:
    """150 random starts of three sizes, and where they end on the line of all fits; the last with full Gauss-Newton steps."""
    ways, fig = four(), new_figure((7.0, 6.4))
    with style():
        axes = fig.subplots(2, 2).ravel()
    for ax, (name, path, colour) in zip(axes, ways, strict=True):
        fits(ax)
        cloud(ax, predictor(path), colour)
        ax.set_title(f"{name}:\nends ±{plane.rms(path):.2g}", fontsize=11, color=colour)
    for ax in axes[::2]:
        ax.set_ylabel(r"$\Theta_2$", labelpad=2)
    for ax, (_, path, colour) in list(zip(axes, ways, strict=True))[2:]:
        close(ax, predictor(path), colour)
    arrow = {"arrowstyle": "->", "shrinkB": 6}
    axes[0].annotate("the shortest\nfit", ray(ANGLE), (1.45, 1.2), arrowprops=arrow, fontsize=10.5)
    axes[0].text(1.62, -0.6, "all fits", color=GREEN, fontweight="bold")
    axes[0].text(-1.85, -1.6, "coloured: ends\nthe others: starts", fontsize=10, bbox=PLATE)
    fig.suptitle("Every run fits the data; the start and the method decide which fit it is", fontsize=11)
    ends = [plane.rms(path) for _, path, _ in ways]
    says = (
        f"150 random starts a panel, and in colour where training ends. Root mean square distance from the shortest fit: "
        f"{', '.join(f'{end:.2g}' for end in ends[:3])} from weights of size {', '.join(f'{M**-a:.2g}' for a in SIZES)} by "
        f"gradient flow; {ends[3]:.2g} from the smallest by full Gauss-Newton steps, {ends[3] / ends[2]:.2g} times as far."
    )
    return fig, says, movie([_frame(ways, share) for share in (0, 0, *torch.linspace(0, 1, 18).tolist(), 1, 1)])


def _frame(ways: Sequence[tuple[str, Products, str]], share: float) -> Figure:
    fig, axes = panels(4, size=(1.75, 2.0))
    for ax, (name, path, colour) in zip(axes, ways, strict=True):
        now = predictor(path)
        now = now[: round(share * (len(now) - 1)) + 1]
        fits(ax)
        ax.set(xticks=[], yticks=[])
        ax.plot(*now[-1].T, "o", color=colour, markersize=2.5, markeredgewidth=0)
        ax.set_title(name.replace(", full", "\nfull"), fontsize=9)
    return fig


def conditions() -> tuple[Figure, str]:
    """Three kinds of special starts of large weights, and where they end."""
    fig, axes = panels(3, size=(2.4, 3.1))
    ends = {}
    for ax, kind in zip(axes, STARTS[1:], strict=True):
        path = plane.flow(Products.of(draw_starts(SIZES[0], M, kind=kind)))
        ends[kind] = plane.rms(path)
        fits(ax, (-1.6, 2.2, -1.5, 1.9))
        cloud(ax, predictor(path))
        end = f"ends ±{ends[kind]:.2g}" if ends[kind] > 1e-9 else "ends at the shortest fit"
        ax.set_title(f"{kind}:\n{end}", fontsize=10)
    axes[0].text(-1.45, -1.35, "all start at 0", fontsize=10)
    axes[0].set_ylabel(r"$\Theta_2$", labelpad=2)
    fig.suptitle("An output of zero is not enough: what must vanish are products of weights", fontsize=11)
    told = "; ".join(f"{kind}, {end:.2g}" if end > 1e-9 else f"{kind}, less than 1e-9" for kind, end in ends.items())
    return fig, f"150 starts of size {M ** -SIZES[0]:.2g} a panel; root mean square distance from the shortest fit: {told}."


def hyperbolas(gaps: Sequence[float] = (0.0, 0.5, 2.0), output: float = 1e-3) -> tuple[Figure, str]:
    """Left, hyperbolas of equal imbalance, coloured by the rate of the loss; right, the loss from starts of three imbalances
    with the same ``output``."""
    fig = new_figure((7.2, 4.0))
    with style():
        left, right = fig.subplots(1, 2, width_ratios=(1.25, 1))
    norm, r = LogNorm(0.1, 12), torch.linspace(-1.6, 1.6, 161, dtype=torch.float64)
    for gap in (0.05, 0.5, 1.5, 3.0):
        a, b = math.sqrt(gap) * r.cosh(), math.sqrt(gap) * r.sinh()
        for u, v in ((a, b), (-a, b), (b, a), (b, -a)):
            points = torch.stack([u, v], -1)
            lines = LineCollection(list(torch.stack([points[:-1], points[1:]], 1)), cmap="plasma", norm=norm, linewidth=2)
            lines.set_array((2 * (u[1:] ** 2 + v[1:] ** 2)).numpy())
            left.add_collection(lines)
    u = torch.linspace(0.4, 2.3, 60)
    left.add_collection(LineCollection([torch.stack([s * u, s / u], -1) for s in (1, -1)], color="black", linewidth=2.5))
    left.plot([0], [0], "X", color="black", markersize=9, label="_saddle")
    left.annotate("saddle: slow", (0, 0), (-0.75, -1.45), arrowprops={"arrowstyle": "->", "shrinkB": 7}, bbox=PLATE)
    left.text(1.02, 1.1, "all fits, uv = 1", fontsize=10, bbox=PLATE)
    left.set(xlim=(-2.2, 2.2), ylim=(-2.2, 2.2), aspect="equal", xlabel="u", ylabel="v", xticks=(-2, 0, 2), yticks=(-2, 0, 2))
    left.grid(False)
    with style():
        bar = fig.colorbar(mpl.cm.ScalarMappable(norm, "plasma"), ax=left, location="bottom", shrink=0.8, pad=0.02)
    bar.set_label("rate at which the loss falls, 2 (u² + v²)")
    bar.set_ticks([0.1, 1, 10], labels=["0.1", "1", "10"])
    bar.minorticks_off()
    time, half, late = torch.linspace(0, 7, 200, dtype=torch.float64), [], []
    for gap, colour, marker in zip(gaps, (PINK, SKY, ORANGE), "Dvo", strict=True):
        u0 = math.sqrt((gap + math.hypot(gap, 2 * output)) / 2)
        v0 = output / u0
        half.append(half_time(u0, v0, 1.0).item())
        late.append(scalar_rate(u0, v0, 1.0).item())
        loss = (1 - torch.stack(scalar_flow(u0, v0, 1.0, time)).prod(0)).square()
        shown = loss > 1e-6
        looks = {"color": colour, "marker": marker, "markevery": 20, "markersize": 5}
        right.plot(time[shown], loss[shown], **looks, label=f"u² − v² = {gap:g}")
    right.set(xlabel="time", ylabel="loss, share of the first", yscale="log", ylim=(1e-9, 3))
    legend(right, loc="lower left", fontsize=9.5)
    fig.suptitle("A path stays on its hyperbola: far from the saddle, training is fast", fontsize=11)
    names = ", ".join(f"{gap:g}" for gap in gaps)
    return fig, (
        f"From u² − v² = {names}, each with uv = {output:g} at the start, the output is half way at t = "
        f"{', '.join(digits3(t) for t in half)}, and late the loss falls at the rates {', '.join(digits3(x) for x in late)}."
    )


def lengths() -> tuple[Figure, str]:
    """The smallest start again, from near: gradient flow, full Gauss-Newton steps, and how long their last layers become."""
    start = Products.of(draw_starts(SIZES[-1], M))
    ways = {"gradient flow": plane.flow(start), "full Gauss-Newton": plane.gauss_newton(start, 1.0, 6)}
    small, fig = plane.gauss_newton(start, 0.1, 60), new_figure((7.2, 3.1))
    with style():
        axes = fig.subplots(1, 3, width_ratios=(1, 1, 1.1))
    for ax, (name, path), colour in zip(axes, ways.items(), (FLOW, NEWTON), strict=False):
        fits(ax, (-0.1, 1.5, -0.35, 1.25))
        cloud(ax, predictor(path), colour, 3.5, drawn=150)
        ax.set_title(f"{name}:\nends ±{plane.rms(path):.2g}", fontsize=10, color=colour)
    axes[0].set_ylabel(r"$\Theta_2$", labelpad=2)
    gamma, last = M ** (1 - 2 * SIZES[-1]), axes[2]
    full = ways["full Gauss-Newton"].vv
    for path, eta, colour, marker in ((full, 1.0, NEWTON, "o"), (small.vv, 0.1, SKY, "^")):
        curve(last, eta * torch.arange(len(path)), path, f"steps η = {eta:g}", color=colour, marker=marker, markevery=0.2)
    for value in (gamma + 1 / (4 * gamma), math.hypot(gamma, 1)):
        predicted(last, torch.tensor([0.0, 6.0]), torch.full((2,), value), "_" if value > 2 else "predicted")
    last.set(xlabel="time, η × steps", yscale="log", ylim=(0.005, 60))
    last.set_title("|v|², squared length\nof the last layer", fontsize=10)
    legend(last, loc="lower right", fontsize=9)
    fig.suptitle("One full step from a small start makes the last layer long, and nothing calls it back", fontsize=11)
    ends = [plane.rms(path) for path in (*ways.values(), small)]
    wide = Products.of(draw_starts(SIZES[-1], WIDE))
    farther = plane.rms(plane.gauss_newton(wide, 0.1, 60)) / plane.rms(plane.flow(wide))
    return fig, (
        f"Median |v|² of 150 starts: {digits3(full[0].median().item())} at the start, {full[1].median():.3g} after one full "
        f"Gauss-Newton step and {full[-1].median():.3g} at the end; with steps of 0.1, {small.vv[-1].median():.2f}. They end "
        f"±{ends[1]:.2g} and ±{ends[2]:.2g} from the shortest fit; gradient flow ends ±{ends[0]:.2g}. "
        f"With {WIDE:,} units, steps of 0.1 end {farther:.2g} times as far as the flow."
    )


def adam() -> tuple[Figure, str]:
    """From starts without an unseen part: the flow and Gauss-Newton end at the shortest fit, Adam beside it."""
    start = draw_starts(SIZES[1], M)
    start = Starts(start.u, start.v, 0 * start.u2)
    paths = {
        "gradient flow": (predictor(plane.flow(Products.of(start))), FLOW),
        "full Gauss-Newton": (predictor(plane.gauss_newton(Products.of(start), 1.0, 8)), NEWTON),
        "Adam": (plane.adam(start), PINK),
    }
    fig, axes = panels(3, size=(2.4, 3.2))
    ends = {}
    for ax, (name, (path, colour)) in zip(axes, paths.items(), strict=True):
        across = path[-1] @ ray(ANGLE + math.pi / 2)
        ends[name] = across
        fits(ax, (-0.5, 1.6, -0.6, 1.5))
        cloud(ax, path, colour)
        away = across.mean().item()
        end = f"ends {away:.2g} away" if abs(away) > 1e-9 else "ends at the shortest fit"
        ax.set_title(f"{name}:\n{end}", fontsize=10, color=colour)
    axes[0].set_ylabel(r"$\Theta_2$", labelpad=2)
    axes[2].plot([-2, 2], [-2, 2], ":", color=GREY, linewidth=1, label="_equal entries")
    axes[2].text(1.57, 1.3, "equal entries", color=GREY, fontsize=9.5, ha="right", rotation=45, rotation_mode="anchor")
    fig.suptitle("Adam mixes seen and unseen directions: it has another bias, not none", fontsize=11)
    off, exact = ends["Adam"], max(ends[name].abs().max().item() for name in list(ends)[:2])
    said = "less than 1e-9" if exact < 1e-9 else f"{exact:.2g}"
    return fig, (
        f"150 starts without an unseen part. Gradient flow and Gauss-Newton end {said} from the shortest fit; Adam, with steps "
        f"of 0.01, ends {off.mean():.2g} away, always to one side (spread {off.std():.2g})."
    )


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
