"""Figures of lesson 03. Each function returns the figure and the sentence that says what it shows.

The lesson's own pictures go from `hero` to `breaks`. Those of its deeper notebook follow.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator
from numpy import ndarray
from torch import Tensor

from regimes.theory.online_sgd import Path
from regimes.theory.sgd_phases import (
    critical_eta,
    fluctuation_exponent,
    noise_plateau,
    specialisation_rate,
    unspecialised_plateau,
)
from regimes.theory.symmetric_committee import natural_path
from regimes.training import Trace
from regimes_course.kit.plotting import (
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    PINK,
    SKY,
    curve,
    legend,
    new_figure,
    panels,
    predicted,
    style,
)
from regimes_course.kit.words import digits3, span
from regimes_course.lesson03.experiments import risk, sgd

__all__ = [
    "breaks",
    "concentration",
    "curves",
    "hero",
    "learning",
    "narrow",
    "phases",
    "plateaus",
    "specialisation",
    "trend",
    "waits",
    "witness",
]

LOOK = ((BLUE, "o"), (ORANGE, "s"), (GREEN, "^"), (PINK, "D"))
RISK = "risk R"
FILLS = {"perfect": "#CDEBDD", "bad": "#F9DCC4", "none": "#E3E3E3"}
CUTS = 2_000, 12_000  # steps at which the hero cuts its step size
NOISE = 0.004  # variance of the label noise there
EVERY = 50  # steps between the records that it draws
TOTALS = np.arange(-7, 17) / 16  # kappa + delta of the map's right panel


def cuts(seed: int = 6) -> tuple[ndarray, ndarray, ndarray]:
    """Weights ``(steps, 2, 50)`` of one run of 20,000 steps, and of the same run with the step cut by ten at the `CUTS`."""
    T, rng = np.eye(2, 50), np.random.default_rng(seed)
    plain = sgd(rng.standard_normal((2, 50)) / 50**0.5, T, 1.0, NOISE, 20_000, rng)
    early, late = (sgd(plain[n - 1], T, 0.1, NOISE, 20_000 - n, rng) for n in CUTS)
    return plain, early, late


def _smooth(values: ndarray) -> ndarray:
    """Geometric mean over five neighbours, over fewer at the ends."""
    ones = np.ones(5)
    return np.exp(np.convolve(np.log(values), ones, "same") / np.convolve(np.ones(len(values)), ones, "same"))


def hero(runs: tuple[ndarray, ndarray, ndarray] | None = None) -> tuple[Figure, str]:
    """Left, the risk with and without a cut of the step size; right, what units know of the teacher. `cuts` unless given."""
    runs, T, fig = cuts() if runs is None else runs, np.eye(2, 50), new_figure((7.4, 3.7))
    plain, early, late = runs
    R, (first, second) = risk(plain, T), CUTS
    with style():
        left, right = fig.subplots(1, 2, width_ratios=(1.75, 1))
        for low, high, words in ((700, 6_000, "rest 1"), (10_500, len(plain), "rest 2")):
            left.axvspan(low, high, color="0.93", zorder=0)
            left.text((low + high) / 2, 0.17, words, ha="center", fontsize=11, fontweight="bold", color=GREY)
        for path, begin, colour in ((plain, 0, BLUE), (early, first, ORANGE), (late, second, GREEN)):
            n = begin + np.arange(EVERY, len(path) + 1, EVERY)
            left.plot(n, _smooth(risk(path[EVERY - 1 :: EVERY], T)), color=colour, linewidth=1.6, label=f"_{begin}")
        for n, colour in ((first, ORANGE), (second, GREEN)):
            left.plot([n], [_smooth(R[EVERY - 1 :: EVERY])[n // EVERY - 1]], "v", color=colour, markersize=10, label="_cut")
        left.text(2_300, 0.011, "step size / 10\n… and it waits on", color=ORANGE, fontweight="bold")
        left.text(12_400, 1.2e-3, "step size / 10\n… and it falls", color=GREEN, fontweight="bold")
        left.set(
            xlabel="step", ylabel="risk: the loss without label noise", yscale="log", ylim=(2e-5, 0.3), xlim=(0, len(plain))
        )
        left.set_xticks([0, 5_000, 10_000, 15_000, 20_000], ["0", "5,000", "10,000", "15,000", "20,000"])
        for j, word in enumerate(("one unit", "the other")):
            M = (plain[EVERY - 1 :: EVERY] @ T.T)[:, j]
            right.plot(*M.T, color=(BLUE, SKY)[j], linewidth=0.8, label=f"_{word}")
            right.scatter(*M[::5].T, color=(BLUE, SKY)[j], s=12)
        right.plot(*T[:, :2].T, "*", color="black", markersize=14, label="_teacher")
        right.set_title("the uncut run,\na colour per unit", fontsize=10)
        right.text(0.95, -0.1, "teacher\nunit 1", ha="center", va="top", fontsize=9)
        right.text(0.12, 1.02, "teacher\nunit 2", va="center", fontsize=9)
        arrow = {"arrowstyle": "->"}
        right.annotate("both learn\nthe average:\nrest 1", (0.46, 0.48), (0.7, 0.62), arrowprops=arrow, fontsize=9.5)
        right.set(xlabel="overlap with teacher unit 1", ylabel="with teacher unit 2", aspect="equal")
        right.set(xlim=(-0.35, 1.2), ylim=(-0.35, 1.2))
    fig.suptitle("Slow, or stuck in noise? The same cut tells them apart.", fontsize=12)
    low = [risk(path[-1_000:], T).mean() for path in runs]
    rests = [R[a:b].mean() for a, b in ((1_500, 2_500), (11_000, 12_000))]
    early_fall, late_fall = ((rest - end) / (rest + NOISE / 2) for rest, end in zip(rests, low[1:], strict=True))
    return fig, (
        f"Two units learn a teacher of two (d = 50, η = 1, one fresh sample per step; curves smoothed). Cut at rest 1 (risk "
        f"{rests[0]:.1e}), the network is at {low[1]:.1e} after {len(early):,} more steps; uncut it leaves by itself. Cut at "
        f"rest 2 ({rests[1]:.1e}), it falls to {low[2]:.1e} in {len(late):,}. A loss on noisy labels lies "
        f"Δ/2 = {NOISE / 2:.3g} higher: it falls by {early_fall:.0%} and by {late_fall:.0%}."
    )


def curves(runs: Mapping[int, ndarray], path: ndarray, t: ndarray) -> tuple[Figure, str]:
    """Overlaps with the teacher against steps over inputs, on the solution of the ODE.

    Args:
        runs: weights ``(steps, 2, d)`` by d, after each step, of step size one; the teacher's units are the first axes.
        path: overlaps ``(t, 2, 2)`` of the ODE at the times ``t``.
    """
    fig = new_figure((7.0, 3.9))
    with style():
        ax = fig.subplots()
    off = {}
    for (d, W), (colour, marker) in zip(runs.items(), LOOK, strict=False):
        at = np.unique(np.round(np.linspace(1, len(W), 40)).astype(int))
        M = W[at - 1][..., :2]
        for j, r in ((0, 0), (0, 1), (1, 0), (1, 1)):
            label = f"SGD, d = {d}" if j == r == 0 else f"_{d}, {j}, {r}"
            ax.plot(
                at / d,
                M[:, j, r],
                marker,
                color=colour,
                fillstyle=("full", "none")[d != min(runs)],
                markersize=4.5,
                label=label,
            )
        exact = np.stack([np.interp(at / d, t, path[:, j, r]) for j in range(2) for r in range(2)], 1).reshape(-1, 2, 2)
        off[d] = np.sqrt(((M - exact) ** 2).mean())
    for j in range(2):
        for r in range(2):
            predicted(ax, t, path[:, j, r], "predicted: two equations" if j == r == 0 else None)
    for j, r, words in ((0, 0, "with their own teacher unit"), (0, 1, "with the other's")):
        ax.text(t[-1], path[-1, j, r] + 0.14, words, ha="right", fontsize=9.5)
    ax.set(xlabel="steps / d", ylabel="overlaps M with the teacher", ylim=(-0.1, 1.25))
    legend(ax, loc="upper left", ncols=3)
    ax.set_title("One set of curves for every d: both bundles rise and wait, then they part.", fontsize=11)
    told = ", ".join(f"{value:.2g} at d = {d}" for d, value in off.items())
    return fig, f"All four overlaps against steps/d. Root mean square distance of SGD from the dashed equations: {told}."


def waits(paths: Mapping[int, Path]) -> tuple[Figure, str]:
    """The first rest at several numbers of inputs: the risk (left), and what the units know differently (right).

    Args:
        paths: gradient flow of two units by d, each from overlaps that differ by ``d^(-1/2)``.
    """
    fig, (left, right) = panels(2, size=(3.7, 3.6))
    level, rate, leaves = unspecialised_plateau(2), specialisation_rate(2, 2), []
    for (d, path), (colour, _) in zip(paths.items(), LOOK, strict=False):
        t, gap = path.time, path.M[:, 0, 0] - path.M[:, 0, 1]
        left.plot(t, 1000 * path.risk, color=colour, label=f"d = {d:,}")
        right.plot(t, gap, color=colour, label=f"d = {d:,}")
        leaves.append(t[np.argmax(path.risk < level / 2)])
    predicted(left, t[[0, -1]], 1000 * level * np.ones(2), "predicted: all units equal")
    end = gap[-1] if gap[-1] < 0.05 else 0.05
    stop = t[np.argmax(gap >= end)]
    line = stop - np.array([130.0, 0.0])
    predicted(right, line, 2.2 * end * np.exp(rate * (line - stop)), "predicted slope: λ")
    left.set(xlabel="time t", ylabel="risk R × 1000", ylim=(0, 8), xlim=(0, t[-1]))
    right.set(xlabel="time t", ylabel="overlap with own minus with other", yscale="log", xlim=(0, t[-1]))
    left.set_title("The loss: nothing happens …", fontsize=11)
    right.set_title("… the difference: it grows all the time.", fontsize=11)
    legend(left, loc="upper right")
    legend(right, loc="lower right")
    told = ", ".join(f"{when:.0f} at d = {d:,}" for d, when in zip(paths, leaves, strict=True))
    more = np.diff(leaves)
    return fig, (
        f"Time until the risk is half of R₁: {told}: each hundredfold d adds {', then '.join(f'{x:.0f}' for x in more)}. "
        f"The law e^(λt), λ = {rate:.3f}, adds {np.log(100) / (2 * rate):.0f} in the end."
    )


def risks(ds: Sequence[int] = (10**2, 10**4, 10**8)) -> dict[int, ndarray]:
    """By d the risk at natural time 1000 over the `TOTALS`: four students on two teacher units at d = 1, more as d^(1/2)."""
    return {d: np.array([natural_path(0.5, s - 0.5, d, [0, 1000], label_noise=1e-3).risk[-1] for s in TOTALS]) for d in ds}


def _diagram(ax: Axes) -> None:
    """The phases in the plane of learning rate and width."""
    kappa = np.array([0.0, 1.0])
    ax.fill_betweenx(kappa, -1.75, -kappa - 0.5, color=FILLS["none"], linewidth=0)
    ax.fill_betweenx(kappa, -kappa - 0.5, -kappa, color=FILLS["bad"], linewidth=0)
    ax.fill_betweenx(kappa, -kappa, 1, color=FILLS["perfect"], linewidth=0)
    ax.plot(-kappa, kappa, color=BLUE, linewidth=3, label="_plateau")
    for x, y, words in ((0.3, 0.5, "perfect learning:\ndrift only"), (-1.27, 0.2, "no equation:\nsteps too large")):
        ax.text(x, y, words, ha="center", va="center", fontsize=9.5)
    turned = {"ha": "center", "va": "center", "rotation": -69, "fontsize": 9.5}
    ax.text(-0.75, 0.5, "bad learning:\nnoise only", **turned)
    ax.text(-0.4, 0.53, "plateau: both", color=BLUE, **turned)
    ax.set(xlabel="δ: learning rate $γ = d^{-δ}$", ylabel="κ: width $p ∝ d^{κ}$", xlim=(-1.75, 1), ylim=(0, 1))
    ax.grid(False)


def phases(found: Mapping[int, ndarray] | None = None) -> tuple[Figure, str]:
    """The phase diagram, and the risk across it at several numbers of inputs. `risks` unless given."""
    found, (fig, (left, right)) = risks() if found is None else found, panels(2, size=(3.75, 3.7))
    _diagram(left)
    right.axvspan(TOTALS[0], 0, color=FILLS["bad"], linewidth=0)
    right.axvspan(0, TOTALS[-1], color=FILLS["perfect"], linewidth=0)
    right.axvline(0, color=BLUE, linewidth=3, label="_plateau")
    falls = []
    for (d, R), (colour, marker) in zip(found.items(), ((SKY, "o"), (PINK, "s"), ("0.2", "^")), strict=False):
        power = round(np.log10(d))
        right.plot(TOTALS, R, color=colour, marker=marker, markersize=4, label=f"d = $10^{power}$")
        falls.append(f"{digits3((R[TOTALS == -1 / 8] / R[TOTALS == 0]).item())} at d = 10^{power}")
    right.set(xlabel="κ + δ", ylabel="risk at natural time 1,000", yscale="log", xlim=(TOTALS[0], TOTALS[-1]))
    legend(right, loc="upper right")
    left.set_title("Only κ + δ counts …", fontsize=11)
    right.set_title("… and the slope becomes a cliff.", fontsize=11)
    return fig, (
        "Right, by the two equations: two teacher units, 4 d^κ students with κ = 1/2 that start like random ones, label "
        f"noise Δ = 0.001. From κ + δ = −1/8 to 0, across the blue line, the risk falls by a factor {', '.join(falls)}."
    )


def past(etas: Sequence[float] = (4.4, 5.0), count: int = 3) -> dict[float, list[ndarray]]:
    """By step the weights of ``count`` runs of two units to t = 400, from a hundredth off the solution, without label noise."""
    T = np.eye(2, 50)

    def run(eta: float, rng: np.random.Generator) -> ndarray:
        return sgd(T + 0.01 * rng.standard_normal((2, 50)) / 50**0.5, T, eta, 0.0, round(400 * 50 / eta), rng)

    return {eta: [run(eta, np.random.default_rng(seed)) for seed in range(count)] for eta in etas}


def breaks(
    floors: Mapping[float, float], noise: float, runs: Mapping[float, Sequence[ndarray]] | None = None
) -> tuple[Figure, str]:
    """The noise floor of one unit up to its pole (left), and runs of two units on both sides of theirs (right).

    Args:
        floors: measured risks by step.
        noise: variance of the label noise.
        runs: as `past`, which is run unless they are given.
    """
    runs, (fig, (left, right)) = past() if runs is None else runs, panels(2, size=(3.7, 3.7))
    one, two, T = critical_eta(1), critical_eta(2), np.eye(2, 50)
    eta = np.linspace(0.01, one - 0.05, 200)
    predicted(left, eta, noise / 2 * (a := eta / (np.pi * 3**0.5)) / (1 - 3 / 5**0.5 * a), "predicted, one unit")
    predicted(left, eta, [noise_plateau(e, noise) for e in eta], "many units", linestyle=":")
    left.plot(list(floors), list(floors.values()), "o", color=BLUE, markersize=7, label="SGD, one unit")
    left.axvline(one, color=ORANGE, linestyle="-.", label=f"pole, η = {one:.2f}")
    left.set(xlabel="step η", ylabel="risk of rest 2", ylim=(0, 4 * noise / 2), xlim=(0, 4.4))
    legend(left, loc="upper left")
    ends, sizes = {}, {}
    for (step, some), (colour, marker) in zip(runs.items(), LOOK, strict=False):
        for i, path in enumerate(some):
            at = np.unique(np.round(np.linspace(1, len(path), 60)).astype(int))
            right.plot(at * step / 50, risk(path[at - 1], T), color=colour, marker=marker, markevery=(4 * i, 12), markersize=4,
                       linewidth=1.2, label=f"η = {step:g}" if i == 0 else f"_{step}, {i}", alpha=0.9)  # fmt: skip
        ends[step] = [risk(path[-1], T).item() for path in some]
        sizes[step] = [np.linalg.norm(path[-1], axis=-1).max() for path in some]
    right.set(xlabel="time t", ylabel=RISK, yscale="log")
    legend(right, loc="center right")
    left.set_title("One unit: the floor has a pole …", fontsize=11)
    right.set_title(f"… two units: theirs is at η = {two:.2f}.", fontsize=11)
    told = "; ".join(
        f"η = {step:g}: risk {span(torch.tensor(ends[step]), '.0e')}, longest unit {span(torch.tensor(sizes[step]), '.2f')}"
        for step in runs
    )
    return fig, (
        f"The pole is at η = {one:.2f} for one unit, {two:.2f} for two, {np.pi * 3**0.5:.2f} for many. Right, no label noise, "
        f"a hundredth off the solution, two units, after t = 400: {told}."
    )


def _ticks(axis: Axis, values: Sequence[float]) -> None:
    """Ticks of a logarithmic axis, written as plain numbers, and no others."""
    axis.set_ticks(values, [f"{v:g}" for v in values], minor=False)
    axis.set_minor_locator(NullLocator())


def learning(runs: Mapping[int, tuple[Trace, Sequence[Path]]], ds: Sequence[int], apart: Tensor) -> tuple[Figure, str]:
    """Risks of single runs on the ODE from their own starts (left); the distance from it ``(d, starts)`` against d (right)."""
    fig, (left, right) = panels(2, size=(4.6, 3.4))
    for (d, (run, paths)), (colour, marker) in zip(runs.items(), LOOK, strict=False):
        for i, path in enumerate(paths):
            dots = dict(color=colour, markersize=4, alpha=0.7, label=f"SGD, d = {d}" if i == 0 else None)
            left.plot(run.time[1:], run.loss[1:, i], marker, **dots)
            predicted(left, path.time[1:], path.risk[1:], None, linewidth=0.9)
    left.plot([], [], "--", color="black", label="predicted (ODE)")
    left.set(xlabel="time t = ην/d", ylabel=RISK, xscale="log", yscale="log")
    legend(left, loc="lower left", fontsize=8)
    curve(right, torch.tensor(ds), apart, "SGD", markevery=1)
    law = apart.mean().item() * (torch.tensor(ds, dtype=torch.float64) / np.sqrt(ds[0] * ds[-1])) ** -0.5
    predicted(right, ds, law, "predicted: slope −1/2")
    right.set(xlabel="inputs d", ylabel="largest |SGD − ODE|", xscale="log", yscale="log")
    _ticks(right.xaxis, ds)
    _ticks(right.yaxis, (0.02, 0.03, 0.05, 0.1, 0.15))
    legend(right)
    slope = [np.polyfit(np.log(ds), start.log(), 1)[0] for start in apart.T]
    return fig, (
        f"Dots of {run.loss.shape[1]} runs for each d follow the dashed lines of the ODE. The largest distance of an overlap "
        f"from it falls from {apart[0].mean():.2g} at d = {ds[0]} to {apart[-1].mean():.2g} at d = {ds[-1]}, with slopes "
        f"{span(torch.tensor(slope), '.2f')}."
    )


def specialisation(
    runs: tuple[Trace, Sequence[Path]], ds: Sequence[int], escape: Tensor, law: tuple[Sequence[float], Sequence[float]]
) -> tuple[Figure, str]:
    """Overlaps with the teacher over time in a run (left), its risk (middle), the time of escape ``(d, seeds)`` (right).

    The first of ``runs`` is drawn. ``law`` is the time of escape from a start that is off by ``d^(-1/2)``, over the inputs.
    """
    fig, (left, middle, right) = panels(3, size=(3.6, 3.3))
    run, path = runs[0], runs[1][0]
    M, loss = run.measured["M"][:, 0], run.loss[:, 0]
    p, k = M.shape[1:]
    for r in range(k):
        for j in range(p):
            colour, marker = LOOK[r]
            left.plot(
                run.time,
                M[:, j, r],
                color=colour,
                marker=marker,
                markersize=3,
                linewidth=0.8,
                label=f"with unit {r + 1}" if j == 0 else None,
            )
    for values in path.M.reshape(len(path.time), -1).T:
        predicted(left, path.time, values, None, linewidth=0.7)
    left.set(xlabel="time t", ylabel="overlaps M with the teacher", ylim=(-0.25, 1.45))
    legend(left, loc="upper left", fontsize=8, ncols=2)
    middle.plot(run.time[1:], loss[1:], "o", color=BLUE, markersize=4, label="SGD")
    predicted(middle, path.time[1:], path.risk[1:], "predicted (ODE)")
    level = unspecialised_plateau(k)
    middle.axhline(level, color=GREY, linestyle=":", label="unspecialised, η → 0")
    middle.set(xlabel="time t", ylabel=RISK, xscale="log", yscale="log")
    legend(middle, loc="lower left", fontsize=8)
    curve(right, torch.tensor(ds), escape, "random starts", markevery=1)
    predicted(right, law[0], law[1], "symmetric start (ODE)")
    right.set(xlabel="inputs d", ylabel="time until R < half the plateau", xscale="log")
    legend(right, loc="upper left", fontsize=8)
    at = int((run.time - 30).abs().argmin())
    own, other = M[-1].amax(1), M[-1].amin(1)
    waits = ", ".join(f"{e.mean():.0f} at d = {d}" for d, e in zip(ds, escape, strict=True))
    return fig, (
        f"At t = {run.time[at]:.0f} all overlaps of the run with the teacher are {span(M[at], '.2f')}; at the end each student "
        f"unit has {span(own, '.2f')} with one unit of the teacher and {span(other, '.2f')} with the other. Time of escape, "
        f"mean of {escape.shape[1]} starts: {waits}."
    )


def plateaus(
    etas: Sequence[float],
    sgd: Tensor,
    ode: tuple[Tensor, Tensor],
    widths: Sequence[int],
    mean: Tensor,
    total: Tensor,
    noise: float,
) -> tuple[Figure, str]:
    """Risk that label noise leaves: against the step (left), and against the width at a fixed learning rate (right).

    Args:
        etas, sgd: steps, and risks of SGD ``(etas, runs)``.
        ode: steps and risks of the ODE.
        widths, mean, total: widths, and risks ``(widths, groups)`` of means with learning rate 1 and of sums with 0.05.
        noise: variance of the label noise.
    """
    fig, (left, right) = panels(2, size=(4.4, 3.3))
    left.plot(*ode, color=SKY, marker="d", markersize=4, label="ODE")
    curve(left, torch.tensor(etas), sgd, "SGD", color=BLUE, linestyle="", markevery=1)
    line = np.geomspace(ode[0][0], 5.2, 60)
    predicted(left, line, [noise_plateau(e, noise) for e in line], "predicted for many units")
    left.set(xlabel="step η = γ/p", ylabel="risk of the noise plateau", xscale="log", yscale="log")
    legend(left, loc="upper left", fontsize=8)
    p = torch.tensor(widths, dtype=torch.float64)
    for values, name, colour, marker in ((mean, "means, γ = 1", BLUE, "o"), (total, "sums, γ = 0.05", ORANGE, "s")):
        curve(right, p, values, name, color=colour, marker=marker, markevery=1, linestyle="")
    predicted(right, p, [noise_plateau(1 / w, noise) for w in widths])
    predicted(right, p, [noise_plateau(0.05 * w, noise) for w in widths], None)
    right.set(xlabel="units p", xscale="log", yscale="log")
    _ticks(right.xaxis, widths)
    _ticks(right.yaxis, (1e-5, 2e-5, 5e-5))
    legend(right, loc="upper center", fontsize=8)
    ratios = ", ".join(f"{r.mean() / noise_plateau(e, noise):.2f} at η = {e:g}" for r, e in zip(sgd, etas, strict=True))
    fall, rise = (f"from {x[0].mean():.1e} to {x[-1].mean():.1e}" for x in (mean, total))
    return fig, (
        f"SGD over the closed form: {ratios}. From p = {widths[0]} to {widths[-1]} units the plateau of means falls {fall}, "
        f"that of sums rises {rise}."
    )


def trend(kappa: Sequence[float], delta: Sequence[float], maps: Mapping[int, np.ndarray], row: int) -> tuple[Figure, str]:
    """The exponent of d in the risk over the plane (left), and one row of the plane at several d (right).

    Args:
        kappa, delta: of the grid.
        maps: for each d the risks ``(kappa, delta)`` at natural time 1000; NaN where there is no ODE.
        row: which row is drawn.
    """
    fig, (left, right) = panels(2, size=(4.7, 3.5))
    ds = list(maps)
    slope = np.log10(maps[ds[-1]] / maps[ds[0]]) / np.log10(ds[-1] / ds[0])
    half = (delta[1] - delta[0]) / 2, (kappa[1] - kappa[0]) / 2
    extent = (delta[0] - half[0], delta[-1] + half[0], kappa[0] - half[1], kappa[-1] + half[1])
    image = left.imshow(slope, origin="lower", aspect="auto", extent=extent, cmap="RdBu_r", vmin=-1, vmax=1)
    left.grid(False)
    for (i, j), value in np.ndenumerate(slope):
        if np.isfinite(value):
            text = f"{value:+.1f}".replace("-", "−") if abs(value) >= 0.05 else "0"
            shade = "white" if abs(value) > 0.6 else "black"
            left.text(delta[j], kappa[i], text, ha="center", va="center", fontsize=7, color=shade)
    edges = np.array(extent[2:])
    predicted(left, -edges, edges, "plateau, κ + δ = 0")
    predicted(left, -edges - 0.5, edges, "κ + δ = −1/2", linestyle=":")
    legend(left, loc="lower left", fontsize=8)
    left.set(xlim=extent[:2], ylim=extent[2:], xlabel="δ (learning rate $d^{-δ}$)", ylabel="κ (width $d^κ$)")
    fig.colorbar(image, ax=left, label="exponent of d in the risk")
    for d, (colour, marker) in zip(ds, LOOK, strict=False):
        there = np.isfinite(maps[d][row])
        right.plot(delta[there], maps[d][row][there], color=colour, marker=marker, markersize=4, label=f"d = {d:.0e}")
    predicted(right, [-kappa[row]] * 2, [np.nanmin(maps[ds[-1]][row]), np.nanmax(maps[ds[-1]][row])], "κ + δ = 0")
    right.set(xlabel=f"δ, at κ = {kappa[row]:g}", ylabel="risk at natural time 1000", yscale="log")
    legend(right, loc="upper right", fontsize=8)
    total = np.add.outer(kappa, delta)
    good, bad = slope[(total > 1e-9) & np.isfinite(slope)], slope[(total < -1e-9) & np.isfinite(slope)]
    line = span(torch.tensor(slope[np.abs(total) < 1e-9]), "+.2f")
    return fig, (
        f"From d = {ds[0]:.0e} to {ds[-1]:.0e} the risk falls at {(good < 0).sum()} of {len(good)} points above the plateau "
        f"line and rises at {(bad > 0).sum()} of {len(bad)} points below it; on the line the exponent of d is {line}."
    )


def concentration(
    narrow: Mapping[float, Sequence[float]],
    broad: Mapping[float, Sequence[float]],
    orange: Mapping[int, tuple[Trace, Path, Path]],
    natural: Sequence[float],
) -> tuple[Figure, str]:
    """Exponents of the fluctuations (left); risks in bad learning with and without the drift (right).

    Args:
        narrow, broad: for each kappa + delta the exponents of the starts, at kappa = 0 and at kappa = 1.
        orange: for each d the run, the ODE with both terms, and the one with the noise alone.
        natural: the natural times of their records, without the first.
    """
    fig, (left, right) = panels(2, size=(4.6, 3.5))
    for name, found, colour, marker in (
        ("κ = 0", narrow, BLUE, "o"),
        ("κ = 1", broad, ORANGE, "s"),
    ):
        values = torch.tensor(np.array(list(found.values())))
        curve(left, torch.tensor(list(found)), values, name, color=colour, marker=marker, markevery=1)
    totals = [max(narrow), min(broad)]
    predicted(left, totals, [fluctuation_exponent(x) for x in totals])
    left.axhline(0, color=GREY, linewidth=1)
    left.axvline(-0.5, color=GREY, linewidth=1, linestyle=":")
    left.set(xlabel="κ + δ", ylabel="exponent of d in |SGD − ODE|")
    legend(left, loc="upper right", fontsize=8)
    for (d, (run, both, alone)), (colour, marker) in zip(orange.items(), LOOK, strict=False):
        curve(
            right,
            torch.as_tensor(natural),
            run.loss[1:],
            f"SGD, d = {d}",
            color=colour,
            marker=marker,
            markevery=1,
            linestyle="",
        )
        predicted(right, natural, both.risk[1:], "predicted, both terms" if d == min(orange) else None)
        if d == max(orange):
            predicted(right, natural, alone.risk[1:], "limit, noise alone", linestyle=":")
    right.set(xlabel="natural time", ylabel=RISK, xscale="log", yscale="log")
    legend(right, loc="lower left", fontsize=8)
    said = "; ".join(f"at d = {d} {run.loss[-1].mean():.3f} and {both.risk[-1]:.3f}" for d, (run, both, _) in orange.items())
    zero, low, half = (span(torch.as_tensor(found), ".2f") for found in (narrow[0], broad[-0.25], broad[-0.75]))
    return fig, (
        f"The exponent is {zero} at κ + δ = 0 for κ = 0; for κ = 1 it is {low} at −0.25 and {half} at −0.75. "
        f"In bad learning the last risks of SGD and of the ODE with both terms are {said}; "
        f"the ODE with the noise alone says {alone.risk[-1]:.2f}."
    )


def narrow(widths: Sequence[int], distance: Sequence[float], flows: Mapping[str, Trace], stop: float) -> tuple[Figure, str]:
    """Distance to infinite width against the width (left); risks ``(t, seeds)`` of ReLU students of one teacher (the rest)."""
    fig, axes = panels(1 + len(flows), size=(3.5, 3.3))
    first, *rest = axes
    first.plot(widths, distance, color=BLUE, marker="o", label="ODE")
    predicted(first, widths, distance[-1] * np.array(widths[-1]) / np.array(widths), "predicted: slope −1")
    first.set(xlabel="units p (erf)", ylabel="largest $|R_p - R_∞|$", xscale="log", yscale="log")
    _ticks(first.xaxis, widths)
    _ticks(first.yaxis, (0.002, 0.005, 0.01, 0.02, 0.04))
    legend(first, fontsize=8)
    said = []
    for ax, (name, trace) in zip(rest, flows.items(), strict=True):
        won = trace.loss[-1] < 1e-6
        groups = ((won, BLUE, "-", "find the solution"), (~won, ORANGE, "--", "are stuck"))
        for group, colour, dashes, what in groups:
            look = dict(color=colour, linestyle=dashes, linewidth=0.9)
            ax.plot(trace.time[1:], trace.loss[1:, group].clamp(min=1e-13), alpha=0.7, **look)
            ax.plot([], [], label=f"{int(group.sum())} {what}", **look)
        ax.axvline(stop, color=GREY, linestyle=":")
        ax.set(title=name, xlabel="time t", yscale="log", ylim=(1e-12, 1e-1))
        ax.set_xticks([0, 3000, 6000, 9000])
        legend(ax, loc="lower left", fontsize=8)
        early = (trace.loss[trace.time <= stop][-1] < 1e-6).double().mean()
        said.append(f"{name}: {won.double().mean():.0%} find the solution, {early:.0%} have found it at t = {stop:g}")
    rest[0].set_ylabel(RISK)
    near = " and ".join(f"{distance[i]:.1e} at p = {widths[i]}" for i in (0, -1))
    return fig, (
        f"ReLU units, {trace.loss.shape[1]} starts. {'; '.join(said)}. With erf units the distance to infinite width is {near}."
    )


def witness(ten: Trace, eleven: Trace) -> tuple[Figure, str]:
    """The run of ``eleven`` that finds the solution last, beside a run of ``ten`` that never does: risks ``(t, seeds)``."""
    fig, (ax,) = panels(size=(6.4, 3.2))
    late = torch.where(eleven.loss[-1] < 1e-6, (eleven.loss > 1e-6).sum(0), 0).argmax()
    stuck = ten.loss[-1].argmax()
    slow, level = eleven.loss[:, late], ten.loss[-1, stuck].item()
    ax.plot(
        eleven.time[1:], slow[1:].clamp(min=1e-13), color=BLUE, marker="o", markevery=0.08, markersize=4, label="slow: 11 units"
    )
    ax.plot(ten.time[1:], ten.loss[1:, stuck], color=ORANGE, marker="s", markevery=0.08, markersize=4, label="stuck: 10 units")
    ax.set(xlabel="time t", ylabel=RISK, yscale="log", ylim=(1e-9, 1e-2))
    legend(ax, loc="lower left")
    ax.set_title("The same height for thousands of units of time; one of them leaves.", fontsize=11)
    crosses = eleven.time[(slow > 1e-6).sum().clamp(max=len(slow) - 1)]
    near = eleven.time[((slow / level).log().abs() < 1).nonzero().flatten()]
    return fig, (
        f"ReLU units. The slow run is within a factor e of the height of the stuck one, {level:.3g}, from t = {near[0]:.0f} to "
        f"{near[-1]:.0f}, and crosses 1e-6 at t = {crosses:.0f}."
    )
