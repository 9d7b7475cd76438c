"""Two points and a large step: where the weights jump, and when the risk stops rising."""

from dataclasses import dataclass

import numpy as np
import torch
from matplotlib.axes import Axes
from torch import Tensor

from regimes.metrics import phase_switch, rises
from regimes.theory import large_steps as theory
from regimes_course.kit.plotting import BLUE, GREEN, ORANGE
from regimes_course.kit.weight_scatter import BELOW
from regimes_course.kit.widget import Choice, Widget, put, side_by_side
from regimes_course.kit.words import plain
from regimes_course.lesson09.experiments import edges, path

__all__ = ["Walk", "two_points"]

STEPS = 500
LOW, HIGH = 1e-7, 1e3  # the part of the axis of the risk that is drawn

CHOICES = {
    "gamma": Choice("margin, γ", (0.025, 0.05, 0.1, 0.2), 0.05, "{:g}".format),
    "eta": Choice(
        "step, η",
        (1, 2, 4, 8, 12, 14, 15, 16, 18, 20, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024),
        32,
        "{:g}".format,
    ),
}
START = {name: choice.start for name, choice in CHOICES.items()}
FRAMES = {
    "γ = 0.05, η = 14": START | {"eta": 14},
    "γ = 0.05, η = 32": START,
    "γ = 0.05, η = 256": START | {"eta": 256},
}


@dataclass(frozen=True)
class Walk:
    """Gradient descent on the two points.

    Attributes:
        gamma, eta: the setting.
        points: ``(k, 2)``, the weights at every step; along the first axis the points agree, along the second they disagree.
        loss: ``(k,)``, the risk.
    """

    gamma: float
    eta: float
    points: Tensor
    loss: Tensor

    @property
    def rises(self) -> Tensor:
        """The steps that raised the risk, counted from 1."""
        return 1 + rises(self.loss).nonzero()[:, 0]

    def below(self, threshold: float) -> int | None:
        """The first step with a risk at or below the threshold."""
        k = phase_switch(self.loss, threshold).first_below.item()
        return None if k < 0 else k

    @property
    def law(self) -> Tensor:
        """What the risk tends to late in a run, from step 1 on."""
        return theory.asymptotic_risk(torch.arange(1, STEPS + 1), self.eta, self.gamma)


def compute(gamma: float, eta: float) -> Walk:
    """500 steps from ``w = 0`` on the logistic risk of ``(gamma, c)`` and ``(gamma, -c/2)``, both labelled +1.

    Written out in plain numbers, for speed; a test compares with the training of a network.
    """
    return Walk(gamma, eta, *path(gamma, eta, STEPS))


def draw(figure):
    """Left: the path of the weights, and the wedge. Right: the risk."""
    return side_by_side(figure.subplots(1, 2, width_ratios=(1.35, 1)), _path, _risk)


def _path(ax: Axes):
    """The weights, and the wedge in which both points are on the right side."""
    ax.set(xlabel="$w_1$: both points pull to the right", ylabel="$w_2$: one pulls up, one down")
    ax.yaxis.set_label_coords(-0.17, 0.5)  # there is room for the longest number, wherever the sliders stand
    (wedge,) = ax.fill([0, 0, 0], [0, 0, 0], color=GREEN, alpha=0.18, linewidth=0, label="wedge: both right")
    (line,) = ax.plot([], [], "-", color=ORANGE, linewidth=0.7, marker="o", markersize=2.5, label="weights, step by step")
    (end,) = ax.plot([], [], "D", color=BLUE, markersize=7, label="the last")
    ax.legend(**BELOW, ncols=2)

    def show(walk: Walk) -> None:
        put(line, *walk.points.T)
        put(end, *walk.points[-1:].T)
        right, high = 1.12 * walk.points[:, 0].max().item(), 1.1 * walk.points[:, 1].abs().max().item()
        half, up = float(f"{right / 2:.1g}"), float(f"{high / 2:.1g}")  # none at the edge, or the panel would change its size
        ax.set(xlim=(-0.03 * right, right), ylim=(-high, high), xticks=[0, half / 2, half], yticks=[-up, 0, up])
        wedge.set_xy([(0, 0), *((right, slope * right) for slope in edges(walk.gamma))])

    return [ax.xaxis, ax.yaxis, wedge, line, end], show


def _risk(ax: Axes):
    """The risk, the height that is safe, and the law."""
    ax.set(xlabel="step k", ylabel="risk L", yscale="log", xlim=(0, STEPS), ylim=(LOW, HIGH))
    (loss,) = ax.plot([], [], color=ORANGE, linewidth=1.3, label="measured")
    (safe,) = ax.plot([], [], color="black", linestyle=":", linewidth=1.3, label="safe below, 0.852/η")
    (late,) = ax.plot([], [], "--", color="black", linewidth=1.3, label="predicted late, $1/(ηγ^2k)$")
    (switch,) = ax.plot([], [], "-.", color=BLUE, linewidth=1.2, label="last rise")
    ax.legend(**BELOW, ncols=2)

    def show(walk: Walk) -> None:
        put(loss, np.arange(STEPS + 1), walk.loss.clamp(LOW / 10, HIGH))
        put(safe, [0, STEPS], [theory.stable_threshold(walk.eta)] * 2)
        put(late, np.arange(1, STEPS + 1), walk.law.clamp(LOW / 10, HIGH * 10))
        switch.set_visible(len(walk.rises) > 0)
        put(switch, [walk.rises[-1].item() if len(walk.rises) else 1] * 2, [LOW / 10, HIGH])

    return [loss, safe, late, switch], show


def sentence(walk: Walk) -> str:
    """What the picture shows, with its numbers."""
    told = [_told_rises(walk)]
    k = walk.below(theory.stable_threshold(walk.eta))
    safe = f"does not come below 0.852/η within {STEPS} steps" if k is None else f"is below 0.852/η from step {k} on"
    told.append(f"It {safe}.")
    law, last = walk.law[-1].item(), walk.loss[-1].item()
    told.append(f"It ends at {last:.2g}; the law 1/(ηγ²T) says {law:.2g}, {plain(law / last)} times as much.")
    return " ".join(told)


def _told_rises(walk: Walk) -> str:
    if not len(walk.rises):
        return f"<b>The risk never rises</b>; the first step would raise it from η = {theory.first_rise(walk.gamma):.3g} on."
    return (
        f"<b>The risk rises {len(walk.rises)} times, for the last time at step {walk.rises[-1]}</b>. "
        f"It peaks at {walk.loss.max():.2g}."
    )


two_points = Widget(compute, draw, sentence, CHOICES, FRAMES, size=(7.8, 4.2), columns=2)
