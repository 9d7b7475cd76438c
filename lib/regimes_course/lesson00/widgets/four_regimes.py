"""One network, eight points, three sliders: scaling, width and step of gradient descent."""

from dataclasses import dataclass

from torch import Tensor

from regimes.metrics import feature_movement, spectrum
from regimes.networks import TwoLayer
from regimes.optimizers import GradientDescent
from regimes.problems import wave
from regimes.training import Diverged, train
from regimes_course.kit.plotting import BLUE
from regimes_course.kit.widget import Choice, Widget

__all__ = ["Fit", "four_regimes"]

STEPS = 300
FLOOR, CEILING = 1e-6, 1e3

CHOICES = {
    "scaling": Choice("scaling of the output", ("mean_field", "ntk"), "mean_field", {"mean_field": "1/m", "ntk": "1/√m"}.get),
    "width": Choice("width, m", (10, 30, 100, 300), 100),
    "fraction": Choice("step / stability limit", (0.1, 0.25, 0.5, 1.0, 1.3, 2.5), 0.5),
}
FRAMES = {
    "1/m, 0.1 of the limit": {"scaling": "mean_field", "width": 100, "fraction": 0.1},
    "1/√m, 0.1 of the limit": {"scaling": "ntk", "width": 100, "fraction": 0.1},
    "1/m, at the limit": {"scaling": "mean_field", "width": 100, "fraction": 1.0},
}


@dataclass(frozen=True)
class Fit:
    """What one run of gradient descent did.

    Attributes:
        x, f: the learned function, ``(k,)`` each.
        loss: ``(STEPS + 1,)`` relative training losses, shorter if the run diverged.
        moved: how far the hidden weights went, relative to their length.
        sharpness: step times ``lambda_max(K) / n``, at the start and at the end; the stability limit is 2.
    """

    x: Tensor
    f: Tensor
    loss: Tensor
    moved: float
    sharpness: tuple[float, float]


def compute(scaling: str, width: int, fraction: float) -> Fit:
    """Train a tanh network on the wave for `STEPS` steps of constant size, a fraction of the stability limit at the start."""
    problem, net = wave(), TwoLayer(1, width, activation="tanh", scaling=scaling, output_std=1.0, seed=1)
    start, n = net.W.detach().clone(), len(problem.x)
    lr = fraction * 2 * n / spectrum(net, problem.x)[0].item()
    try:
        loss = train(net, problem.x, problem.y, GradientDescent(net, lr), STEPS).relative
        last = lr * spectrum(net, problem.x)[0].item() / n
    except Diverged as stop:
        loss, last = stop.trace.relative, float("inf")
    moved = feature_movement(net.W, start).item()
    return Fit(problem.x_test[:, 0], net(problem.x_test).detach(), loss, moved, (2 * fraction, last))


def draw(figure):
    """The learned function through the eight points, and the training loss."""
    problem, (left, right) = wave(), figure.subplots(1, 2)
    left.plot(problem.x_test[:, 0], problem.y_test, ":", color="black", linewidth=1.2, label="target")
    left.plot(problem.x[:, 0], problem.y, "o", color="black", markersize=5, label="data")
    left.set(xlabel="input x", ylabel="output", ylim=(-3, 3))
    right.set(xlabel="step k", ylabel="relative loss $L_k/L_0$", yscale="log", xlim=(0, STEPS), ylim=(FLOOR, CEILING))
    (fit,) = left.plot([], [], color=BLUE, label="network")
    (loss,) = right.plot([], [], color=BLUE)
    left.legend(loc="lower right", fontsize=8).set_in_layout(False)

    def update(result: Fit) -> None:
        fit.set_data(result.x, result.f.nan_to_num().clamp(-9, 9))
        loss.set_data(range(len(result.loss)), result.loss.clamp(FLOOR / 10, CEILING * 10))

    return [fit, loss], update


def sentence(result: Fit) -> str:
    """What the picture shows, with its numbers."""
    above = (result.loss > CEILING).nonzero()
    if len(above):
        return f"<b>Diverged</b>: the loss is {CEILING:g} times its start at step {above[0].item()}. Choose a smaller step."
    first, last = result.sharpness
    return (
        f"After {STEPS} steps the relative loss is {result.loss[-1]:.1e}; the hidden weights moved by "
        f"{100 * result.moved:.0f} % of their length; step × sharpness went from {first:.2g} to {last:.2g} (limit 2)."
    )


four_regimes = Widget(compute, draw, sentence, CHOICES, FRAMES, size=(8.4, 3.4))
