"""Figures of lesson 08. Each function returns the figure and the sentence that says what it shows."""

from collections.abc import Mapping

import torch
from matplotlib.figure import Figure
from torch import Tensor

from regimes.theory.edge_of_stability import quadratic_factor
from regimes.theory.gauss_newton import step_loss
from regimes.training import Trace
from regimes_course.kit.plotting import BLUE, GREEN, GREY, ORANGE, PINK, curve, legend, panels, predicted
from regimes_course.kit.words import median, span

__all__ = ["digits", "newton", "sharpening", "two_certainties"]

LOOKS = ((BLUE, "o"), (ORANGE, "s"), (GREEN, "^"), (PINK, "D"), (GREY, "v"))
NUMBER = "stability number ηS/2"


def two_certainties(share: Tensor, top: Tensor, eta: float, S: Tensor, imbalance: Tensor, wanted: Tensor) -> tuple[Figure, str]:
    """A quadratic's component ``(k, shares, seeds)`` along its top eigenvector (left); sharpness and imbalance of ``u v``,
    ``(k, starts)`` (right)."""
    fig, (left, right) = panels(2, size=(4.5, 3.2))
    k = torch.arange(len(top))
    for i, (colour, marker) in enumerate(LOOKS[: len(share)]):
        curve(left, k, top[:, i], f"η = {share[i]:g} · 2/S", color=colour, marker=marker, markersize=4)
        predicted(left, k, quadratic_factor(k, 2 * share[i], 1.0), "predicted" if i == 0 else None)
    left.set(xlabel="step k", ylabel="top component / its start", yscale="log", title="a quadratic", ylim=(1e-4, 1e7))
    k = torch.arange(len(S))
    curve(right, k, S[:, 0], "sharpness S", color=BLUE, marker="o", markersize=4)
    curve(right, k, imbalance[:, 0], "$u^2 - v^2$", color=ORANGE, marker="s", markersize=4)
    predicted(right, k, wanted[:, 0], "predicted $u^2 - v^2$")
    right.axhline(2 / eta, color=GREY, linestyle=":", linewidth=1.2, label="2/η")
    right.set(xlabel="step k", title=f"the product u v, η = {eta:g}", xlim=(0, 40))
    legend(left, loc="upper left", ncols=2, fontsize=8)
    legend(right, fontsize=8)
    end = top[-1].abs()
    return fig, (
        f"After {len(top) - 1} steps the top component is {median(end[0]):.2g} times its start at η = {share[0]:g} · 2/S and "
        f"{median(end[-1]):.2g} times at {share[-1]:g} · 2/S, as predicted. The product u v starts with S = {S[0, 0]:.3g}, "
        f"beyond 2/η = {2 / eta:g}, and ends with S = {S[-1, 0]:.3g}: it is thrown into a flatter valley."
    )


def sharpening(eta: Tensor, loss: Tensor, step: Tensor, S: Tensor) -> tuple[Figure, str]:
    """Loss ``(k, steps, seeds)``, sharpness ``(l, steps, seeds)`` and stability number of gradient descent with some steps."""
    fig, axes = panels(3, size=(3.7, 3.3))
    for i, (colour, marker) in enumerate(LOOKS[: len(eta)]):
        look = {"color": colour, "marker": marker, "markersize": 4}
        label = f"η = {eta[i]:g}"
        k = torch.arange(len(loss))
        axes[0].plot(k, loss[:, i, 0], color=colour, linewidth=0.9, label=f"{label}, one run")
        curve(axes[1], step, S[:, i], label, **look)
        curve(axes[2], step, eta[i] * S[:, i] / 2, label, **look)
        predicted(axes[1], step[[0, -1]], torch.full((2,), 2 / eta[i]), "2/η" if i == 0 else None)
    predicted(axes[2], step[[0, -1]], torch.ones(2), "the edge")
    axes[0].set(ylabel="loss", yscale="log")
    axes[1].set(ylabel="sharpness S")
    axes[2].set(ylabel=NUMBER)
    for ax, top in zip(axes, (1.0, 0.92, 0.6), strict=True):  # where no curve is
        ax.set(xlabel="step k")
        legend(ax, loc="upper right", bbox_to_anchor=(1, top), fontsize=8)
    means = late(eta[:, None] * S / 2)
    return fig, (
        f"Median and range of {S.shape[-1]} seeds. Over the last third the mean of ηS/2 is {span(means[0])} at η = {eta[0]:g}, "
        f"and differs from one by at most {(means[1:] - 1).abs().max():.1g} at the larger steps."
    )


def digits(runs: Mapping[str, tuple[Trace, Tensor]]) -> tuple[Figure, str]:
    """Loss (left) and stability number (right) of runs on digits, ``label: (trace, number)``; numbers are equally spaced."""
    fig, (left, right) = panels(2, size=(4.8, 3.3))
    said = []
    for (label, (trace, number)), (colour, marker) in zip(runs.items(), LOOKS, strict=False):
        left.plot(trace.step + 1, trace.loss[:, 0], color=colour, linewidth=0.9, label=f"{label}, one run")
        curve(right, _spaced(trace.step, number) + 1, number, label, color=colour, marker=marker, markersize=4)
        said.append(f"{label}: largest {span(number.amax(0))}, at the end {span(number[-1])}")
    predicted(right, right.get_xlim(), [1, 1], "the edge")
    left.set(ylabel="loss", yscale="log")
    right.set(ylabel=NUMBER)
    for ax in (left, right):
        ax.set(xlabel="step k + 1", xscale="log")
        legend(ax, fontsize=8)
    return fig, f"Stability numbers ({number.shape[-1]} seeds). {'. '.join(said)}."


def newton(etas: Tensor, newton: Tensor, edge: Tensor, share: float, descent: Trace, number: Tensor) -> tuple[Figure, str]:
    """Relative losses ``(k, steps, runs)`` of Gauss-Newton near an interpolant (left); gradient descent from there (right),
    at ``share`` of its largest stable step ``edge``, with its stability number ``(l, runs)`` at equally spaced steps."""
    fig, (left, right) = panels(2, size=(4.8, 3.3))
    k = torch.arange(len(newton))
    for i, (colour, marker) in enumerate(LOOKS[: len(etas)]):
        curve(left, k, newton[:, i], f"η = {etas[i]:g}", color=colour, marker=marker, markersize=4)
        early = k[:31]
        predicted(left, early, step_loss(early, etas[i].item()), "predicted, $(1-\\eta)^{2k}$" if i == 0 else None)
    left.set(title="Gauss-Newton", ylim=(1e-4, 1e6))
    k, relative = descent.step, descent.relative.flatten(1)
    curve(right, k, relative, "loss / its start", look="gradient descent", linewidth=1, markersize=4)
    curve(right, _spaced(k, number), number, NUMBER, color=BLUE, marker="o", markersize=4)
    predicted(right, k[[0, -1]], torch.ones(2), "the edge")
    right.set(title=f"gradient descent, η = {share:g} · 2/S")
    for ax in (left, right):
        ax.set(xlabel="step k", yscale="log")
        legend(ax, fontsize=8)
    left.set_ylabel("loss / its start")
    return fig, (
        f"After 20 steps the loss of Gauss-Newton is {span(newton[20, 0])} of its start at η = {etas[0]:g}, and "
        f"{span(newton[20, -1])} times its start at η = {etas[-1]:g}, in {newton.shape[-1]} runs. The limit of gradient "
        f"descent differs from run to run, {span(edge)}; at {share:g} times its limit it multiplies its loss by "
        f"{span(relative.amax(0))}, and ends with ηS/2 = {span(number[-1])}."
    )


def late(values: Tensor) -> Tensor:
    """The mean over the last third of the records: ``(k, ...)`` to ``(...)``."""
    return values[-(len(values) // 3) :].mean(0)


def _spaced(step: Tensor, number: Tensor) -> Tensor:
    """The steps at which the numbers were measured."""
    return step[:: (len(step) - 1) // (len(number) - 1)]
