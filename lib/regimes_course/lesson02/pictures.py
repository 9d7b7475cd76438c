"""What the answers to the exercises of lesson 02 draw: each function takes an answer, and returns a figure and its sentence."""

import math
from collections.abc import Callable
from functools import cache, partial

import torch
from matplotlib.figure import Figure
from torch import Tensor

from regimes.directions import gauss_newton
from regimes.flows import RungeKutta4
from regimes.kernels import neural_tangent_kernel
from regimes.networks import TwoLayer
from regimes.problems import teacher_student
from regimes.training import Trace, train
from regimes_course.kit.plotting import BLUE, GREEN, ORANGE, curve, legend, panels, predicted
from regimes_course.lesson02.experiments import problem
from regimes_course.lesson02.visits import observe

__all__ = ["damped_envelope", "duplication_test", "infinite_cloud"]

DAMPING = 1e-2
WIDTHS = 32, 128


def duplication_test(answer: Callable) -> tuple[Figure, str]:
    """For each law of the check the distance of the networks that the answer trained, step by step, coloured by its verdict."""
    fig, (ax,) = panels(size=(6.4, 3.8))
    ends = {True: [], False: []}
    for visit in observe(answer):
        steps = range(1 + min(visit.counts))
        apart = [max(visit.apart(k), 1e-17) for k in steps]
        label = f"verdict: {visit.verdict}"
        ax.plot(
            steps, apart, color=BLUE if visit.verdict else ORANGE, linewidth=1.2, label="_" if ends[visit.verdict] else label
        )
        ax.plot(steps[-1:], apart[-1:], "o" if visit.verdict else "x", color=BLUE if visit.verdict else ORANGE)
        ends[visit.verdict].append(apart[-1])
    ax.set(xlabel="steps taken", ylabel="outputs apart by, at most", yscale="log", ylim=(1e-17, 10))
    legend(ax, loc="center right")
    return fig, (
        f"A line for each of {sum(map(len, ends.values()))} laws: how far the networks that the test trained are apart on new "
        f"inputs. It accepts {len(ends[True])} laws, apart by {max(ends[True]):.0e} at most, "
        f"and rejects {len(ends[False])}, apart by {min(ends[False]):.0e} at least."
    )


@cache
def _two_runs() -> tuple[Tensor, Tensor, dict[str, Trace]]:
    """Kernel and residual at a start on noise labels; damped flows from there, by whether the hidden layer learns."""
    data, runs = teacher_student(12, 4, labels="noise", seed=1), {}
    for name in ("random features", "feature learning"):
        net = TwoLayer(4, 80, seed=2)
        K, r0 = neural_tangent_kernel(net, data.x), net(data.x).detach() - data.y
        net.W.requires_grad_(name == "feature learning")
        runs[name] = train(net, data.x, data.y, RungeKutta4(net, partial(gauss_newton, damping=DAMPING), dt=0.1), 40)
    return K, r0, runs


def damped_envelope(answer: Callable) -> tuple[Figure, str]:
    """Two damped flows from one start, with the loss and the envelope by the answer."""
    K, r0, runs = _two_runs()
    t = runs["random features"].time
    loss, low, high = answer(t.clone(), K.clone(), r0.clone(), DAMPING)
    fig, (ax,) = panels(size=(6.0, 3.6))
    ax.fill_between(t, low, high, color="0.92", label="between low and high")
    for name, run in runs.items():
        curve(ax, t, run.relative, name)
    predicted(ax, t, loss, "loss by the function")
    ax.set(xlabel="time t", ylabel="relative loss $L(t)/L(0)$", yscale="log")
    legend(ax, loc="lower left")
    off = {name: (run.relative / loss - 1).abs() for name, run in runs.items()}
    frozen, moving = off.values()
    return fig, (
        f"Damping {DAMPING:g}. With a frozen hidden layer the function is off by less than {_above(frozen.max())}; "
        f"where the hidden layer learns, by {moving[1]:.1g} at t = 0.1 and {moving[20]:.1g} at t = 2."
    )


def _above(small: Tensor) -> str:
    """The next power of ten."""
    return f"1e{math.floor(math.log10(small.clamp(min=1e-16))) + 1:03d}"


@cache
def _clouds() -> tuple[Tensor, Tensor, dict[int, Tensor]]:
    """Directions of inputs; outputs there of a cloud of 2^14 units, trained whole, and of its pieces by their width."""
    angle = torch.linspace(0, 2 * math.pi, 60, dtype=torch.float64)
    new = torch.stack([1.5 * angle.cos(), 1.5 * angle.sin(), torch.ones_like(angle)], 1)
    cloud = torch.randn(2**14, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    whole, *pieces = (_trained(cloud.reshape(-1, m, 3), new) for m in (len(cloud), *WIDTHS))
    return angle, whole[0], dict(zip(WIDTHS, pieces, strict=True))


def _trained(W: Tensor, new: Tensor) -> Tensor:
    """Outputs ``(r, n)`` at new inputs of networks ``(r, m, 3)`` after 20 steps of gradient descent from ``v = 0``."""
    X, y = torch.cat([problem().x, torch.ones(40, 1)], 1), problem().y
    v = torch.zeros_like(W[..., 0])
    for _ in range(20):
        z = X @ W.mT
        s = z.sigmoid()
        a = (((z * s) @ v[..., None])[..., 0] / W.shape[1] - y) / len(y)
        D = v[:, None] * s * (1 + z * (1 - s))
        W, v = W - 0.25 * (D * a[..., None]).mT @ X, v - 0.25 * (a[:, None] @ (z * s))[:, 0]
    z = new @ W.mT
    return ((z * z.sigmoid()) @ v[..., None])[..., 0] / W.shape[1]


def infinite_cloud(answer: Callable) -> tuple[Figure, str]:
    """What narrow networks say on a circle of inputs, on average and extrapolated by the answer, less what a huge one says."""
    angle, whole, outputs = _clouds()
    lines = {f"mean of {m} units": f.mean(0) for m, f in outputs.items()}
    lines["extrapolated"] = answer(list(outputs), [f.clone() for f in outputs.values()])
    fig, (ax,) = panels(size=(6.2, 3.6))
    told = []
    for (name, f), colour, style in zip(lines.items(), (ORANGE, BLUE, GREEN), ("-", "-.", "-"), strict=True):
        ax.plot(angle, f - whole, style, color=colour, linewidth=2.4 if colour == GREEN else 1.6, label=name)
        told.append(f"{name} {(f - whole).square().mean().sqrt():.1g}")
    predicted(ax, angle, 0 * angle, f"{2**14} units in one network")
    ax.set(xlabel="direction of the input", ylabel="output less that of the whole")
    ax.set_xticks([0, math.pi, 2 * math.pi], ["0", "π", "2π"])
    legend(ax, loc="upper left", fontsize=8)
    return fig, f"Off from {2**14} units, trained as one network, as a root mean square: {', '.join(told)}."
