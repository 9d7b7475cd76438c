"""What the answers to the capstones draw: each function takes an answer, and returns a figure and its sentence."""

from collections.abc import Callable

import torch
from matplotlib.figure import Figure

from regimes_course.kit.plotting import LOSS, curve, legend, panels, predicted
from regimes_course.lesson10 import experiments
from regimes_course.lesson10.experiments import full_steps, plain_descent

__all__ = ["race", "regime_map", "tracker"]

SHOWN = 1e-12  # smaller losses are drawn there


def race(answer: Callable) -> tuple[Figure, str]:
    """Training losses by looks, and test losses at matched training losses, of three methods on one network."""
    methods = {"gradient descent": plain_descent, "full steps": full_steps, "the answer": answer}
    fig, (left, right) = panels(2, size=(4.2, 3.4))
    ends = []
    for (name, method), look in zip(methods.items(), ("gradient descent", "lazy", "Gauss-Newton"), strict=True):
        run = experiments.race(10)
        method(run.look, run.start)
        losses, tests = ([max(of(w), SHOWN) for w in run.looks] for of in (run.left, run.test))
        curve(left, range(len(losses)), losses, name, look=look)
        curve(right, losses, tests, name, look=look)
        ends.append(f"{name}, {losses[-1]:.1g} of the training loss left and a test loss of {tests[-1]:.2g}")
    predicted(left, [0, 40], [1e-6, 1e-6], "the finish")
    predicted(right, [1, SHOWN], [run.random_features()] * 2, "random features")
    left.set(xlabel="looks", ylabel=LOSS, yscale="log", ylim=(SHOWN / 2, 3), xlim=(-1, 41))
    right.set(xlabel="training loss, to the right smaller", ylabel="test loss", xscale="log", yscale="log", xlim=(3, SHOWN / 2))
    for ax in (left, right):
        legend(ax, fontsize=8)
    return fig, f"A race on a network that the check does not use. At the last look: {'; '.join(ends)}."


def tracker(answer: Callable) -> tuple[Figure, str]:
    """The stability numbers that an answer tells of one network, for two steps."""
    fig, (ax,) = panels(size=(6.0, 3.4))
    run, told = experiments.slope(12), []
    for eta, look in ((0.1, "damped Gauss-Newton"), (0.2, "edge of stability")):
        numbers = torch.as_tensor(answer(run.gradient, run.product, run.start.clone(), eta))
        curve(ax, 20 * torch.arange(len(numbers)), numbers, f"step {eta:g}", look=look)
        told.append(
            f"with a step of {eta:g} it begins at {numbers[0]:.2f} and has a mean of {numbers[-10:].mean():.2f} at the end"
        )
    predicted(ax, [0, 400], [1, 1], "the edge")
    ax.set(xlabel="step k", ylabel="stability number ηS/2", ylim=(0, 2.5))
    legend(ax)
    return fig, f"The stability number of one network, as the function tracks it: {'; '.join(told)}."


def regime_map(answer: Callable) -> tuple[Figure, str]:
    """The two maps of an answer."""
    told = answer(experiments.run)
    fig, axes = panels(2, size=(4.0, 3.4))
    ends = []
    for ax, name in zip(axes, ("gap", "gain"), strict=True):
        values = told[name].T
        image = ax.imshow(values.log10().tolist(), origin="lower", cmap="viridis", vmin=-0.3, vmax=3.5, aspect="auto")
        for j, row in enumerate(values.tolist()):
            for i, value in enumerate(row):
                ax.text(i, j, f"{value:.3g}", ha="center", va="center", color="black" if value > 60 else "white", fontsize=8)
        for axis, label, ticks in (
            (ax.xaxis, "hidden weights at the start, std", told["std"]),
            (ax.yaxis, "time t", told["t"]),
        ):
            axis.set_ticks(range(len(ticks)), [f"{tick:g}" for tick in ticks.tolist()])
            axis.set_label_text(label)
        ax.set_title(name)
        ax.grid(False)
        ends.append(f"{name}s go from {values.min():.3g} to {values.max():.3g}")
    fig.colorbar(image, ax=axes, label="power of ten")
    return fig, f"Gap and gain by the start of the hidden weights and by time: {' and '.join(ends)}."
