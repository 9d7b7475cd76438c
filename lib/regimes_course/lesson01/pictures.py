"""What the answers to the exercises of lesson 01 draw: each function takes an answer, and returns a figure and its sentence."""

from collections.abc import Callable

import torch
from matplotlib.figure import Figure

from regimes.metrics import loss_on, spectrum
from regimes.networks import TwoLayer
from regimes.optimizers import GaussNewton
from regimes.problems import teacher_student
from regimes.training import train
from regimes_course.kit.comparing import random
from regimes_course.kit.plotting import BLUE, GREY, curve, legend, panels, predicted
from regimes_course.lesson01 import figures
from regimes_course.lesson01.experiments import circle, descent, follow, initial, two_points

__all__ = ["find_the_bug", "gn_direction", "steps_to", "two_layer_gram"]


def gn_direction(answer: Callable) -> tuple[Figure, str]:
    """The lesson's first picture: every Gauss-Newton dot is a step of 0.1 along the answer."""
    x, y = two_points()
    rules = {"gradient descent": descent, "Gauss-Newton": lambda theta, J, r: 0.1 * answer(J, r, 0.0)}
    return figures.hero({name: follow(rule, initial(), x, y, 400, features=False) for name, rule in rules.items()})


def two_layer_gram(answer: Callable) -> tuple[Figure, str]:
    """The lesson's picture of a wave with ripples, learned by a network whose kernel the answer has computed."""
    (t, _), m = circle(), 400
    K = answer(3 * random(1, m, 2), random(2, m), random(3, m), torch.stack([t.cos(), t.sin()], 1))
    lam, Q = torch.linalg.eigh(K)
    labels, k = t.cos() + 0.5 * (6 * t).cos(), torch.arange(3001)[:, None]
    learned = (1 - (1 - lam / lam[-1]) ** k) * (labels @ Q) @ Q.T  # at half the stability limit
    figure, says = figures.circle(t, K, learned, (1 - 0.9**k) * labels)
    return (
        figure,
        f"{says} (K is that of {m} tanh units, all weights trained; the lesson's is of ReLU units of which only v is.)",
    )


def steps_to(answer: Callable) -> tuple[Figure, str]:
    """The loss of a damped run with a frozen hidden layer, between the fewest and the most steps of the answer."""
    data, net, eta = teacher_student(8, 4, labels="noise", seed=1), TwoLayer(4, 80, seed=2), 0.1
    net.W.requires_grad_(False)
    least = spectrum(net, data.x)[-1].item()
    trace = train(net, data.x, data.y, GaussNewton(net, eta, damping=least), 100)
    levels = torch.logspace(-0.5, -4.5, 17, dtype=torch.float64)
    counts = torch.tensor([answer(level, eta, least, least) for level in levels.tolist()])
    fig, (ax,) = panels(size=(6.0, 3.6))
    curve(ax, trace.step, trace.relative, "a run, damping = smallest eigenvalue", look="damped Gauss-Newton")
    for count, marker, label in zip(counts.T, "<>", ("fewest", "most"), strict=True):
        predicted(ax, count, levels, f"{label} steps", marker=marker, markersize=4)
    ax.set(xlabel="step k", ylabel=figures.LOSS, yscale="log", xlim=(0, 100), ylim=(1e-5, 1.5))
    legend(ax, loc="upper right")
    (fewest, most), took = answer(1e-3, eta, least, least), trace.steps_to(1e-3).item()
    return fig, f"To a thousandth of the loss: between {fewest} and {most} steps by the formula; the run took {took}."


def find_the_bug(answer: Callable) -> tuple[Figure, str]:
    """Hidden weights before and after two trainings, the colleague's and the answer's, in the teacher's plane."""
    trainings = {"the colleague's": lambda net, x, y: train(net, x, y, GaussNewton(net, 1.0), 20), "the answer's": answer}
    fig, axes = panels(2, size=(3.6, 3.8), sharex=True, sharey=True)
    told = []
    for ax, (name, training) in zip(axes, trainings.items(), strict=True):
        data, net = teacher_student(40, 4, teacher_width=2, seed=0), TwoLayer(4, 80, std=0.5, seed=100)
        start = net.W.detach().clone()
        training(net, data.x, data.y)
        end, units, loss = net.W.detach(), data.teacher.W.detach().T, loss_on(net, data.x_test, data.y_test).item()
        across = torch.linalg.qr(units).Q
        for line in 9 * (units / units.norm(dim=0)).T @ across:
            predicted(ax, *torch.stack([-line, line]).T, None, linewidth=1, zorder=1)
        before, after = start @ across, end @ across
        ax.plot(*torch.stack([before, after]).permute(2, 0, 1), color=GREY, linewidth=0.6, label="_")
        ax.plot(*after.T, "o", color=BLUE, markersize=4.5, label="at the end")
        ax.plot(*before.T, "o", color=GREY, markersize=2.5, label="at the start")
        ax.set(title=f"{name} training", xlabel="along one unit of the teacher", xlim=(-3, 3), ylim=(-3, 3), aspect="equal")
        far = (end - start).norm() / start.norm()
        told.append(f"{name} training moved them by {far:.2f} of their length, to a test loss of {loss:.1g}")
    axes[0].set_ylabel("across it")
    legend(axes[0], loc="lower left", fontsize=8)
    return fig, (
        f"Hidden weights, in the plane of the two units (dashed) that made the labels: {'; '.join(told)}. (A smaller problem "
        f"than above, with {len(data.y)} labels and {len(start)} units, so its losses differ.)"
    )
