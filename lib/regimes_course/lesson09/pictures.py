"""What the answers to the exercises of lesson 09 draw: each function takes an answer, and returns a figure and its sentence."""

from collections.abc import Callable
from functools import cache

import torch
from matplotlib.figure import Figure
from torch import Tensor
from torch.nn import functional as F

from regimes.metrics import rises
from regimes.theory import large_steps as theory
from regimes_course.kit.comparing import number
from regimes_course.kit.plotting import BLUE, GREEN, GREY, ORANGE, PINK, SKY, curve, legend, panels, predicted
from regimes_course.lesson09.experiments import drawn, walk

__all__ = [
    "best_eta",
    "classify",
    "largest_monotone_eta",
    "near_homogeneity_gap",
    "perceptron_steps",
    "phase_switch",
    "stable_threshold",
]

ACTIVATIONS = {
    "softplus": F.softplus,
    "GELU": F.gelu,
    "SiLU": F.silu,
    "tanh": torch.tanh,
    "ReLU": torch.relu,
    "z**2": torch.square,
    "leaky softplus": lambda z: z / 2 + F.softplus(z) / 2,
}
COLOURS = dict(zip(ACTIVATIONS, (BLUE, ORANGE, GREEN, PINK, SKY, GREY, "black"), strict=True))
GAMMAS = (0.025, 0.05, 0.1, 0.2)


def _slope(phi: Callable) -> Callable:
    return torch.func.vmap(torch.func.grad(phi))


def near_homogeneity_gap(answer: Callable) -> tuple[Figure, str]:
    """The answer for four activations, on grids from -R to R, and what it tends to."""
    fig, (ax,) = panels(size=(6.0, 3.4))
    reach, told = torch.linspace(0.25, 6, 24, dtype=torch.float64), []
    for name, marker in zip(("softplus", "GELU", "SiLU", "tanh"), "os^D", strict=True):
        phi = ACTIVATIONS[name]
        grids = [torch.linspace(-R, R, 201, dtype=torch.float64) for R in reach.tolist()]
        gaps = torch.stack([torch.as_tensor(answer(phi, _slope(phi), z)) for z in grids])
        ax.plot(reach, gaps, marker, color=COLOURS[name], markersize=4, label=name)
        limit = theory.CONSTANTS[name.lower()].kappa
        predicted(ax, [0, 6], [limit, limit], "κ, closed form" if name == "tanh" else None, linewidth=1)
        told.append(f"{name} {gaps[-1]:.3g} ({limit:.3g})")
    ax.set(xlabel="the grid goes from −R to R", ylabel="largest defect on the grid", xlim=(0, 6), ylim=(0, 1.1))
    legend(ax, loc="center left", bbox_to_anchor=(1, 0.5))
    return fig, f"The function's gap on a grid up to R = 6, and in brackets its closed form: {', '.join(told)}."


def classify(answer: Callable) -> tuple[Figure, str]:
    """Gap, second derivative and slope of the seven; dotted where the answer says that the assumption fails."""
    fails, z = answer(), torch.linspace(-5, 5, 401, dtype=torch.float64) + 1e-3
    fig, axes = panels(3, size=(3.1, 3.3))
    titles = ("(a) |φ − zφ′| bounded", "(b) φ″ bounded", "(c) φ′ from some α > 0 on")
    kept: dict[str, list[float]] = {"a": [], "b": [], "c": []}
    for name, phi in ACTIVATIONS.items():
        slope = _slope(phi)(z)
        bend = (slope[1:] - slope[:-1]) / (z[1] - z[0])
        curves = {"a": (phi(z) - z * slope).abs(), "b": bend.abs(), "c": slope}
        for ax, (letter, values) in zip(axes, curves.items(), strict=True):
            fine = letter not in fails[name]
            ax.plot(
                z[: len(values)], values, "-" if fine else ":", color=COLOURS[name], linewidth=2 if fine else 1.2, label=name
            )
            if fine:
                kept[letter].append((values.min() if letter == "c" else values.max()).item())
    for ax, title, top in zip(axes, titles, (2.5, 2.5, 1.3), strict=True):
        ax.set(title=title, xlabel="z", ylim=(-0.3, top))
    legend(axes[2], loc="center left", bbox_to_anchor=(1, 0.5), fontsize=8)
    worst = {letter: (min if letter == "c" else max)(values, default=float("nan")) for letter, values in kept.items()}
    return fig, (
        "Dotted where the function says that it fails. Where it says that it holds, on z from −5 to 5 the gap is at most "
        f"{worst['a']:.3g}, the second derivative at most {worst['b']:.3g}, and the slope at least {worst['c']:.3g}."
    )


@cache
def _last_rises() -> tuple[Tensor, Tensor]:
    """Margins, and the last rise of gradient descent with a huge step."""
    gammas = torch.logspace(-1.6, -0.7, 10, dtype=torch.float64)
    found = [rises(walk(gamma, 4096.0, 1000)).nonzero() for gamma in gammas.tolist()]
    return gammas, torch.tensor([int(up[-1]) + 1 for up in found])


def perceptron_steps(answer: Callable) -> tuple[Figure, str]:
    """Until when a wild run rises, and how many steps the answer takes, by the margin."""
    gammas, last = _last_rises()
    c = (1 - gammas**2).sqrt()
    pairs = torch.stack([torch.stack([gammas, c], 1), torch.stack([gammas, -c / 2], 1)], 1)
    steps = [int(answer(Z.clone())) for Z in pairs]
    fig, (ax,) = panels(size=(6.0, 3.5))
    ax.plot(gammas, last, "o", color=ORANGE, label="gradient descent, η = 4096: last rise")
    predicted(ax, gammas, torch.tensor(steps), "perceptron, by the function")
    ax.plot(gammas, 2 / gammas**2, ":", color=GREY, label="bound n/γ²")
    ax.set(xlabel="margin γ", ylabel="steps", xscale="log", yscale="log")
    ax.set_xticks([0.025, 0.05, 0.1, 0.2], ["0.025", "0.05", "0.1", "0.2"], minor=False)
    ax.minorticks_off()
    legend(ax)
    off = max(abs(a - b) for a, b in zip(steps, last.tolist(), strict=True))
    return fig, (
        f"From γ = {gammas[-1]:.2g} to {gammas[0]:.2g} the function's count goes from {steps[-1]} to {steps[0]}, the last "
        f"rise of gradient descent from {last[-1]} to {last[0]}; they differ by at most {off} steps."
    )


def phase_switch(answer: Callable) -> tuple[Figure, str]:
    """Two runs with the two steps of the answer marked."""
    fig, axes = panels(2, size=(3.8, 3.2), sharey=True)
    told = []
    for ax, eta in zip(axes, (32.0, 256.0), strict=True):
        L = walk(0.05, eta, 600)
        last, below = answer(L.clone(), eta)
        curve(ax, torch.arange(601), L, "risk", marker="", linewidth=1.2)
        predicted(ax, [0, 600], [1 / eta, 1 / eta], "1/η")
        for at, marker, words in ((last, "s", "last rise"), (below, "D", "first below 1/η")):
            if at >= 0:
                ax.plot([at], [L[at]], marker, color=ORANGE, label=f"{words}, by the function", zorder=6)
        ax.set(title=f"η = {eta:g}", xlabel="step", yscale="log")
        told.append(f"with η = {eta:g} the last rise is at step {last}, and the risk is first at most 1/η at step {below}")
    axes[0].set_ylabel("risk L")
    legend(axes[0], loc="lower left", fontsize=8)
    return fig, f"Two points with a margin of 0.05: {'; '.join(told)}."


def largest_monotone_eta(answer: Callable) -> tuple[Figure, str]:
    """The answer by the margin, with the step at which the first step rises; on the right what a little more or less does."""
    fig, (left, right) = panels(2, size=(3.9, 3.3))
    found = [float(number(answer(gamma))) for gamma in GAMMAS]
    left.plot(GAMMAS, found, "o", color=BLUE, label="by the function")
    grid = torch.linspace(0.02, 0.2, 37).tolist()
    predicted(left, grid, [float(theory.first_rise(gamma)) for gamma in grid], "the first step rises")
    left.set(xlabel="margin γ", ylabel="step η", ylim=(0, None))
    legend(left)
    share, told = torch.linspace(0.9, 1.1, 21), []
    for gamma, eta, colour, marker in zip(GAMMAS, found, (BLUE, ORANGE, GREEN, PINK), "os^D", strict=True):
        runs = [walk(gamma, eta * x, 400) for x in share.tolist()]
        worst = torch.stack([((L[1:] / L[:-1]).max() - 1).clamp(min=0) for L in runs])
        right.plot(share, 100 * worst, marker, linestyle="-", color=colour, markersize=3, linewidth=0.8, label=f"γ = {gamma:g}")
        told.append(f"{eta:.1f} at γ = {gamma:g}")
    predicted(right, [1, 1], right.get_ylim(), None)
    right.set(xlabel="step / the function's", ylabel="largest rise in a run (%)")
    legend(right, fontsize=8)
    first = f"the first step alone rises from {float(theory.first_rise(0.2)):.1f} at γ = 0.2"
    return fig, f"The largest step without a rise, by the function: {', '.join(told)}; {first}."


def best_eta(answer: Callable) -> tuple[Figure, str]:
    """The risk at the end of runs with the answer's step, against the wanted one; filled where the run rises on its way."""
    fig, (ax,) = panels(size=(5.2, 3.7))
    ratios, wild, largest = [], 0, 0.0
    for (gamma, T), colour, marker in zip(((0.05, 3000), (0.1, 1000), (0.2, 1000)), (BLUE, ORANGE, GREEN), "os^", strict=True):
        for i, eta in enumerate((4.0, 9.0, 20.0, 32.0)):
            wanted = 1 / (eta * gamma**2 * T)
            step = float(number(answer(gamma, T, wanted)))
            L = walk(gamma, step, T)
            rose = bool(rises(L).any())
            label = f"γ = {gamma:g}, T = {T}" if i == 0 else "_"
            ax.plot([wanted], [L[-1]], marker, color=colour, fillstyle="full" if rose else "none", markersize=7, label=label)
            ratios.append((L[-1] / wanted).item())
            wild, largest = wild + rose, max(largest, step)
    predicted(ax, ax.get_xlim(), ax.get_xlim(), "as wanted")
    ax.set(xlabel="wanted risk", ylabel="risk after T steps", xscale="log", yscale="log")
    legend(ax, fontsize=8)
    return fig, (
        f"12 runs with the function's steps, up to {largest:.3g}, end at {min(ratios):.2f} to {max(ratios):.2f} times the "
        f"wanted risk. {wild} of them rise on their way (filled)."
    )


@cache
def _random_runs() -> tuple[list[float], Tensor]:
    """Steps, and risks ``(runs, 401)``, of 50 runs with random margins."""
    settings = [drawn(seed, (0.02, 0.3), (3.0, 1000.0)) for seed in range(50)]
    return [eta for _, eta in settings], torch.stack([walk(gamma, eta, 400) for gamma, eta in settings])


def stable_threshold(answer: Callable) -> tuple[Figure, str]:
    """Steps of random runs: by what they multiply the risk, against the risk over the answer's threshold."""
    etas, L = _random_runs()
    safe = torch.tensor([[float(number(answer(eta, 1.0, 0.0)))] for eta in etas])
    x, ratio = (L[:, :-1] / safe).flatten(), (L[:, 1:] / L[:, :-1]).flatten()
    up = ratio > 1 + 1e-10
    fig, (ax,) = panels(size=(6.4, 3.5))
    for which, colour, label in ((~up, BLUE, "falls"), (up, ORANGE, "rises")):
        ax.plot(x[which], ratio[which].clamp(min=1e-2), ".", color=colour, markersize=3, alpha=0.5, label=label)
    predicted(ax, [1, 1], [1e-2, 1e2], "by the function: safe on the left")
    ax.set(
        xlabel="risk / the function's threshold",
        ylabel="$L^+/L$",
        xscale="log",
        yscale="log",
        xlim=(1e-4, 1e5),
        ylim=(1e-2, 1e2),
    )
    legend(ax, loc="upper left", markerscale=3)
    return fig, (
        f"Of {len(x):,} steps in 50 random runs {int(up.sum()):,} raise the risk, {int((up & (x <= 1)).sum())} of them from "
        f"below the function's threshold; the lowest rise is at {x[up].min():.2g} times it."
    )
