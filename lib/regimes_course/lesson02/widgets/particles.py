"""A network as a cloud of particles: hidden units that move while the loss falls."""

import math
from dataclasses import dataclass

import torch

from regimes.metrics import feature_movement, weighted_cosine_distance
from regimes.theory.gauss_newton import step_loss
from regimes_course.kit.plotting import BLUE, PINK, predicted
from regimes_course.kit.widget import Choice, Widget, put
from regimes_course.lesson02.cloud import cloud
from regimes_course.lesson02.experiments import METHODS, MOMENTS, STEPS, History, history, problem

__all__ = ["Moment", "particles"]

FLOOR, CEILING = 1e-8, 1.5  # the part of the loss axis that is drawn
LARGEST = {20: 90, 100: 50, 500: 30}  # area of the largest dot, by the width

CHOICES = {
    "width": Choice("width, m", (20, 100, 500), 100),
    "std": Choice("std at the start", (0.1, 0.3, 1.0, 3.0), 0.1),
    "method": Choice("method", tuple(METHODS), "gradient descent"),
    "step": Choice("time: steps taken, k", MOMENTS, 30),
}
START = {"width": 100, "std": 0.1, "method": "gradient descent"}
FRAMES = {
    "gradient descent, 30 steps": START | {"step": 30},
    "gradient descent, 200 steps": START | {"step": STEPS},
    "Gauss-Newton, 200 steps": START | {"method": "Gauss-Newton", "step": STEPS},
}


@dataclass(frozen=True)
class Moment:
    """A moment of a run.

    Attributes:
        history: the whole run.
        width, std, method, step: the setting.
        moved: `feature_movement` since the start.
        distance: `weighted_cosine_distance` to the teacher, at the start and now.
    """

    history: History
    width: int
    std: float
    method: str
    step: int
    moved: float
    distance: tuple[float, float]

    @property
    def losses(self) -> tuple[float, float]:
        """Training and test loss at the moment."""
        test = self.history.test[self.history.moments == self.step]
        return self.history.loss[self.step].item(), test.item()


def compute(width: int, std: float, method: str, step: int) -> Moment:
    """Train a network with d = 2 inputs on n = 40 samples, and look at it after some steps. Each run is made only once.

    Gauss-Newton has η = 0.05 and ε = 5e-3; gradient descent η = 0.25, or half its stability limit where that is less.
    """
    run, teacher = history(width, std, method), problem().teacher.W[:, :2]
    start, W = run.W[0], run.W[step]
    distance = tuple(weighted_cosine_distance(w[:, :2], teacher).item() for w in (start, W))
    return Moment(run, width, std, method, step, feature_movement(W, start).item(), distance)


def draw(figure):
    """Left: the cloud. Right: training and test loss, with the moment marked, and the law of Gauss-Newton."""
    left, right = figure.subplots(1, 2, width_ratios=(2, 1))
    left.set(xlabel="first input weight of a unit (its dot grows with |v|)", ylabel="second", aspect="equal")
    artists, show = cloud(left, problem().teacher)
    right.set(title="loss", xlabel="step k", yscale="log", ylim=(FLOOR, CEILING), xlim=(0, 1.04 * STEPS))
    (train,) = right.plot([], [], color=PINK, label="training")
    (test,) = right.plot([], [], "-o", color=BLUE, markersize=3, label="test")
    law = predicted(right, [], [], "law: $(1-η)^{2k}$").lines[-1]
    now = [right.plot([], [], k, color=c, markersize=9)[0] for k, c in (("s", PINK), ("o", BLUE))]
    for ax in (left, right):
        ax.legend(loc="upper center", bbox_to_anchor=(0.5, 0), borderaxespad=4, fontsize=9, ncols=3 if ax is left else 1)

    def update(moment: Moment) -> None:
        run, step = moment.history, moment.step
        reach = 2 * math.ceil(1.05 * run.W[..., :2].abs().max().item() / 2)
        ticks = (-reach // 2, 0, reach // 2)
        left.set(xlim=(-reach, reach), ylim=(-reach, reach), xticks=ticks, yticks=ticks)
        show(run.W[: step + 1], run.v[step], run.v.abs().max().item(), LARGEST[moment.width])
        k = torch.arange(STEPS + 1)
        put(train, k, run.loss.clamp(FLOOR / 10))
        put(test, run.moments, run.test)
        put(law, *((k, run.loss[0] * step_loss(k, 0.05)) if moment.method == "Gauss-Newton" else ([], [])))
        for dot, loss in zip(now, moment.losses, strict=True):
            put(dot, [step], [max(loss, FLOOR)])

    return [left.xaxis, left.yaxis, *artists, train, test, law, *now], update


def sentence(moment: Moment) -> str:
    """What the picture shows, with its numbers."""
    train, test = moment.losses
    first, last = moment.distance
    return (
        f"m = {moment.width}, std {moment.std:g}, step {moment.step} of {moment.method}: "
        f"training loss {train:.2g}, test loss {test:.2g}. "
        f"The hidden weights moved by {moment.moved:.2g} times their length at the start; "
        f"their mean distance from the nearest ray went from {first:.2f} to {last:.2f}."
    )


particles = Widget(compute, draw, sentence, CHOICES, FRAMES, size=(7.2, 4.7))
