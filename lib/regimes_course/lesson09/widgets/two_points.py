"""Two points and a large step: when the risk stops rising, and what the curvature knew of it."""

import math
from dataclasses import dataclass

import numpy as np
import torch
from matplotlib.axes import Axes

from regimes.metrics import phase_switch, rises
from regimes.theory import large_steps as theory
from regimes_course.kit.plotting import BLUE, GREY, ORANGE, PINK
from regimes_course.kit.weight_scatter import BELOW
from regimes_course.kit.widget import Choice, Widget, side_by_side

__all__ = ["Walk", "two_points"]

STEPS = 500
LOW, HIGH = 1e-7, 1e3  # the part of the axis of the risk that is drawn
SHARP = (1e-4, 1e2)  # and of that of the stability number

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
    "γ = 0.05, η = 8": START | {"eta": 8},
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
        curvature: ``(k,)``, the largest eigenvalue of its Hessian.
    """

    gamma: float
    eta: float
    points: np.ndarray
    loss: np.ndarray
    curvature: np.ndarray

    @property
    def stability(self) -> np.ndarray:
        """The stability number ``eta S / 2`` at every step."""
        return self.eta * self.curvature / 2

    @property
    def rises(self) -> np.ndarray:
        """The steps that raised the risk, counted from 1."""
        return 1 + np.flatnonzero(rises(torch.from_numpy(self.loss)))

    def below(self, threshold: float) -> int | None:
        """The first step with a risk at or below the threshold."""
        k = phase_switch(torch.from_numpy(self.loss), threshold).first_below.item()
        return None if k < 0 else k


def compute(gamma: float, eta: float) -> Walk:
    """500 steps from ``w = 0`` on the logistic risk of ``(gamma, c)`` and ``(gamma, -c/2)``, both labelled +1.

    Written out in plain numbers, for the lesson walks it 600 times; a test compares with the training of a network.
    """
    c, a, b = math.sqrt(1 - gamma**2), 0.0, 0.0
    points = [(b, a)]
    for _ in range(STEPS):
        s1, s2 = _sigmoid(-gamma * b - c * a), _sigmoid(-gamma * b + c * a / 2)
        a, b = a + eta * c * (s1 - s2 / 2) / 2, b + eta * gamma * (s1 + s2) / 2
        points.append((b, a))
    points = np.array(points)
    q = points @ np.array([[gamma, gamma], [c, -c / 2]])
    return Walk(gamma, eta, points, np.logaddexp(0, -q).mean(1), _curvature(q, gamma, c))


def _sigmoid(z: float) -> float:
    """``1 / (1 + e^-z)`` that never overflows."""
    return 1 / (1 + math.exp(-z)) if z >= 0 else math.exp(z) / (1 + math.exp(z))


def _curvature(q: np.ndarray, gamma: float, c: float) -> np.ndarray:
    """The larger eigenvalue of ``sum_i s_i (1 - s_i) z_i z_i^T / 2``, a matrix of two rows."""
    h = np.exp(-np.abs(q)) / (1 + np.exp(-np.abs(q))) ** 2 / 2
    aa, bb, ab = h @ [c * c, c * c / 4], gamma**2 * h.sum(1), gamma * (h @ [c, -c / 2])
    return (aa + bb) / 2 + np.hypot((aa - bb) / 2, ab)


def draw(figure):
    """Left: the risk. Middle: the stability number. Right: the path of the weights."""
    axes = figure.subplots(1, 3, width_ratios=(1.15, 1, 1))
    return side_by_side(axes, _risk, _stability, _path)


def _steps(ax: Axes, ylabel: str, ylim: tuple[float, float]) -> None:
    ax.set(xlabel="step t", ylabel=ylabel, yscale="log", xlim=(1, STEPS), xscale="log", ylim=ylim)
    ax.set_xticks([1, 10, 100, STEPS], ["1", "10", "100", str(STEPS)])


def _risk(ax: Axes):
    """The risk, the thresholds, and where it should go."""
    _steps(ax, "risk L", (LOW, HIGH))
    (loss,) = ax.plot([], [], color=BLUE, linewidth=1.1, label="measured")
    (safe,) = ax.plot([], [], color="black", linestyle=(0, (2, 2)), linewidth=1.3, label="predicted safe below, 0.853/η")
    (late,) = ax.plot([], [], "--", color="black", linewidth=1.3, label="predicted late, $1/(ηγ^2t)$")
    (switch,) = ax.plot([], [], "-.", color=ORANGE, linewidth=1.2, label="last rise")
    ax.legend(**BELOW, ncols=2)

    def show(walk: Walk) -> None:
        k = np.arange(1, STEPS + 1)
        loss.set_data(k, walk.loss[1:].clip(LOW / 10, HIGH))
        safe.set_data([1, STEPS], [theory.stable_threshold(walk.eta)] * 2)
        late.set_data(k, theory.asymptotic_risk(torch.from_numpy(k), walk.eta, walk.gamma).clamp(LOW / 10, HIGH * 10))
        _mark(switch, walk)

    return [loss, safe, late, switch], show


def _stability(ax: Axes):
    """The stability number."""
    _steps(ax, "stability number ηS/2", SHARP)
    (number,) = ax.plot([], [], color=PINK, linewidth=1.1, label="measured")
    ax.axhline(1, color=GREY, linewidth=1.2, linestyle=":", label="edge of stability")
    (switch,) = ax.plot([], [], "-.", color=ORANGE, linewidth=1.2)
    ax.legend(**BELOW)

    def show(walk: Walk) -> None:
        number.set_data(np.arange(1, STEPS + 1), walk.stability[1:].clip(SHARP[0] / 10, SHARP[1] * 10))
        _mark(switch, walk)

    return [number, switch], show


def _path(ax: Axes):
    """The weights, and the wedge in which both points are on the right side."""
    ax.set(xlabel="$w_1$, both points agree", ylabel="$w_2$, they disagree")
    (path,) = ax.plot([], [], "-", color=BLUE, linewidth=0.7, marker="o", markersize=2, label="weights")
    edges = [ax.plot([], [], ":", color=GREY, linewidth=1.2)[0] for _ in range(2)]
    edges[0].set_label("between: both right")
    (start,) = ax.plot([], [], "o", color="black", markersize=8, markerfacecolor="none", label="start")
    ax.legend(**BELOW, ncols=2)

    def show(walk: Walk) -> None:
        path.set_data(*walk.points.T)
        end, high = 1.05 * walk.points[:, 0].max(), 1.1 * np.abs(walk.points[:, 1]).max()
        ax.set(xlim=(-0.03 * end, end), ylim=(-high, high))
        c = math.sqrt(1 - walk.gamma**2)
        for line, slope in zip(edges, (-walk.gamma / c, 2 * walk.gamma / c), strict=True):
            line.set_data([0, end], [0, slope * end])
        start.set_data([0], [0])

    return [ax.xaxis, ax.yaxis, path, *edges, start], show


def _mark(line, walk: Walk) -> None:
    """A vertical line at the last rise, if there is one."""
    line.set_visible(len(walk.rises) > 0)
    line.set_data([walk.rises[-1] if len(walk.rises) else 1] * 2, [LOW / 10, HIGH])


def sentence(walk: Walk) -> str:
    """What the picture shows, with its numbers."""
    told = [_told_rises(walk)]
    for name, threshold, end in (("1/η", 1 / walk.eta, ";"), ("0.853/η", theory.stable_threshold(walk.eta), ".")):
        k = walk.below(threshold)
        told.append(f"L ≤ {name} {'from step ' + str(k) if k is not None else f'not within {STEPS} steps'}{end}")
    product = walk.loss[-1] * walk.eta * walk.gamma**2 * STEPS
    told.append(f"At the end L = {walk.loss[-1]:.2g}, which is {product:.2g} times 1/(ηγ²t).")
    return " ".join(told)


def _told_rises(walk: Walk) -> str:
    if not len(walk.rises):
        limit = theory.first_rise(walk.gamma)
        return f"<b>The risk never rises</b>; the first step would raise it from η = {limit:.3g} on."
    flagged = (walk.stability[walk.rises - 1] > 1).sum()
    return (
        f"<b>The risk rises {len(walk.rises)} times, for the last time at step {walk.rises[-1]}</b>; at {flagged} of "
        f"these steps ηS/2 was above 1. It peaks at {walk.loss.max():.2g}."
    )


two_points = Widget(compute, draw, sentence, CHOICES, FRAMES, size=(10.4, 3.9), columns=2)
