"""One training curve, many networks: which right inverse, which halves, which damping."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from torch import Tensor

from regimes.theory.gauss_newton import step_loss
from regimes_course.kit.plotting import BLUE, GREEN, GREY
from regimes_course.kit.widget import Choice, Widget, put, side_by_side
from regimes_course.lesson07.rules import DIALS, ETA, key, stored_rules

__all__ = ["Pair", "same_curve"]

LAST = 16  # the largest number of steps that is drawn

CHOICES = {
    "rule": Choice("rule", DIALS["rule"], "exact"),
    "halves": Choice("halves", DIALS["halves"], "top and bottom"),
    "n": Choice("training images", DIALS["n"], 128),
    "damping": Choice("damping", DIALS["damping"], 0.0),
    "seed": Choice("seed", DIALS["seed"], 0),
}
START = {name: choice.start for name, choice in CHOICES.items()}
FRAMES = {
    "exact": START,
    "exact, checkerboard": START | {"halves": "checkerboard"},
    "exact, damping 0.1": START | {"damping": 0.1},
}


@dataclass(frozen=True)
class Pair:
    """A run, and that of the undamped shortest rule on the same images and halves, until 0.1 % of the training loss is left.

    Attributes:
        name: of the run.
        loss, right: ``(steps + 1,)``, the share of the training loss that is left, and of new images that are right.
        best_loss, best: the same of the shortest rule.
    """

    name: str
    loss: Tensor
    right: Tensor
    best_loss: Tensor
    best: Tensor


def compute(rule: str, halves: str, n: int, damping: float, seed: int) -> Pair:
    """Look both runs up."""
    settings, runs = {"rule": rule, "halves": halves, "n": n, "damping": damping, "seed": seed}, stored_rules()["dials"]
    pair = runs[key(**settings)], runs[key(**settings | {"rule": "shortest", "damping": 0.0})]
    curves = [torch.tensor(run[what]) for run in pair for what in ("loss", "right")]
    name = (
        f"{rule[0].upper()}{rule[1:]}, {halves}, {n} images" + (f", damping {damping:g}" if damping else "") + f", seed {seed}"
    )
    return Pair(name, *curves)


def draw(figure):
    """Training loss, and new images right."""
    return side_by_side(figure.subplots(1, 2), _losses, _rights)


Panel = tuple[list[Artist], Callable[[Pair], None]]


def _losses(ax: Axes) -> Panel:
    """The share of the training loss that is left."""
    ax.set(
        title="training loss left (%)",
        xlabel="step",
        xlim=(0, LAST),
        xticks=range(0, LAST + 1, 4),
        yscale="log",
        ylim=(0.01, 150),
    )
    k = torch.arange(LAST + 1)
    ax.plot(k, 100 * step_loss(k, ETA), "--", color="black", linewidth=1.3, label="predicted without damping")
    return _lines(ax, lambda pair: (pair.best_loss, pair.loss), loc="upper right")


def _rights(ax: Axes) -> Panel:
    """New images right."""
    ax.set(title="new images right (%)", xlabel="step", xlim=(0, LAST), xticks=range(0, LAST + 1, 4), ylim=(0, 100))
    ax.axhline(10, color=GREY, linewidth=1, linestyle=":")
    return _lines(ax, lambda pair: (pair.best, pair.right), loc="lower right")


def _lines(ax: Axes, of: Callable[[Pair], tuple[Tensor, Tensor]], loc: str) -> Panel:
    lines = [
        ax.plot([], [], color=GREEN, marker="^", markersize=8, label="shortest, undamped")[0],
        ax.plot([], [], color=BLUE, marker="o", markersize=5, label="the rule you chose")[0],
    ]
    ax.legend(loc=loc, fontsize=8)

    def show(pair: Pair) -> None:
        for line, values in zip(lines, of(pair), strict=True):
            put(line, range(len(values)), 100 * values)

    return lines, show


def sentence(pair: Pair) -> str:
    """What the picture shows, with its numbers."""

    def told(loss: Tensor, right: Tensor) -> str:
        left = f"after {len(loss) - 1} steps {100 * loss[-1]:.2g} % of the training loss"
        return f"{left} are left, and {100 * right[-1]:.0f} % of new images are right"

    return f"{pair.name}: {told(pair.loss, pair.right)}. Under the undamped shortest rule, {told(pair.best_loss, pair.best)}."


same_curve = Widget(compute, draw, sentence, CHOICES, FRAMES, size=(7.6, 3.4), columns=2)
