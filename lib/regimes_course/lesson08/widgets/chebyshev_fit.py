"""A small network that fits a polynomial: its sharpness climbs to the edge of stability, and stays there."""

from dataclasses import dataclass

import torch
from matplotlib.axes import Axes
from torch import Tensor

from regimes.metrics import sharpness
from regimes.networks import TwoLayer
from regimes.problems import Problem, chebyshev
from regimes_course.kit.plotting import BLUE, GREEN, GREY, ORANGE
from regimes_course.kit.stack_of_snapshots import moments_of
from regimes_course.kit.weight_scatter import BELOW
from regimes_course.kit.widget import Choice, Widget, put, side_by_side
from regimes_course.kit.written_out import descend

__all__ = ["Fit", "chebyshev_fit"]

STEPS, EVERY = 500, 10  # steps of a run, and between two sharpnesses
LOSSES, NUMBERS = (1e-5, 1e2), (0.0, 5.0)  # the parts of the axes that are drawn

CHOICES = {
    "eta": Choice("step, η", (0.2, 0.4, 0.6, 0.8, 1.0, 1.2, 1.6, 2.0, 2.4, 3.0, 4.0, 8.0, 16.0), 1.2),
    "degree": Choice("degree of the polynomial", (2, 3, 4), 3),
    "width": Choice("width, m", (10, 20, 40, 80), 20),
    "seed": Choice("seed", tuple(range(5)), 0),
}
START = {name: choice.start for name, choice in CHOICES.items()}
FRAMES = {
    "η = 0.4": START | {"eta": 0.4},
    "η = 1.2": START,
    "η = 8": START | {"eta": 8.0},
}


@dataclass(frozen=True)
class Fit:
    """A run of gradient descent on the squared loss.

    Attributes:
        eta: the step.
        loss: ``(k,)``, at every step.
        step, number: ``(l,)``, some steps and the stability number ``eta S / 2`` there.
        curve: ``(200,)``, the outputs at the end on the test grid; empty if the run diverged.
        problem: what it was trained on.
        diverged: the step at which the loss was no longer finite, or ``None``.
    """

    eta: float
    loss: Tensor
    step: Tensor
    number: Tensor
    curve: Tensor
    problem: Problem
    diverged: int | None

    @property
    def increases(self) -> int:
        """How often the loss rose, by more than rounding."""
        return int((self.loss[1:] > self.loss[:-1] * (1 + 1e-10)).sum())

    @property
    def crossing(self) -> int | None:
        """The first of the steps at which the number is above one."""
        beyond = (self.number > 1).nonzero()
        return int(self.step[beyond[0]]) if len(beyond) else None


def compute(eta: float, degree: int, width: int, seed: int) -> Fit:
    """500 steps on 20 points of a Chebyshev polynomial, tanh units, both layers trained."""
    data, net = chebyshev(degree), TwoLayer(1, width, activation="tanh", output_std=1.0, seed=seed)
    run = descend(net, data.x, data.y, eta, STEPS, every=EVERY)
    number = eta / 2 * sharpness(moments_of(net, run.W, run.v), data.x, data.y)
    curve = torch.empty(0) if run.diverged is not None else moments_of(net, run.W[-1:], run.v[-1:])(data.x_test)[0].detach()
    return Fit(eta, run.loss, EVERY * torch.arange(len(number)), number, curve, data, run.diverged)


def draw(figure):
    """The fit, the loss, and the stability number."""
    axes = figure.subplots(1, 3)
    return side_by_side(axes, _fit, _loss, _number)


def _fit(ax: Axes):
    ax.set(xlabel="x", ylabel="f(x)", xlim=(-1.05, 1.05), ylim=(-1.6, 1.6))
    (dots,) = ax.plot([], [], "o", color=GREY, markersize=4, label="data")
    (line,) = ax.plot([], [], color=BLUE, label="network at the end")
    ax.legend(**BELOW, ncols=2)

    def show(fit: Fit) -> None:
        put(dots, fit.problem.x[:, 0], fit.problem.y)
        line.set_visible(len(fit.curve) > 0)
        if len(fit.curve):
            put(line, fit.problem.x_test[:, 0], fit.curve)

    return [dots, line], show


def _loss(ax: Axes):
    ax.set(xlabel="step k", ylabel="loss", yscale="log", xlim=(0, STEPS), ylim=LOSSES)
    (line,) = ax.plot([], [], color=BLUE, linewidth=1.0, label="loss")
    (cross,) = ax.plot([], [], "x", color=ORANGE, markersize=9, mew=2, label="diverged")
    ax.legend(**BELOW, ncols=2)

    def show(fit: Fit) -> None:
        put(line, torch.arange(len(fit.loss)), fit.loss.clamp(LOSSES[0] / 10, LOSSES[1] * 10))
        put(cross, *([], []) if fit.diverged is None else ([max(fit.diverged, 8)], [LOSSES[1] / 2]))

    return [line, cross], show


def _number(ax: Axes):
    ax.set(xlabel="step k", ylabel="stability number ηS/2", xlim=(0, STEPS), ylim=NUMBERS)
    ax.axhline(1, color="black", linestyle="--", linewidth=1.3, label="predicted: the edge")
    (line,) = ax.plot([], [], color=GREEN, marker="s", markersize=3, label="measured")
    ax.legend(**BELOW, ncols=2)

    def show(fit: Fit) -> None:
        put(line, fit.step, fit.number.clamp(max=2 * NUMBERS[1]))

    return [line], show


def sentence(fit: Fit) -> str:
    """What the picture shows, with its numbers."""
    begin = f"η = {fit.eta:g}:"
    if fit.diverged is not None:
        return (
            f"{begin} <b>the run diverges</b> at step {fit.diverged}: its loss is no longer finite. At step {fit.step[-1]} "
            f"the stability number was {fit.number[-1]:.3g}."
        )
    rise = f"{begin} ηS/2 goes from {fit.number[0]:.2g} to a mean of {fit.number[-15:].mean():.3g} over the last 150 steps"
    after = f"; the loss rises at {fit.increases} of {STEPS} steps and ends at {fit.loss[-1]:.1g}."
    if fit.crossing is None:
        return f"{rise}, <b>below the edge</b>{after}"
    where = "starts beyond the edge" if fit.crossing == 0 else f"crosses the edge by step {fit.crossing}"
    return f"{rise} and <b>{where}</b>{after}"


chebyshev_fit = Widget(compute, draw, sentence, CHOICES, FRAMES, size=(10.4, 4.0), columns=2)
