"""What the answers to the exercises of lesson 03 draw: each function takes an answer, and returns a figure and its sentence."""

from collections.abc import Callable
from functools import cache

import numpy as np
import torch
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from torch import Tensor

from regimes.online_sgd import overlap_chain
from regimes.theory.online_sgd import coefficients
from regimes.training import Trace
from regimes_course.kit.comparing import random
from regimes_course.kit.plotting import BLUE, GREEN, ORANGE, PINK, legend, panels, predicted
from regimes_course.lesson03.experiments import STARTS, g, recorded, rest, slope, start
from regimes_course.lesson03.figures import FILLS, RISK

__all__ = ["classify", "drift", "fluctuations", "i2_i3", "plateau", "rests", "step_to_time", "success_rates"]

PHASES = {"perfect learning": FILLS["perfect"], "plateau": BLUE, "bad learning": FILLS["bad"], "no ODE": FILLS["none"]}
DELTA, NOISE = 1 / 4, 1e-3


def classify(answer: Callable) -> tuple[Figure, str]:
    """The lesson's phase diagram, each point coloured by the answer; dots on the two lines, whose sums are not exact."""
    kappa, delta = np.linspace(0.01, 0.99, 40), np.linspace(-1.74, 0.99, 90)
    fig, (ax,) = panels(size=(5.6, 3.8))
    labels = np.array([[answer(float(k), float(d)) for d in delta] for k in kappa])
    for label, colour in PHASES.items():
        here = np.where(labels == label, 1.0, np.nan)
        ax.pcolormesh(delta, kappa, here, cmap=ListedColormap([colour]), zorder=0)
        if (labels == label).sum() > 40:
            y, x = np.nonzero(labels == label)
            ax.text(delta[x].mean(), kappa[y].mean(), label, ha="center", va="center", rotation=-58 if "bad" in label else 0)
    lines, told = {"κ + δ = 0": 0.0, "κ + δ = −1/2": -0.5}, []
    for (name, total), marker in zip(lines.items(), "os", strict=True):
        points = [(i / 10, total - i / 10) for i in range(11)]
        said = [answer(k, d) for k, d in points]
        for (k, d), label in zip(points, said, strict=True):
            ax.plot([d], [k], marker, color=PHASES[label], markeredgecolor="black", markersize=6, label="_")
        ax.plot([], [], marker, color="white", markeredgecolor="black", label=f"{name}, up to rounding")
        told.append(f"of 11 points with {name} it calls {', '.join(f'{said.count(x)} {x}' for x in dict.fromkeys(said))}")
    ax.set(xlabel="δ: learning rate $γ = d^{-δ}$", ylabel="κ: width $p ∝ d^{κ}$")
    ax.grid(False)
    legend(ax, loc="upper right")
    return fig, f"The phases as the function has them; {'; '.join(told)}."


@cache
def _curves() -> dict[int, Trace]:
    """Mean overlaps of 64 runs of SGD by the number of inputs, with the step ``d^(-1/4)``, recorded 25 times."""
    runs = {}
    for d in (20, 40, 80):
        at = [round(i * 8 * d ** (1 + DELTA) / 24) for i in range(25)]
        runs[d] = overlap_chain(*start(2, 2, 3), d, d**-DELTA, at[-1], label_noise=NOISE, runs=64, seed=d, at=at)
    return runs


def step_to_time(answer: Callable) -> tuple[Figure, str]:
    """What two units learn at three numbers of inputs, against the steps and against the natural time of the answer."""
    fig, (left, right) = panels(2, size=(3.7, 3.3), sharey=True)
    ends = []
    for (d, run), marker, colour in zip(_curves().items(), "os^", (BLUE, ORANGE, GREEN), strict=True):
        steps, M = run.step, run.measured["M"].mean(1)[:, 0, 1]
        time = torch.tensor([float(answer(n, d, 0.0, DELTA)) for n in steps.tolist()])
        for ax, x in ((left, steps), (right, time)):
            ax.plot(x, M, marker, linestyle="-", color=colour, markersize=3.5, linewidth=0.8, label=f"d = {d}")
        ends.append(f"{steps[-1]:,} steps at d = {d} are a time of {time[-1]:.3g}")
    left.set(xlabel="steps", ylabel="overlap of a unit with the teacher's")
    right.set(xlabel="natural time by the function")
    legend(right)
    return fig, f"SGD with the step d^(−1/4), means of 64 runs, against steps and against natural time: {'; '.join(ends)}."


def i2_i3(answer: Callable) -> tuple[Figure, str]:
    """Both integrals against the covariance of the first two fields: curves by the answer, dots by sampling."""
    rho = torch.linspace(-0.5, 0.5, 41, dtype=torch.float64)
    C = torch.tensor([[0.5, 0, 0.2], [0, 0.8, -0.1], [0.2, -0.1, 0.4]], dtype=torch.float64).repeat(41, 1, 1)
    C[:, 0, 1] = C[:, 1, 0] = rho
    z = random(0, 3, 100_000)
    sampled = torch.tensor([_averages(L @ z) for L in torch.linalg.cholesky(C[::5])], dtype=torch.float64)
    fig, axes = panels(2, size=(3.6, 3.1))
    told = []
    names = ("$I_2 = E[g(u_1)\\,g(u_2)]$", "$I_3 = E[g'(u_1)\\,u_2\\,g(u_3)]$")
    for ax, name, values, dots in zip(axes, names, answer(C.clone()), sampled.T, strict=True):
        predicted(ax, rho, values, "by the function")
        ax.plot(rho[::5], dots, "o", color=BLUE, label="100,000 samples")
        ax.set(title=name, xlabel="covariance of $u_1$ and $u_2$")
        told.append((values[::5] - dots).abs().max().item())
    legend(axes[0])
    return fig, f"Sampling and the function differ by at most {told[0]:.1g} in I₂ and {told[1]:.1g} in I₃."


def _averages(u: Tensor) -> tuple[float, float]:
    one, two, three = u.numpy()
    return float((g(one) * g(two)).mean()), float((slope(one) * two * g(three)).mean())


@cache
def _small_steps() -> tuple[Tensor, Tensor, Trace]:
    """A start of two units, and the overlaps of 64 runs of SGD from there with steps of 0.2."""
    Q, M = start(2, 2, 3)
    at = [round(i * 3000 / 20) for i in range(21)]
    return Q, M, overlap_chain(Q, M, 30, 0.2, at[-1], runs=64, seed=1, at=at)


def drift(answer: Callable) -> tuple[Figure, str]:
    """Overlaps with the teacher that follow the drift of the answer, on those of SGD with small steps."""
    Q, M, run = _small_steps()
    t, c, path = 0.2 / 30 * run.step, torch.as_tensor(coefficients(2, 2)), [M]
    for _ in range(400):
        dQ, dM = answer(torch.cat([torch.cat([Q, M], 1), torch.cat([M.T, torch.eye(2, dtype=Q.dtype)], 1)]), c.clone(), 2)
        Q, M = Q + t[-1] / 400 * dQ, M + t[-1] / 400 * dM
        path.append(M)
    exact, measured = torch.stack(path), run.measured["M"].mean(1)
    fig, (ax,) = panels(size=(6.0, 3.6))
    for (j, r), marker, colour in zip(((0, 0), (0, 1), (1, 0), (1, 1)), "os^D", (BLUE, ORANGE, GREEN, PINK), strict=True):
        predicted(ax, torch.linspace(0, t[-1], 401), exact[:, j, r], "by the function" if j == r == 0 else None)
        ax.plot(t, measured[:, j, r], marker, color=colour, markersize=5, label=f"unit {j + 1}, teacher unit {r + 1}")
    ax.set(xlabel="time t = ην/d", ylabel="overlaps M with the teacher")
    legend(ax, fontsize=8)
    off = (measured - exact[::20]).square().mean().sqrt().item()
    return fig, (
        f"Dots: means of 64 runs of SGD with steps of 0.2. Dashed: small steps along the function, which leaves the noise of "
        f"SGD out. Root mean square distance: {off:.1g}, of overlaps up to {measured.max():.2g}."
    )


@cache
def _floors() -> dict[int, dict[float, float]]:
    """By the number of units and the step the risk of SGD at rest, from the solution: a mean over 100 runs and some times."""
    found = {}
    for p, until in ((1, 25), (4, 60)):
        found[p] = {}
        for eta in (1.0, 2.0, 3.0):
            steps = round(until * 14 / eta)
            one = torch.eye(p, dtype=torch.float64)
            at = [0, *range(steps * 3 // 5, steps + 1, max(1, steps // 40))]
            run = overlap_chain(one, one, 14, eta, at[-1], label_noise=NOISE, runs=100, seed=p, at=at)
            found[p][eta] = run.loss[1:].mean().item()
    return found


def plateau(answer: Callable) -> tuple[Figure, str]:
    """The floor by the answer against the step, and that of SGD for one unit and for four."""
    fig, (ax,) = panels(size=(6.0, 3.5))
    eta = np.linspace(0.05, 4.5, 60)
    predicted(ax, eta, [answer(4 * float(e), 4, NOISE) for e in eta], "by the function")
    told = []
    for (p, floors), colour, marker in zip(_floors().items(), (ORANGE, BLUE), "so", strict=True):
        ax.plot(list(floors), list(floors.values()), marker, color=colour, label=f"SGD, {p} unit{'s' if p > 1 else ''}")
        told.append(f"{floors[2.0] / answer(2.0 * p, p, NOISE):.2f} times the function with {p} unit{'s' if p > 1 else ''}")
    ax.set(xlabel="step η = γ/p", ylabel="risk of the floor", ylim=(0, 2.5 * NOISE), xlim=(0, 4.5))
    legend(ax)
    return fig, f"Label noise {NOISE:g}, d = 14. At η = 2 the floor of SGD is {' and '.join(told)}."


def rests(answer: Callable) -> tuple[Figure, str]:
    """The risk of three networks while the answer advances them, coloured by what it calls them."""
    boxes = ((10**5, 1.0, 4e-3, 60.0), (50, 1.0, 4e-3, 300.0), (50, 3.0, 4e-3, 600.0))
    fig, (ax,) = panels(size=(6.2, 3.6))
    told = []
    for (d, eta, noise, until), marker in zip(boxes, "osD", strict=True):
        network, seen = rest(d, eta, noise, until), [(0.0, np.nan, eta)]

        def advance(step: float, steps: float, network=network, seen=seen) -> float:
            for _ in range(5):
                risk = network(step, steps / 5)
                seen.append((seen[-1][0] + step * steps / 5, risk, step))
            return risk

        label = answer(advance, eta)
        t, R, steps = np.array(seen[1:]).T
        colour = ORANGE if label == "noise" else BLUE
        ax.plot(t, R, marker, linestyle="-", color=colour, markersize=4, label=f"d = {d:,}, η = {eta:g}: {label}")
        told.append(f"{label} (risk {R[0]:.1e} to {R[-1]:.1e}, step {steps[0]:g} to {steps[-1]:g})")
    ax.set(xlabel="time since the network was handed over", ylabel=RISK, yscale="log")
    legend(ax, fontsize=8)
    return fig, f"Three networks while the function looks at them: {'; '.join(told)}."


def fluctuations(answer: Callable) -> tuple[Figure, str]:
    """The distance between SGD and its ODE, by the answer, at four numbers of inputs."""
    ds = [25, 50, 100, 200]
    E, power = answer(*start(), 1.0, NOISE, [0, 1, 2], ds, 24)
    E, x = torch.tensor([float(value) for value in E]), torch.tensor(ds) / (ds[0] * ds[-1]) ** 0.5
    fig, (ax,) = panels(size=(5.4, 3.2))
    ax.plot(ds, E, "o", color=BLUE, label="24 runs of SGD")
    ax.plot(ds, E.log().mean().exp() * x ** float(power), color=BLUE, label=f"slope {float(power):.2f}, by the function")
    predicted(ax, ds, E.log().mean().exp() * x**-0.5, "predicted: slope −1/2")
    ax.set(xlabel="inputs d", ylabel="distance from the ODE", xscale="log", yscale="log")
    ax.set_xticks(ds, [str(d) for d in ds], minor=False)
    ax.minorticks_off()
    legend(ax)
    return (
        fig,
        f"From d = {ds[0]} to {ds[-1]} the distance falls from {E[0]:.2g} to {E[-1]:.2g}, with slope {float(power):.2f}.",
    )


def success_rates(answer: Callable) -> tuple[Figure, str]:
    """Recorded runs, as long as the answer follows them, and its shares."""
    longest = 1.0

    def flow(k, p, seeds, until):
        nonlocal longest
        longest = max(longest, float(until))
        return recorded(k, p, seeds, float(until))

    shares = [float(share) for share in answer(flow, 10, list(range(STARTS)))]
    fig, axes = panels(2, size=(3.7, 3.2), sharey=True)
    for ax, p, share in zip(axes, (10, 11), shares, strict=True):
        run = recorded(10, p, range(STARTS), longest)
        t, loss = run.time[1:], run.loss[1:].clamp(min=1e-12)
        found = loss[-1] < 1e-6
        for which, colour in ((found, BLUE), (~found, ORANGE)):
            ax.plot(t, loss[:, which], color=colour, linewidth=0.8, label="_")
        predicted(ax, t[[0, -1]], [1e-6, 1e-6], "found below this")
        ax.set(title=f"{p} units: found by {share:.0%}", xlabel="time t", yscale="log", ylim=(1e-10, 1))
    axes[0].set_ylabel(RISK)
    legend(axes[0], loc="upper right")
    return fig, (
        f"24 starts with ten teacher units, followed to t = {run.time[-1]:,.0f}: by the function {shares[0]:.0%} find "
        f"the solution with ten units and {shares[1]:.0%} with eleven."
    )
