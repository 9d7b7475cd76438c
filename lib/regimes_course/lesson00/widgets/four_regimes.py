"""One network, eight points, three sliders: scaling, width and step of gradient descent."""

from dataclasses import dataclass

import torch
from matplotlib.collections import LineCollection
from torch import Tensor

from regimes.metrics import feature_movement, spectrum
from regimes.networks import TwoLayer
from regimes.problems import wave
from regimes_course.kit.plotting import BLUE, GREEN, ORANGE
from regimes_course.kit.stack_of_snapshots import moments_of
from regimes_course.kit.widget import Choice, Widget, put
from regimes_course.kit.written_out import descend

__all__ = ["Fit", "four_regimes"]

STEPS, EVERY, REACH = 300, 5, 6.0
FLOOR, CEILING = 1e-6, 1e3

CHOICES = {
    "scaling": Choice("scaling of the output", ("mean_field", "ntk"), "mean_field", {"mean_field": "1/m", "ntk": "1/√m"}.get),
    "width": Choice("width, m", (10, 30, 100, 300), 100),
    "fraction": Choice("step / stability limit", (0.1, 0.2, 0.3, 0.4, 0.5, 1.0, 1.3, 2.5), 0.4),
}
FRAMES = {
    "1/m, 0.1 of the limit": {"scaling": "mean_field", "width": 100, "fraction": 0.1},
    "1/√m, 0.1 of the limit": {"scaling": "ntk", "width": 100, "fraction": 0.1},
    "1/m, 0.4 of the limit": {"scaling": "mean_field", "width": 100, "fraction": 0.4},
}


@dataclass(frozen=True)
class Fit:
    """What one run of gradient descent did.

    Attributes:
        x, f: the learned function, ``(k,)`` each.
        units: ``(l, m, 3)``, weight, bias and output weight of each unit at every fifth step.
        edge: ``(l,)``, the step times ``lambda_max(K) / n`` there; the stability limit is 2.
        loss: ``(STEPS + 1,)`` relative training losses, shorter if the run diverged.
        moved: how far the hidden weights went, relative to their length.
    """

    x: Tensor
    f: Tensor
    units: Tensor
    edge: Tensor
    loss: Tensor
    moved: float


def compute(scaling: str, width: int, fraction: float) -> Fit:
    """Train a tanh network on the wave for `STEPS` steps of constant size, a fraction of the stability limit at the start."""
    problem, net = wave(), TwoLayer(1, width, activation="tanh", scaling=scaling, output_std=1.0, seed=1)
    n = len(problem.x)
    lr = fraction * 2 * n / spectrum(net, problem.x)[0].item()
    run = descend(net, problem.x, problem.y, lr, STEPS, every=EVERY)
    moments = moments_of(net, run.W, run.v)
    return Fit(
        problem.x_test[:, 0],
        moments_of(net, run.W[-1:], run.v[-1:])(problem.x_test)[0].detach(),
        torch.cat([run.W, run.v[..., None]], -1),
        lr * spectrum(moments, problem.x)[:, 0] / n,
        run.loss / run.loss[0],
        feature_movement(run.W[-1], run.W[0]).item(),
    )


def draw(figure):
    """The hidden units, the learned function through the eight points, the training loss, the step as it nears the limit."""
    problem, axes = wave(), figure.subplot_mosaic("PFL\nPFE", width_ratios=(1.5, 1.5, 1.2))
    plane, left, loss_ax, edge_ax = (axes[name] for name in "PFLE")
    plane.set(xlabel="weight w", ylabel="bias b", xlim=(-REACH, REACH), ylim=(-REACH, REACH), title="hidden units")
    left.plot(problem.x_test[:, 0], problem.y_test, ":", color="black", linewidth=1.2, label="target")
    left.plot(problem.x[:, 0], problem.y, "o", color="black", markersize=5, label="data")
    left.set(xlabel="input x", ylim=(-3, 3), title="output f(x)")
    loss_ax.set(title="relative loss", yscale="log", xlim=(0, STEPS), ylim=(FLOOR, CEILING))
    edge_ax.set(title=r"step $\times\ \lambda_{max}(K)/n$", xlabel="step k", xlim=(0, STEPS), ylim=(0, 5))
    edge_ax.axhline(2, color="black", linestyle="--", linewidth=1.3)
    (start,) = plane.plot([], [], "o", color="0.45", markersize=2)
    trails = LineCollection([], colors="0.78", linewidths=0.6, zorder=1.9)  # above the grid, as at a move
    plane.add_collection(trails)
    up, down = (plane.plot([], [], "o", color=colour, markersize=4)[0] for colour in (ORANGE, BLUE))
    (fit,) = left.plot([], [], color=GREEN, label="network")
    (loss,) = loss_ax.plot([], [], color=BLUE)
    (edge,) = edge_ax.plot([], [], color=BLUE)
    left.legend(loc="lower right", fontsize=8).set_in_layout(False)

    def update(result: Fit) -> None:
        w, b, v = result.units.nan_to_num().clamp(-99, 99).unbind(-1)
        put(start, w[0], b[0])
        trails.set_segments(list(torch.stack([w, b], -1).transpose(0, 1).numpy()))
        for line, which in ((up, v[-1] * w[-1] > 0), (down, v[-1] * w[-1] <= 0)):
            put(line, w[-1][which], b[-1][which])
        put(fit, result.x, result.f.nan_to_num().clamp(-9, 9))
        put(loss, range(len(result.loss)), result.loss.clamp(FLOOR / 10, CEILING * 10))
        put(edge, EVERY * torch.arange(len(result.edge)), result.edge.nan_to_num().clamp(max=9))

    return [trails, start, up, down, fit, loss, edge], update


def sentence(result: Fit) -> str:
    """What the picture shows, with its numbers."""
    above = (result.loss > CEILING).nonzero()
    if len(above):
        return f"<b>Diverged</b>: the loss is {CEILING:g} times its start at step {above[0].item()}. Choose a smaller step."
    first, last = result.edge[0].item(), result.edge[-1].item()
    return (
        f"After {STEPS} steps the relative loss is {result.loss[-1]:.1e}; the hidden weights moved by "
        f"{100 * result.moved:.0f} % of their length; step × λ_max(K)/n went from {first:.2g} to {last:.2g} (limit 2)."
    )


four_regimes = Widget(compute, draw, sentence, CHOICES, FRAMES, size=(9.6, 3.6))
