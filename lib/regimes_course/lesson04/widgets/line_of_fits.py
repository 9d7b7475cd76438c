"""A cloud of networks on its way to the line of all fits: size and kind of the start, width, method."""

from dataclasses import dataclass
from functools import lru_cache

import torch
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from torch import Tensor

from regimes_course.kit.plotting import LOOKS
from regimes_course.kit.widget import Choice, Widget, put, side_by_side
from regimes_course.lesson04 import plane
from regimes_course.lesson04.figures import WINDOW, fits
from regimes_course.lesson04.plane import STARTS, Products, draw_starts, predictor

__all__ = ["Clouds", "line_of_fits"]

FLOW, STEPS = "gradient flow", {f"Gauss-Newton, η = {eta:g}": eta for eta in (0.1, 0.3, 1.0)}
ENOUGH = {0.1: 200, 0.3: 60, 1.0: 10}  # steps until all fit to rounding, nearly
KINDS = (STARTS[0], STARTS[1], STARTS[3])
ALPHAS = (0.25, 0.4, 0.5, 0.6, 0.75, 1.0)
FAR, LOW, HIGH = 20.0, 3e-4, 5.0  # the part of the plane, and of the distance axis, that is drawn

CHOICES = {
    "alpha": Choice("size of the start, m^(−α): α", ALPHAS, 0.25, "{:g}".format),
    "width": Choice("width, m", (16, 64, 256, 1024), 64),
    "kind": Choice("start", KINDS, KINDS[0]),
    "method": Choice("method", (FLOW, *STEPS), FLOW),
}
START = {name: choice.start for name, choice in CHOICES.items()}
FRAMES = {
    "large weights": START,
    "small weights": START | {"alpha": 1.0},
    "small weights, full Gauss-Newton": START | {"alpha": 1.0, "method": "Gauss-Newton, η = 1"},
}


@dataclass(frozen=True)
class Clouds:
    """150 networks from one kind of start.

    Attributes:
        alpha, width, kind, method: the setting.
        path: ``(k, 150, 2)``, where they go in the plane of predictors.
        distance: root mean square at the end from the shortest fit.
        flow: the same of the gradient flow from the same starts.
        laws: ``(2, a)``, of the flow and of full Gauss-Newton steps, for each α of the slider.
    """

    alpha: float
    width: int
    kind: str
    method: str
    path: Tensor
    distance: float
    flow: float
    laws: Tensor


def compute(alpha: float, width: int, kind: str, method: str) -> Clouds:
    """Send 150 networks with weights from N(0, m^(-2 alpha)) to the line of fits; the flow in closed form."""
    start, eta = _start(alpha, width, kind), STEPS.get(method)
    exact = plane.flow(start)
    path = exact if eta is None else plane.gauss_newton(start, eta, ENOUGH[eta])
    laws = [[plane.law(width, a, kind, full_steps=full) for a in ALPHAS] for full in (False, True)]
    laws = torch.tensor(laws, dtype=torch.float64)
    return Clouds(alpha, width, kind, method, predictor(path), plane.rms(path), plane.rms(exact), laws)


@lru_cache
def _start(alpha: float, width: int, kind: str) -> Products:
    return Products.of(draw_starts(alpha, width, kind=kind))


def draw(figure):
    """Left: the plane of predictors. Right: the distance from the shortest fit against α."""
    return side_by_side(figure.subplots(1, 2, width_ratios=(1.2, 1)), _plane, _distances)


def _plane(ax: Axes):
    star = fits(ax, WINDOW)
    ax.set_ylabel(r"$\Theta_2$", labelpad=2)
    ways = ax.add_collection(LineCollection([], colors="0.6", linewidths=0.6, alpha=0.7, zorder=2))
    (starts,) = ax.plot([], [], "o", color="black", markersize=2.2, markeredgewidth=0, label="start")
    kinds = {"flow": LOOKS["gradient descent"][0], "newton": LOOKS["Gauss-Newton"][0]}
    ends = {name: ax.plot([], [], "o", color=c, markersize=3.2, markeredgewidth=0, zorder=5)[0] for name, c in kinds.items()}
    ax.set_title("all fits (green) and the shortest one (star)", fontsize=10)

    def show(found: Clouds) -> None:
        path = found.path.clamp(-FAR, FAR)
        ways.set_segments(list(path[:, :40].transpose(0, 1)))
        put(starts, *path[0].T)
        for name, line in ends.items():
            put(line, *(path[-1].T if (name == "flow") == (found.method == FLOW) else ([], [])))

    return [ways, starts, *ends.values(), star], show


def _distances(ax: Axes):
    ax.set(xlabel="α", yscale="log", ylim=(LOW, HIGH), xlim=(0.2, 1.05))
    ax.set_title("r.m.s. distance of the ends", fontsize=10)
    (flow,) = ax.plot([], [], "--", color="black", linewidth=1.3, label="law of the flow")
    (full,) = ax.plot([], [], ":", color="black", linewidth=1.5, label="law of full Gauss-Newton steps")
    colours = {"flow": LOOKS["gradient descent"], "newton": LOOKS["Gauss-Newton"]}
    dots = {name: ax.plot([], [], marker, color=c, markersize=8)[0] for name, (c, marker) in colours.items()}
    ax.legend(loc="lower left", fontsize=9)

    def show(found: Clouds) -> None:
        for line, law in zip((flow, full), found.laws, strict=True):
            put(line, ALPHAS, law.clamp(min=LOW / 10))
        for name, dot in dots.items():
            seen = (name == "flow") == (found.method == FLOW)
            put(dot, [found.alpha] if seen else [], [max(found.distance, LOW)] if seen else [])

    return [flow, full, *dots.values()], show


def sentence(found: Clouds) -> str:
    """What the picture shows, with its numbers."""
    size = found.width**-found.alpha
    begin = f"α = {found.alpha:g}, m = {found.width:,}: weights of size {size:.2g}, start: {found.kind}, {found.method}."
    if found.distance < 1e-9:
        return f"{begin} <b>Every run ends at the shortest fit</b>, to less than 1e-9."
    if found.method == FLOW:
        law = found.laws[0][ALPHAS.index(found.alpha)]
        return f"{begin} The runs end {found.distance:.2g} from the shortest fit (r.m.s.; law of wide networks {law:.2g})."
    ratio = found.distance / found.flow
    return f"{begin} The runs end {found.distance:.2g} from the shortest fit (r.m.s.), {ratio:.2f} times as far as the flow."


line_of_fits = Widget(compute, draw, sentence, CHOICES, FRAMES, size=(7.4, 3.9), columns=2)
