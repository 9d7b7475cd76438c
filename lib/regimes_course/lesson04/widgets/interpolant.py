"""One sample in the plane: which of the predictors that fit it a two-layer network finds."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

import numpy as np
import torch
from matplotlib.axes import Axes
from torch import Tensor

from regimes.theory.linear_flows import plane_path
from regimes_course.kit.plotting import GREEN, GREY, LOOKS, PINK, SKY
from regimes_course.kit.weight_scatter import BELOW
from regimes_course.kit.widget import Choice, Widget, side_by_side
from regimes_course.kit.words import short

__all__ = ["Interpolant", "interpolant"]

FLOW, NEWTON, ADAM = "gradient flow", "full Gauss-Newton steps", "Adam with steps of 0.01"
TARGET = 1.0
STEPS = {FLOW: 400, NEWTON: 60, ADAM: 1500}  # at most
FITTED = 1e-3  # an error
TICK = 0.05  # the time step of the flow

ANGLES = tuple(range(0, 181, 15))
DEGREES = "{}°".format
CHOICES = {
    "angle": Choice("angle of the sample x", ANGLES, 30, DEGREES),
    "scale": Choice("length of u and v", (0.05, 0.1, 0.2, 0.5, 0.7, 1.0, 1.5, 2.0), 0.7, "{:g}".format),
    "between": Choice("angle from u to v", ANGLES[:-1], 60, DEGREES),  # v = -u would be a saddle
    "size": Choice("length of u₂", (0.0, 0.25, 0.5, 0.75, 1.0, 1.25, 1.5), 1.0, "{:g}".format),
    "turn": Choice("angle from u to u₂", ANGLES, 45, DEGREES),
    "method": Choice("method", (FLOW, NEWTON, ADAM), FLOW),
}
START = {name: choice.start for name, choice in CHOICES.items()}
FRAMES = {
    "u₂ orthogonal to v alone": START | {"turn": 150},
    "u₂ orthogonal to u and to v": START | {"between": 0, "turn": 90},
    "the same, with Adam": START | {"between": 0, "turn": 90, "method": ADAM},
}


@dataclass(frozen=True)
class Interpolant:
    """A network on its way to one of the predictors that fit, all in the plane of Theta.

    Attributes:
        setting: the keywords of `compute`.
        x: ``(2,)``, the sample; the predictors that fit have ``x . Theta = 1``.
        units: ``(2, 3, 2)``, u, v and u2 in the plane of the two hidden units, at the start and at the end.
        path: ``(k, 2)``, where the network goes.
        plain: ``(2, 2)``, where linear regression goes from the same start: straight.
        predicted: ``(p, 2)``, the path of the flow in closed form.
    """

    setting: dict
    x: np.ndarray
    units: np.ndarray
    path: np.ndarray
    plain: np.ndarray
    predicted: Tensor

    def across(self, theta) -> float:
        """``q``, the part of a predictor outside the row space: how far along the line from the min-norm solution."""
        return float(theta[1] * self.x[0] - theta[0] * self.x[1])

    @property
    def error(self) -> float:
        """``1 - x . Theta`` at the end."""
        return float(TARGET - self.path[-1] @ self.x)

    @property
    def fitted(self) -> bool:
        """Whether the network fits the sample at the end."""
        return abs(self.error) < FITTED

    @property
    def products(self) -> np.ndarray:
        """``u2 . u`` and ``u2 . v`` at the start."""
        u, v, u2 = self.units[0]
        return np.array([u2 @ u, u2 @ v])


def compute(angle: int, scale: float, between: int, size: float, turn: int, method: str) -> Interpolant:
    """Train ``Theta = U v`` with two hidden units on one sample of length one, whose target is one.

    The rows of ``U`` along and across the sample are u and u2. Flow to t = 20, at most 60 steps of Gauss-Newton, or 1500 of
    Adam; no further than to an error of 1e-12.
    """
    setting = {"angle": angle, "scale": scale, "between": between, "size": size, "turn": turn, "method": method}
    x, z = _ray(angle), _ray(angle + 90)
    u, v, u2 = scale * _ray(0), scale * _ray(between), size * _ray(turn)
    states = [np.stack([*(np.outer(x, u) + np.outer(z, u2)), v])]
    for state in islice(RULES[method](x, states[0]), STEPS[method]):
        states.append(state)
        if abs(_output(x, state)[0]) < 1e-12:
            break
    path, last = np.array([w[:2] @ w[2] for w in states]), states[-1]
    plain = np.stack([path[0], path[0] + (TARGET - path[0] @ x) * x])
    units = np.array([[u, v, u2], [x @ last[:2], last[2], z @ last[:2]]])
    predicted = plane_path(*map(torch.as_tensor, (u, v, u2)), TARGET, math.radians(angle))
    return Interpolant(setting, x, units, path, plain, predicted)


def _ray(degrees: int) -> np.ndarray:
    """A unit vector; exact at multiples of 90 degrees."""
    quarter, rest = divmod(degrees, 90)
    c, s = (math.cos(math.radians(rest)), math.sin(math.radians(rest)))
    return np.array([(c, s), (-s, c), (-c, -s), (s, -c)][quarter % 4])


def _output(x: np.ndarray, state: np.ndarray) -> tuple[float, np.ndarray]:
    """The error ``1 - x . U v`` and the gradient of the output, for a state ``(3, 2)``: U above v.

    Products are rounded before they are added, on every processor: what is zero by symmetry stays zero. Adam would make a
    step out of a rounding error, whichever sign it has. For that, and for the second that 1500 steps would take, the rules
    below are written out; a test compares them with the library's.
    """
    U, v = state[:2], state[2]
    along = (x[:, None] * U).sum(0)
    return TARGET - (along * v).sum(), np.stack([x[0] * v, x[1] * v, along])


def _flow(x: np.ndarray, state: np.ndarray) -> Iterator[np.ndarray]:
    """The gradient flow, by the classical Runge-Kutta method."""

    def slope(state):
        error, gradient = _output(x, state)
        return error * gradient

    while True:
        a = slope(state)
        b = slope(state + TICK / 2 * a)
        c = slope(state + TICK / 2 * b)
        state = state + TICK / 6 * (a + 2 * b + 2 * c + slope(state + TICK * c))
        yield state


def _newton(x: np.ndarray, state: np.ndarray) -> Iterator[np.ndarray]:
    """Full Gauss-Newton steps: the shortest change of the parameters that fits to first order."""
    while True:
        error, gradient = _output(x, state)
        state = state + error * gradient / (np.square(gradient).sum() or 1.0)
        yield state


def _adam(x: np.ndarray, state: np.ndarray, lr: float = 0.01) -> Iterator[np.ndarray]:
    """Adam with its usual constants: each parameter is scaled by the size of its own gradients."""
    first, second, k = np.zeros_like(state), np.zeros_like(state), 0
    while True:
        error, gradient = _output(x, state)
        k, slope = k + 1, error * gradient
        first, second = 0.9 * first + 0.1 * slope, 0.999 * second + 0.001 * slope**2
        state = state + lr * (first / (1 - 0.9**k)) / (np.sqrt(second / (1 - 0.999**k)) + 1e-8)
        yield state


RULES = {FLOW: _flow, NEWTON: _newton, ADAM: _adam}
METHODS = {FLOW: LOOKS["gradient descent"], NEWTON: LOOKS["Gauss-Newton"], ADAM: (PINK, "D")}


def draw(figure):
    """Left: the plane of Theta. Right: the plane of the hidden units."""
    return side_by_side(figure.subplots(1, 2), _predictors, _units)


def _predictors(ax: Axes):
    """The predictors that fit, and the ways to them."""
    ax.set(xlabel=r"$\Theta_1$", ylabel=r"$\Theta_2$", aspect="equal")
    (line,) = ax.plot([], [], color=GREEN, linewidth=3, alpha=0.6, label="predictors that fit")
    (foot,) = ax.plot([], [], "*", color="black", markersize=12, label="min-norm")
    (plain,) = ax.plot([], [], "-.v", color=GREY, linewidth=1.3, markevery=[1], label="linear regression")
    ways = {name: ax.plot([], [], color=c, marker=k, markersize=6, label=name)[0] for name, (c, k) in METHODS.items()}
    (predicted,) = ax.plot([], [], "--", color="black", linewidth=1.5, label="flow, predicted")
    (start,) = ax.plot([], [], "o", color="black", markersize=10, markerfacecolor="none", label="start")
    ax.legend(**BELOW, ncols=2)

    def show(found: Interpolant) -> None:
        reach = _square(ax, 2.0, found.path if found.fitted else found.plain, found.plain, found.predicted)
        along = 3 * reach * np.array([[found.x[1], -found.x[0]], [-found.x[1], found.x[0]]])
        line.set_data(*(TARGET * found.x + along).T)
        foot.set_data(*(TARGET * found.x)[:, None])
        plain.set_data(*found.plain.T)
        for name, way in ways.items():
            way.set_data(*(found.path.T if name == found.setting["method"] else ([], [])))
            way.set_markevery(1 if name == NEWTON else [len(found.path) - 1])
        predicted.set_data(*found.predicted.T)
        start.set_data(*found.path[:1].T)

    return [ax.xaxis, ax.yaxis, line, plain, *ways.values(), predicted, foot, start], show


def _units(ax: Axes):
    """u, v and u2 as rays from the origin: dotted at the start, solid at the end."""
    ax.set(xlabel="hidden unit 1", ylabel="hidden unit 2", aspect="equal")
    looks = [  # the first is seen around the second where they agree
        {"label": name, "color": colour, "marker": marker, "markersize": size, "markevery": [1]}
        for name, colour, marker, size in (("u", SKY, "^", 10), ("v", GREY, "s", 5), ("$u_2$", "black", "D", 6))
    ]
    starts = [ax.plot([], [], ":", markerfacecolor="none", **look)[0] for look in looks]
    ends = [ax.plot([], [], "-", **look)[0] for look in looks]
    (key,) = ax.plot([], [], ":o", color="black", markerfacecolor="none", label="at the start")
    ax.legend(handles=[*ends, key], **BELOW, ncols=2)

    def show(found: Interpolant) -> None:
        _square(ax, 1.0, found.units[0], found.units[1] if found.fitted else found.units[0])
        for lines, units in zip((starts, ends), found.units, strict=True):
            for line, tip in zip(lines, units, strict=True):
                line.set_data([0, tip[0]], [0, tip[1]])

    return [ax.xaxis, ax.yaxis, *starts, *ends], show


def _square(ax: Axes, least: float, *points) -> float:
    """Axes that reach to ``least`` or to twice, four times, ... as much, so that the points are seen."""
    far = max(float(np.abs(np.asarray(some)).max()) for some in points)
    reach = least * 2.0 ** max(0, math.ceil(math.log2(1.1 * far / least)))
    ticks = (-reach / 2, 0, reach / 2)
    ax.set(xlim=(-reach, reach), ylim=(-reach, reach), xticks=ticks, yticks=ticks)
    return reach


def sentence(found: Interpolant) -> str:
    """What the picture shows, with its numbers."""
    set_, first = found.setting, found.across(found.path[0])
    at_u, at_v = found.products
    start = (
        f"x at {set_['angle']}°, |u| = |v| = {set_['scale']:g} at {set_['between']}°, |u₂| = {set_['size']:g} at "
        f"{set_['turn']}°: u₂·u = {short(at_u)}, u₂·v = {short(at_v)}."
    )
    told = f"{start} Outside the row space Θ starts at q = {short(first)}, where linear regression stays."
    predicted = f"The flow is predicted to end at q = {short(found.across(found.predicted[-1]))}."
    return f"{told} {predicted} {_told_end(found)}"


def _told_end(found: Interpolant) -> str:
    method, q = found.setting["method"], found.across(found.path[-1])
    if not found.fitted:
        steps = len(found.path) - 1
        return (
            f"<b>Trained by {method}, the network has not arrived</b> after {steps} steps: its error is {short(found.error)}."
        )
    end = "at the min-norm solution" if abs(q) < 1e-9 else f"at distance {short(abs(q))} from the min-norm solution"
    return f"Trained by {method}, the network ends at q = {short(q)}, {end}."


interpolant = Widget(compute, draw, sentence, CHOICES, FRAMES, size=(8.8, 4.6), columns=2)
