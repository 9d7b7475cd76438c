"""What the answers to the exercises of lesson 04 draw: each function takes an answer, and returns a figure and its sentence."""

import math
from collections.abc import Callable

import torch
from matplotlib.figure import Figure
from torch import Tensor

from regimes.metrics import row_space
from regimes_course.kit.comparing import random
from regimes_course.kit.plotting import BLUE, GREEN, GREY, LOOKS, ORANGE, PINK, SKY, curve, legend, panels, predicted, style
from regimes_course.lesson04.boxes import BOXES, data, recorded
from regimes_course.lesson04.figures import cloud, fits
from regimes_course.lesson04.plane import ANGLE, draw_starts, ray

__all__ = [
    "distance_from_last_layer",
    "gn_step",
    "imbalance_level",
    "invariant_init",
    "scalar_flow",
    "start_sizes",
    "what_is_kept",
]


def _walk(X: Tensor, Y: Tensor, U: Tensor, V: Tensor, eta: float, steps: int) -> tuple[Tensor, Tensor]:
    """Weights ``U (..., d, m)`` and ``V (..., q, m)``, step by step, under gradient descent on ``|Y - X U V^T|^2 / 2``."""
    path = [(U, V)]
    for _ in range(steps):
        G = X.mT @ (Y - X @ U @ V.mT)
        U, V = U + eta * G @ V, V + eta * G.mT @ U
        path.append((U, V))
    return tuple(map(torch.stack, zip(*path, strict=True)))


def _plane(alpha: float, runs: int) -> tuple[Tensor, Tensor]:
    """Weights ``(runs, 2, m)``, ``(runs, 1, m)`` of the lesson's networks on two inputs, of size ``m^-alpha`` with m = 64."""
    start = draw_starts(alpha, runs=runs)
    along, across = ray(ANGLE)[:, None], ray(ANGLE + math.pi / 2)[:, None]
    return along * start.u[:, None] + across * start.u2[:, None], start.v[:, None]


def distance_from_last_layer(answer: Callable) -> tuple[Figure, str]:
    """The lesson's first picture, and beside it how far from the shortest fit its networks end, measured and by the answer."""
    X, Y = ray(ANGLE)[None], torch.ones(1, 1, dtype=torch.float64)
    fig, (left, right) = panels(2, size=(3.7, 3.9))
    fits(left)
    off = []
    for alpha, colour, marker in zip((1 / 4, 1 / 2, 1.0), (ORANGE, BLUE, GREEN), "os^", strict=True):
        U, V = _walk(X, Y, *_plane(alpha, 40), 0.05, 200 if alpha < 1 else 400)
        Theta = (U @ V.mT)[..., 0]
        cloud(left, Theta, colour)
        measured = (Theta[-1] - X).norm(dim=-1)
        told = torch.tensor([float(answer(X.clone(), u.clone(), v.clone())) for u, v in zip(U[0], V[-1], strict=True)])
        off.append((told - measured).abs().max())
        right.plot(measured, told, marker, color=colour, markersize=4, alpha=0.7, label=f"weights of size {64**-alpha:.2g}")
    predicted(right, [1e-4, 3], [1e-4, 3], "equal")
    left.set_ylabel(r"$\Theta_2$", labelpad=2)
    right.set(xscale="log", yscale="log", xlabel="distance, measured", ylabel="distance by the function", xlim=(1e-4, 4))
    right.set(ylim=(1e-4, 4), aspect="equal")
    legend(right, fontsize=8)
    worst = max(off).item()
    return fig, (
        f"120 networks end on the line of all fits (left, coloured). From the start of U and the end of V the function tells "
        f"how far from the shortest fit they end: off by at most {'1e-4' if worst < 1e-4 else f'{worst:.1g}'}."
    )


def start_sizes(answer: Callable) -> tuple[Figure, str]:
    """Losses of 20 networks that start with the sizes of the answer, and how far from the shortest fit they end."""
    m, r, d, rate, distance = 200, 5, 20, 8.0, 0.2
    size_U, size_V = map(float, answer(m, r, d, rate, distance))
    X, Y = torch.eye(r, d, dtype=torch.float64), 0.2 * random(0, r, 1)
    U, V = _walk(X, Y, size_U * random(1, 20, d, m), size_V * random(2, 20, 1, m), 0.02, 110)
    Theta, t = (U @ V.mT)[..., 0], 0.02 * torch.arange(111)
    loss = (Y[:, 0] - Theta[..., :r]).square().sum(-1) / 2
    ends = Theta[-1, :, r:].norm(dim=-1)
    rms = ends.square().mean().sqrt().item()
    fig, (left, right) = panels(2, size=(3.6, 3.2))
    curve(left, t, loss / loss[0], "20 networks", look="gradient descent")
    predicted(left, t, torch.exp(-rate * t), f"asked for: rate {rate:g}")
    left.set(xlabel="time t", ylabel="relative loss", yscale="log", ylim=(1e-8, 2), xlim=(0, 2.2))
    right.hist(ends.numpy(), bins=torch.linspace(0, 2 * distance, 21).numpy(), color=ORANGE, alpha=0.7)
    right.axvline(distance, color="black", linestyle="--", label="asked for")
    right.axvline(rms, color=ORANGE, label="root mean square")
    right.set(xlabel="distance from the shortest fit", ylabel="networks", xlim=(0, 2 * distance))
    legend(left)
    legend(right, fontsize=8)
    sloped = loss[25:75].log().diff(dim=0).mean().abs().item() / 0.02
    return fig, (
        f"Sizes {size_U:.2g} and {size_V:.2g}: the loss falls at the rate {sloped:.2g}, where {rate:g} was asked for, and the "
        f"networks end {rms:.2g} away from the shortest fit, where {distance:g} was asked for."
    )


def invariant_init(answer: Callable) -> tuple[Figure, str]:
    """Distance from the shortest fit during training, from random starts and from those of the answer."""
    X, Y = data()
    space, (m, q) = row_space(X), (24, 2)
    starts = {
        "random start": [(0.5 * random(i, X.shape[1], m), 0.4 * random(100 + i, q, m)) for i in range(8)],
        "the answer's": [answer(X.clone(), m, q, i) for i in range(8)],
    }
    fig, (ax,) = panels(size=(6.0, 3.4))
    ends, shortest = [], space.min_norm(space.outside.new_zeros(len(X), q) + Y)
    labels = X @ shortest
    for (name, pairs), colour, marker in zip(starts.items(), (ORANGE, BLUE), "so", strict=True):
        U, V = (torch.stack(parts) for parts in zip(*pairs, strict=True))
        size = (U.square().sum((1, 2)) + V.square().sum((1, 2))).max().item()
        U, V = _walk(X, labels, U, V, 1 / size, 2000)
        apart = torch.linalg.matrix_norm(U[::20] @ V[::20].mT - shortest) / torch.linalg.matrix_norm(shortest)
        curve(ax, 20 * torch.arange(len(apart)), apart.clamp(min=1e-13), name, color=colour, marker=marker)
        ends.append(apart[-1].median().item())
    ax.set(xlabel="step", ylabel="distance from the shortest fit,\nrelative to its length", yscale="log")
    legend(ax)
    return (
        fig,
        f"After 2000 steps of gradient descent: {ends[0]:.2g} from random starts, {ends[1]:.1g} from those of the function "
        "(medians of 8).",
    )


def imbalance_level(answer: Callable) -> tuple[Figure, str]:
    """The slowest rate of the loss from starts of several sizes, and the rate that the level of the answer guarantees."""
    X, Y = random(0, 6, 4) @ random(1, 4, 9) / 4, random(2, 6, 4)
    Y = X @ torch.linalg.pinv(X) @ Y[:, :2]
    sizes, dt = torch.logspace(-1.05, 0.35, 9, dtype=torch.float64), 2e-3
    U = sizes[:, None, None] * random(3, 1, 9, 30)
    V = 0.2 / sizes[:, None, None] * random(4, 1, 2, 30)
    least = torch.linalg.svdvals(X)[3].item()
    guaranteed = torch.tensor(
        [2 * least**2 * float(answer(X.clone(), u.clone(), v.clone())[0]) for u, v in zip(U, V, strict=True)]
    )
    loss = []
    for _ in range(400):
        loss.append((Y - X @ U @ V.mT).square().sum((1, 2)) / 2)
        U, V = _runge_kutta(X, Y, U, V, dt)
    loss = torch.stack(loss)
    rate = torch.where(loss[1:] > 1e-15 * loss[0], -loss.log().diff(dim=0) / dt, torch.inf).amin(0)
    fig, (ax,) = panels(size=(6.0, 3.5))
    ax.plot(sizes**2 / 0.2, rate, "o", color=BLUE, label="measured, slowest moment")
    ax.plot(sizes**2 / 0.2, guaranteed, "--_", color="black", markersize=12, label="guaranteed by the level")
    ax.set(xscale="log", yscale="log", xlabel="size of U / size of V at the start", ylabel="rate of the loss")
    legend(ax)
    ratio = rate / guaranteed
    return fig, (
        f"Nine starts with the same product of sizes. The slowest rate met on the way is {ratio.min():.3g} to "
        f"{ratio.max():.3g} times the guaranteed one; it is {rate.min():.2g} in the middle "
        f"and {rate[0]:.2g} and {rate[-1]:.2g} at the ends."
    )


def _runge_kutta(X: Tensor, Y: Tensor, U: Tensor, V: Tensor, dt: float) -> tuple[Tensor, Tensor]:
    """A step of the gradient flow, to fourth order."""

    def speed(U, V):
        G = X.mT @ (Y - X @ U @ V.mT)
        return G @ V, G.mT @ U

    a = speed(U, V)
    b = speed(U + dt / 2 * a[0], V + dt / 2 * a[1])
    c = speed(U + dt / 2 * b[0], V + dt / 2 * b[1])
    d = speed(U + dt * c[0], V + dt * c[1])
    return tuple(A + dt / 6 * (a[i] + 2 * b[i] + 2 * c[i] + d[i]) for i, A in enumerate((U, V)))


def gn_step(answer: Callable) -> tuple[Figure, str]:
    """The lesson's plane from small weights, trained by the answer's steps in full and by a tenth of them."""
    target, runs = torch.ones(1, 1, dtype=torch.float64), 20
    U, V = _plane(1.0, runs)
    along, across = ray(ANGLE), ray(ANGLE + math.pi / 2)
    fig, axes = panels(3, size=(2.5, 3.2))
    ends, grown = [], []
    for ax, (eta, steps), colour in zip(axes, ((1.0, 5), (0.1, 40)), (LOOKS["Gauss-Newton"][0], SKY), strict=False):
        u, v, u2 = (along @ U)[:, None], V, (across @ U)[:, None]
        Theta, lengths = [], []
        for k in range(steps + 1):
            Theta.append((u @ v.mT)[:, 0] * along + (u2 @ v.mT)[:, 0] * across)
            lengths.append(v.square().sum((1, 2)))
            if k < steps:
                both = [answer(a.clone(), b.clone(), target.clone()) for a, b in zip(u, v, strict=True)]
                du, dv = (torch.stack(parts) for parts in zip(*both, strict=True))
                u, v = u + eta * du, v + eta * dv
        fits(ax, (-0.1, 1.5, -0.35, 1.25))
        cloud(ax, torch.stack(Theta), colour, 3.5)
        ends.append((Theta[-1] @ across).square().mean().sqrt().item())
        ax.set_title(f"steps η = {eta:g}:\nends ±{ends[-1]:.2g}", fontsize=10, color=colour)
        grown.append([size.median().item() for size in lengths[:2]])
        curve(axes[2], eta * torch.arange(steps + 1), torch.stack(lengths), f"η = {eta:g}", color=colour)
    axes[2].set(xlabel="time, η × steps", yscale="log")
    axes[2].set_title("|V|², squared length\nof the last layer", fontsize=10)
    legend(axes[2])
    return fig, (
        f"{runs} small starts, moved by the function's steps. In full steps they end ±{ends[0]:.2g} from the shortest fit, in "
        f"tenths of a step ±{ends[1]:.2g}. The first full step takes |V|² from {grown[0][0]:.2g} to {grown[0][1]:.2g}."
    )


def what_is_kept(answer: Callable) -> tuple[Figure, str]:
    """For each optimizer how much its recordings break the three properties, and what the answer says of them."""
    X, _ = data()
    space = row_space(X)
    fig, axes = panels(3, size=(2.3, 4.2), sharey=True)
    counts = []
    said = [
        answer(X.clone(), *((U.clone(), V.clone()) for U, V in (one.coarse, one.fine, one.inside)))
        for one in map(recorded, BOXES)
    ]
    for which, (ax, title) in enumerate(
        zip(axes, ("U₂ moves by", "leaves the set by", "Λ drifts: fine / coarse"), strict=True)
    ):
        for i, box in enumerate(BOXES):
            yes = bool(said[i][which])
            how = _broken(space, recorded(box))[which]
            ax.plot([max(how, 1e-16)], [i], "o" if yes else "x", color=BLUE if yes else ORANGE, markersize=7, label="_")
        counts.append(sum(bool(three[which]) for three in said))
        ax.set(xscale="log", title=title, xlim=(1e-17, 10) if which < 2 else (0.02, 50), ylim=(len(BOXES) - 0.5, -0.5))
        ax.set_yticks(range(len(BOXES)))
    axes[0].set_ylabel("optimizer")
    axes[0].plot([], [], "o", color=BLUE, label="kept, says the function")
    axes[0].plot([], [], "x", color=ORANGE, label="broken, says the function")
    with style():
        fig.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=2)
    return fig, (
        f"Of {len(BOXES)} optimizers the function calls U₂ frozen for {counts[0]}, the set kept for {counts[1]} and Λ "
        f"conserved for {counts[2]}. Across: what the recordings show."
    )


def _broken(space, recording) -> tuple[float, float, float]:
    """How far ``U2`` moves, how large the products become inside the set, and what a quarter of the step leaves of a drift."""
    U1, U2 = space.split(recording.inside[0])
    products = torch.cat([recording.inside[1], U1], 1) @ U2.mT
    moved = space.split(recording.coarse[0])[1]
    drifts = []
    for U, V in (recording.coarse, recording.fine):
        seen, _ = space.split(U)
        Lambda = seen.mT @ seen - V.mT @ V
        drifts.append((Lambda - Lambda[0]).abs().max().item())
    return (moved - moved[0]).abs().max().item(), products.abs().max().item(), (drifts[1] + 1e-16) / (drifts[0] + 1e-16)


def scalar_flow(answer: Callable) -> tuple[Figure, str]:
    """The lesson's plane of two weights: paths by the answer, and their products over time."""
    t = torch.linspace(0, 6, 121, dtype=torch.float64)
    fig, (left, right) = panels(2, size=(3.8, 3.8))
    u = torch.linspace(0.3, 3, 80)
    for sign in (1, -1):
        left.plot(sign * u, sign / u, color=GREEN, linewidth=3, alpha=0.6, label="all fits" if sign > 0 else "_")
    starts = [(1.5, -1.2), (1.8, -0.3), (-1.5, 1.2), (-0.3, 1.8), (2.0, 1.6), (-1.9, -1.7), (0.05, -0.04), (1.0, -1.0)]
    looks = zip((PINK, SKY, ORANGE, BLUE, GREEN, GREY, "black", "#E69F00"), "Dvosx^*P", strict=True)
    late = 0.0
    for (u0, v0), (colour, marker) in zip(starts, looks, strict=True):
        x, y = answer(u0, v0, 1.0, t.clone())
        left.plot(x, y, color=colour, linewidth=1.6, marker=marker, markevery=[0], markersize=6, label="_")
        right.plot(t, x * y, color=colour, marker=marker, markevery=30, markersize=4, label=f"({u0:g}, {v0:g})")
        late = max(late, (x**2 - y**2 - u0**2 + v0**2).abs().max().item())
    left.plot([0], [0], "X", color="black", markersize=9, label="saddle")
    left.set(xlim=(-2.2, 2.2), ylim=(-2.2, 2.2), aspect="equal", xlabel="u", ylabel="v")
    right.set(xlabel="time t", ylabel="product uv", ylim=(-1.9, 3.6))
    legend(left, loc="lower left", fontsize=8)
    legend(right, fontsize=7, ncols=2, title="start (u, v)")
    times = {start: _half(t, *answer(*start, 1.0, t.clone())) for start in (starts[6], starts[1])}
    end = (x * y)[-1].abs().item()
    told = "; ".join(f"{time:.1f} from ({a:g}, {b:g})" for (a, b), time in times.items())
    return fig, (
        f"Paths of eight starts for y = 1. Every one stays on its hyperbola to {'1e-9' if late < 1e-9 else f'{late:.1g}'}; the "
        f"last ends at uv = {end:.2f}, the saddle. The product is half way at t = {told}: near the saddle training is slow."
    )


def _half(t: Tensor, u: Tensor, v: Tensor) -> float:
    """When the product has come to a half."""
    return t[int((u * v >= 0.5).int().argmax())].item()
