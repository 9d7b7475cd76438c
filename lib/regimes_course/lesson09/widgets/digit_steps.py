"""Handwritten 3 against 8, a two-layer network, a large step: what the step buys, and how images are best shown to it."""

from dataclasses import dataclass
from functools import lru_cache

import torch
from matplotlib.axes import Axes
from torch import Tensor

from regimes.losses import logistic
from regimes.metrics import normalised_margin, phase_switch
from regimes.networks import TwoLayer, fix_signs
from regimes.problems import Problem, digits_in_the_ball, separation
from regimes.theory import large_steps as theory
from regimes_course.kit.plotting import BLUE, GREEN, GREY, ORANGE, PINK
from regimes_course.kit.stack_of_snapshots import moments_of, parts
from regimes_course.kit.weight_scatter import BELOW
from regimes_course.kit.widget import Choice, Widget, put, side_by_side
from regimes_course.kit.written_out import descend

__all__ = ["Digits", "digit_steps"]

STEPS, EVERY, SAMPLES, WIDTH = 400, 4, 100, 20
LOW, HIGH = 1e-5, 1e2
RAW, CENTRED = "raw", "centred"

CHOICES = {
    "pixels": Choice("pixels", (CENTRED, RAW), RAW),
    "eta": Choice("step, η", (1, 4, 8, 16, 32, 64, 128, 256, 1024, 4096), 64, "{:g}".format),
    "seed": Choice("seed", (0, 1, 2, 3, 4), 0),
}
START = {name: choice.start for name, choice in CHOICES.items()}
FRAMES = {
    "raw pixels, η = 8": START | {"eta": 8},
    "raw pixels, η = 64": START,
    "centred pixels, η = 64": START | {"pixels": CENTRED},
}


@dataclass(frozen=True)
class Digits:
    """A run.

    Attributes:
        pixels, eta: the setting.
        loss: ``(k,)``, the risk at every step.
        margin: ``(l,)``, the normalised margin at every fourth step.
        errors: ``(l,)``, the share of test images on the wrong side, at the same steps.
        plane: the margin of the best plane.
        last: the last step that raised the risk, 0 if none did.
        below: the first step with a risk at or below ``1 / eta``, -1 if none.
    """

    pixels: str
    eta: float
    loss: Tensor
    margin: Tensor
    errors: Tensor
    plane: float
    last: int
    below: int


def compute(pixels: str, eta: float, seed: int) -> Digits:
    """400 steps on 100 images of 3 and 8, m = 20 leaky softplus units without bias; the other 257 images are the test set."""
    data, plane = _data(pixels, seed)
    net = fix_signs(TwoLayer(data.inputs, WIDTH, activation="leaky_softplus", bias=False, seed=seed))
    run = descend(net, data.x, data.y, eta, STEPS, loss=logistic, every=EVERY)
    stack = moments_of(net, run.W)
    with torch.no_grad():
        f = torch.cat([stack(x) for x in parts(stack, data.x_test)], -1)
    errors = (f * data.y_test <= 0).double().mean(-1)
    last, below = (k.item() for k in phase_switch(run.loss, 1 / eta))
    return Digits(pixels, eta, run.loss, normalised_margin(stack, data.x, data.y), errors, plane, last, below)


def draw(figure):
    """The risk, the margin, the test error."""
    return side_by_side(figure.subplots(1, 3), _risk, _margin, _errors)


def _steps(ax: Axes) -> None:
    ax.set(xlabel="step t", xscale="log", xlim=(1, STEPS))
    ax.set_xticks([1, 10, 100, STEPS], ["1", "10", "100", str(STEPS)])


def _risk(ax: Axes):
    """The risk, and where it should go."""
    _steps(ax)
    ax.set(ylabel="risk L", yscale="log", ylim=(LOW, HIGH))
    (loss,) = ax.plot([], [], color=BLUE, linewidth=1.3, label="measured")
    (late,) = ax.plot([], [], "--", color="black", linewidth=1.3, label=r"predicted order, $1/(η\bar γ^2t)$")
    below = ax.axvline(1, color=GREEN, linewidth=1.3, linestyle=":", label="first L ≤ 1/η")
    last = ax.axvline(1, color=ORANGE, linewidth=1.3, linestyle="-.", label="last rise")
    ax.legend(**BELOW, ncols=2)

    def show(digits: Digits) -> None:
        k = torch.arange(1, STEPS + 1)
        put(loss, k, digits.loss[1:].clamp(LOW / 10, HIGH * 10))
        late.set_visible(digits.margin[-1].item() > 0)
        put(late, k, theory.asymptotic_risk(k, digits.eta, digits.margin[-1].item()).clamp(LOW / 10, HIGH * 10))
        for line, step, there in ((below, digits.below, digits.below >= 0), (last, digits.last, digits.last > 0)):
            line.set_xdata([step, step])
            line.set_visible(there)

    return [loss, late, below, last], show


def _margin(ax: Axes):
    """The normalised margin beside that of the best plane, which the same network could make."""
    _steps(ax)
    ax.set(ylabel="normalised margin")
    (margin,) = ax.plot([], [], color=PINK, linewidth=1.5, label="measured")
    (plane,) = ax.plot([], [], ":", color=GREY, linewidth=1.2, label="best plane, ¾γ")
    ax.legend(**BELOW)

    def show(digits: Digits) -> None:
        high = 0.75 * digits.plane
        put(margin, EVERY * torch.arange(1, len(digits.margin)), digits.margin[1:].clamp(min=-2 * high))
        put(plane, [1, STEPS], [high, high])
        ax.set_ylim(-0.5 * high, 1.2 * high)

    return [ax.yaxis, margin, plane], show


def _errors(ax: Axes):
    """The share of test images on the wrong side."""
    _steps(ax)
    ax.set(ylabel="test error", yscale="log", ylim=(0.002, 1))
    (errors,) = ax.plot([], [], color=GREEN, linewidth=1.5, label="measured")
    ax.axhline(0.5, color=GREY, linewidth=1.2, linestyle=":", label="guessing")
    ax.legend(**BELOW)

    def show(digits: Digits) -> None:
        put(errors, EVERY * torch.arange(1, len(digits.errors)), digits.errors[1:].clamp(min=0.002))

    return [errors], show


def sentence(digits: Digits) -> str:
    """What the picture shows, with its numbers."""
    rises = f"<b>rises for the last time at step {digits.last}</b>" if digits.last else "<b>never rises</b>"
    below = f"is below 1/η from step {digits.below} on" if digits.below >= 0 else f"is not below 1/η within {STEPS} steps"
    return (
        f"The risk {rises}, {below} and ends at {digits.loss[-1]:.2g}. "
        f"The margin ends at {digits.margin[-1]:.3f} (a plane reaches {0.75 * digits.plane:.3f}), "
        f"the test error at {digits.errors[-1]:.1%}."
    )


@lru_cache
def _data(pixels: str, seed: int) -> tuple[Problem, float]:
    data = digits_in_the_ball(n=SAMPLES, centred=pixels == CENTRED, seed=seed)
    return data, separation(data.x, data.y).margin


digit_steps = Widget(compute, draw, sentence, CHOICES, FRAMES, size=(10.4, 3.9), columns=2)
