"""Figures of lesson 03. Each function returns the figure and the sentence that says what it shows."""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator
from torch import Tensor

from regimes.theory.online_sgd import Path
from regimes.theory.sgd_phases import fluctuation_exponent, noise_plateau, unspecialised_plateau
from regimes.training import Trace
from regimes_course.kit.plotting import BLUE, GREEN, GREY, ORANGE, PINK, SKY, curve, legend, panels, predicted
from regimes_course.kit.words import span

__all__ = ["concentration", "learning", "narrow", "plateaus", "specialisation", "trend"]

LOOK = ((BLUE, "o"), (ORANGE, "s"), (GREEN, "^"), (PINK, "D"))
RISK = "risk R"


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
    left.set(xlabel="time t = ηk/d", ylabel=RISK, xscale="log", yscale="log")
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
    predicted(left, line, [noise_plateau(e, noise) for e in line], "predicted, Δ/2 · a/(1−a)")
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
        for group, colour, style, what in groups:
            look = dict(color=colour, linestyle=style, linewidth=0.9)
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
