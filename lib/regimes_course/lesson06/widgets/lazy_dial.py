"""The dial from rich to lazy on a small parity problem: the kernel, its eigenvalues, and what the network has learned."""

import math
from dataclasses import dataclass
from functools import lru_cache

import torch
from matplotlib.axes import Axes
from torch import Tensor

from regimes.kernels import LazyScaling, neural_tangent_kernel
from regimes.metrics import kernel_cosine, kernel_distance
from regimes.networks import TwoLayer
from regimes.optimizers import GradientDescent
from regimes.problems import parity
from regimes.theory.lazy import kernel_regression, relu_kernel
from regimes.training import Diverged, train
from regimes_course.kit.plotting import BLUE, GREY, ORANGE
from regimes_course.kit.weight_scatter import BELOW
from regimes_course.kit.widget import Choice, Widget, put, side_by_side

__all__ = ["Moment", "lazy_dial"]

D, N, STEPS, ERROR = 16, 96, 300, 0.01  # bits, samples, steps at most, and the training loss (relative) at which a run ends
FAR = 1e3  # a run that diverges is shown up to such a loss
DATA = parity(N, D, n_test=400, seed=0)
SORTED = sorted(range(N), key=lambda i: (DATA.y[i].item(), DATA.x[i, 0].item()))  # four blocks: by the two bits that count
MOMENTS = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)

CHOICES = {
    "alpha": Choice("dial, α", (0.05, 0.1, 0.2, 0.3, 0.5, 1.0, 2.0, 3.0, 10.0, 30.0), 0.3, "{:g}".format),
    "width": Choice("width, m", (32, 64, 128, 256), 128),
    "moment": Choice("moment: part of the steps", MOMENTS, 1.0, "{:.0%}".format),
}
START = {name: choice.start for name, choice in CHOICES.items()}
FRAMES = {
    "rich: α = 0.1, at the end": START | {"alpha": 0.1},
    "the same run, after 40 % of its steps": START | {"alpha": 0.1, "moment": 0.4},
    "lazy: α = 30, at the end": START | {"alpha": 30.0},
}


@dataclass(frozen=True)
class Run:
    """A training run, looked at after each of its steps.

    Attributes:
        steps: ``(k,)``.
        loss: ``(k,)``, relative to the first.
        right: ``(k,)``, share of new samples that are right.
        W, v: parameters ``(k, m, d)``, ``(k, m)``.
        diverged: the step at which it diverged, or ``None``.
    """

    steps: Tensor
    loss: Tensor
    right: Tensor
    W: Tensor
    v: Tensor
    diverged: int | None


@dataclass(frozen=True)
class Moment:
    """A moment of a run.

    Attributes:
        alpha, width: the setting.
        run: the whole run.
        k: the record that is looked at.
        start, now: the kernel at the start and at that moment, ``(n, n)``, rows sorted by the bits that count.
        lazy: share of new samples on which kernel regression is right, with the kernel of infinite width.
    """

    alpha: float
    width: int
    run: Run
    k: int
    start: Tensor
    now: Tensor
    lazy: float

    @property
    def drift(self) -> float:
        """``|K - K_0| / |K_0|``."""
        return kernel_distance(self.now, self.start).item()

    @property
    def aligned(self) -> float:
        """Cosine of the kernel and ``y y^T``."""
        y = DATA.y[SORTED]
        return kernel_cosine(self.now, torch.outer(y, y)).item()


def compute(alpha: float, width: int, moment: float) -> Moment:
    """Train a `LazyScaling` network on 96 samples of 2-sparse parity of 16 bits; look at it after ``moment`` of its steps.

    Gradient descent with 0.3 of the stability limit at the start, until the loss is a hundredth of the first or for 300 steps.
    """
    run = _trained(alpha, width)
    k = round(moment * (len(run.steps) - 1))
    return Moment(alpha, width, run, k, _kernel(run, 0), _kernel(run, k), _lazy())


def _network(width: int) -> TwoLayer:
    return TwoLayer(D, width, activation="relu", scaling="ntk", bias=False, output_std=1.0, seed=0)


@lru_cache(maxsize=16)
def _trained(alpha: float, width: int) -> Run:
    net = LazyScaling(_network(width), alpha)
    lr = 0.6 * N / torch.linalg.eigvalsh(neural_tangent_kernel(net, DATA.x))[-1].item()
    keep = {
        "W": lambda net: net.net.W,
        "v": lambda net: net.net.v,
        "f": lambda net: net.net(DATA.x_test),  # without the dial; the first are those at the start
    }
    stop = None
    try:
        trace = train(net, DATA.x, DATA.y, GradientDescent(net, lr), STEPS, until=ERROR, every=3, measure=keep)
    except Diverged as error:
        trace, stop = error.trace, error.step
    sane = trace.relative < FAR
    W, v, f = (trace.measured[name] for name in ("W", "v", "f"))
    return Run(*(column[sane] for column in (trace.step, trace.relative, _right(f - f[0]), W, v)), stop)


def _kernel(run: Run, k: int) -> Tensor:
    """The kernel after record ``k``."""
    net = _network(run.v.shape[-1])
    with torch.no_grad():
        net.W.copy_(run.W[k])
        net.v.copy_(run.v[k])
    return neural_tangent_kernel(net, DATA.x[SORTED])


@lru_cache
def _lazy() -> float:
    kernels = (relu_kernel(x, DATA.x) for x in (DATA.x, DATA.x_test))
    return _right(kernel_regression(*kernels, DATA.y)).item()


def _right(f: Tensor) -> Tensor:
    """The share of new samples with the right sign, ``(..., n')`` to ``(...)``; an output of zero is half right."""
    return (1 + f.sign() * DATA.y_test).mean(-1) / 2


def draw(figure):
    """The kernel, what it has gained since the start, its eigenvalues, and loss and accuracy along the run."""
    axes = figure.subplots(1, 4, width_ratios=(1, 1, 1.1, 1.3))
    return side_by_side(axes, _now, _gained, _spectrum, _curves)


def _now(ax: Axes):
    return _heat(ax, "kernel, rows by $x_1, x_2$", lambda found: found.now)


def _gained(ax: Axes):
    return _heat(ax, "minus the start", lambda found: found.now - found.start)


def _heat(ax: Axes, title: str, matrix):
    """A matrix in units of its largest entry off the diagonal, blue for negative and red for positive."""
    ax.set(title=title, xlabel="red +, blue −", xticks=[], yticks=[])
    ax.grid(False)
    picture = ax.imshow(torch.zeros(N, N).numpy(), cmap="RdBu_r", vmin=-1, vmax=1, interpolation="nearest")

    def show(found: Moment) -> None:
        K = matrix(found)
        picture.set_data((K / (K - K.diag().diag()).abs().max().clamp(min=1e-300)).numpy())

    return [picture], show


def _spectrum(ax: Axes):
    """Eigenvalues now and at the start."""
    ax.set(xlabel="index", title="eigenvalues", xscale="log", yscale="log", xlim=(0.8, N), ylim=(1e-2, 1e3))
    (before,) = ax.plot([], [], "v", color=GREY, markersize=3, label="at the start")
    (after,) = ax.plot([], [], "o", color=BLUE, markersize=3, label="now")
    ax.legend(loc="lower left", fontsize=8)

    def show(found: Moment) -> None:
        for line, K in ((before, found.start), (after, found.now)):
            put(line, range(1, N + 1), torch.linalg.eigvalsh(K).flip(0).clamp(min=1e-9))

    return [before, after], show


def _curves(ax: Axes):
    """Training loss and share of new samples that are right, with the moment and the lazy limit."""
    ax.set(xlabel="step + 1", xscale="log", xlim=(0.9, STEPS + 10), ylim=(0, 1.05))
    (loss,) = ax.plot([], [], "-", color=ORANGE, label="training loss")
    (right,) = ax.plot([], [], "-", color=BLUE, label="new samples right")
    (limit,) = ax.plot([], [], "--", color="black", linewidth=1.3, label="kernel regression")
    (dots,) = ax.plot([], [], "o", color="black", markersize=5, label="this moment")
    ax.legend(**BELOW, ncols=2)

    def show(found: Moment) -> None:
        run = found.run
        put(loss, run.steps + 1, run.loss.clamp(max=2))
        put(right, run.steps + 1, run.right)
        put(limit, ax.get_xlim(), (found.lazy, found.lazy))
        put(dots, [run.steps[found.k] + 1] * 2, [min(run.loss[found.k].item(), 2), run.right[found.k]])

    return [loss, right, limit, dots], show


def sentence(found: Moment) -> str:
    """What the picture shows, with its numbers."""
    run, k = found.run, found.k
    told = (
        f"α = {found.alpha:g}, m = {found.width}, step {run.steps[k]}: drift of "
        f"the kernel {_short(found.drift)}, alignment with the labels {found.aligned:.2g}; training loss "
        f"{run.loss[k]:.2g} of the start, {run.right[k]:.0%} of new samples right (kernel regression: {found.lazy:.0%})."
    )
    if run.diverged is not None:
        return f"{told} <b>The run diverges</b> at step {run.diverged}: the kernel has grown, and the step is beyond its limit."
    if run.steps[-1] == STEPS:
        return f"{told} <b>The run has not ended</b> after {STEPS} steps."
    return told


def _short(value: float) -> str:
    return f"{value:.2g}" if math.isfinite(value) and value > 1e-9 else "0"


lazy_dial = Widget(compute, draw, sentence, CHOICES, FRAMES, size=(11.5, 3.3), columns=2)
