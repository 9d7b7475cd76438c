"""What the answers to the exercises of lesson 07 draw: each function takes an answer, and returns a figure and its sentence."""

from collections.abc import Callable
from functools import cache

import torch
from matplotlib.figure import Figure
from torch import Tensor
from torch.func import functional_call, jvp

from regimes.metrics import loss_on
from regimes.networks import Reversible
from regimes.problems import Images, ten_digits
from regimes.theory.gauss_newton import step_loss
from regimes_course.kit.comparing import random
from regimes_course.kit.plotting import BLUE, GREEN, LOSS, ORANGE, curve, legend, panels, predicted
from regimes_course.lesson07.experiments import half, optimizer
from regimes_course.lesson07.figures import LOOKS, RIGHT
from regimes_course.lesson07.rules import exact_step as walk_back
from regimes_course.lesson07.rules import half_layers, kernel_step, right

__all__ = ["changes", "cka", "exact_step", "invert", "min_norm", "one_block", "verified"]

IMAGES, WIDTH = 32, 128  # of the runs


def _start() -> tuple[Images, Reversible]:
    return ten_digits(IMAGES, seed=0), Reversible(64, 10, WIDTH, seed=100)


@torch.no_grad()
def invert(answer: Callable) -> tuple[Figure, str]:
    """Digits, what a chain makes of them, and what the answer makes of that."""
    x, L, m = ten_digits(8, seed=0).x, 4, 48
    V, W = random(1, L, 2, 32, m) / 32**0.5, 0.1 * random(2, L, 2, m, 32)
    x1, x2 = x.chunk(2, 1)
    for v, w in zip(V, W, strict=True):
        x1 = x1 + torch.tanh(x2 @ v[0]) @ w[0]
        x2 = x2 + torch.tanh(x1 @ v[1]) @ w[1]
    z = torch.cat([x1, x2], 1)
    back = answer(z.clone(), V.clone(), W.clone())
    fig, axes = panels(1, 3, size=(7.4, 1.05))
    for ax, states, name in zip(axes, (x, z, back), ("inputs", "after four blocks", "by the function"), strict=True):
        row = torch.nn.functional.pad(states.reshape(8, 8, 8), (0, 1), value=torch.nan).movedim(1, 0).flatten(1)
        ax.imshow(row.numpy(), cmap="Greys", vmin=x.min().item(), vmax=x.max().item())
        ax.set(xticks=[], yticks=[])
        ax.set_title(name, loc="left", fontsize=9)
        ax.grid(False)
        ax.spines[:].set_visible(False)
    moved, missed = ((state - x).norm() / x.norm() for state in (z, back))
    return fig, (
        f"Four blocks move the images by {moved:.2g} times their length; the function finds the inputs again, to "
        f"{'within 1e-12' if missed < 1e-12 else f'{missed:.1g}'} of it."
    )


@cache
@torch.no_grad()
def _losses() -> dict[str, Tensor]:
    """Of two rules the losses ``(steps + 1, batches)`` of eight steps, each on its own batch of 32 images."""
    found = {}
    for rule, name in (("exact", "exact Gauss-Newton"), ("shortest", "min-norm Gauss-Newton")):
        data, net = ten_digits(9 * 32, seed=0), Reversible(64, 10, WIDTH, seed=100)
        batches, mover, rows = list(zip(data.x.split(32), data.y.split(32), strict=True)), optimizer(name, net, 0.5), []
        for batch in batches:
            rows.append(torch.stack([loss_on(net, *other) for other in batches]))
            mover.step(*batch)
        found[rule] = torch.stack(rows)
    return found


def changes(answer: Callable) -> tuple[Figure, str]:
    """What each of eight steps does to the loss on each of nine batches, and the two means of the answer."""
    fig, axes = panels(2, size=(3.9, 3.4), sharey=True)
    told = []
    for ax, (rule, L) in zip(axes, _losses().items(), strict=True):
        own, following = (100 * float(share) for share in answer(L.clone()))
        image = ax.imshow((100 * (L[1:] / L[:-1] - 1)).numpy(), cmap="RdBu_r", vmin=-75, vmax=75)
        for k in range(len(L) - 1):
            ax.plot(
                [k - 0.5, k + 0.5, k + 0.5, k - 0.5, k - 0.5], [k - 0.5, k - 0.5, k + 0.5, k + 0.5, k - 0.5], "k", linewidth=1
            )
        ax.grid(False)
        ax.set(
            xlabel="batch (framed: the step's own)", title=f"{rule}: own {own:.0f} %, next {following:+.0f} %".replace("-", "−")
        )
        told.append(f"{rule} step {own:.0f} % and {following:+.0f} %")
    axes[0].set_ylabel("step")
    fig.colorbar(image, ax=axes.tolist(), ticks=[-75, 0, 75], label="change of the loss (%)")
    says = f"Mean change of the loss on a step's own batch and on the next one, by the function: {'; '.join(told)}."
    return fig, says.replace("-", "−")


@torch.no_grad()
def one_block(answer: Callable) -> tuple[Figure, str]:
    """How far the answer's step misses what is wanted, by the size of the weights, with and without the cross term."""
    x, E, V, W = ten_digits(IMAGES, seed=0).x, random(1, IMAGES, 64), random(2, 2, 32, 96) / 32**0.5, random(3, 2, 97, 32)
    x1, x2, e1, e2 = *x.chunk(2, 1), *E.chunk(2, 1)

    def output(W: Tensor) -> Tensor:
        first = x1 + half(x2, V[0], W[0]).output
        return torch.cat([first, x2 + half(first, V[1], W[1]).output], 1)

    def without(W: Tensor) -> Tensor:
        F = half(x2, V[0], W[0])
        G = half(x1 + F.output, V[1], W[1])
        return torch.stack([torch.linalg.pinv(F.A) @ e1, torch.linalg.pinv(G.A) @ e2])

    sizes, missed = torch.logspace(-3, -0.5, 8, dtype=torch.float64), []
    for size in sizes:
        w = size * W
        steps = answer(x.clone(), E.clone(), V.clone(), w.clone()), without(w)
        missed.append([((jvp(output, (w,), (step,))[1] - E).norm() / E.norm()).clamp(min=1e-17).item() for step in steps])
    mine, other = torch.tensor(missed, dtype=torch.float64).T
    fig, (ax,) = panels(size=(5.8, 3.3))
    ax.plot(sizes, mine, "o-", color=BLUE, label="by the function")
    ax.plot(sizes, other, "s-", color=ORANGE, label="without the cross term")
    predicted(ax, sizes, 10 * 2.2e-16 * torch.ones(8), "ten rounding errors")
    ax.set(xlabel="size of the weights", ylabel=r"$|J\delta - E|\,/\,|E|$", xscale="log", yscale="log")
    legend(ax, loc="center right")
    bound = "1e-12" if mine.max() < 1e-12 else f"{1.1 * mine.max():.1g}"
    return fig, (
        f"The function's step misses what is wanted by less than {bound} of it, at any size; without the cross term it is "
        f"{other[0]:.1%} with weights of 0.001 and {other[-1]:.0%} with weights of {sizes[-1]:.2g}."
    )


@cache
@torch.no_grad()
def _candidates() -> tuple[Callable, Tensor, Tensor, dict[str, Tensor], list[float]]:
    """Outputs of the lesson's network with weights of 0.02, the residual, steps by name, and what they miss."""
    data, net = _start()
    net.W *= 20
    w = net.W.clone()

    def outputs(w: Tensor) -> Tensor:
        return functional_call(net, {"W": w}, (data.x,))

    r = outputs(w) - data.y
    _, back = torch.func.vjp(outputs, w)
    g = back(r)[0]
    exact, shortest = walk_back(net, data, 0.0), kernel_step(net, data, 0.0, alone=False)
    steps = {
        "exact": exact,
        "layer by layer": kernel_step(net, data, 0.0, alone=True),
        "shortest": shortest,
        "half and half": (exact + shortest) / 2,
        "shortest, damped": kernel_step(net, data, 0.1, alone=False),
        "shortest, one per cent longer": 1.01 * shortest,
        "gradient": g * (r.norm() / g.norm()) ** 2,
    }
    return outputs, w, r, steps, [((jvp(outputs, (w,), (d,))[1] - r).norm() / r.norm()).item() for d in steps.values()]


@torch.no_grad()
def verified(answer: Callable) -> tuple[Figure, str]:
    """What seven steps miss, coloured by what the answer says of them."""
    outputs, w, r, steps, missed = _candidates()
    says = answer(outputs, w.clone(), r.clone(), [step.clone() for step in steps.values()])
    fig, (ax,) = panels(size=(7.0, 3.2))
    for i, (value, fine) in enumerate(zip(missed, says, strict=True)):
        ax.plot([max(value, 1e-17)], [i], "o" if fine else "X", color=BLUE if fine else ORANGE, markersize=8)
    for fine, marker, colour in ((True, "o", BLUE), (False, "X", ORANGE)):
        ax.plot([], [], marker, color=colour, label=f"{fine}, by the function")
    predicted(ax, [1e-3, 1e-3], [-0.5, len(steps) - 0.5], "a thousandth")
    ax.set_yticks(range(len(steps)), list(steps))
    ax.invert_yaxis()
    ax.set(xscale="log", xlim=(1e-17, 10), xlabel=r"$|J\delta - r|\,/\,|r|$")
    legend(ax, loc="upper center")
    right_ones = [name for name, fine in zip(steps, says, strict=True) if fine]
    lowest = min((value for value, fine in zip(missed, says, strict=True) if not fine), default=float("nan"))
    return fig, (
        f"{len(right_ones)} of {len(steps)} are right inverses by the function ({', '.join(right_ones)}); of the "
        f"others the nearest misses r by {lowest:.1%}."
    )


@torch.no_grad()
def _run(step: Callable, steps: int = 5) -> tuple[list[float], list[float]]:
    """Half steps of a rule: losses relative to the start, and new images right in per cent."""
    data, net = _start()
    losses, scores = [], []
    for k in range(steps + 1):
        losses.append(loss_on(net, data.x, data.y).item())
        scores.append(right(net(data.x_test), data.y_test))
        if k < steps:
            net.W -= 0.5 * step(net, data)
    return [loss / losses[0] for loss in losses], scores


@cache
def _known(rule: str) -> tuple[list[float], list[float]]:
    rules = {
        "exact": lambda net, data: walk_back(net, data, 0.0),
        "shortest": lambda net, data: kernel_step(net, data, 0.0, alone=False),
    }
    return _run(rules[rule])


def _compared(rule: str, step: Callable, other: str) -> tuple[Figure, str]:
    """The lesson's first picture, one of its two rules by the answer."""
    fig, (left, middle) = panels(2, size=(3.8, 3.2))
    told = []
    for name, run, label in ((rule, _run(step), f"{rule}, by the function"), (other, _known(other), other)):
        colour, marker = LOOKS[name]
        look = {"color": colour, "marker": marker, "markevery": 1, "markersize": 8 if name == "shortest" else 5}
        for ax, values in ((left, run[0]), (middle, run[1])):
            curve(ax, torch.arange(len(values)), torch.tensor(values), label, **look)
        told.append(f"{label}: {100 * run[0][-1]:.2g} % of the loss left, {run[1][-1]:.0f} % of new images right")
    k = torch.arange(6)
    predicted(left, k, step_loss(k, 0.5), "predicted: a quarter per step")
    left.set(xlabel="step", ylabel=LOSS, yscale="log")
    middle.set(xlabel="step", ylabel=RIGHT, ylim=(0, 100))
    legend(left, loc="lower left", fontsize=8)
    return fig, f"{IMAGES} images, five half steps. {'; '.join(told)}."


def exact_step(answer: Callable) -> tuple[Figure, str]:
    """Training by the answer's walk back, beside the shortest step."""

    def step(net: Reversible, data: Images) -> Tensor:
        z = net.encode(data.x)
        return answer(z, (net.read(z, data.x) - data.y) @ net.u.mT, net.V.clone(), net.W.detach().clone())

    return _compared("exact", step, "shortest")


def min_norm(answer: Callable) -> tuple[Figure, str]:
    """Training by the answer's shortest step, beside the exact one."""

    def step(net: Reversible, data: Images) -> Tensor:
        A, S = zip(*half_layers(net.V, net.W, net.u, data.x), strict=True)
        r = net(data.x) - data.y
        delta = answer([a.clone() for a in A], [s.clone() for s in S], r)
        return torch.stack(delta).view_as(net.W)

    return _compared("shortest", step, "exact")


def cka(answer: Callable) -> tuple[Figure, str]:
    """The answer for digits and the same digits with one direction stretched, and with all rotated, shifted and magnified."""
    x = ten_digits(100, seed=0).x
    turn, mean = torch.linalg.qr(random(1, 64, 64))[0], x.mean(0)
    U, s, Vh = torch.linalg.svd(x - mean, full_matrices=False)
    factors = torch.linspace(1, 8, 15, dtype=torch.float64)
    fig, (ax,) = panels(size=(5.8, 3.4))
    alike = torch.tensor([float(answer(x.clone(), factor * x @ turn + 5)) for factor in factors])
    ax.plot(factors, alike, "^", color=GREEN, label="all rotated, shifted, magnified")
    told = [f"with all of it magnified {alike[-1]:.3g}"]
    for i, colour, marker in ((0, BLUE, "o"), (9, ORANGE, "s")):
        stretches = torch.ones(len(factors), len(s), dtype=torch.float64)
        stretches[:, i] = factors
        alike = torch.tensor([float(answer(x.clone(), mean + (U * s * d) @ Vh)) for d in stretches])
        wanted = (s**4 * stretches**2).sum(1) / ((s**4).sum() * (s**4 * stretches**4).sum(1)).sqrt()
        ax.plot(factors, alike, marker, color=colour, label=f"principal direction {i + 1} stretched")
        predicted(ax, factors, wanted, None if i else "predicted from singular values")
        told.append(f"with direction {i + 1} alone {alike[-1]:.3g}")
    ax.set(xlabel="by what factor", ylabel="CKA with the digits, by the function", ylim=(0, 1.05))
    legend(ax, loc="lower left", fontsize=8)
    return fig, f"CKA of digits with the same digits, at a factor of {factors[-1]:g}: {', '.join(told)}."
