"""Gradient descent and Gauss-Newton in the plane of two outputs: distance of the inputs, damping, step, trained weights."""

from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from regimes_course.kit.plotting import LOOKS, LOSS
from regimes_course.kit.widget import Choice, Widget, put
from regimes_course.kit.words import digits3
from regimes_course.lesson01.experiments import Path, descent, follow, gauss_newton, initial, outputs, two_points
from regimes_course.lesson01.figures import plane

__all__ = ["Paths", "two_outputs"]

STEPS, LONG = 60, 200  # of Gauss-Newton; of gradient descent
FAR, FLOOR, CEILING = 1e3, 1e-6, 1e3  # what is drawn of outputs and losses
ENOUGH = 1e-3

CHOICES = {
    "distance": Choice("distance of the two inputs", (0.01, 0.03, 0.1, 0.15, 0.2, 0.3, 0.5, 1.0), 0.3),
    "damping": Choice("damping, ε", (0.0, 1e-4, 1e-3, 0.01, 0.03, 0.1, 0.3, 1.0), 0.0, lambda e: f"{e:g}"),
    "eta": Choice("step of Gauss-Newton, η", (0.02, 0.1, 0.5, 1.0, 1.9, 2.2), 0.1),
    "trained": Choice("trained weights", ("output weights", "all"), "output weights"),
}
FRAMES = {
    "two inputs at distance 0.3": {"distance": 0.3, "damping": 0.0, "eta": 0.1, "trained": "output weights"},
    "at distance 0.1": {"distance": 0.1, "damping": 0.0, "eta": 0.1, "trained": "output weights"},
    "distance 0.3, damping 0.03": {"distance": 0.3, "damping": 0.03, "eta": 0.1, "trained": "output weights"},
}


@dataclass(frozen=True)
class Paths:
    """Two runs from one start.

    Attributes:
        gauss_newton, descent: `STEPS` and `LONG` steps; shorter if a step was not finite.
        law: ``(STEPS + 1,)``, the loss of Gauss-Newton on the kernel of the start.
        lam: ``(2,)``, eigenvalues of that kernel, smallest first.
        length: of the move that Gauss-Newton proposes at the start.
        angle: of that move of the outputs to the straight one, in degrees.
        slow: how many steps of gradient descent the law asks for a thousandth of the loss.
        setting: of the sliders, in words.
    """

    gauss_newton: Path
    descent: Path
    law: Tensor
    lam: Tensor
    length: float
    angle: float
    slow: int
    setting: str


def compute(distance: float, damping: float, eta: float, trained: str) -> Paths:
    """Train the network of the lesson (100 units, ``v = 0``) by Gauss-Newton, and by descent at half its current limit."""
    (x, y), features, theta = two_points(distance), trained == "all", initial()
    rule = gauss_newton(eta, damping)
    f, J = outputs(theta, x)
    lam, Q = torch.linalg.eigh(len(theta) / 3 * J @ J.T)
    rate, along = lam / (lam + damping), Q.T @ y
    law = ((1 - eta * rate) ** (2 * torch.arange(STEPS + 1)[:, None]) * along**2).sum(-1) / y.square().sum()
    cosine = (rate * along) @ along / ((rate * along).norm() * along.norm())
    setting = f"distance {distance:g}, ε = {damping:g}, η = {eta:g}, {'all weights' if features else trained} trained"
    return Paths(
        follow(rule, theta, x, y, STEPS, features=features),
        _descent(distance, features),
        law,
        lam,
        gauss_newton(1.0, damping)(theta, J, f - y).norm().item(),
        torch.rad2deg(torch.acos(cosine.clamp(max=1))).item(),
        _steps(lam, along),
        setting,
    )


def draw(figure):
    """The plane of outputs, and the losses of the two runs with the law of Gauss-Newton."""
    left, right = figure.subplots(1, 2, width_ratios=(1.25, 1))
    plane(left, two_points()[1], (-0.5, 1.6, -0.9, 0.9)).set_ylabel("output at the second point")
    right.set(xlabel="step k", ylabel=LOSS, yscale="log", xlim=(0, LONG), ylim=(FLOOR, CEILING))
    drawn = {}
    for name in ("gradient descent", "Gauss-Newton"):
        colour, marker = LOOKS[name]
        drawn[name] = [
            left.plot([], [], marker, color=colour, markersize=3.6, label=name)[0],
            right.plot([], [], color=colour, marker=marker, markevery=20, markersize=4, label=name)[0],
        ]
    (law,) = right.plot([], [], "--", color="black", linewidth=1.3, label="predicted")
    right.legend(loc="upper right", fontsize=8.5).set_in_layout(False)

    def update(paths: Paths) -> None:
        for name, path in (("gradient descent", paths.descent), ("Gauss-Newton", paths.gauss_newton)):
            points, curve = drawn[name]
            put(points, *path.f.clamp(-FAR, FAR).T)
            put(curve, torch.arange(len(path.loss)), path.loss.clamp(FLOOR / 10, CEILING * 10))
        put(law, torch.arange(STEPS + 1), paths.law.clamp(FLOOR / 10, CEILING * 10))

    return [*(artist for pair in drawn.values() for artist in pair), law], update


def sentence(paths: Paths) -> str:
    """What the picture shows, with its numbers."""
    low, high = (digits3(value.item()) for value in paths.lam)
    run, steps = paths.gauss_newton, paths.gauss_newton.steps_to(ENOUGH)
    if len(run.loss) <= STEPS or run.loss[-1] > 1:
        told = f"<b>Gauss-Newton diverged</b>, or is on its way: the loss is {digits3(run.loss[-1].item())} times its start"
    elif steps is None:
        told = f"after {STEPS} steps Gauss-Newton has {digits3(run.loss[-1].item())} of the loss left"
    else:
        told = f"Gauss-Newton is at a thousandth of the loss after {steps} step{'s' * (steps > 1)}"
    peak = run.loss.max().item()
    overshoot = f", <b>after a peak of {digits3(peak)}</b>" if peak > 1.01 and run.loss[-1] <= 1 else ""
    return (
        f"{paths.setting}: {told}{overshoot}. Gradient descent has {digits3(paths.descent.loss[-1].item())} left after "
        f"{len(paths.descent.loss) - 1}; its law asks for {paths.slow}. Eigenvalues {low} and {high}; the first move has "
        f"length {digits3(paths.length)} and turns by {paths.angle:.0f}° from the straight one."
    )


def _steps(lam: Tensor, along: Tensor) -> int:
    """Steps of gradient descent at half the limit to a thousandth of the loss, by the law: one mode is gone at once."""
    left = ENOUGH * along.square().sum() / along[0] ** 2
    return int(torch.ceil(left.log() / (2 * torch.log1p(-lam[0] / lam[1]))))


@lru_cache
def _descent(distance: float, features: bool) -> Path:
    return follow(descent, initial(), *two_points(distance), LONG, features=features)


two_outputs = Widget(compute, draw, sentence, CHOICES, FRAMES, size=(7.4, 3.7), columns=2)
