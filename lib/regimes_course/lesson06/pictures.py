"""What the answers to the exercises of lesson 06 draw: each function takes an answer, and returns a figure and its sentence."""

import copy
import math
from collections.abc import Callable
from functools import cache

import torch
from matplotlib.figure import Figure
from torch import Tensor

from regimes.kernels import neural_tangent_kernel
from regimes.networks import TwoLayer
from regimes.optimizers import GradientDescent
from regimes.problems import digits, parity
from regimes.theory.lazy import relu_kernel
from regimes.training import Trace, train
from regimes_course.kit.plotting import BLUE, GREEN, ORANGE, PINK, curve, legend, panels, predicted
from regimes_course.lesson06 import figures
from regimes_course.lesson06.experiments import CORNERS, LINE, RATE, TENT, Path, path, tent

__all__ = ["predict", "relu_limit", "samples_needed", "scaled_loss"]


def relu_limit(answer: Callable) -> tuple[Figure, str]:
    """The lesson's picture of a lazy network on the tent, predicted with the answer's kernel alone."""
    X, line = (torch.stack([x, torch.ones_like(x)], 1) for x in (TENT, LINE))
    run, K, K_line = path(10.0, 1000, steps=1000), answer(X.clone(), X.clone()), answer(line, X.clone())
    lam, Q = torch.linalg.eigh(K)
    seen = {}
    for wanted in (10, 100, 1000):
        at = int((run.step - wanted).abs().argmin())
        k = int(run.step[at])
        law = K_line @ Q @ ((1 - (1 - RATE * lam) ** k) / lam * (Q.T @ tent(TENT)))
        seen[k] = run.outputs(LINE, at), law
    fig, says = figures.learned(LINE, seen)
    return fig, f"1000 units, and the function's kernel of infinitely many. {says}"


@cache
def _digits_run() -> tuple[tuple[Tensor, Tensor, Tensor, Tensor], Trace]:
    """The kernels, residuals and outputs at the start of a lazy network on digits, and its outputs while it trains."""
    data = digits(3, 8, n=30, unit=True, seed=1)
    net = TwoLayer(64, 1000, activation="erf", scaling="ntk", bias=False, output_std=1.0, seed=2)
    K, K_new = (neural_tangent_kernel(net, x, data.x).detach() for x in (data.x, data.x_test[:3]))
    start = K, K_new, (net(data.x) - data.y).detach(), net(data.x_test[:3]).detach()
    rule = GradientDescent(net, 0.1 * 30 / torch.linalg.eigvalsh(K)[-1].item())
    return start, train(net, data.x, data.y, rule, 300, every=10, measure={"f": lambda net: net(data.x_test[:3])})


def predict(answer: Callable) -> tuple[Figure, str]:
    """Three outputs of a network while it trains, and the answer, which has not seen it train."""
    start, trace = _digits_run()
    f, time = trace.measured["f"], trace.time
    formula = torch.stack([answer(*(value.clone() for value in start), t) for t in time.tolist()])
    fig, (ax,) = panels(size=(5.8, 3.2))
    for i, look in enumerate(("Gauss-Newton", "gradient descent", "damped Gauss-Newton")):
        curve(ax, time, f[:, i], f"test image {i + 1}", look=look)
        predicted(ax, time, formula[:, i], None if i else "by the function")
    ax.set(xlabel="time t", ylabel="output at a test image")
    legend(ax, fontsize=8)
    return fig, (
        f"Three outputs of a network with 1000 units move by up to {(f - f[0]).abs().max():.2g}, and stay within "
        f"{(f - formula).abs().max():.1g} of the function."
    )


@cache
def _shares() -> dict[tuple[int, int], dict[int, float]]:
    """By signs and signs in the product, the share of new samples that regression with the kernel gets right, by samples."""
    found = {}
    for d, k in ((15, 2), (25, 2), (10, 4), (20, 3)):
        found[d, k] = {}
        for n in (25, 50, 100, 200, 400, 800):
            data = parity(n, d, k=k, seed=0)
            K, K_new = (relu_kernel(x, data.x) for x in (data.x, data.x_test))
            f = K_new @ torch.linalg.solve(K + 1e-9 * torch.eye(n), data.y)
            found[d, k][n] = (f * data.y_test > 0).double().mean().item()
    return found


def samples_needed(answer: Callable) -> tuple[Figure, str]:
    """The lesson's picture of what a kernel pays, against samples over the answer's count."""
    fig, (left, right) = panels(2, size=(3.8, 3.3), sharey=True)
    few, many, never = [0.0], [1.0], [0.0]
    looks = zip((BLUE, GREEN, ORANGE, PINK), "o^sD", strict=True)
    for ((d, k), shares), (colour, marker) in zip(_shares().items(), looks, strict=True):
        needed = answer(d, k)
        blind = math.isinf(needed)
        label = f"{k} of {d} signs: {'∞' if blind else f'{needed:,}'}"
        x = [n if blind else n / needed for n in shares]
        look = {"marker": marker, "color": colour, "label": label, "linewidth": 0.8}
        (right if blind else left).plot(x, list(shares.values()), **look)
        for ratio, share in zip(x, shares.values(), strict=True):
            if blind:
                never.append(share)
            elif ratio <= 0.5:
                few.append(share)
            elif ratio >= 2:
                many.append(share)
    predicted(left, [1, 1], [0.4, 1], "the function's count")
    left.set(xlabel="samples / the function's count", xscale="log", ylabel="new samples right")
    right.set(xlabel="samples", xscale="log", title="no number will do")
    for ax in (left, right):
        predicted(ax, ax.get_xlim(), [0.5, 0.5], "guessing", linewidth=0.8)
        legend(ax, loc="upper left", fontsize=8)
    return fig, (
        f"With half of the function's count or less the kernel gets at most {max(few):.0%} right, with twice of it or more at "
        f"least {min(many):.0%}; where the count is infinite, at most {max(never):.0%}."
    )


def _trained(loss: Callable, alpha: float, steps: int = 500) -> Path:
    """Descent by autograd of ``loss(net, start, x, y, alpha)`` on the tent, from twins; every 20th step is kept."""
    net = TwoLayer(1, 100, activation="relu", scaling="ntk", output_std=1.0, seed=0)
    with torch.no_grad():
        net.W[50:], net.v[50:] = net.W[:50], -net.v[:50]
    start, y, seen = copy.deepcopy(net), tent(TENT), []
    for k in range(steps + 1):
        value = loss(net, start, TENT[:, None], y, alpha)
        if k % 20 == 0:
            left = 2 * alpha**2 * value.item() / y.square().mean().item()
            seen.append((k, net.W.detach().clone(), net.v.detach().clone(), left))
        for p, g in zip(net.parameters(), torch.autograd.grad(value, list(net.parameters())), strict=True):
            p.data -= 0.08 * len(y) * g
    at, W, v, lefts = zip(*seen, strict=True)
    return Path(alpha, torch.tensor(at), torch.stack(W), torch.stack(v), torch.tensor(lefts))


def scaled_loss(answer: Callable) -> tuple[Figure, str]:
    """The lesson's first picture: a rich and a lazy network, both trained by autograd through the answer."""
    fig, axes = panels(2, 2, size=(3.6, 2.4), sharex=True)
    told = []
    for alpha, function, lines, colour in zip((0.1, 10.0), axes[:2], axes[2:], (BLUE, ORANGE), strict=True):
        run = _trained(answer, alpha)
        function.plot(LINE, run.outputs(LINE), color=colour)
        function.plot(TENT, tent(TENT), "ko", markersize=5)
        function.set(ylim=(-0.3, 1.4), title=f"α = {alpha:g}: weights moved × {run.moved[-1]:.2g}")
        lines.add_collection(figures.world_lines(run, colour))
        for corner in CORNERS:
            predicted(lines, [corner, corner], [0, 1], linewidth=1)
        lines.set(xlim=(-1.05, 1.05), ylim=(0, 1), xlabel="x")
        lines.set_yticks([0, 1], ["start", "end"])
        lines.grid(False)
        far = f"with α = {alpha:g} the weights move by {run.moved[-1]:.2g} times their length"
        told.append(f"{far} ({run.left[-1]:.0%} of the loss left)")
    axes[0].set_ylabel("output")
    axes[2].set_ylabel("training time (log)")
    return fig, f"500 steps by the function's gradient: {'; '.join(told)}. Below, where each unit bends the output."
