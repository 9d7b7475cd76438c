"""The first picture of lesson 08 with sliders: the climb to the edge, by the step, the place of the inputs, and a push."""

from dataclasses import dataclass
from functools import lru_cache

import torch
from matplotlib.axes import Axes
from torch import Tensor

from regimes_course.kit.plotting import BLUE, GREY, ORANGE
from regimes_course.kit.weight_scatter import BELOW
from regimes_course.kit.widget import Choice, Widget, put, side_by_side
from regimes_course.lesson08.climb import END, GRAIN, Task, descend, flow, meter, middle, start

__all__ = ["Run", "edge"]

EVERY = 4  # steps between two sharpnesses
FAR = 1e3  # a loss from which no run comes back
TOP, LOSSES = 9.0, (1e-3, 3e0)  # the parts of the axes that are drawn

SHIFTS = (0.0, 0.5, 1.0)

CHOICES = {
    "eta": Choice("step, η", (0.2, 0.25, 0.3, 0.4, 0.6, 0.8, 1.2, 2.0, 3.0, 4.0), 0.6),
    "shift": Choice("middle of the inputs", SHIFTS, 1.0),
    "push": Choice("push at the crossing, % of the weights", (0.0, 1.0), 0.0),
    "seed": Choice("seed", (0, 1, 2), 0),
}
START = {name: choice.start for name, choice in CHOICES.items()}
FRAMES = {"η = 0.6": START, "η = 0.6, inputs around 0": START | {"shift": 0.0}, "η = 0.6, pushed by 1 %": START | {"push": 1.0}}


@dataclass(frozen=True)
class Run:
    """Gradient descent, and gradient flow from the same start.

    Attributes:
        eta, push: the setting.
        time, S: ``(l,)``, some times and the sharpness at the middle of the swing.
        loss: ``(k,)``, at every step.
        flow: ``(2, j)``, sharpness and loss of the flow at `MOMENTS`.
        crossed: the step at which the edge was crossed, or ``None``.
        meter: the mean stability number along the last quarter of the steps, from two gradients each.
        diverged: the step from which on the loss is beyond all bounds, or ``None``.
    """

    eta: float
    push: float
    time: Tensor
    S: Tensor
    loss: Tensor
    flow: Tensor
    crossed: int | None
    meter: float
    diverged: int | None


def compute(eta: float, shift: float, push: float, seed: int) -> Run:
    """Train for 300 units of time; at the crossing move the weights along the sharpest direction by a share of their length."""
    task, steps = Task(shift), round(END / eta)
    path = descend(task, start(seed), eta, steps)
    crossed = _crossing(task, path, eta)
    if crossed is not None and push:
        at = path[crossed]
        moved = at + push / 100 * at.norm() * task.direction(at)
        path = torch.cat([path[:crossed], descend(task, moved, eta, steps - crossed)])
    loss = task.loss(path)
    lost = (~(loss < FAR)).nonzero()
    diverged = int(lost[0]) if len(lost) else None
    path, loss = path[:diverged], loss[:diverged]
    S = task.sharpness(middle(path)[::EVERY])
    number = meter(task.slope(path[-len(path) // 4 :])).mean().item()
    return Run(eta, push, EVERY * eta * torch.arange(len(S)), S, loss, _flow(shift, seed), crossed, number, diverged)


MOMENTS = 10 * GRAIN * torch.arange(round(END / GRAIN) // 10 + 1)


def _crossing(task: Task, path: Tensor, eta: float) -> int | None:
    """The first of every other step at which the sharpness is beyond the edge: ``2/eta - H`` is no longer positive there.

    A Cholesky factorisation tells, in a quarter of the time of an eigenvalue.
    """
    H = task.hessian(path[:: EVERY // 2])
    beyond = torch.linalg.cholesky_ex(2 / eta * torch.eye(H.shape[-1], dtype=H.dtype) - H).info.nonzero()
    return EVERY // 2 * int(beyond[0]) if len(beyond) else None


@lru_cache
def _flow(shift: float, seed: int) -> Tensor:
    """Sharpness and loss of the flow at `MOMENTS`, ``(2, j)``."""
    task, path = Task(shift), _flows()[:, SHIFTS.index(shift), seed]
    return torch.stack([task.sharpness(path), task.loss(path)])


@lru_cache
def _flows() -> Tensor:
    """The flow on every task from every start, ``(j, shifts, seeds, 60)``: together they take little longer than one."""
    tasks = Task()
    tasks.x = torch.stack([Task(shift).x for shift in SHIFTS])[:, None]
    starts = start(torch.tensor(CHOICES["seed"].values))
    return flow(tasks, starts.expand(len(SHIFTS), *starts.shape))[::10]


def draw(figure):
    """Sharpness and loss against time."""
    return side_by_side(figure.subplots(1, 2), _sharpness, _loss)


def _sharpness(ax: Axes):
    ax.set(xlabel="time t = ηk", ylabel="sharpness S", xlim=(0, END), ylim=(0, TOP))
    (smooth,) = ax.plot([], [], "--", color="black", linewidth=1.3, label="gradient flow")
    (level,) = ax.plot([], [], ":", color=ORANGE, label="edge, 2/η")
    (line,) = ax.plot([], [], color=BLUE, label="gradient descent")
    ax.legend(**BELOW, ncols=3)

    def show(run: Run) -> None:
        put(smooth, MOMENTS, run.flow[0])
        put(level, [0, END], [2 / run.eta] * 2)
        put(line, run.time, run.S.clamp(max=2 * TOP))

    return [smooth, level, line], show


def _loss(ax: Axes):
    ax.set(xlabel="time t = ηk", ylabel="loss", yscale="log", xlim=(0, END), ylim=LOSSES)
    (smooth,) = ax.plot([], [], "--", color="black", linewidth=1.3, label="gradient flow")
    (line,) = ax.plot([], [], color=BLUE, linewidth=1, label="gradient descent")
    (cross,) = ax.plot([], [], ":", color=GREY, label="the edge is crossed")
    ax.legend(**BELOW, ncols=3)

    def show(run: Run) -> None:
        put(smooth, MOMENTS, run.flow[1])
        put(line, run.eta * torch.arange(len(run.loss)), run.loss.clamp(LOSSES[0] / 10, LOSSES[1] * 10))
        put(cross, *([], []) if run.crossed is None else ([run.eta * run.crossed] * 2, LOSSES))

    return [smooth, line, cross], show


def sentence(run: Run) -> str:
    """What the picture shows, with its numbers."""
    begin = f"η = {run.eta:g}, edge {2 / run.eta:.3g}:"
    number = run.eta * run.S / 2
    if run.diverged is not None:
        still = ", in spite of the push" if run.push and run.crossed is not None else ""
        flow_ends = f"The flow ends at S = {run.flow[0, -1]:.2g}."
        return f"{begin} <b>the run diverges</b>, from step {run.diverged} on{still}. {flow_ends}"
    late = run.loss[-max(1, round(25 / run.eta)) :].mean()
    end = f"its loss, a mean over the last 25 units of time, is {late:.2g}; that of the flow {run.flow[1, -1]:.2g}."
    if run.crossed is None:
        idle = " (so nothing is pushed)" if run.push else ""
        return f"{begin} ηS/2 climbs from {number[0]:.2g} to {number[-1]:.2g} and <b>never meets the edge</b>{idle}; {end}"
    return (
        f"{begin} the run <b>crosses its edge</b> at t = {run.eta * run.crossed:.3g}, overshoots to ηS/2 = "
        f"{number.max():.3g} and ends at {number[-len(number) // 8 :].mean():.3g} (the meter says {run.meter:.3f}); {end}"
    )


edge = Widget(compute, draw, sentence, CHOICES, FRAMES, size=(10.0, 4.0), columns=2)
