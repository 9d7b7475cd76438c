"""The Gauss-Newton flow: what is learned on the way, and where start, step and damping decide it."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import torch
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle
from torch import Tensor

from regimes.losses import squared
from regimes.metrics import refit, spectrum
from regimes.networks import TwoLayer
from regimes.optimizers import EdgeFraction, GaussNewton, GradientDescent
from regimes.problems import Problem, teacher_student
from regimes.theory.gauss_newton import flow_loss, shrinkage
from regimes_course.kit.plotting import BLUE, GREEN, GREY, ORANGE, PINK
from regimes_course.kit.snapshots import at, moments, record
from regimes_course.kit.weight_scatter import BELOW, cloud
from regimes_course.kit.widget import Choice, Widget, side_by_side

__all__ = ["Flow", "flow"]

NEWTON, DESCENT = "Gauss-Newton", "gradient descent"
END, STEPS = 4.0, 300  # the time of a run of Gauss-Newton, the steps of one of gradient descent
LOSSES, EIGENVALUES = (1e-7, 1e4), (1e-12, 1e7)  # the parts of the axes that are drawn
RED = "#B00020"

CHOICES = {
    "std": Choice("std of the start", (0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0), 0.1),
    "eta": Choice("step, η", (0.02, 0.05, 0.1, 0.2, 0.5, 1.0), 0.05),
    "damping": Choice("damping, ε", (1e-9, 1e-7, 1e-5, 1e-4, 5e-4, 5e-3, 5e-2, 1.0), 5e-3, "{:.0e}".format),
    "width": Choice("width, m", (25, 50, 100, 200, 400), 100),
    "noise": Choice("label noise", (0.0, 0.1, 0.3), 0.0),
    "kappa": Choice("conditioning, κ", (1, 10, 100), 1),
    "seed": Choice("seed", tuple(range(10)), 0),
    "method": Choice("method", (NEWTON, DESCENT), NEWTON),
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
        method, eta, damping: the setting; the last two are Gauss-Newton's.
        loss: ``(k,)``, the training loss at every step.
        moments: ``(l,)``, the steps at which the next ones were measured.
        test, refit, rescaled: ``(l,)``, test losses of the network, with its output weights fitted anew, and with them divided
            by the predicted shrinkage of Gauss-Newton; NaN where there is none.
        look: the index into ``moments`` at which gap and gain are read; ``None`` if the run did not come so far.
        spectra: ``(2, n)``, eigenvalues of the kernel at the start and at the end.
        first, last: the network at the start and at the end.
        teacher: who made the labels.
        diverged: the step at which the run could not go on, or ``None``.
    """

    method: str
    eta: float
    damping: float
    loss: Tensor
    moments: Tensor
    test: Tensor
    refit: Tensor
    rescaled: Tensor
    look: int | None
    spectra: Tensor
    first: TwoLayer
    last: TwoLayer
    teacher: TwoLayer
    diverged: int | None

    @property
    def newton(self) -> bool:
        """Whether the method is Gauss-Newton."""
        return self.method == NEWTON

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


def compute(std: float, eta: float, damping: float, width: int, noise: float, kappa: float, seed: int, method: str) -> Flow:
    """Train on n = 50 samples with d = 3 inputs, labelled by a teacher of 2 units; test on 500 more at about 25 moments.

    Gradient descent steps at half its stability limit, at most by a time of one. Noise is on the training labels only.
    """
    problem = _problem(kappa, noise, seed)
    net, newton = TwoLayer(3, width, std=std, seed=seed + 50), method == NEWTON
    optimizer = GaussNewton(net, eta, damping=damping) if newton else GradientDescent(net, EdgeFraction(0.5, at_most=1.0))
    trace, diverged = record(optimizer, problem.x, problem.y, round(END / eta) if newton else STEPS)
    look, end = _look(trace.loss, eta if newton else None), len(trace.loss) - 1
    steps = sorted({*moments(end), *look})
    share = shrinkage(steps, eta) if newton else [math.nan] * len(steps)
    tests = [_tests(at(net, trace, k), problem, s) for k, s in zip(steps, share, strict=True)]
    test, fitted, rescaled = torch.stack(tests, -1)
    first, last = at(net, trace, 0), at(net, trace, end)
    return Flow(
        method,
        eta,
        damping,
        trace.loss,
        torch.tensor(steps),
        test,
        fitted,
        rescaled,
        steps.index(look[0]) if look else None,
        torch.stack([spectrum(first, problem.x), spectrum(last, problem.x)]),
        first,
        last,
        problem.teacher,
        diverged,
    )


def _look(loss: Tensor, eta: float | None) -> list[int]:
    """The step at time 0.5 of Gauss-Newton, or the one at which gradient descent has come as far, if they were reached."""
    if eta is None:
        return (loss <= loss[0] / math.e).nonzero()[:1, 0].tolist()
    k = math.ceil(0.5 / eta)
    return [k] if k < len(loss) else []


@torch.no_grad()
def _tests(net: TwoLayer, problem: Problem, share: float) -> Tensor:
    """Test losses of a network, with its output weights fitted anew, and with them divided by ``share``: ``(3,)``."""
    features = net.scale * torch.cat([net.hidden(x)[0] for x in problem.x_test.split(100)])  # fits the cache
    v = torch.stack([net.v, refit(net, problem.x, problem.y).v, net.v / share])
    return squared.value(v @ features.mT, problem.y_test, len(problem.y_test))


def draw(figure):
    """Losses, eigenvalues of the kernel, and hidden weights."""
    axes = figure.subplots(1, 3, width_ratios=(1.2, 1, 1))
    return side_by_side(axes, _losses, _eigenvalues, _weights)


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
    """Losses against time, with a badge for runs that left the flow."""
    ax.set(ylabel="loss", yscale="log", ylim=LOSSES)
    looks = [{"color": c, "linestyle": s, "marker": k, "markersize": 4} for c, s, k in CURVES.values()]
    lines = [ax.plot([], [], label=name, **look)[0] for name, look in zip(CURVES, looks, strict=True)]
    badge = ax.text(0.98, 1.02, "", transform=ax.transAxes, ha="right", color="white", fontweight="bold", fontsize=9)
    badge.set_bbox({"facecolor": RED, "edgecolor": "none", "boxstyle": "round"})
    ax.set_title("losses", loc="left")
    ax.legend(**BELOW, ncols=2)

    def show(flow: Flow) -> None:
        unit, end, label = (flow.eta, END, "time t = ηk") if flow.newton else (1, STEPS, "step k")
        ax.set(xlabel=label, xlim=(0, end))
        t, ends = flow.moments * unit, torch.tensor([0.0, end])
        curves = [(torch.arange(len(flow.loss)) * unit, flow.loss), (t, flow.test), (t, flow.rescaled), (t, flow.refit)]
        curves += [(ends, flow.refit[:1].expand(2)), (ends, flow.loss[0] * flow_loss(ends))]
        for line, (x, y) in zip(lines, curves, strict=True):
            line.set_data(x, y.clamp(LOSSES[0] / 10, LOSSES[1] * 10))
            line.set_markevery(max(1, len(y) // 7))
        lines[-1].set_visible(flow.newton)
        badge.set_text(_badge(flow))
        badge.set_visible(bool(badge.get_text()))

    return [ax.xaxis, *lines, badge], show


def _eigenvalues(ax: Axes) -> Panel:
    """Eigenvalues of the kernel, and which of them the damping outweighs."""
    low, high = EIGENVALUES
    ax.set(xlabel="index", yscale="log", ylim=EIGENVALUES, xlim=(0, 51))
    ax.set_title("eigenvalues of the kernel K")
    (start,) = ax.plot([], [], "o", color=GREY, markersize=3, label="start")
    (end,) = ax.plot([], [], "^", color=BLUE, markersize=4, label="end")
    (line,) = ax.plot([], [], color=ORANGE, linewidth=1.2, label="damping ε")
    below = ax.add_patch(Rectangle((0, low), 51, 0, color=ORANGE, alpha=0.15, linewidth=0))
    below.set_label("below ε: trained like gradient descent")
    ax.legend(**BELOW, ncols=2)

    def show(flow: Flow) -> None:
        for dots, lam in zip((start, end), flow.spectra, strict=True):
            dots.set_data(range(1, len(lam) + 1), lam.clamp(low, high))
        line.set_data([0, 51], [flow.damping, flow.damping])
        below.set_height(flow.damping - low)
        for artist in (line, below):
            artist.set_visible(flow.newton)

    return [below, line, start, end], show


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
    where = f"t = {k * flow.eta:.2g}" if flow.newton else "η and ε play no part"
    told.append(
        f"After {k} steps of {flow.method} ({where}): training loss {flow.loss[-1]:.3g}, peak {_short(flow.peak)} × the start; "
        f"test loss {flow.test[-1]:.3g}."
    )
    if flow.look is not None:
        k = flow.moments[flow.look].item()
        where = f"t = {k * flow.eta:.2g}" if flow.newton else f"step {k}, with 1/e of the training loss left"
        told.append(
            f"At {where}: gap G = {_short(flow.gap)} (test / re-fitted), "
            f"gain F = {_short(flow.gain)} (random features / re-fitted)."
        )
    return " ".join(told)


def _short(ratio: float) -> str:
    return f"{ratio:.0f}" if 100 <= ratio < 1e5 else f"{ratio:.3g}"


@lru_cache
def _problem(kappa: float, noise: float, seed: int) -> Problem:
    return teacher_student(50, 3, teacher_width=2, kappa=kappa, noise=noise, seed=seed)


flow = Widget(compute, draw, sentence, CHOICES, FRAMES, size=(10.4, 4.0), columns=2)
