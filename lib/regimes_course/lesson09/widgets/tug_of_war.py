"""Four points, a two-layer network, a large step: two phases, and the margins in the second."""

import math
from dataclasses import dataclass

import torch
from matplotlib.axes import Axes
from torch import Tensor

from regimes.losses import logistic
from regimes.metrics import largest_fall, normalised_margin, phase_switch, rises, sharpness, smoothed_margin
from regimes.networks import TwoLayer, fix_signs
from regimes.problems import tug_of_war as data
from regimes.theory import large_steps as theory
from regimes_course.kit.plotting import BLUE, GREEN, GREY, ORANGE, PINK
from regimes_course.kit.stack_of_snapshots import moments_of
from regimes_course.kit.weight_scatter import BELOW
from regimes_course.kit.widget import Choice, Widget, put, side_by_side
from regimes_course.kit.written_out import descend

__all__ = ["Tug", "tug_of_war"]

STEPS = 300
LOW, HIGH = 1e-6, 1e2
SHARP = (1e-4, 1e2)

CHOICES = {
    "g": Choice("slope of the data, g", (0.1, 0.2), 0.1, "{:g}".format),
    "eta": Choice("step, η", (8, 16, 24, 32, 48, 64, 96, 128, 150, 175, 192, 200, 225, 256, 384, 512), 48, "{:g}".format),
    "width": Choice("width, m", (2, 6, 20), 20),
    "activation": Choice(
        "activation", ("leaky_softplus", "softplus", "gelu", "tanh"), "leaky_softplus", lambda a: a.replace("_", " ")
    ),
    "seed": Choice("seed", (0, 1, 2, 3, 4), 0),
}
START = {name: choice.start for name, choice in CHOICES.items()}
FRAMES = {
    "g = 0.1, η = 48": START,
    "g = 0.1, η = 256": START | {"eta": 256},
    "g = 0.2, η = 192": START | {"g": 0.2, "eta": 192},
}


@dataclass(frozen=True)
class Tug:
    """A run.

    Attributes:
        eta, activation: the setting.
        loss: ``(k,)``, the risk at every step.
        stability: ``(k,)``, the stability number ``eta S / 2``.
        margin, smooth: ``(k,)``, the normalised margin and the smoothed one.
        last: the last step that raised the risk, 0 if none did.
        below: the first step with a risk at or below ``1 / eta``, -1 if none.
    """

    eta: float
    activation: str
    loss: Tensor
    stability: Tensor
    margin: Tensor
    smooth: Tensor
    last: int
    below: int

    @property
    def threshold(self) -> float:
        """The risk from which on the lemma promises that it only falls."""
        constants = theory.CONSTANTS[self.activation]
        return theory.stable_threshold(self.eta, constants.lip, constants.beta)

    def fall(self, margin: Tensor) -> float:
        """The largest fall of a margin below its highest value so far, relative to it, after the risk came below 1/eta."""
        return largest_fall(margin, self.below).item() if self.below >= 0 else 0.0


def compute(g: float, eta: float, width: int, activation: str, seed: int) -> Tug:
    """300 steps of gradient descent on the tug-of-war data; hidden weights N(0, 1), output weights fixed signs."""
    x, y = data(g)
    net = fix_signs(TwoLayer(2, width, activation=activation, bias=False, seed=seed))
    run = descend(net, x, y, eta, STEPS, loss=logistic)
    last, below = (k.item() for k in phase_switch(run.loss, 1 / eta))
    every = moments_of(net, run.W)
    return Tug(
        eta,
        activation,
        run.loss,
        eta / 2 * sharpness(every, x, y, loss=logistic, method="dense"),
        normalised_margin(every, x, y),
        smoothed_margin(every, x, y, theory.CONSTANTS[activation].kappa),
        last,
        below,
    )


def draw(figure):
    """The risk, the stability number, the margins."""
    return side_by_side(figure.subplots(1, 3), _risk, _stability, _margins)


def _marks(ax: Axes):
    """Vertical lines at the last rise and at the threshold 1/eta, and a function that puts them in place."""
    last = ax.axvline(1, color=ORANGE, linewidth=1.3, linestyle="-.", label="last rise")
    below = ax.axvline(1, color=GREEN, linewidth=1.3, linestyle=":", label="first L ≤ 1/η")

    def place(tug: Tug) -> None:
        for line, k, there in ((last, tug.last, tug.last > 0), (below, tug.below, tug.below >= 0)):
            line.set_xdata([k, k])
            line.set_visible(there)

    return [last, below], place


def _steps(ax: Axes) -> None:
    """A logarithmic step axis."""
    ax.set(xscale="log", xlim=(1, STEPS))
    ax.set_xticks([1, 10, 100, STEPS], ["1", "10", "100", str(STEPS)])


def _risk(ax: Axes):
    """The risk and the lemma's threshold."""
    ax.set(xlabel="step t", ylabel="risk L", yscale="log", ylim=(LOW, HIGH))
    _steps(ax)
    (loss,) = ax.plot([], [], color=BLUE, linewidth=1.2, label="measured")
    (safe,) = ax.plot([], [], "--", color="black", linewidth=1.3, label="predicted: safe below")
    marks, place = _marks(ax)
    ax.legend(**BELOW, ncols=2)

    def show(tug: Tug) -> None:
        put(loss, torch.arange(1, len(tug.loss)), tug.loss[1:].clamp(LOW / 10, HIGH * 10))
        put(safe, [1, STEPS], [tug.threshold] * 2)
        place(tug)

    return [loss, safe, *marks], show


def _stability(ax: Axes):
    """The stability number."""
    ax.set(xlabel="step t", ylabel="stability number ηS/2", yscale="log", ylim=SHARP)
    _steps(ax)
    (number,) = ax.plot([], [], color=PINK, linewidth=1.2, label="measured")
    ax.axhline(1, color=GREY, linewidth=1.2, linestyle=":", label="edge of stability")
    marks, place = _marks(ax)
    ax.legend(handles=ax.lines[:2], **BELOW)

    def show(tug: Tug) -> None:
        put(number, torch.arange(1, len(tug.stability)), tug.stability[1:].clamp(SHARP[0] / 10, SHARP[1] * 10))
        place(tug)

    return [number, *marks], show


def _margins(ax: Axes):
    """Both margins, in the range of their late values."""
    ax.set(xlabel="step t", ylabel="margin")
    _steps(ax)
    (margin,) = ax.plot([], [], color=BLUE, linewidth=1.4, label="normalised margin")
    (smooth,) = ax.plot([], [], color=PINK, linewidth=1.4, linestyle=(0, (6, 1)), label="smoothed margin")
    marks, place = _marks(ax)
    ax.legend(handles=[margin, smooth], **BELOW)

    def show(tug: Tug) -> None:
        high = max(tug.margin.max().item(), 1e-3)
        for line, values in ((margin, tug.margin), (smooth, tug.smooth)):
            put(line, torch.arange(1, len(values)), values[1:].clamp(-2 * high, 2 * high))
        ax.set_ylim(-0.2 * high, 1.1 * high)
        place(tug)

    return [ax.yaxis, margin, smooth, *marks], show


def sentence(tug: Tug) -> str:
    """What the picture shows, with its numbers."""
    if tug.last:
        count = int(rises(tug.loss).sum())
        told = [f"<b>The risk rises {count} times, for the last time at step {tug.last}</b>; it peaks at {tug.loss.max():.2g}."]
    else:
        told = ["<b>The risk never rises</b>."]
    if tug.below < 0:
        told.append(f"It does not come below 1/η in {STEPS} steps and ends at {tug.loss[-1]:.3g}.")
        if tug.activation == "tanh":
            told.append(f"With tanh no risk can be below {math.log1p(math.exp(-1)):.3g}.")
        return " ".join(told)
    raw, smooth = tug.fall(tug.margin), tug.fall(tug.smooth)
    told.append(f"It is below 1/η from step {tug.below} on and ends at {tug.loss[-1]:.2g}.")
    told.append(f"From there on the normalised margin {_told(raw)}, the smoothed margin {_told(smooth)}.")
    return " ".join(told)


def _told(fall: float) -> str:
    return "never falls" if fall < 1e-9 else f"<b>falls by {fall:.1%}</b> on the way"


tug_of_war = Widget(compute, draw, sentence, CHOICES, FRAMES, size=(10.4, 3.9), columns=2)
