"""What the answers to the exercises of lesson 08 draw: each function takes an answer, and returns a figure and its sentence."""

from collections.abc import Callable
from functools import cache

import torch
from matplotlib.figure import Figure
from torch import Tensor
from torch.nn import functional as F
from torch.nn.utils import parameters_to_vector

from regimes.problems import chebyshev
from regimes.theory.edge_of_stability import degree_four_end
from regimes_course.kit.comparing import number, random
from regimes_course.kit.plotting import BLUE, GREEN, GREY, ORANGE, PINK, curve, legend, panels, predicted
from regimes_course.kit.words import span
from regimes_course.lesson08.climb import END, Task, descend, middle, start
from regimes_course.lesson08.experiments import descend as descend_in_the_plane
from regimes_course.lesson08.experiments import networks, plain_module
from regimes_course.lesson08.figures import NUMBER, TIME

__all__ = ["closed_step", "edge_meter", "largest_sgd_step", "logistic_loss_and_weight", "sharpness", "shifted_power"]

ETA = 0.3  # of the plain module


@cache
def _plain_run() -> tuple[Tensor, Tensor]:
    """A plain torch module under SGD: gradients at each of 800 steps, and the stability number at every twentieth."""
    with torch.random.fork_rng(devices=[]):  # torch draws a module from its global generator
        data, net, slopes, seen = chebyshev(3), plain_module(0), [], []
    optimizer = torch.optim.SGD(net.parameters(), lr=ETA)
    for k in range(800):
        if k % 20 == 0:
            seen.append(parameters_to_vector(net.parameters()).detach())
        optimizer.zero_grad()
        (F.mse_loss(net(data.x), data.y) / 2).backward()
        slopes.append(torch.cat([p.grad.flatten() for p in net.parameters()]))
        optimizer.step()

    def loss(p: Tensor) -> Tensor:  # the same module, written out: autograd gives all Hessians at once
        w, b, v = p[:60].unflatten(0, (3, 20))
        return (torch.tanh(data.x * w + b) @ v + p[60] - data.y).square().mean() / 2

    hessians = torch.func.vmap(torch.func.hessian(loss))(torch.stack(seen))
    return torch.stack(slopes), ETA * torch.linalg.eigvalsh(hessians)[:, -1] / 2


def edge_meter(answer: Callable) -> tuple[Figure, str]:
    """The answer at each step of a plain torch module, beside the stability number that takes a Hessian."""
    slopes, numbers = _plain_run()
    m = torch.tensor([float(answer(*pair)) for pair in zip(slopes[:-1].clone(), slopes[1:].clone(), strict=True)])
    fig, (ax,) = panels(size=(6.4, 3.2))
    curve(ax, torch.arange(0, 800, 20), numbers, "ηS/2", color=ORANGE, marker="")
    curve(ax, torch.arange(799), m, "edge meter, by the function", color=BLUE, marker="", linewidth=1)
    predicted(ax, [0, 800], [1, 1], "the edge")
    ax.set(xlabel="step k", ylabel="stability number")
    legend(ax, loc="center", bbox_to_anchor=(0.5, 0.45))
    bursts, late = int(((m[1:] > 1) & (m[:-1] <= 1)).sum()), numbers[15:]
    return fig, (
        f"From step 300 on ηS/2 is {late.min():.2g} to {late.max():.2g}. The meter rises above one {bursts} times, "
        f"while the run swings; half of the time it is below {m.median():.1g}."
    )


def logistic_loss_and_weight(answer: Callable) -> tuple[Figure, str]:
    """Loss and weight of a sample by the answer, beside the loss as written."""
    q = torch.linspace(-60, 60, 121, dtype=torch.float64)
    loss, slope = (values.detach() for values in answer(q.clone()))
    written = torch.log(1 + torch.exp(-q))
    fig, axes = panels(2, size=(3.8, 3.2), sharey=True)
    axes[0].plot(q, written, "s", color=ORANGE, markersize=5, alpha=0.6, label="log(1 + exp(−q)), as written")
    axes[0].plot(q, loss, color=BLUE, label="by the function")
    axes[1].plot(q, -slope, color=BLUE, label="by the function")
    for ax, name in zip(axes, ("loss", "weight (size of the slope)"), strict=True):
        predicted(ax, q[q > 3], torch.exp(-q[q > 3]), "$e^{-q}$")
        ax.set(title=name, xlabel="q: how right an answer is", yscale="log", ylim=(1e-27, 1e4))
        legend(ax, loc="lower left", fontsize=8)
    lost, at = q[(written == 0) & (q > 0)], int((q == 40).nonzero())
    low = answer(torch.tensor([-1000.0], dtype=torch.float64))[0].item()
    return fig, (
        f"As written the loss is zero from q = {lost[0]:g} on. The function gives {loss[at]:.2g} at q = 40, "
        f"with the weight {-slope[at]:.2g}, and {low:,.4g} at q = −1000."
    )


def shifted_power(answer: Callable) -> tuple[Figure, str]:
    """The curvature along each vector that the answer asks for, and along those without a shift."""
    spectra = {"a saddle": (-5.1, -1.2, -0.4, 0.1, 0.6, 1.1, 2.3), "a maximum": (-6.2, -4.4, -3.1, -2.5, -0.7)}
    fig, axes = panels(2, size=(3.8, 3.2))
    told = []
    for ax, (name, lam) in zip(axes, spectra.items(), strict=True):
        lam = torch.tensor(lam, dtype=torch.float64)
        asked, v, plain = [], random(5, len(lam)), []

        def hvp(u: Tensor, lam=lam, asked=asked) -> Tensor:
            asked.append(((u @ (lam * u)) / (u @ u)).item())
            return lam * u

        found = float(number(answer(hvp, len(lam), 1.05 * lam.abs().max().item())))
        for _ in range(50):
            plain.append((v @ (lam * v) / (v @ v)).item())
            v = lam * v / (lam * v).norm()
        ax.plot(plain, color=GREY, linewidth=1, label="without a shift")
        ax.plot(asked, color=BLUE, label="asked for by the function")
        ax.plot([len(asked)], [found], "o", color=BLUE, label="returned")
        predicted(ax, [0, len(asked)], [lam[-1], lam[-1]], "largest eigenvalue")
        ax.set(title=f"{name}: {lam[0]:g} to {lam[-1]:g}".replace("-", "−"), xlabel="products", xscale="symlog", xlim=(0, None))
        ax.set_xticks([0, 1, 10, 100], ["0", "1", "10", "100"], minor=False)
        told.append(
            f"{name} the function returns {found:.5g} after {len(asked)} products; without a shift it is {plain[-1]:.2g}"
        )
    axes[0].set_ylabel("curvature along the vector")
    legend(axes[0], loc="center right", fontsize=8)
    return fig, f"At {'. At '.join(told)}.".replace("-", "−")


def largest_sgd_step(answer: Callable) -> tuple[Figure, str]:
    """Four networks under torch's SGD just below and just above the answer's step, beside labels that they all but fit."""
    fig, axes = panels(2, size=(3.8, 3.2), sharex=True)
    told = []
    with torch.random.fork_rng(devices=[]):
        nets = networks(), networks()
    for ax, share, four in zip(axes, (0.9, 1.1), nets, strict=True):
        ends = []
        for i, ((name, (net, x, _)), colour) in enumerate(zip(four.items(), (BLUE, ORANGE, GREEN, PINK), strict=True)):
            y, losses = net(x).detach(), []
            lr = share * float(number(answer(net, x.clone(), y.clone())))
            with torch.no_grad():
                for j, p in enumerate(net.parameters()):
                    p += 1e-7 * random(10 * i + j, *p.shape)
            optimizer = torch.optim.SGD(net.parameters(), lr=lr)
            for _ in range(41):
                optimizer.zero_grad()
                loss = F.mse_loss(net(x), y)
                losses.append(loss.item())
                loss.backward()
                optimizer.step()
            ax.plot(torch.tensor(losses) / losses[0], color=colour, linewidth=1.4, label=f"{name}: step {lr:.2g}")
            ends.append(losses[-1] / losses[0])
        if share > 1:
            k = torch.arange(10, 41)
            predicted(ax, k, 0.1 * (1 - 2 * share) ** (2.0 * k), "slope predicted, $1.2^{2k}$")
        ax.set(title=f"{share:g} times the function's step", xlabel="step k", yscale="log")
        legend(ax, fontsize=7)
        told.append(f"at {share:g} times the function's step {span(torch.tensor(ends))} times its start")
    axes[0].set_ylabel("loss / its start")
    return fig, f"After 40 steps of torch's SGD the loss is {', and '.join(told)}."


def closed_step(answer: Callable) -> tuple[Figure, str]:
    """A run in x and y, and the same run by the answer, in the two numbers alone."""
    eta, x, y, steps = 0.1, 4.0, 0.26, 1200
    points, _ = descend_in_the_plane(x, y, eta, steps)
    measured = eta * torch.from_numpy(points**2).sum(1)
    p, q = torch.tensor([x * y], dtype=torch.float64), torch.tensor([x * x + y * y], dtype=torch.float64)
    path = [eta * q.item()]
    for _ in range(steps):
        p, q = answer(p, q, eta)
        path.append(eta * q.item())
    found, k = torch.tensor(path, dtype=torch.float64), torch.arange(steps + 1)
    fig, axes = panels(2, size=(3.8, 3.2), sharey=True)
    for ax, until, every in zip(axes, (80, steps), (2, 40), strict=True):
        curve(ax, k[: until + 1], measured[: until + 1], "steps in x and y", color=ORANGE, marker="", linewidth=1.2)
        ax.plot(k[: until + 1 : every], found[: until + 1 : every], "o", color=BLUE, markersize=3.5, label="by the function")
        predicted(ax, [0, until], [degree_four_end(eta)] * 2, "1 − η²/4")
        ax.set(xlabel="step k", ylim=(0.9, 1.65))
    axes[0].set_ylabel(f"{NUMBER} of the valley")
    legend(axes[1])
    apart, rest = (found - measured).abs(), [1 - run[-2:].mean() for run in (found, measured)]
    return fig, (
        f"The two runs differ by {apart[20]:.0e} at step 20, by {apart[40]:.0e} at step 40, by {apart[80]:.0e} at step 80: "
        f"the wild start multiplies what rounding does. Both come to rest, {rest[0]:.4f} (function) and {rest[1]:.4f} below "
        f"one; predicted are {1 - degree_four_end(eta):.4f}."
    )


@cache
def _climb() -> tuple[Tensor, Tensor]:
    """Hessians ``(k, 60, 60)`` of the lesson's run with steps of 0.6, in the middle of its swing, and their steps."""
    task, step = Task(), torch.arange(0, round(END / 0.6) - 2, 8)
    return step, task.hessian(middle(descend(task, start(0), 0.6, round(END / 0.6)))[step])


def sharpness(answer: Callable) -> tuple[Figure, str]:
    """The lesson's climb to the edge, its sharpness measured by the answer from products alone."""
    step, hessians = _climb()
    found, most = [], 0
    for H in hessians:
        count = 0

        def hvp(v: Tensor, H=H) -> Tensor:
            nonlocal count
            count += 1
            return H @ v

        found.append(float(number(answer(hvp, len(H)))))
        most = max(most, count)
    S, t, exact = torch.tensor(found), 0.6 * step, torch.linalg.eigvalsh(hessians)[:, [0, -1]]
    fig, (ax,) = panels(size=(6.2, 3.4))
    ax.plot(t, exact[:, 0], color=GREY, linewidth=1, label="most negative eigenvalue")
    ax.plot(t, S, "o-", color=ORANGE, markersize=4, label="by the function")
    predicted(ax, [0, END], [2 / 0.6] * 2, "edge 2/η")
    ax.set(xlabel=TIME, ylabel="sharpness S", xlim=(0, END))
    legend(ax)
    off = (S / exact[:, -1] - 1).abs().max().item()
    return fig, (
        f"Steps of 0.6: by the function the sharpness climbs from {S[0]:.2g} to {S.max():.3g} and ends at {S[-1]:.3g}; "
        f"the edge is {2 / 0.6:.3g}. It asked for at most {most} products a time, and is right to "
        f"{'a millionth' if off < 1e-6 else f'{off:.0%}'}."
    )
