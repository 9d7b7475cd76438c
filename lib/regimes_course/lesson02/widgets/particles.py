"""A wide network as a cloud of particles: hidden weights that move while the loss falls."""

from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from regimes.metrics import feature_movement, loss_on, weighted_cosine_distance
from regimes.networks import TwoLayer
from regimes.optimizers import EdgeFraction, GaussNewton, GradientDescent
from regimes.problems import Problem, teacher_student
from regimes_course.kit.plotting import BLUE, PINK, step_axis
from regimes_course.kit.snapshots import at, moments, record
from regimes_course.kit.weight_scatter import cloud
from regimes_course.kit.widget import Choice, Widget

__all__ = ["Moment", "particles"]

STEPS = 200
FLOOR, CEILING = 1e-7, 1.5  # the part of the loss axis that is drawn
METHODS = {
    "Gauss-Newton": lambda net: GaussNewton(net, 0.05, damping=5e-3),
    "gradient descent": lambda net: GradientDescent(net, EdgeFraction(0.5, at_most=1.0)),
}

CHOICES = {
    "width": Choice("width, m", (20, 100, 500), 100),
    "std": Choice("std of the start", (0.1, 0.3, 1.0, 3.0), 0.1),
    "method": Choice("method", tuple(METHODS), "Gauss-Newton"),
    "step": Choice("time: steps taken, k", (0, 1, 2, 5, 10, 20, 50, 100, 200), 10),
}
FRAMES = {
    "std 0.1, 5 steps": {"width": 100, "std": 0.1, "method": "Gauss-Newton", "step": 5},
    "std 0.1, 200 steps": {"width": 100, "std": 0.1, "method": "Gauss-Newton", "step": 200},
    "std 3, 200 steps": {"width": 100, "std": 3.0, "method": "Gauss-Newton", "step": 200},
}


@dataclass(frozen=True)
class History:
    """A whole run.

    Attributes:
        time: ``(k,)``, of the flow that the method follows.
        loss: ``(k,)``, training losses.
        moments, test: ``(l,)``, some of the steps and the test losses there.
        W, v: ``(k, m, 3)`` and ``(k, m)``.
    """

    time: Tensor
    loss: Tensor
    moments: Tensor
    test: Tensor
    W: Tensor
    v: Tensor


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

    Gauss-Newton has η = 0.05 and ε = 5e-3; gradient descent steps at half its stability limit, at most by a time of one.
    """
    history, teacher = _history(width, std, method), _problem().teacher.W[:, :2]
    start, W = history.W[0], history.W[step]
    distance = tuple(weighted_cosine_distance(w[:, :2], teacher).item() for w in (start, W))
    return Moment(history, width, std, method, step, feature_movement(W, start).item(), distance)


def draw(figure):
    """Left: the cloud. Right: training and test loss, with the moment marked."""
    left, right = figure.subplots(1, 2)
    artists, show = cloud(left)
    right.set(ylabel="loss", yscale="log", ylim=(FLOOR, CEILING))
    step_axis(right, torch.tensor([STEPS]))
    right.set(xlim=(0, 1.2 * STEPS), xlabel="step k\n(log. from 10)")
    (train,) = right.plot([], [], color=PINK, label="training")
    (test,) = right.plot([], [], "-o", color=BLUE, markersize=3, label="test")
    now = [right.plot([], [], k, color=c, markersize=9)[0] for k, c in (("s", PINK), ("o", BLUE))]
    right.legend(loc="lower left", fontsize=8)

    def update(moment: Moment) -> None:
        history, step = moment.history, moment.step
        reach = history.W[..., :2].abs().max().item()
        show(history.W[step], history.v[step], history.v.abs().max().item(), history.W[0], _problem().teacher, reach)
        train.set_data(range(STEPS + 1), history.loss.clamp(FLOOR / 10))
        test.set_data(history.moments, history.test)
        for dot, loss in zip(now, moment.losses, strict=True):
            dot.set_data([step], [max(loss, FLOOR)])

    return [*artists, train, test, *now], update


def sentence(moment: Moment) -> str:
    """What the picture shows, with its numbers."""
    train, test = moment.losses
    first, last = moment.distance
    return (
        f"m = {moment.width}, std {moment.std:g}, step {moment.step} of {moment.method} "
        f"(t = {moment.history.time[moment.step]:.3g}): training loss {train:.2g}, test loss {test:.2g}. "
        f"The hidden weights moved by {moment.moved:.2g} times their length at the start; "
        f"their weighted cosine distance to the teacher went from {first:.2f} to {last:.2f}."
    )


@lru_cache
def _problem() -> Problem:
    return teacher_student(40, 2, teacher_width=3, seed=293)  # a teacher whose units point three ways


@lru_cache
def _history(width: int, std: float, method: str) -> History:
    problem, net = _problem(), TwoLayer(2, width, std=std, seed=1)
    trace, _ = record(METHODS[method](net), problem.x, problem.y, STEPS)
    rows = sorted({*moments(STEPS), *CHOICES["step"].values})
    test = torch.stack([loss_on(at(net, trace, k), problem.x_test, problem.y_test) for k in rows])
    return History(trace.time, trace.loss, torch.tensor(rows), test, trace.measured["W"], trace.measured["v"])


particles = Widget(compute, draw, sentence, CHOICES, FRAMES, size=(8.8, 3.6))
