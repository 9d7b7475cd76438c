"""The scalar network u v: on which hyperbola a start is, how fast that makes it, and which steps leave it."""

import math
from dataclasses import dataclass

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from torch import Tensor

from regimes.theory.linear_flows import half_time, scalar_flow, scalar_rate
from regimes.theory.min_norm import imbalance_levels, imbalance_rate
from regimes_course.kit.plotting import GREEN, GREY, LOOKS
from regimes_course.kit.weight_scatter import BELOW
from regimes_course.kit.widget import Choice, Widget, put, side_by_side
from regimes_course.kit.words import short

__all__ = ["Paths", "Walk", "hyperbolas"]

END = 12.0  # the time that is drawn
FAR = 1e3  # a walk that comes as far has diverged
ARRIVED = 1e-5  # a loss
FLOOR, CEILING = 1e-10, 1e2  # the part of the loss axis that is drawn

WEIGHTS = (-2.0, -1.5, -1.0, -0.5, -0.2, 0.0, 0.2, 0.5, 1.0, 1.5, 2.0)
CHOICES = {
    "u0": Choice("start, u(0)", WEIGHTS, 1.5, "{:g}".format),
    "v0": Choice("start, v(0)", WEIGHTS, -1.0, "{:g}".format),
    "y": Choice("target, y", (-2.0, -1.0, -0.5, 0.5, 1.0, 2.0), 1.0, "{:g}".format),
    "eta": Choice("gradient descent, η", (0.01, 0.03, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8, 1.0, 1.2), 0.1),
    "newton": Choice("Gauss-Newton, η", (0.05, 0.1, 0.2, 0.5, 1.0), 0.2),
}
START = {name: choice.start for name, choice in CHOICES.items()}
FRAMES = {
    "unbalanced, u(0) = 1.5, v(0) = −1": START,
    "balanced, u(0) = v(0) = 0.2; full steps of Gauss-Newton": START | {"u0": 0.2, "v0": 0.2, "newton": 1.0},
    "u(0) = 1, v(0) = −1": START | {"u0": 1.0, "v0": -1.0},
}


@dataclass(frozen=True)
class Walk:
    """Steps of a method.

    Attributes:
        method, eta: a key of `LOOKS`, and the step size.
        points: ``(k, 2)``, u and v at every step.
        loss: ``(k,)``.
        diverged: the step at which the walk left for infinity, or ``None``.
    """

    method: str
    eta: float
    points: np.ndarray
    loss: np.ndarray
    diverged: int | None

    @property
    def arrived(self) -> bool:
        """Whether the loss is small at the end."""
        return self.diverged is None and self.loss[-1] < ARRIVED

    @property
    def imbalance(self) -> float:
        """``d = u^2 - v^2`` at the end."""
        u, v = self.points[-1]
        return u * u - v * v

    @property
    def rate(self) -> float | None:
        """The fall of the logarithm of the loss per unit of time, where the loss is between 1e-5 and 1e-20, if it was there
        at two steps."""
        late = np.flatnonzero((self.loss < ARRIVED) & (self.loss > 1e-20))
        if len(late) < 2:
            return None
        first, last = late[0], late[-1]
        return math.log(self.loss[first] / self.loss[last]) / (self.eta * (last - first))


@dataclass(frozen=True)
class Paths:
    """Three ways from one start.

    Attributes:
        u0, v0, y: the start and the target.
        time: ``(t,)``, of the closed-form flow.
        flow: ``(t, 2)``, its u and v.
        rate: its late rate, or ``None`` if it does not arrive.
        half: the time at which ``u v = y / 2``; zero if it starts beyond, infinite if it never comes there.
        promised: the rate that the imbalance alone guarantees.
        walks: gradient descent and Gauss-Newton.
    """

    u0: float
    v0: float
    y: float
    time: Tensor
    flow: Tensor
    rate: float | None
    half: float
    promised: float
    walks: tuple[Walk, Walk]

    @property
    def d(self) -> float:
        """The imbalance at the start."""
        return self.u0**2 - self.v0**2

    @property
    def loss(self) -> Tensor:
        """``(t,)``, of the flow."""
        return (self.y - self.flow.prod(-1)).square() / 2


def compute(u0: float, v0: float, y: float, eta: float, newton: float) -> Paths:
    """The exact gradient flow on ``L = (y - u v)^2 / 2``, and steps of gradient descent and Gauss-Newton to the same time."""
    time = torch.linspace(0, END, 241, dtype=torch.float64)
    flow = torch.stack(scalar_flow(u0, v0, y, time), -1)
    half = half_time(u0, v0, y).item()
    levels = imbalance_levels(torch.tensor([u0**2 - v0**2], dtype=torch.float64), 1, 1)
    return Paths(
        u0,
        v0,
        y,
        time,
        flow,
        rate=scalar_rate(u0, v0, y).item() if half < math.inf else None,
        half=half,
        promised=imbalance_rate(levels, 1.0).item(),
        walks=(_walk("gradient descent", u0, v0, y, eta), _walk("Gauss-Newton", u0, v0, y, newton)),
    )


def _walk(method: str, u: float, v: float, y: float, eta: float) -> Walk:
    """Steps along ``(v, u)``, which is the gradient of the output: by the residual, for Gauss-Newton over ``u^2 + v^2``.

    Written out in plain numbers: 1200 steps of the library's optimizers, which a test compares, take a second.
    """
    points, diverged = [(u, v)], None
    for k in range(1, round(END / eta) + 1):
        size = u * u + v * v if method == "Gauss-Newton" else 1.0
        step = eta * (y - u * v) / (size or 1.0)  # at the origin there is no direction
        u, v = u + step * v, v + step * u
        if abs(u) + abs(v) > FAR:
            diverged = k
            break
        points.append((u, v))
    points = np.array(points)
    return Walk(method, eta, points, (y - points.prod(1)) ** 2 / 2, diverged)


def draw(figure):
    """Left: the plane of u and v. Right: the loss."""
    axes = figure.subplots(1, 2, width_ratios=(1, 1.15))
    return side_by_side(axes, _plane, _losses)


def _plane(ax: Axes):
    """Hyperbolas, solutions, and the three ways."""
    ax.set(xlabel="u", ylabel="v", aspect="equal")
    ax.grid(False)
    others = ax.add_collection(LineCollection([], color=GREY, alpha=0.25, linewidth=0.8))
    own = ax.add_collection(LineCollection([], color=GREY, linewidth=1.3, label="hyperbola of the start"))
    solutions = ax.add_collection(LineCollection([], color=GREEN, linewidth=3, alpha=0.6, label="solutions, $uv=y$"))
    walks = _walks(ax, "", linewidth=0.8)
    (flow,) = ax.plot([], [], "--", color="black", linewidth=1.6, label="flow, predicted")
    (start,) = ax.plot([], [], "o", color="black", markersize=10, markerfacecolor="none", label="start")
    ax.legend(handles=[own, solutions, flow, start], **BELOW, ncols=2)

    def show(paths: Paths) -> None:
        reach = _reach(paths)
        ax.set(xlim=(-reach, reach), ylim=(-reach, reach))
        ax.set(xticks=(-2 * reach / 3, 0, 2 * reach / 3), yticks=(-2 * reach / 3, 0, 2 * reach / 3))
        others.set_segments([line for d in (0.05, 0.2, 0.45, 0.75) for sign in (1, -1) for line in _level(sign * d, reach)])
        own.set_segments(_level(paths.d / reach**2, reach))
        u = np.geomspace(abs(paths.y) / reach, reach, 60)
        solutions.set_segments([np.stack([sign * u, sign * paths.y / u], 1) for sign in (1, -1)])
        for line, walk in zip(walks, paths.walks, strict=True):
            put(line, *walk.points.T)
        put(flow, *paths.flow.T)
        put(start, [paths.u0], [paths.v0])

    return [ax.xaxis, ax.yaxis, others, own, solutions, *walks, flow, start], show


def _losses(ax: Axes):
    """Losses over time, and the late rate as a slope."""
    ax.set(xlabel="time t = ηk", ylabel="loss", yscale="log", xlim=(0, END), ylim=(FLOOR, CEILING))
    walks = _walks(ax, "-", linewidth=1.2)
    (flow,) = ax.plot([], [], "--", color="black", linewidth=1.6, label="flow, predicted")
    (slope,) = ax.plot([], [], "-.", color="black", linewidth=1, label="slope of the late rate")
    ax.legend(handles=[*walks, flow, slope], **BELOW, ncols=2)

    def show(paths: Paths) -> None:
        for line, walk in zip(walks, paths.walks, strict=True):
            put(line, walk.eta * np.arange(len(walk.loss)), walk.loss.clip(FLOOR / 10, CEILING * 10))
            line.set_markevery(max(1, len(walk.loss) // 40))
        put(flow, paths.time, paths.loss.clamp(FLOOR / 10))
        late = paths.loss[0] * torch.exp(-(paths.rate or 0.0) * paths.time)
        put(slope, paths.time, late.clamp(FLOOR / 10))
        slope.set_visible(paths.rate is not None)

    return [*walks, flow, slope], show


def _walks(ax: Axes, between: str, **kwargs):
    """Empty lines with the looks of the two methods."""
    looks = [(name, *LOOKS[name]) for name in ("gradient descent", "Gauss-Newton")]
    return [
        ax.plot([], [], between, color=colour, marker=marker, markersize=4, label=name, **kwargs)[0]
        for name, colour, marker in looks
    ]


def _reach(paths: Paths) -> float:
    """3, 6, 12, ...: what it takes to see the flow and the walks that arrive."""
    seen = [2.0, paths.flow.abs().max().item(), *(np.abs(walk.points).max() for walk in paths.walks if walk.arrived)]
    return 3 * 2.0 ** max(0, math.ceil(math.log2(1.05 * max(seen) / 3)))


def _level(d: float, reach: float) -> list[np.ndarray]:
    """Both branches of ``u^2 - v^2 = d`` in a square that reaches to 1, ``(60, 2)`` each, times ``reach``."""
    if d == 0:
        return [reach * np.array([[-1, -sign], [1, sign]]) for sign in (1, -1)]
    a = math.sqrt(abs(d))
    s = np.linspace(-1, 1, 60) * math.acosh(1 / a)
    branch = reach * a * np.stack([np.cosh(s), np.sinh(s)], 1)
    return [sign * (branch if d > 0 else branch[:, ::-1]) for sign in (1, -1)]


def sentence(paths: Paths) -> str:
    """What the picture shows, with its numbers."""
    start = f"u(0) = {paths.u0:g}, v(0) = {paths.v0:g}, y = {paths.y:g}: u² − v² = {short(paths.d)} at the start."
    if paths.loss[0] == 0:
        etas = " or ".join(f"η = {walk.eta:g} of {walk.method}" for walk in paths.walks)
        return f"{start} <b>The start is a solution</b>: nothing moves, with {etas}."
    return " ".join([start, _told_flow(paths), *map(_told, paths.walks)])


def _told_flow(paths: Paths) -> str:
    if paths.u0 == paths.v0 == 0:
        return "<b>The flow never arrives</b>: the gradient is zero at the origin, a saddle."
    if paths.rate is None:
        return f"<b>The flow never arrives</b>: on u = {'−' if paths.y > 0 else ''}v it ends in the saddle at the origin."
    half = "starts beyond y/2" if paths.half == 0 else f"reaches y/2 at t = {short(paths.half)} (half time)"
    return (
        f"The flow keeps it, {half}, and has the late rate {short(paths.rate)} = 2√((u² − v²)² + 4y²), "
        f"of which the imbalance alone guarantees {short(paths.promised)}."
    )


def _told(walk: Walk) -> str:
    begin = f"{walk.method[0].upper()}{walk.method[1:]} (η = {walk.eta:g})"
    if walk.diverged is not None:
        return f"<b>{begin} diverges</b> at step {walk.diverged}."
    end = f"u² − v² = {short(walk.imbalance)} at the end"
    if not walk.arrived:
        return f"<b>{begin} has not arrived</b> at t = {END:g}: loss {walk.loss[-1]:.2g}, {end}."
    rate = "too fast to measure a rate" if walk.rate is None else f"rate {short(walk.rate)}"
    return f"{begin}: {end}, {rate}."


hyperbolas = Widget(compute, draw, sentence, CHOICES, FRAMES, size=(8.8, 4.2), columns=2)
