"""The figures of lesson 00. Each function returns the figure and the sentence that says what it shows; `hero` a movie, too."""

from collections.abc import Mapping

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from regimes.problems import wave
from regimes_course.kit.output import movie
from regimes_course.kit.plotting import BLUE, GREEN, GREY, ORANGE, new_figure, panels, predicted, style
from regimes_course.lesson00.experiments import Path, four

__all__ = ["climb", "hero", "units", "widths"]

FRAMES = 24
CHANGED = {"feature learning": "another scale", "edge of stability": "and a larger step", "Gauss-Newton": "another direction"}


def units(ax: Axes, path: Path, reach: float = 6.0, end: int | None = None, trail: bool = True) -> None:
    """The hidden units in the plane of weight and bias: at the start (grey), on their way, and after ``end`` steps.

    A unit is a soft step of the function at ``-b / w``. Orange ones step up as ``x`` grows, blue ones down; the area says how
    high. (``(w, b, v)`` and ``(-w, -b, -v)`` are one unit, so it is the sign of ``v w`` that counts.)
    """
    w, b, v = (t[: (path.steps if end is None else end) + 1].detach() for t in (path.w, path.b, path.v))
    if trail:
        ax.plot(w, b, color="0.78", linewidth=0.6, zorder=1)
    ax.scatter(w[0], b[0], s=4, color="0.45", zorder=2)
    colour = [ORANGE if up else BLUE for up in (v[-1] * w[-1] > 0).tolist()]
    area = 4 + 26 * v[-1].abs() / v[-1].abs().max()
    ax.scatter(w[-1], b[-1], s=area.numpy(), c=colour, zorder=3)
    ax.set(xlim=(-reach, reach), ylim=(-reach, reach), aspect="equal", xlabel="weight w")


def hero(runs: Mapping[str, Path] | None = None) -> tuple[Figure, str, bytes]:
    """The four regimes: each hidden unit above, the learned function below; and a movie of the units at equal losses."""
    runs = four() if runs is None else runs
    data, fig = wave(), new_figure((10, 5.9))
    with style():
        axes = fig.subplots(2, len(runs), height_ratios=(2.05, 1.15))
    grid = data.x_test[:, 0]
    for (name, path), top, bottom in zip(runs.items(), *axes, strict=True):
        units(top, path)
        top.set_title(f"{name}\n\n", fontweight="bold")
        top.text(0.5, 1.12, CHANGED.get(name, ""), transform=top.transAxes, ha="center", color=GREY, fontsize=10)
        told = f"{path.steps} steps, moved {100 * path.moved:.0f} %"
        top.text(0.5, 1.02, told, transform=top.transAxes, ha="center", fontsize=10)
        bottom.plot(grid, path.f.detach(), color=GREEN)
        bottom.plot(grid, data.y_test, ":", color="black", linewidth=1.2)
        bottom.plot(data.x[:, 0], data.y, "o", color="black", markersize=4)
        place, up = (-path.b[-1] / path.w[-1]).detach(), path.v[-1] * path.w[-1] > 0
        bottom.plot(place[up], torch.full_like(place[up], -2.7), "|", color=ORANGE, markersize=5)
        bottom.plot(place[~up], torch.full_like(place[~up], -3.15), "|", color=BLUE, markersize=5)
        bottom.set(xlabel="input x", xlim=(grid[0].item(), grid[-1].item()), ylim=(-3.5, 2.6))
    axes[0, 0].set_ylabel("bias b")
    axes[1, 0].set_ylabel("output f(x)")
    fig.suptitle("One loss, four insides: the lazy units stay, the others rebuild", fontsize=12)
    moves = [f"{100 * path.moved:.0f} % ({name}, {path.steps} steps)" for name, path in runs.items()]
    outside = sum(int((torch.maximum(path.w[-1].abs(), path.b[-1].abs()) > 6).sum()) for path in runs.values())
    beyond = [path.error(outside=True) for path in runs.values()]
    return (
        fig,
        "Same start, same loss, nearly the same function. Above, each dot is a hidden unit, grey at the start; below, the "
        f"functions. The hidden weights moved by {', '.join(moves)} of their length; beyond the data the mean "
        f"squared error of the lazy function is {beyond[0] / max(beyond[1:]):.1f} times the largest of the others'. Ticks: "
        f"where units step up (orange) or down (blue). ({outside} of the units drawn above end outside their frame.)",
        movie([_frame(runs, level) for level in np.logspace(0, -3, FRAMES)] if len(runs) > 1 else [fig]),
    )


def _frame(runs: Mapping[str, Path], level: float) -> Figure:
    """The units of all runs when they first come to a loss."""
    fig = new_figure((8.4, 2.75))
    fig.set_dpi(80)
    with style():
        axes = fig.subplots(1, len(runs))
    for (name, path), ax in zip(runs.items(), axes, strict=True):
        below = path.loss <= level
        k = int(below.int().argmax()) if below.any() else path.steps
        units(ax, path, end=k, trail=False)
        ax.set(title=name, xlabel="", xticks=[], yticks=[])
        ax.text(0.5, 0.97, f"{k} steps", transform=ax.transAxes, ha="center", va="top", fontsize=9)
    return fig


def climb(edge: Mapping[str, Tensor], loss: Mapping[str, Tensor]) -> tuple[Figure, str]:
    """The step times ``lambda_max(K) / n`` along two runs with one step, above; their losses below.

    Args:
        edge: ``(k + 1,)`` each, ``"lazy"`` and ``"1/m"``.
        loss: ``(k + 1,)`` each, relative.
    """
    fig = new_figure((8.4, 4.8))
    with style():
        top, bottom = fig.subplots(2, 1, sharex=True, height_ratios=(2, 1.2))
    looks = {"lazy": ("#CC79A7", "-"), "1/m": (ORANGE, "-")}
    for name, (colour, line) in looks.items():
        top.plot(edge[name], line, color=colour)
        bottom.semilogy(loss[name], line, color=colour)
        k = len(edge[name]) - 1
        top.annotate(name, (k, edge[name][-1]), xytext=(4, 0), textcoords="offset points", color=colour, va="center")
    steps = len(edge["1/m"]) - 1
    predicted(top, torch.tensor([0.0, steps]), torch.tensor([2.0, 2.0]), "predicted limit")
    rose = (loss["1/m"][1:] > loss["1/m"][:-1]).nonzero()[:, 0] + 1
    bottom.plot(rose, loss["1/m"][rose], "o", color="black", markersize=3)
    top.set(ylabel=r"step $\times\ \lambda_{max}(K)/n$", ylim=(0, 1.08 * max(e.max().item() for e in edge.values())))
    moving, end = edge["1/m"], edge["1/m"][-1].item()
    crossed = int((moving > 2).int().argmax()) if (moving > 2).any() else None
    title = "the moving network climbs to the limit and stays; the lazy one does not"
    if not (abs(end - 2) < 0.1 and edge["lazy"].max() < 2):
        title = f"the moving network ends at {end:.2g}, the lazy one at {edge['lazy'][-1]:.2g}"
    top.set_title(f"One step size: {title}")
    bottom.set(xlabel="step k", ylabel="relative loss", xlim=(0, 1.08 * steps))
    dip = f"first falls to {low:.2g}, " if (low := moving[: moving.argmax() + 1].min()) < 0.95 * moving[0] else ""
    way = f"crosses 2 at step {crossed}, swings up to {moving.max():.2g}," if crossed is not None else "never comes to 2,"
    rises = f"rose at {len(rose)} steps (dots)" if len(rose) else "never rose"
    return fig, (
        f"Both start at {moving[0]:.2g}. The lazy run never exceeds {edge['lazy'].max():.2g}; the one scaled by 1/m {dip}{way} "
        f"and is at {end:.3g} after {steps} steps. Its loss {rises}, and is {loss['1/m'][-1]:.0e} at the end."
    )


def widths(runs: Mapping[int, Path]) -> tuple[Figure, str]:
    """The plane of units for networks scaled by ``1/sqrt(m)``, of several widths ``m``."""
    fig, axes = panels(len(runs), size=(3.1, 3.3))
    for (m, path), ax in zip(runs.items(), axes, strict=True):
        units(ax, path, reach=4.0)
        ax.set_title(f"m = {m}: moved {100 * path.moved:.0f} %")
    axes[0].set_ylabel("bias b")
    moved = ", ".join(f"{100 * path.moved:.0f} % at m = {m}" for m, path in runs.items())
    return fig, f"Scaled by one over the root of m, the hidden weights move by {moved}: 'lazy' needs width as well."
