"""A loss of two numbers that comes to rest at the edge of stability, and where exactly."""

from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes

from regimes.theory.edge_of_stability import degree_four_end, degree_four_number, degree_four_swing, valley
from regimes_course.kit.plotting import BLUE, GREY, ORANGE
from regimes_course.kit.weight_scatter import BELOW
from regimes_course.kit.widget import Choice, Widget, put, side_by_side
from regimes_course.lesson08.experiments import descend

__all__ = ["Rest", "degree_four"]

STEPS = 8000
NEAR = 1.05  # the stability number from which on its fall is predicted
SETTLED = 1e-10  # a loss
FLOOR, CEILING = 1e-8, 1e1  # the part of the loss axis that is drawn
FEW = 4  # ticks on axes that change at most moves: laying out their labels takes longer than all the rest

CHOICES = {
    "eta": Choice("step, η", (0.025, 0.05, 0.1, 0.15, 0.2), 0.1),
    "number": Choice("ηS/2 at the start", (0.5, 0.9, 1.0, 1.1, 1.3, 1.6, 1.9, 2.1, 2.3, 2.6, 3.0), 1.3),
    "product": Choice("x y at the start", (0.5, 0.8, 0.99, 1.01, 1.1), 1.01),
}
START = {name: choice.start for name, choice in CHOICES.items()}
FRAMES = {
    "η = 0.1, ηS/2 = 1.3 at the start": START,
    "η = 0.2, ηS/2 = 1.9 at the start": START | {"eta": 0.2, "number": 1.9},
    "η = 0.1, ηS/2 = 2.3 at the start": START | {"number": 2.3},
}


@dataclass(frozen=True)
class Rest:
    """Gradient descent on ``(x^2 y^2 - 1)^2 / 4``.

    Attributes:
        eta, start: the step, and the stability number of the valley ``x y = 1`` where it starts.
        product: ``(k,)``, x y at every step.
        number: ``(k,)``, ``eta (x^2 + y^2)``: the stability number of the valley at this place.
        loss: ``(k,)``.
        diverged: the step at which the run left for infinity, or ``None``.
    """

    eta: float
    start: float
    product: np.ndarray
    number: np.ndarray
    loss: np.ndarray
    diverged: int | None

    @property
    def increases(self) -> int:
        """How often the loss rose, by more than rounding."""
        return int((self.loss[1:] > np.maximum(self.loss[:-1] * (1 + 1e-10), 1e-25)).sum())

    @property
    def settling(self) -> int | None:
        """The first step at which the number is below 1.05, if the run came there from above."""
        near = np.flatnonzero(self.number < NEAR)
        return int(near[0]) if self.start > 1 and self.diverged is None and len(near) else None

    @property
    def left(self) -> float:
        """What is left, ``1/eta^2`` steps after it settles, of the distance from the place of rest; means of pairs of steps."""
        pairs, k = (self.number[1:] + self.number[:-1]) / 2 - degree_four_end(self.eta), round(1 / self.eta**2)
        first = np.flatnonzero(pairs < 0.01)[0]
        return pairs[first + k] / pairs[first]


def compute(eta: float, number: float, product: float) -> Rest:
    """8000 steps from a place where the valley has the stability number, a little off its floor."""
    x = valley(number, eta)
    points, diverged = descend(x, product / x, eta, STEPS)
    p = points.prod(1)
    return Rest(eta, number, p, eta * (points**2).sum(1), (p * p - 1) ** 2 / 4, diverged)


def draw(figure):
    """The stability number and the swing of x y about one, and the loss."""
    axes = figure.subplots(1, 3)
    return side_by_side(axes, _number, _plane, _loss)


def _number(ax: Axes):
    ax.set(xlabel="step k", ylabel="ηS/2 of the valley")
    ax.locator_params("y", nbins=FEW)
    edge = ax.axhline(1, color=GREY, linestyle=":", linewidth=1, label="edge")
    (line,) = ax.plot([], [], color=BLUE, label="measured")
    (fall,) = ax.plot([], [], "--", color="black", linewidth=1.3, label="predicted, $e^{-\\eta^2k}$")
    ax.legend(**BELOW, ncols=2)

    def show(rest: Rest) -> None:
        put(line, np.arange(len(rest.number)), rest.number)
        ax.set_ylim(*_limits(rest))
        _span(ax, rest)
        t = np.arange(rest.settling or 0, STEPS)
        fall.set_visible(rest.settling is not None)
        if rest.settling is not None:
            put(fall, t, degree_four_number(t - t[0], rest.eta, rest.number[t[0]]))

    return [ax.xaxis, ax.yaxis, edge, line, fall], show


def _plane(ax: Axes):
    ax.set(xlabel="x y", ylabel="ηS/2 of the valley")
    ax.locator_params(nbins=FEW)
    edge = ax.axhline(1, color=GREY, linestyle=":", linewidth=1)
    (dots,) = ax.plot([], [], ".", color=BLUE, markersize=3, label="steps")
    (first,) = ax.plot([], [], "s", color=ORANGE, markersize=6, label="start")
    (swing,) = ax.plot([], [], "--", color="black", linewidth=1.3, label="predicted swing")
    ax.legend(**BELOW, ncols=2)

    def show(rest: Rest) -> None:
        put(dots, rest.product, rest.number)
        put(first, rest.product[:1], rest.number[:1])
        low, high = _limits(rest)
        left, right = rest.product.clip(-2, 2).min(), rest.product.clip(-2, 2).max()
        ax.set(ylim=(low, high), xlim=(left - 0.05, right + 0.05))
        numbers = np.linspace(degree_four_end(rest.eta), min(high, 1.2), 100)
        left, right = np.asarray(degree_four_swing(numbers, rest.eta))
        side = np.copysign(1, rest.product[-1])  # there is a second valley, x y = -1
        put(swing, side * np.concatenate([left[::-1], right]), np.concatenate([numbers[::-1], numbers]))
        swing.set_visible(rest.diverged is None)

    return [ax.xaxis, ax.yaxis, edge, dots, first, swing], show


def _loss(ax: Axes):
    ax.set(xlabel="step k", ylabel="loss", yscale="log", ylim=(FLOOR, CEILING))
    (line,) = ax.plot([], [], color=BLUE, linewidth=0.8, label="measured")
    ax.legend(**BELOW)

    def show(rest: Rest) -> None:
        put(line, np.arange(len(rest.loss)), rest.loss.clip(FLOOR / 10, CEILING * 10))
        _span(ax, rest)

    return [ax.xaxis, line], show


def _span(ax: Axes, rest: Rest) -> None:
    """A step axis with a number at its end, for which there is room from the first picture on."""
    end = _reach(rest)
    ax.set(xlim=(0, end), xticks=[0, end // 2, end])


def _reach(rest: Rest) -> int:
    """How many steps are drawn: those in which something happens."""
    return max(10, len(rest.loss)) if rest.diverged is not None else max(100, min(STEPS, round(12 / rest.eta**2)))


def _limits(rest: Rest) -> tuple[float, float]:
    seen = rest.number[: _reach(rest)].clip(None, 4.0)
    low, high = min(seen.min(), 1), max(seen.max(), 1)
    return low - 0.1 * (high - low) - 0.005, high + 0.1 * (high - low) + 0.005


def sentence(rest: Rest) -> str:
    """What the picture shows, with its numbers."""
    begin = f"η = {rest.eta:g}, from ηS/2 = {rest.start:g}:"
    if rest.diverged is not None:
        last = rest.number[-1]
        return (
            f"{begin} <b>the run diverges</b> at step {rest.diverged}; the last stability number was {last:.3g}. "
            "Beyond about twice the edge the first swings are so large that they do not come back."
        )
    end, rises = rest.number[-1], rest.increases
    if not rises:
        return f"{begin} the valley is flat enough. The run converges without an increase of the loss, at ηS/2 = {end:.3g}."
    if rest.loss[-1] > SETTLED:
        return (
            f"{begin} <b>not settled</b> after {STEPS} steps with {rises} increases of the loss: ηS/2 = 1 {_signed(end - 1)}."
        )
    return (
        f"{begin} after {rises} increases of the loss it rests <b>just below the edge</b>: ηS/2 = 1 {_signed(end - 1)}; "
        f"η²/4 is {rest.eta**2 / 4:.2g}."
    )


def _signed(value: float) -> str:
    return f"{'+' if value >= 0 else '−'} {abs(value):.2g}"


degree_four = Widget(compute, draw, sentence, CHOICES, FRAMES, size=(10.4, 4.0), columns=2)
