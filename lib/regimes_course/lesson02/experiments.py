"""Runs of lesson 02 that its first picture and its widget share."""

from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from regimes.losses import squared
from regimes.networks import TwoLayer
from regimes.optimizers import EdgeFraction, GaussNewton, GradientDescent
from regimes.problems import Problem, teacher_student
from regimes_course.kit.snapshots import moments, record
from regimes_course.kit.stack_of_snapshots import moments_of, parts

__all__ = ["METHODS", "MOMENTS", "STEPS", "History", "history", "problem"]

STEPS = 200
MOMENTS = (0, 1, 2, 5, 10, 20, 30, 50, 100, STEPS)  # close together where the units set off
METHODS = {
    "gradient descent": lambda net: GradientDescent(net, EdgeFraction(0.5, at_most=0.25)),
    "Gauss-Newton": lambda net: GaussNewton(net, 0.05, damping=5e-3),
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


@lru_cache
def problem() -> Problem:
    """40 samples with two inputs, and a teacher whose three units point three ways."""
    return teacher_student(40, 2, teacher_width=3, seed=293)


@lru_cache
def history(width: int, std: float, method: str) -> History:
    """Train a network that starts from ``v = 0`` for 200 steps; each run is made once."""
    data, net = problem(), TwoLayer(2, width, std=std, seed=1)
    trace, _ = record(METHODS[method](net), data.x, data.y, STEPS)
    rows = sorted({*moments(STEPS), *MOMENTS})
    past = moments_of(net, trace.measured["W"][rows], trace.measured["v"][rows])
    with torch.no_grad():
        f = torch.cat([past(x) for x in parts(past, data.x_test)], -1)
    test = squared.value(f, data.y_test, len(data.y_test))
    return History(trace.time, trace.loss, torch.tensor(rows), test, trace.measured["W"], trace.measured["v"])
