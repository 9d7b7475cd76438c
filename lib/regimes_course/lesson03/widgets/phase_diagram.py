"""The phase diagram of one-pass SGD: a point in the plane of learning rate and width, and what the ODE does there."""

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from regimes.theory.sgd_phases import PHASES, noise_plateau, phase, unspecialised_plateau
from regimes.theory.symmetric_committee import SymmetricPath, natural_path
from regimes_course.kit.plotting import BLUE, GREEN, GREY, ORANGE, PINK, SKY
from regimes_course.kit.weight_scatter import BELOW
from regimes_course.kit.widget import Choice, Widget, put, side_by_side
from regimes_course.kit.words import plain

__all__ = ["Point", "phase_diagram"]

K = 2  # units of the teacher
LOW, HIGH = 1e-10, 1.0  # the part of the risk axis that is drawn
FILLS = dict(zip(PHASES, ("#CDEBDD", "#CFE3F3", "#F9DCC4", "#E3E3E3"), strict=True))
DELTAS, KAPPAS = (-2.0, 1.0), (0.0, 1.5)
POWERS = ("10²", "10³", "10⁴", "10⁵", "10⁶")

CHOICES = {
    "kappa": Choice("width p ∝ d^κ, κ", tuple(np.arange(0, 1.51, 0.25).tolist()), 0.0, "{:g}".format),
    "delta": Choice("learning rate γ ∝ d^−δ, δ", tuple(np.arange(-2, 1.01, 0.125).tolist()), 0.0, "{:g}".format),
    "d": Choice("inputs, d", tuple(10**n for n in range(2, 7)), 10**3, lambda d: POWERS[round(math.log10(d)) - 2]),
    "students": Choice("p/k at κ = 0", (1, 2, 4), 2),
    "label_noise": Choice("label noise, Δ", (0.0, 1e-4, 1e-3, 1e-2), 1e-3, "{:g}".format),
    "end": Choice("natural time, up to", (100.0, 1000.0, 10000.0), 1000.0, "{:g}".format),
}
START = {name: choice.start for name, choice in CHOICES.items()}
FRAMES = {
    "perfect learning: κ = 0, δ = 1/2": START | {"delta": 0.5},
    "plateau: κ = 0, δ = 0": START,
    "bad learning: κ = 0, δ = −3/8": START | {"delta": -0.375},
}


@dataclass(frozen=True)
class Point:
    """A point of the diagram and the ODE there.

    Attributes:
        kappa, delta, d, students, label_noise, end: the setting.
        phase: one of `PHASES`.
        both: the ODE with both terms, in natural time; ``None`` where there is no ODE.
        limit: the ODE that is left as ``d`` grows; ``None`` on the plateau line, where nothing is dropped, and without an ODE.
    """

    kappa: float
    delta: float
    d: int
    students: int
    label_noise: float
    end: float
    phase: str
    both: SymmetricPath | None
    limit: SymmetricPath | None

    @property
    def eta(self) -> float:
        """The step ``gamma / p``."""
        return self.d ** -(self.kappa + self.delta)

    @property
    def width(self) -> float:
        """``p``."""
        return K * self.students * self.d**self.kappa

    @property
    def steps(self) -> float:
        """The number of steps until the end, in units of ``d``."""
        total = self.kappa + self.delta
        return self.end * self.d ** (total if total >= 0 else 2 * total)


def compute(kappa: float, delta: float, d: int, students: int, label_noise: float, end: float) -> Point:
    """Integrate the five overlaps of a student in equal groups from a start that knows the teacher as little as a random one.

    Learning rate and width are equal at ``kappa + delta = 0``: ``eta = d^-(kappa + delta)``. The teacher has two units.
    """
    here = phase(kappa, delta)
    settings = (kappa, delta, d, students, label_noise, end)
    keep = {"perfect learning": "drift", "bad learning": "noise"}.get(here)
    both = None if here == "no ODE" else _path("both", *settings)
    return Point(kappa, delta, d, students, label_noise, end, here, both, _path(keep, *settings) if keep else None)


@lru_cache(maxsize=64)
def _path(keep: str, kappa: float, delta: float, d: int, students: int, label_noise: float, end: float) -> SymmetricPath:
    time = np.concatenate([[0.0], np.geomspace(0.1, end, 120)])
    return natural_path(kappa, delta, d, time, k=K, students=students, label_noise=label_noise, keep=keep)


def draw(figure):
    """The plane; the risk; the overlaps."""
    axes = figure.subplots(1, 3, width_ratios=(1, 1.1, 1))
    return side_by_side(axes, _plane, _risk, _overlaps)


def _plane(ax: Axes):
    """The four phases, and where the sliders stand."""
    kappa = np.array(KAPPAS)
    edges = [DELTAS[1] - 0 * kappa, -kappa, -kappa - 0.5, DELTAS[0] - 0 * kappa]
    for name, right, left in zip(("perfect learning", "bad learning", "no ODE"), edges, edges[1:], strict=False):
        ax.fill_betweenx(kappa, np.maximum(left, DELTAS[0]), np.maximum(right, DELTAS[0]), color=FILLS[name], linewidth=0)
    ax.plot(-kappa, kappa, color=BLUE, linewidth=2)
    ax.plot(-kappa - 0.5, kappa, color=GREY, linestyle=":", linewidth=2)
    for x, y, words in ((0.15, 0.75, "perfect\nlearning"), (-1.2, 0.95, "bad\nlearning"), (-1.75, 0.35, "no ODE")):
        ax.text(x, y, words, fontsize=8, ha="center", va="center")
    ax.text(-0.67, 0.78, "plateau", fontsize=8, ha="center", va="center", rotation=-65, color=BLUE)
    ax.set(xlim=DELTAS, ylim=KAPPAS, xlabel="δ", ylabel="κ")
    ax.grid(False)
    (ray,) = ax.plot([], [], color="black", linewidth=0.8, linestyle="-.", label="κ + δ = const: the same η")
    (point,) = ax.plot([], [], "o", color="black", markersize=9, markerfacecolor="white", markeredgewidth=2, clip_on=False)
    ax.legend(handles=[ray], **BELOW)

    def show(here: Point) -> None:
        total = here.kappa + here.delta
        put(ray, total - kappa, kappa)
        put(point, [here.delta], [here.kappa])

    return [ray, point], show


def _risk(ax: Axes):
    """The risk over natural time: with both terms, in the limit, and the plateaus of the formulas."""
    ax.set(xlabel="natural time", ylabel="risk R", xscale="log", yscale="log", ylim=(LOW, HIGH))
    ax.xaxis.minorticks_off()  # nine a decade, laid out anew at each change of the end
    (both,) = ax.plot([], [], color=BLUE, marker="o", markersize=4, markevery=12, label="ODE at this d")
    (limit,) = ax.plot([], [], "--", color="black", linewidth=1.4, label="limit ODE, d → ∞")
    (noise,) = ax.plot([], [], ":", color=ORANGE, linewidth=1.6, label="noise plateau, unit vectors")
    ax.axhline(unspecialised_plateau(K), color=GREY, linestyle="-.", linewidth=1)
    ax.legend(handles=[both, limit, noise, Line2D([], [], color=GREY, linestyle="-.", label="unspecialised")], **BELOW, ncols=2)
    words = ax.text(0.5, 0.6, "", transform=ax.transAxes, ha="center", fontsize=10)

    def show(here: Point) -> None:
        ax.set_xlim(0.1, here.end)
        for line, path in ((both, here.both), (limit, here.limit)):
            put(line, *_seen(path.time, path.risk) if path else ([], []))
        level = _plateau(here)
        put(noise, [0.1, here.end], [level or 1e-30] * 2)
        noise.set_visible(bool(level))
        words.set_text("" if here.both else "no ODE:\nsingle steps are of order one")

    return [ax.xaxis, both, limit, noise, words], show


CURVES = {  # an overlap, its name, colour, marker
    "q": ("q, with itself", GREY, ""),
    "c": ("c, same group", SKY, "v"),
    "e": ("e, other group", PINK, "D"),
    "m": ("m, own teacher unit", GREEN, "^"),
    "n": ("n, other teacher unit", ORANGE, "s"),
}


def _overlaps(ax: Axes):
    """The five overlaps over natural time."""
    ax.set(xlabel="natural time", ylabel="overlap", xscale="log", ylim=(-0.25, 2.0))
    ax.xaxis.minorticks_off()
    looks = CURVES.values()
    lines = [ax.plot([], [], color=c, marker=k, markersize=4, markevery=15, label=name)[0] for name, c, k in looks]
    ax.legend(**BELOW, ncols=2)

    def show(here: Point) -> None:
        ax.set_xlim(0.1, here.end)
        for line, name in zip(lines, CURVES, strict=True):
            put(line, *(here.both.time[1:], getattr(here.both, name)[1:].clip(-1, 5)) if here.both else ([], []))

    return [ax.xaxis, *lines], show


def _seen(time, risk):
    return time[1:], risk[1:].clip(LOW / 10, HIGH * 10)


def _plateau(here: Point) -> float | None:
    """The height of the noise plateau, where the formula has one."""
    return noise_plateau(here.eta, here.label_noise) if here.label_noise and here.eta < 5.4 else None


def sentence(here: Point) -> str:
    """What the picture shows, with its numbers."""
    begin = f"κ + δ = {here.kappa + here.delta:g}, η = γ/p = {here.eta:.2g}, p = {plain(here.width)}: <b>{here.phase}</b>."
    if here.both is None:
        return (
            f"{begin} A single step changes the overlaps by amounts of order one, so there is no deterministic curve to draw."
        )
    end = f"At natural time {here.end:g}, after {plain(here.steps)} · d steps, the risk is {here.both.risk[-1]:.2g}"
    told = end + (f" (limit ODE: {here.limit.risk[-1]:.2g})." if here.limit else ".")
    level, m, n = _plateau(here), here.both.m[-1], here.both.n[-1]
    if here.eta > 5.4:
        told += " The step is beyond the largest that any solution survives, 5.44."
    elif level:
        told += f" The noise plateau of unit vectors is at {level:.2g}."
    specialised = "have specialised" if m > 3 * abs(n) and m > 0.3 else "have not specialised"
    return f"{begin} {told} The students {specialised}: m = {m:.2f}, n = {n:.2f}.".replace("-", "−")


phase_diagram = Widget(compute, draw, sentence, CHOICES, FRAMES, size=(11.4, 4.3), columns=2)
