"""The first picture of lesson 06 with sliders: where the units of a network bend it, while it trains on nine points."""

from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection

from regimes_course.kit.plotting import BLUE, ORANGE
from regimes_course.kit.widget import Choice, Widget, put, side_by_side
from regimes_course.kit.words import plain
from regimes_course.lesson06.experiments import CORNERS, LINE, TENT, Path, moments, path, tent
from regimes_course.lesson06.figures import world_lines

__all__ = ["Scene", "bends"]

STEPS = 3000
FAILED = 0.05  # a run that has more of its loss left is told to have failed


def _record(moment: float) -> int:
    """Which of the kept steps stands after a part of the logarithm of them all."""
    time = np.log1p(moments(STEPS))
    return int(np.abs(time - moment * time[-1]).argmin())


CHOICES = {
    "alpha": Choice("dial, α", (0.05, 0.1, 0.2, 0.3, 0.5, 1.0, 2.0, 3.0, 10.0, 30.0), 0.1, "{:g}".format),
    "m": Choice("width, m", (50, 200, 1000), 200),
    "moment": Choice(
        "step", (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0), 1.0, lambda moment: str(moments(STEPS)[_record(moment)])
    ),
    "seed": Choice("seed", (0, 1, 2, 3, 4), 0),
}
START = {name: choice.start for name, choice in CHOICES.items()}
FRAMES = {
    "rich: α = 0.1": START,
    "between: α = 1": START | {"alpha": 1.0},
    "lazy: α = 10": START | {"alpha": 10.0},
}


@dataclass(frozen=True)
class Scene:
    """A run of a network of width ``m``, and the record ``k`` of it that is looked at."""

    m: int
    seed: int
    run: Path
    k: int


def compute(alpha: float, m: int, moment: float, seed: int) -> Scene:
    """Train for 3000 steps; look at the network after a part of their logarithm."""
    run = path(alpha, m, seed, STEPS)
    return Scene(m, seed, run, _record(moment))


def draw(figure):
    """The function over its points, and the world lines of the bends up to now."""
    axes = figure.subplots(1, 2)
    return side_by_side(axes, _function, _lines)


def _function(ax: Axes):
    ax.set(xlabel="x", ylabel="output", xlim=(-1.05, 1.05), ylim=(-0.5, 1.5), title="what the network says")
    ax.plot(TENT, tent(TENT), "ko", markersize=5)
    (line,) = ax.plot([], [], color=BLUE)

    def show(scene: Scene) -> None:
        put(line, LINE, scene.run.outputs(LINE, scene.k))

    return [line], show


def _lines(ax: Axes):
    ax.set(xlabel="where a unit bends it", ylabel="training time (log)", xlim=(-1.05, 1.05), ylim=(0, 1), title="the bends")
    ax.set_yticks([0, 1], ["start", "end"])
    ax.grid(False)
    for corner in CORNERS:
        ax.plot([corner, corner], [0, 1], "k--", linewidth=1)
    lines = ax.add_collection(LineCollection([], linewidths=0.9))
    (now,) = ax.plot([], [], color=ORANGE)

    def show(scene: Scene) -> None:
        made = world_lines(scene.run, BLUE)
        lines.set_segments([unit.vertices[: scene.k + 1] for unit in made.get_paths()])
        lines.set_color(made.get_color())
        time = np.log1p(scene.run.step.numpy())
        put(now, [-1.05, 1.05], [time[scene.k] / time[-1]] * 2)

    return [lines, now], show


def sentence(scene: Scene) -> str:
    """What the picture shows, with its numbers."""
    run, k = scene.run, scene.k
    told = (
        f"α = {run.alpha:g}, m = {scene.m}, seed {scene.seed}, step {run.step[k]} of {run.step[-1]}: weights moved "
        f"{run.moved[k]:.2g} times their length, {run.at_corners(k):.0%} of the bends (by size) sit at a corner; "
        f"{plain(100 * run.left[k].item())} % of the loss is left."
    )
    if run.left[-1] > FAILED:
        return f"{told} <b>This run fails</b>: {plain(100 * run.left[-1].item())} % is left at its end."
    return told


bends = Widget(compute, draw, sentence, CHOICES, FRAMES, size=(8.4, 3.6), columns=2)
