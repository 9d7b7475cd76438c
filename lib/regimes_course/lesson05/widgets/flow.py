"""The Gauss-Newton flow: what is learned on the way, and where start, step and damping decide it."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import torch
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from torch import Tensor

from regimes.losses import squared
from regimes.metrics import refit
from regimes.networks import TwoLayer
from regimes.optimizers import GaussNewton
from regimes.problems import Problem, teacher_student
from regimes.theory.gauss_newton import flow_loss, shrinkage
from regimes_course.kit.plotting import BLUE, GREEN, GREY, ORANGE, PINK
from regimes_course.kit.snapshots import at, moments, record
from regimes_course.kit.stack_of_snapshots import moments_of, parts
from regimes_course.kit.weight_scatter import BELOW, cloud
from regimes_course.kit.widget import Choice, Widget, put, side_by_side
from regimes_course.lesson05.experiments import LOOK

__all__ = ["Flow", "flow"]

END = 4.0  # the time of a run
LOSSES = (1e-7, 1e4)  # the part of the axis that is drawn
RED = "#B00020"

CHOICES = {
    "std": Choice("std of the start", (0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0), 0.1),
    "eta": Choice("step, η", (0.02, 0.05, 0.1, 0.2, 0.5, 1.0), 0.05),
    "damping": Choice("damping, ε", (1e-9, 1e-7, 1e-5, 1e-4, 5e-4, 5e-3, 5e-2, 1.0), 5e-3, "{:.0e}".format),
    "noise": Choice("label noise", (0.0, 0.1, 0.3), 0.0),
    "seed": Choice("seed", tuple(range(10)), 0),
}
START = {name: choice.start for name, choice in CHOICES.items()}
FRAMES = {
    "std 0.1, η = 0.05, ε = 5e-3": START,
    "std 10, η = 0.05, ε = 5e-3": START | {"std": 10.0},
    "std 0.1, η = 1, ε = 5e-4": START | {"eta": 1.0, "damping": 5e-4},
}


@dataclass(frozen=True)
class Flow:
    """A run, and what its features were worth on the way.

    Attributes:
        eta, damping: the setting.
        loss: ``(k,)``, the training loss at every step.
        moments: ``(l,)``, the steps at which the next ones were measured.
        test, refit, rescaled: ``(l,)``, test losses of the network, with its output weights fitted anew, and with them divided
            by the predicted share; NaN at the start, where there is none.
        look: the index into ``moments`` at which gap and gain are read; ``None`` if the run did not come so far.
        first, last: the network at the start and at the end.
        teacher: who made the labels.
        diverged: the step at which the run could not go on, or ``None``.
    """

    eta: float
    damping: float
    loss: Tensor
    moments: Tensor
    test: Tensor
    refit: Tensor
    rescaled: Tensor
    look: int | None
    first: TwoLayer
    last: TwoLayer
    teacher: TwoLayer
    diverged: int | None

    @property
    def peak(self) -> float:
        """The largest training loss, relative to the first."""
        return (self.loss.max() / self.loss[0]).item()

    @property
    def gap(self) -> float:
        """``G``: test loss over re-fitted test loss."""
        return (self.test[self.look] / self.refit[self.look]).item()

    @property
    def gain(self) -> float:
        """``F``: test loss of random features, those of the start, over re-fitted test loss."""
        return (self.refit[0] / self.refit[self.look]).item()


def compute(std: float, eta: float, damping: float, noise: float, seed: int) -> Flow:
    """Train 100 units on n = 50 samples with d = 3 inputs, labelled by a teacher of 2; test on 500 more at about 25 moments.

    Noise is on the training labels only.
    """
    problem, net = _problem(noise, seed), TwoLayer(3, 100, std=std, seed=seed + 50)
    trace, diverged = record(GaussNewton(net, eta, damping=damping), problem.x, problem.y, round(END / eta))
    look, end = math.ceil(LOOK / eta), len(trace.loss) - 1
    steps = sorted({*moments(end), *([look] if look <= end else [])})
    past = moments_of(net, trace.measured["W"][steps], trace.measured["v"][steps])
    test, fitted, rescaled = _tests(past, problem, shrinkage(steps, eta))
    return Flow(
        eta,
        damping,
        trace.loss,
        torch.tensor(steps),
        test,
        fitted,
        rescaled,
        steps.index(look) if look <= end else None,
        at(net, trace, 0),
        at(net, trace, end),
        problem.teacher,
        diverged,
    )


@torch.no_grad()
def _tests(past: TwoLayer, problem: Problem, shares: Tensor) -> Tensor:
    """Test losses of networks, with their output weights fitted anew, and with them divided by their share: ``(3, l)``."""
    v = past.scale * torch.stack([past.v, refit(past, problem.x, problem.y).v, past.v / shares[:, None]], -2)
    f = torch.cat([v @ past.hidden(x)[0].mT for x in parts(past, problem.x_test)], -1)
    return squared.value(f, problem.y_test, len(problem.y_test)).T


def draw(figure):
    """Losses, with gap and gain as arrows, and hidden weights."""
    axes = figure.subplots(1, 2, width_ratios=(1.5, 1))
    return side_by_side(axes, _losses, _weights)


Panel = tuple[list[Artist], Callable[[Flow], None]]
CURVES = {  # colour, line style, marker
    "training": (PINK, "-", ""),
    "test": (BLUE, "-", "o"),
    "test, rescaled": (ORANGE, "-", "s"),
    "test, re-fitted": (GREEN, "-", "^"),
    "random features": (GREY, "-.", ""),
    "predicted, $L(0)e^{-2t}$": ("black", "--", ""),
}


def _losses(ax: Axes) -> Panel:
    """Losses against time, with gap and gain where they are read, and a badge for runs that left the flow."""
    ax.set(ylabel="loss", yscale="log", ylim=LOSSES, xlabel="time t = ηk", xlim=(0, END))
    looks = [{"color": c, "linestyle": s, "marker": k, "markersize": 4} for c, s, k in CURVES.values()]
    lines = [ax.plot([], [], label=name, **look)[0] for name, look in zip(CURVES, looks, strict=True)]
    arrows = [ax.plot([], [], color=colour, marker="_", markersize=9, linewidth=1.2)[0] for colour in ("black", GREY)]
    words = [ax.text(0, 1, "", color=arrow.get_color(), va="center") for arrow in arrows]
    badge = ax.text(0.98, 1.02, "", transform=ax.transAxes, ha="right", color="white", fontweight="bold", fontsize=9)
    badge.set_bbox({"facecolor": RED, "edgecolor": "none", "boxstyle": "round"})
    ax.set_title("losses", loc="left")
    ax.legend(**BELOW, ncols=3)

    def show(flow: Flow) -> None:
        t, ends = flow.moments * flow.eta, torch.tensor([0.0, END])
        curves = [(torch.arange(len(flow.loss)) * flow.eta, flow.loss), (t, flow.test), (t, flow.rescaled), (t, flow.refit)]
        curves += [(ends, flow.refit[:1].expand(2)), (ends, flow.loss[0] * flow_loss(ends))]
        for line, (x, y) in zip(lines, curves, strict=True):
            put(line, x, y.clamp(LOSSES[0] / 10, LOSSES[1] * 10))
            line.set_markevery(max(1, len(y) // 7))
        for artist in (*arrows, *words):
            artist.set_visible(flow.look is not None)
        if flow.look is not None:
            x, low = t[flow.look].item(), flow.refit[flow.look].item()
            tops = (
                (flow.test[flow.look].item(), f" G = {_short(flow.gap)}"),
                (flow.refit[0].item(), f" F = {_short(flow.gain)}"),
            )
            for i, (high, label) in enumerate(tops):
                put(arrows[i], [x * (1 + i)] * 2, [low, high])
                words[i].set_text(label)
                words[i].set_position((x * (1 + i), (low * high) ** 0.5 * (3, 0.4)[i]))
        badge.set_text(_badge(flow))
        badge.set_visible(bool(badge.get_text()))

    return [*lines, *arrows, *words, badge], show


def _weights(ax: Axes) -> Panel:
    """The hidden weights at the end."""
    artists, show_cloud = cloud(ax)
    ax.set_title("hidden weights at the end")

    def show(flow: Flow) -> None:
        W, v, start = flow.last.W.detach(), flow.last.v.detach(), flow.first.W.detach()
        reach = max(W[:, :2].abs().max().item(), start[:, :2].abs().max().item())
        show_cloud(W, v, v.abs().max().item(), start, flow.teacher, reach)

    return artists, show


def _badge(flow: Flow) -> str:
    """What went wrong, in a few words, or nothing."""
    if flow.diverged is not None:
        return f"diverged at step {flow.diverged}"
    return f"overshoot, {_short(flow.peak)} × the start" if flow.peak > 1.05 else ""


def sentence(flow: Flow) -> str:
    """What the picture shows, with its numbers."""
    badge, k = _badge(flow), len(flow.loss) - 1
    told = [f"<b>{badge[0].upper()}{badge[1:]}.</b>"] if badge else []
    if flow.diverged is not None:
        told.append("Use a smaller step or a larger damping.")
    told.append(
        f"After {k} steps of {flow.eta:g} (t = {k * flow.eta:.2g}): training loss {flow.loss[-1]:.3g}, "
        f"peak {_short(flow.peak)} × the start; "
        f"test loss {flow.test[-1]:.3g}."
    )
    if flow.look is not None:
        told.append(
            f"At t = {flow.moments[flow.look].item() * flow.eta:.2g}: gap G = {_short(flow.gap)} (test / re-fitted), "
            f"gain F = {_short(flow.gain)} (random features / re-fitted)."
        )
    return " ".join(told)


def _short(ratio: float) -> str:
    return f"{ratio:.0f}" if 100 <= ratio < 1e5 else f"{ratio:.3g}"


@lru_cache
def _problem(noise: float, seed: int) -> Problem:
    return teacher_student(50, 3, teacher_width=2, noise=noise, seed=seed)


flow = Widget(compute, draw, sentence, CHOICES, FRAMES, size=(8.4, 4.2), columns=2)
