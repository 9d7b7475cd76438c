"""Figures of lesson 09. Each function returns the figure and the sentence that says what it shows."""

from collections.abc import Mapping, Sequence

import torch
from IPython.display import Markdown
from matplotlib.figure import Figure
from torch import Tensor

from regimes.theory import large_steps as theory
from regimes_course.kit.plotting import BLUE, GREEN, GREY, ORANGE, PINK, curve, legend, panels, predicted
from regimes_course.kit.words import median, span

__all__ = ["activations", "five", "lemma", "rates", "slopes", "switches"]


def lemma(kinds: Mapping[str, tuple[Tensor, Tensor]]) -> tuple[Figure, str]:
    """Steps of random runs: ``L+ / L`` against ``c = eta (lip^2 + beta) L`` before it; ``c`` and ``L`` are ``(k, runs)``."""
    fig, (ax,) = panels(size=(6.4, 3.6))
    said, safe = [], theory.stable_threshold(1.0)
    for (kind, (c, L)), (colour, marker) in zip(kinds.items(), ((BLUE, "o"), (ORANGE, "s")), strict=True):
        c, ratio = c[:-1].flatten(), (L[1:] / L[:-1]).flatten()
        some = slice(None, None, max(1, len(c) // 4000))
        dots = {"color": colour, "markersize": 2, "alpha": 0.35, "label": kind}
        ax.plot(c[some].numpy(), ratio[some].clamp(min=1e-2).numpy(), marker, **dots)
        rising = c[ratio > 1 + 1e-10]
        first = f", the first from c = {rising.min():.2g}" if len(rising) else ""
        said.append(f"{kind}: {len(rising)} of {len(c)} steps do{first}")
    t = torch.logspace(-3, 1, 60)
    predicted(ax, t, t.exp(), "no step is above $e^c$", linestyle=(0, (2, 2)))
    ax.axvline(safe, color="black", linestyle="--", linewidth=1.3, label="predicted: safe left of W(2)")
    ax.axhline(1, color=GREY, linewidth=1, linestyle=":", label="unchanged")
    ax.set(xlabel="$c = η(\\mathrm{Lip}^2+β)L$ before the step", ylabel="$L^+/L$", xscale="log", yscale="log")
    ax.set(xlim=(1e-3, 1e4), ylim=(1e-2, 1e2))
    legend(ax, loc="center left", bbox_to_anchor=(1, 0.5), markerscale=3)
    return fig, f"No step from c below {safe:.3f} raises the risk. {'. '.join(s[0].upper() + s[1:] for s in said)}."


def switches(
    gammas: Sequence[float], largest: Sequence[float], first: Sequence[float], etas: Sequence[float], last: Tensor
) -> Markdown:
    """Two points: where the oscillation starts, measured and predicted, and the last rise ``(gammas, etas)``, as a table."""
    steps = " | ".join(f"last rise, η = {e:g}" for e in etas)
    rows = [f"| γ | largest η without a rise | the first step rises from η | {steps} |", "|" + "---|" * (3 + len(etas))]
    for gamma, *found, rises in zip(gammas, largest, first, last.tolist(), strict=True):
        rows.append(f"| {gamma:g} | " + " | ".join([*(f"{e:.1f}" for e in found), *map(str, rises)]) + " |")
    return Markdown("\n".join(rows))


def slopes(T: Tensor, risk: Tensor) -> Tensor:
    """The slope of ``log L`` over ``log T`` by least squares: ``(T, ...)`` to ``(...)``."""
    t = T.double().log()
    t = (t - t.mean()).reshape(-1, *(1,) * (risk.ndim - 1))
    return (t * risk.log()).sum(0) / t.square().sum()


def rates(
    toy: tuple[Tensor, Mapping[str, tuple[Tensor, Tensor]]], digits: tuple[Tensor, Mapping[str, Tensor]]
) -> tuple[Figure, str]:
    """The risk after ``T`` steps with a fixed step and with one proportional to ``T``.

    Args:
        toy: ``T``, and for each rule its risks ``(T,)`` and predicted ones.
        digits: ``T``, and for each rule its risks ``(T, seeds)``; their slopes -1 and -2 are drawn through the last risk.
    """
    fig, (left, right) = panels(2, size=(4.6, 3.5))
    looks, said = ((GREEN, "^"), (BLUE, "o"), (ORANGE, "s")), []
    T, rules = toy
    for (name, (risk, theirs)), (colour, marker) in zip(rules.items(), looks, strict=False):
        curve(left, T, risk, name, color=colour, marker=marker, markevery=1)
        predicted(left, T, theirs, "predicted, $1/(ηγ^2T)$" if colour == GREEN else None)
    T, rules = digits
    for (name, risk), (colour, marker) in zip(rules.items(), looks, strict=False):
        curve(right, T, risk, name, color=colour, marker=marker, markevery=1)
        slope, power = slopes(T, risk), -2 if "T" in name else -1
        predicted(right, T, median(risk)[-1] * (T / T[-1]) ** power, "predicted slopes, −1 and −2" if colour == GREEN else None)
        said.append(f"{span(slope, '.2f')} with {name}")
    for ax, title, x in ((left, "two points, γ = 0.1", toy[0]), (right, "digits 3 and 8", T)):
        ax.set(xlabel="number of steps T", xscale="log", yscale="log", title=title)
        ax.set_xticks(x, [f"{n:.0f}" for n in x], minor=False, fontsize=8)
        ax.minorticks_off()
        legend(ax, loc="lower left", fontsize=8)
    left.set_ylabel("risk after T steps")
    first = ", ".join(f"{slopes(toy[0], risk).item():.2f} with {name}" for name, (risk, _) in toy[1].items())
    return fig, f"Slopes on two points: {first}. On digits, over {risk.shape[-1]} seeds: {'; '.join(said)}."


def five(step: Tensor, margin: Tensor, each: Tensor, crossing: Tensor, plane: float) -> tuple[Figure, str]:
    """The margin of a network of two neurons ``(k, seeds)`` and of each neuron alone ``(k, seeds, 2)``."""
    fig, (left, right) = panels(2, size=(4.4, 3.2))
    curve(left, step, margin, "both neurons", markevery=0.1)
    predicted(left, step[[0, -1]], torch.full((2,), 0.75 * plane), "best plane, ¾γ")
    left.axvline(median(crossing).item(), color=GREEN, linestyle=":", label="margin becomes positive")
    for j, (colour, marker) in enumerate(((ORANGE, "s"), (PINK, "D"))):
        curve(
            right, step, each[..., j], ("neuron of sign +", "neuron of sign −")[j], color=colour, marker=marker, markevery=0.1
        )
    for ax in (left, right):
        ax.axhline(0, color=GREY, linewidth=1, linestyle=":")
        ax.set(xlabel="step t", xlim=(step[0].item(), step[-1].item()))
    left.set(ylabel="normalised margin", ylim=(-0.06, 0.06))
    right.set(ylabel="normalised margin of one neuron", ylim=(-1.0, 0.2))
    legend(left, loc="lower right", fontsize=8)
    legend(right, loc="upper right", fontsize=8)
    return fig, (
        f"The margin of the network becomes positive at step {span(crossing.double(), '.0f')} and ends at "
        f"{span(margin[-1], '.3f')}, while the neurons' own margins end at {span(each[-1, :, 0], '.2f')} and "
        f"{span(each[-1, :, 1], '.2f')}. ({margin.shape[-1]} seeds.)"
    )


def activations(found: Mapping[str, tuple[float, Tensor]]) -> Markdown:
    """For each activation its constants, the largest gap on a grid, and the risk after training ``(seeds,)``, as a table."""
    rows = [
        "| activation | κ, closed form | κ, on a grid | slope from | β | all assumptions | risk on digits |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, (grid, risk) in found.items():
        c = theory.CONSTANTS[name]
        kappa, beta, alpha, top = map(_number, (c.kappa, c.beta, c.alpha, grid))
        yes = "yes" if c.suits else "no"
        rows.append(f"| {name.replace('_', ' ')} | {kappa} | {top} | {alpha} | {beta} | {yes} | {span(risk, '.2g')} |")
    return Markdown("\n".join(rows))


def _number(value: float) -> str:
    return "none" if value in (float("inf"), float("-inf")) else f"{value:.3g}".replace("-", "−")
