"""What the answers to the exercises of lesson 05 draw: each function takes an answer, and returns a figure and its sentence."""

import copy
from collections.abc import Callable
from functools import cache

import torch
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from torch import Tensor

from regimes.metrics import loss_on, refit
from regimes.networks import TwoLayer
from regimes.optimizers import GaussNewton
from regimes.problems import Problem
from regimes.theory.gauss_newton import step_loss
from regimes.training import Trace, train
from regimes_course.kit.plotting import BLUE, GREEN, LOSS, ORANGE, PINK, SKY, curve, legend, panels, predicted
from regimes_course.lesson05 import figures
from regimes_course.lesson05.experiments import attempt, begin

__all__ = ["break_it", "diagnose", "learned_at", "refit_last_layer", "rescale"]

LABELS = {"hidden learning": GREEN, "visible learning": SKY, "gap only": ORANGE, "lazy": PINK}
STARTS = (0.1, 10.0)


@cache
def _run(std: float) -> tuple[Trace, Problem]:
    """The exercises' run from hidden weights of this size, every fifth step with its features and with two test losses."""
    data, net = begin(std, 0)
    measure = {
        "own": lambda net: loss_on(net, data.x_test, data.y_test),
        "refit": lambda net: loss_on(refit(net, data.x, data.y), data.x_test, data.y_test),
        "features": lambda net: net.hidden(data.x)[0],
        "new features": lambda net: net.hidden(data.x_test)[0],
    }
    return train(net, data.x, data.y, GaussNewton(net, 0.05, damping=5e-3), 120, every=5, measure=measure), data


@cache
def _midway() -> tuple[Problem, dict[int, TwoLayer]]:
    """Networks after 10 and 50 undamped steps of 0.02."""
    data, net = begin(1.0, 4)
    nets = {}
    for k, more in ((10, 10), (50, 40)):
        train(net, data.x, data.y, GaussNewton(net, 0.02), more)
        nets[k] = copy.deepcopy(net)
    return data, nets


def diagnose(answer: Callable) -> tuple[Figure, str]:
    """The plane of gap and gain, coloured by the answer, with the paths of two runs through it."""
    fig, (ax,) = panels(size=(6.4, 4.4))
    gaps, gains = torch.logspace(-0.5, 4.5, 61, dtype=torch.float64), torch.logspace(-0.5, 3.5, 49, dtype=torch.float64)
    labels = [[answer(gap * 0.02, 0.02, gain * 0.02) for gap in gaps.tolist()] for gain in gains.tolist()]
    for label, colour in LABELS.items():
        place = torch.tensor([[1.0 if one == label else torch.nan for one in row] for row in labels])
        y, x = (place == 1).nonzero().T
        ax.pcolormesh(gaps.numpy(), gains.numpy(), place.numpy(), cmap=ListedColormap([colour]), alpha=0.3, zorder=0)
        if len(x):
            ax.text(gaps[x].log().mean().exp(), gains[y].max() * 0.7, label, ha="center", va="top", color="0.25")
    told = []
    for std, marker in zip(STARTS, "os", strict=True):
        own, fitted = (_run(std)[0].measured[name] for name in ("own", "refit"))
        gap, gain = own / fitted, fitted[0] / fitted
        ax.plot(gap, gain, marker, linestyle="-", color="black", markersize=4, linewidth=0.8, label=f"run from std {std:g}")
        says = [answer(*values) for values in zip(own.tolist(), fitted.tolist(), [fitted[0].item()] * len(own), strict=True)]
        told.append(f"from std {std:g} {', then '.join(dict.fromkeys(says))}")
    ax.set(xscale="log", yscale="log", xlabel="gap", ylabel="gain", xlim=(0.4, 2e4), ylim=(0.4, 2e3))
    legend(ax, loc="lower right", frameon=True)
    return fig, f"Two runs, a dot every fifth step, and what the function calls them: {'; '.join(told)}."


def break_it(answer: Callable) -> tuple[Figure, str]:
    """The training loss with safe settings and with those of the answer."""
    ways = {"safe settings": {"std": 0.1, "lr": 0.05, "damping": 5e-3}, "the answer's": answer()}
    fig, axes = panels(2, size=(3.6, 3.2), sharey=True)
    told = []
    for ax, (name, settings) in zip(axes, ways.items(), strict=True):
        run = attempt(**settings)
        steps = torch.arange(len(run.loss))
        curve(ax, steps, run.loss, "training loss", look="Gauss-Newton")
        if settings["lr"] < 1:
            predicted(ax, steps, step_loss(steps, settings["lr"]), "undamped, to first order")
        ax.set(
            title=f"{name}:\nstd {settings['std']:g}, lr {settings['lr']:g}, damping {settings['damping']:g}", xlabel="step k"
        )
        ax.set(yscale="log", ylim=(1e-12, 3 * max(run.peak, 1)))
        told.append(f"With {name}: {run}")
    axes[0].set_ylabel(LOSS)
    legend(axes[0])
    return fig, " ".join(told)


def learned_at(answer: Callable) -> tuple[Figure, str]:
    """Test losses of two runs, with the step at which the answer says that the hidden layer is done."""
    fig, axes = panels(2, size=(3.6, 3.2), sharey=True)
    told = []
    for ax, std in zip(axes, STARTS, strict=True):
        run, _ = _run(std)
        own, fitted = run.measured["own"], run.measured["refit"]
        at = answer(fitted.clone(), 2.0)
        k = run.step[at].item()
        curve(ax, run.step, own, "test loss")
        curve(ax, run.step, fitted, "re-fitted", look="damped Gauss-Newton")
        predicted(ax, [k, k], [fitted.min() / 2, own.max()], "done, with factor 2")
        ax.set(title=f"std {std:g}: done at step {k}", xlabel="step k", yscale="log")
        told.append(
            f"from std {std:g} the hidden layer is done at step {k}, with {run.relative[at]:.0%} of the training loss left"
        )
    axes[0].set_ylabel(figures.TEST)
    legend(axes[0], fontsize=8)
    return fig, f"Looking at every fifth step: {'; '.join(told)}."


def refit_last_layer(answer: Callable) -> tuple[Figure, str]:
    """The lesson's picture of gap and gain in two runs, each hidden layer re-fitted by the answer."""
    losses = {}
    for std in STARTS:
        run, data = _run(std)
        both = zip(run.measured["features"], run.measured["new features"], strict=True)
        again = [new @ answer(Phi.clone(), data.y, 1e-6) / Phi.shape[1] for Phi, new in both]
        losses[std] = run.measured["own"].tolist(), [_half(f - data.y_test) for f in again]
    return figures.two_starts(run.time, losses)


def rescale(answer: Callable) -> tuple[Figure, str]:
    """What two networks in mid-training say on new inputs, as they are and rescaled by the answer."""
    data, nets = _midway()
    fig, axes = panels(2, size=(3.6, 3.6), sharex=True, sharey=True)
    told = []
    for ax, (k, net) in zip(axes, nets.items(), strict=True):
        own, scaled = (one(data.x_test).detach() for one in (net, answer(copy.deepcopy(net), k, 0.02)))
        ax.plot(data.y_test, scaled, "^", color=ORANGE, markersize=3, alpha=0.7, label="rescaled")
        ax.plot(data.y_test, own, "o", color=BLUE, markersize=3, alpha=0.7, label="the network itself")
        predicted(ax, data.y_test.aminmax(), data.y_test.aminmax(), "right answers")
        ax.set(xlabel="right answer y", title=f"after {k} steps of 0.02")
        told.append(f"after {k} steps from {_half(own - data.y_test):.2g} to {_half(scaled - data.y_test):.2g}")
    axes[0].set_ylabel("output on new inputs")
    legend(axes[0], loc="upper left", fontsize=8)
    return fig, f"Rescaling takes the test loss {' and '.join(told)}."


def _half(residual: Tensor) -> float:
    """The loss of a residual."""
    return (residual.square().mean() / 2).item()
