"""Mini-batches, the squared loss and a reversible network: which optimizer learns, and whose loss its steps lower."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from regimes.theory.gauss_newton import step_loss
from regimes_course.kit.plotting import BLUE, GREY, ORANGE, new_figure
from regimes_course.kit.widget import Choice, Widget, put, side_by_side
from regimes_course.lesson07.experiments import DATA, GRID, METHODS, key, measure, step_size, stored

__all__ = ["Run", "exact_steps", "live"]

LOSSES = (0.05, 20.0)  # the part of the loss axis that is drawn
EPOCHS = 10
RED = "#B00020"

CHOICES = {
    "method": Choice("method", METHODS, METHODS[0]),
    "step": Choice("step", GRID["step"], "middle"),
    "batch": Choice("batch size", GRID["batch"], 64),
    "data": Choice("training data", tuple(DATA), "shifted"),
    "halves": Choice("halves", GRID["halves"], "top and bottom"),
}
START = {name: choice.start for name, choice in CHOICES.items()}
FRAMES = {
    "exact Gauss-Newton, η = 0.5": START,
    "min-norm Gauss-Newton, η = 0.5": START | {"method": METHODS[1]},
    "exact Gauss-Newton, η = 0.9, batches of 128": START | {"step": "large", "batch": 128},
}


@dataclass(frozen=True)
class Run:
    """A run, or as much of it as there was before it diverged.

    Attributes:
        method, lr, batch, data, halves: its settings.
        train, test: ``(epochs + 1,)``, training loss of the whole set and test accuracy, at the start and after each epoch.
        change: ``(2,)``, mean change of the loss by a step on its own batch and on the next one, in the last epoch; ``None`` if
            the run diverged.
        cka: ``(L,)``, of each block's states with those at the start; ``None`` if the run diverged.
    """

    method: str
    lr: float
    batch: int
    data: str
    halves: str
    train: Tensor
    test: Tensor
    change: Tensor | None
    cka: Tensor | None

    @property
    def diverged(self) -> int | None:
        """The epoch in which no further step could be computed, or ``None``."""
        return len(self.train) if self.change is None else None

    @property
    def promised(self) -> float | None:
        """What a Gauss-Newton step changes the loss of its own batch by, to first order; ``None`` for the other methods."""
        return step_loss(1, self.lr).item() - 1 if "Newton" in self.method else None


def compute(method: str, step: str, batch: int, data: str, halves: str) -> Run:
    """Look the run up: 1024 images, three blocks of width 256, squared loss, ten epochs, one seed."""
    settings = {"method": method, "step": step, "batch": batch, "data": data, "halves": halves}
    return _run(stored()["grid"][key(**settings)], **settings)


def live(**settings) -> tuple[Figure, str]:
    """The picture of a run that is not stored, and what it shows; it trains for seconds.

    Args:
        settings: those of `compute` that differ from where the sliders start; ``step`` and ``batch`` may be any numbers here.

    Raises:
        ValueError: for a setting the widget does not have, a value it does not know, or a batch that is no whole number from
            2 to 256 (a step is exact only with fewer samples than features).
    """
    if strange := settings.keys() - START.keys():
        raise ValueError(f"no setting {', '.join(sorted(strange))}; there are {', '.join(START)}")
    settings = START | settings
    for name in ("method", "data", "halves"):
        if settings[name] not in GRID[name]:
            raise ValueError(f"{name} is one of {', '.join(GRID[name])}; got {settings[name]!r}")
    if isinstance(settings["step"], str) and settings["step"] not in GRID["step"]:
        raise ValueError(f"step is a positive number, or one of {', '.join(GRID['step'])}; got {settings['step']!r}")
    if settings["batch"] not in range(2, 257):
        raise ValueError(f"batch is a whole number from 2 to 256; got {settings['batch']}")
    figure, run = new_figure(exact_steps.size), _run(measure(**settings), **settings)
    exact_steps.paint(figure, run)
    return figure, sentence(run)


def _run(run: dict, method: str, step: str | float, batch: int, data: str, halves: str) -> Run:
    """What was measured as a `Run`."""
    lr = step_size(method, step)
    whole = run["own"] is not None
    change, cka = (torch.tensor([run["own"], run["other"]]), torch.tensor(run["cka"])) if whole else (None, None)
    return Run(method, lr, batch, data, halves, torch.tensor(run["train"]), torch.tensor(run["test"]), change, cka)


def draw(figure):
    """Loss and accuracy, changes of the loss by a step, and CKA by block."""
    axes = figure.subplots(1, 4, width_ratios=(1.2, 1.2, 1, 1))
    return side_by_side(axes, _losses, _accuracies, _changes, _alike)


Panel = tuple[list[Artist], Callable[[Run], None]]


def _losses(ax: Axes) -> Panel:
    """Training loss against the epoch, with a badge for a run that diverged."""
    ax.set(xlabel="epoch", yscale="log", ylim=LOSSES, xlim=(0, EPOCHS), title="training loss")
    ax.set_yticks([0.1, 1, 10], ["0.1", "1", "10"], minor=False)
    ax.minorticks_off()
    (line,) = ax.plot([], [], color=BLUE, marker="o", markersize=4)
    badge = ax.text(0.5, 0.93, "", transform=ax.transAxes, ha="center", va="top", color="white", fontweight="bold", fontsize=9)
    badge.set_bbox({"facecolor": RED, "edgecolor": "none", "boxstyle": "round"})

    def show(run: Run) -> None:
        put(line, range(len(run.train)), run.train.clamp(LOSSES[0], LOSSES[1] * 10))
        badge.set_text(f"diverged in epoch {run.diverged}")
        badge.set_visible(run.diverged is not None)

    return [line, badge], show


def _accuracies(ax: Axes) -> Panel:
    """Test accuracy against the epoch."""
    ax.set(xlabel="epoch", ylim=(0, 1), xlim=(0, EPOCHS), title="test accuracy")
    (line,) = ax.plot([], [], color=ORANGE, marker="s", markersize=4)
    ax.axhline(0.1, color=GREY, linewidth=1, linestyle=":")

    def show(run: Run) -> None:
        put(line, range(len(run.test)), run.test)

    return [line], show


def _changes(ax: Axes) -> Panel:
    """Bars: what a step does to the loss of its own batch and of the next one."""
    ax.set(ylim=(-130, 20), xlim=(-0.6, 1.6), title="change of the loss (%)")
    ax.set_xticks([0, 1], ["own batch", "next"])
    ax.set_axisbelow(True)
    zero = ax.axhline(0, color=GREY, linewidth=1)
    bars = ax.bar([0, 1], [0, 0], 0.7, color=[BLUE, ORANGE])
    (promised,) = ax.plot([], [], "--", color="black", linewidth=1.3, label=r"predicted, $(1-\eta)^2 - 1$")
    ax.legend(loc="lower left", fontsize=7.5)

    def show(run: Run) -> None:
        for bar, change in zip(bars, (0, 0) if run.change is None else 100 * run.change, strict=True):
            bar.set_height(change)
        put(promised, [-0.5, 0.5], [100 * (run.promised or 0)] * 2)
        promised.set_visible(run.promised is not None)

    return [*bars, zero, promised], show


def _alike(ax: Axes) -> Panel:
    """Bars: how alike the states after each block are to those at the start."""
    ax.set(ylim=(0, 1.25), xlim=(0.4, 3.6), xlabel="block", xticks=[1, 2, 3], title="CKA with the start")
    ax.set_axisbelow(True)
    ax.plot([0.5, 3.5], [1, 1], "--", color="black", linewidth=1.3, label="predicted, lazy limit")
    bars = ax.bar([1, 2, 3], [0, 0, 0], 0.7, color=BLUE)
    ax.legend(loc="upper left", fontsize=7.5)

    def show(run: Run) -> None:
        for bar, height in zip(bars, (0, 0, 0) if run.cka is None else run.cka, strict=True):
            bar.set_height(height)

    return list(bars), show


def sentence(run: Run) -> str:
    """What the picture shows, with its numbers."""
    name = "η" if "Newton" in run.method else "step"
    begin = f"{run.method[0].upper()}{run.method[1:]}, {name} = {run.lr:g}, batches of {run.batch}, {run.data}, {run.halves}:"
    if run.diverged is not None:
        return (
            f"{begin} <b>diverged in epoch {run.diverged}</b>: no step could be computed any more. The last training loss was "
            f"{run.train[-1]:.2g}."
        )
    own, other = 100 * run.change
    return (
        f"{begin} training loss {run.train[-1]:.2g} and test accuracy {run.test[-1]:.2f} after {EPOCHS} epochs. A step changes "
        f"the loss of its own batch by {_signed(own, '.0f')} % and that of the next one by {_signed(other, '.1f')} %. CKA of "
        f"the last block with the start: {run.cka[-1]:.2f}."
    )


def _signed(value: Tensor, form: str) -> str:
    """With a sign, a typographic minus, and no negative zero."""
    text = f"{value.item():+{form}}"
    return text.lstrip("+-") if not float(text) else text.replace("-", "−")


exact_steps = Widget(compute, draw, sentence, CHOICES, FRAMES, size=(11.2, 3.4), columns=2)
