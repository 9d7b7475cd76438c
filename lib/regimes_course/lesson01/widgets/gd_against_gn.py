"""Gradient descent against Gauss-Newton while conditioning, damping and step are turned."""

from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from regimes.metrics import spectrum
from regimes.networks import TwoLayer
from regimes.optimizers import EdgeFraction, GaussNewton, GradientDescent
from regimes.problems import Problem, teacher_student
from regimes.theory.gauss_newton import step_envelope
from regimes.training import Diverged, train
from regimes_course.kit.plotting import LOOKS
from regimes_course.kit.widget import Choice, Widget

__all__ = ["Race", "gd_against_gn"]

STEPS = 120
FLOOR, CEILING = 1e-9, 1e6  # the part of the loss axis that is drawn

CHOICES = {
    "kappa": Choice("conditioning, κ", (1, 10, 100), 10),
    "damping": Choice("damping, ε", (0.0, 1e-5, 1e-4, 1e-3, 1e-2, 1.0), 0.0, lambda e: f"{e:.0e}" if e else "0"),
    "eta": Choice("step, η", (0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.2), 0.1),
}
FRAMES = {
    "κ = 1, ε = 0, η = 0.1": {"kappa": 1, "damping": 0.0, "eta": 0.1},
    "κ = 100, ε = 0, η = 0.1": {"kappa": 100, "damping": 0.0, "eta": 0.1},
    "κ = 100, ε = 1e-4, η = 0.1": {"kappa": 100, "damping": 1e-4, "eta": 0.1},
}


@dataclass(frozen=True)
class Race:
    """Relative losses after each step, and what was predicted of Gauss-Newton.

    Attributes:
        gauss_newton, descent: ``(k,)``; ``gauss_newton`` is shorter if it diverged.
        low, high: ``(STEPS + 1,)``, the predicted envelope.
        lambda_min: the smallest eigenvalue of the kernel that was met on the way.
        diverged: the step at which Gauss-Newton was stopped, or ``None``.
        kappa, damping, eta: the setting.
    """

    gauss_newton: Tensor
    descent: Tensor
    low: Tensor
    high: Tensor
    lambda_min: float
    diverged: int | None
    kappa: float
    damping: float
    eta: float


def compute(kappa: float, damping: float, eta: float) -> Race:
    """Train twice from the same start on noise labels (n = 20, d = 4, m = 40): Gauss-Newton, and gradient descent at half
    its stability limit."""
    problem = _problem(kappa)
    net = TwoLayer(4, 40, seed=1)
    lam = {"lambda_min": lambda net: spectrum(net, problem.x)[-1]}
    diverged = None
    try:
        trace = train(net, problem.x, problem.y, GaussNewton(net, eta, damping=damping), STEPS, measure=lam)
    except Diverged as stop:
        trace, diverged = stop.trace, stop.step
    lambda_min = trace.measured["lambda_min"].min().item()
    low, high = step_envelope(torch.arange(STEPS + 1), eta, lambda_min, damping)
    return Race(trace.relative, _descent(kappa), low, high, lambda_min, diverged, kappa, damping, eta)


def draw(figure):
    """Two measured curves and the predicted envelope, on a logarithmic loss axis."""
    ax = figure.subplots()
    ax.set(xlabel="step k", ylabel="relative loss $L_k/L_0$", yscale="log", xlim=(0, STEPS), ylim=(FLOOR, CEILING))
    lines = {}
    for name in ("Gauss-Newton", "gradient descent"):
        colour, marker = LOOKS[name]
        (lines[name],) = ax.plot([], [], color=colour, marker=marker, markevery=0.1, markersize=5, label=name)
    bounds = [ax.plot([], [], "--", color="black", linewidth=1.2, label=label)[0] for label in ("predicted", None)]
    ax.legend(loc="upper right", fontsize=8).set_in_layout(False)

    def update(race: Race) -> None:
        for name, loss in (("Gauss-Newton", race.gauss_newton), ("gradient descent", race.descent)):
            lines[name].set_data(torch.arange(len(loss)), loss.clamp(FLOOR / 10, CEILING * 10))
        for line, bound in zip(bounds, (race.low, race.high), strict=True):
            line.set_data(torch.arange(STEPS + 1), bound.clamp(FLOOR / 10, CEILING * 10))

    return [*lines.values(), *bounds], update


def sentence(race: Race) -> str:
    """What the picture shows, with its numbers."""
    setting = f"κ = {race.kappa:g}, ε = {race.damping:g}, η = {race.eta:g}: "
    if race.diverged is not None:
        return f"{setting}<b>Gauss-Newton diverged</b> at step {race.diverged}."
    end, peak = race.gauss_newton[-1].item(), race.gauss_newton.max().item()
    told = f"after {STEPS} steps the relative loss is {_short(end)} with Gauss-Newton"
    if peak > 1.01:
        told += f", <b>after a peak of {peak:.3g}</b> ({_why(race)})"
    else:
        ends = [_short(bound[-1].item()) for bound in (race.low, race.high)]
        told += f" (predicted {ends[0]})" if ends[0] == ends[1] else f" (predicted between {ends[0]} and {ends[1]})"
    return f"{setting}{told}, and {race.descent[-1]:.2f} with gradient descent. Smallest eigenvalue met: {race.lambda_min:.0e}."


def _why(race: Race) -> str:
    if race.eta >= 2:
        return "beyond 2, the stability limit of an undamped step"
    return "outside the prediction, which is first order in the step: try a smaller one"


def _short(loss: float) -> str:
    return f"{loss:.1e}" if loss >= FLOOR else f"below {FLOOR:.0e}"


@lru_cache
def _problem(kappa: float) -> Problem:
    return teacher_student(20, 4, kappa=kappa, labels="noise", n_test=1, seed=0)


@lru_cache
def _descent(kappa: float) -> Tensor:
    problem, net = _problem(kappa), TwoLayer(4, 40, seed=1)
    return train(net, problem.x, problem.y, GradientDescent(net, EdgeFraction(0.5)), STEPS).relative


gd_against_gn = Widget(compute, draw, sentence, CHOICES, FRAMES, size=(7.2, 3.6))
