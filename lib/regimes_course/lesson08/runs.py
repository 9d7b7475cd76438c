"""The evidence of lesson 08: gradient descent of many seeds at one step, to its edge and along it, and what is predicted."""

import torch
from torch import Tensor

from regimes.networks import TwoLayer
from regimes.optimizers import GradientDescent
from regimes.problems import chebyshev
from regimes.training import train
from regimes_course.lesson08.climb import END, GRAIN, Task, central_flow, crossing, descend, flow, meter, middle

__all__ = ["Runs"]

LATE, WINDOW = 50.0, 25.0  # the time over which losses are compared at the end, and along the way


class Runs:
    """Runs of the library on the lesson's task, inputs on [0, 2]; flow and central flow from the same starts.

    Attributes:
        eta, path, loss: the step, parameters ``(k, seeds, 60)`` and losses ``(k, seeds)`` at every step.
        crossed: the step at which each run crosses its edge.
        flow, centre, predicted: losses ``(j, seeds)`` up to the same time of gradient flow, of the central flow, and of that
            with its swing.
        climb: ``(seeds,)``, the sharpness of the flow at the end over that at the start.
    """

    def __init__(self, eta: float, seeds: Tensor):
        self.eta, self.task, data = eta, Task(), chebyshev(3)
        net = TwoLayer(1, 20, activation="tanh", output_std=1.0, runs=seeds.shape, seed=seeds)
        measure = {"p": lambda net: torch.cat([*net.W.detach().unbind(-1), net.v.detach()], -1)}
        trace = train(net, data.x + 1, data.y, GradientDescent(net, eta), round(END / eta), measure=measure)
        self.path, self.loss = trace.measured["p"], trace.loss
        self.crossed = [crossing(self.task, run, eta) for run in self.path.unbind(1)]
        smooth = flow(self.task, self.path[0])
        first, last = self.task.sharpness(smooth[[0, -1]])
        self.flow, self.climb = self.task.loss(smooth), last / first
        centre, self.predicted = central_flow(self.task, self.path[0], eta)
        self.centre = self.task.loss(centre)

    def at_the_edge(self) -> Tensor:
        """Where each run crosses its edge: ``(seeds, 60)``."""
        return torch.stack([self.path[k, i] for i, k in enumerate(self.crossed)])

    def off_the_flow(self) -> Tensor:
        """The largest relative difference of each run's loss from the flow's at equal times, until it crosses its edge."""
        when = torch.arange(max(self.crossed)) * self.eta / GRAIN
        apart = (self.loss[: len(when)] / self.flow[when.round().long()] - 1).abs()
        return torch.stack([apart[:k, i].max() for i, k in enumerate(self.crossed)])

    def law_of_the_swing(self, size: float) -> Tensor:
        """How far the mean gradient of a swing along the sharpest direction is from its law, relative to what the swing adds.

        The gradient of the sharpness is taken by autograd, through the eigenvalue.
        """
        p = self.at_the_edge().requires_grad_()
        (pull,) = torch.autograd.grad(self.task.sharpness(p).sum(), p)
        p = p.detach()
        swing, slope = size * self.task.direction(p), self.task.slope
        felt = (slope(p + swing) + slope(p - swing)) / 2 - slope(p)
        return (felt - size**2 / 2 * pull).norm(dim=1) / felt.norm(dim=1)

    def overshoot(self, push: float) -> Tensor:
        """The largest stability number, less one, in 150 steps after a push by a share of the weights' length."""
        p = self.at_the_edge()
        p = p + push * p.norm(dim=1, keepdim=True) * self.task.direction(p)
        run = middle(descend(self.task, p, self.eta, 150))
        return self.eta * self.task.sharpness(run[::2]).amax(0) / 2 - 1

    def meter(self, begin: float = 225.0) -> Tensor:
        """The mean stability number along the steps from a time on, by two gradients each."""
        return meter(self.task.slope(self.path[round(begin / self.eta) :])).mean(0)

    def late(self, loss: Tensor) -> Tensor:
        """A loss over the measured one, means over the last 50 units of time."""
        return _mean(loss, END - LATE, END) / _mean(self.loss, END - LATE, END)

    def windows(self) -> Tensor:
        """Predicted over measured loss in windows of time from the crossing on, ``(windows, seeds)``; NaN beyond the end."""
        ratios = torch.full((round(END / WINDOW), len(self.crossed)), torch.nan, dtype=torch.float64)
        for i, k in enumerate(self.crossed):
            for j in range(int((END - self.eta * k) / WINDOW)):
                window = (self.eta * k + j * WINDOW, self.eta * k + (j + 1) * WINDOW)
                ratios[j, i] = _mean(self.predicted[:, i], *window) / _mean(self.loss[:, i], *window)
        return ratios[~ratios.isnan().all(1)]


def _mean(values: Tensor, begin: float, end: float) -> Tensor:
    """The mean of values ``(k, ...)`` at equal times up to the end, between two times."""
    share = len(values) / END
    return values[round(begin * share) : round(end * share)].mean(0)
