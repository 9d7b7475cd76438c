"""Four trainings of one network on eight points, stopped at the same loss: what lesson 00 compares."""

from dataclasses import dataclass

import torch
from torch import Tensor

from regimes.metrics import feature_movement, loss_on, spectrum
from regimes.networks import TwoLayer
from regimes.optimizers import GaussNewton, GradientDescent
from regimes.problems import wave
from regimes.training import train

__all__ = ["ENOUGH", "REGIMES", "Path", "follow", "four"]

ENOUGH = 1e-3  # a run is over when the sum of the squared residuals is below this share of that of the labels
REGIMES = {  # scaling, and the step of gradient descent as a share of its stability limit at the start
    "lazy": ("ntk", 0.4),
    "feature learning": ("mean_field", 0.1),
    "edge of stability": ("mean_field", 0.4),
    "Gauss-Newton": ("mean_field", None),
}


@dataclass(frozen=True)
class Path:
    """A training of ``k`` steps.

    Attributes:
        w, b, v: ``(k + 1, m)``, weight, bias and output weight of each unit.
        loss: ``(k + 1,)``, relative to that of a network which always says zero.
        edge: ``(k + 1,)``, the step times ``lambda_max(K) / n``; the stability limit of gradient descent is 2.
        f: the learned function on the test inputs.
    """

    w: Tensor
    b: Tensor
    v: Tensor
    loss: Tensor
    edge: Tensor
    f: Tensor

    @property
    def steps(self) -> int:
        """``k``."""
        return len(self.loss) - 1

    @property
    def moved(self) -> float:
        """How far the hidden weights went, relative to their length."""
        hidden = torch.stack([self.w, self.b], -1)
        return feature_movement(hidden[-1], hidden[0]).item()

    def error(self, outside: bool) -> float:
        """The mean squared error beyond ``|x| = 2``, where there are no data, or within."""
        data = wave()
        beyond = data.x_test[:, 0].abs() > 2
        return (self.f - data.y_test).square()[beyond if outside else ~beyond].mean().item()


def follow(
    scaling: str,
    fraction: float | None,
    *,
    seed: int = 1,
    width: int = 100,
    eta: float = 0.1,
    steps: int = 3000,
    enough: float = ENOUGH,
) -> Path:
    """Train until ``enough``, by gradient descent of a constant step, or by Gauss-Newton (damping 1e-4) without one.

    Args:
        scaling: of the `TwoLayer`, ``"ntk"`` or ``"mean_field"``.
        fraction: of the stability limit ``2 n / lambda_max(K)`` at the start.
        seed, width: of the network.
        eta: the step of Gauss-Newton.
        steps: how many at most.
        enough: the loss to stop at, relative to that of a network which always says zero; zero takes all ``steps``.
    """
    data = wave()
    net = TwoLayer(1, width, activation="tanh", scaling=scaling, output_std=1.0, seed=seed)
    step = eta if fraction is None else fraction * 2 * len(data.x) / spectrum(net, data.x)[0].item()
    optimizer = GaussNewton(net, step, damping=1e-4) if fraction is None else GradientDescent(net, step)
    zero, first = data.y.square().sum() / (2 * len(data.x)), loss_on(net, data.x, data.y)
    measure = {
        "W": lambda net: net.W,
        "v": lambda net: net.v,
        "edge": lambda net: step * spectrum(net, data.x)[0] / len(data.x),
        "f": lambda net: net(data.x_test),
    }
    trace = train(net, data.x, data.y, optimizer, steps, until=enough * (zero / first).item(), measure=measure)
    loss = trace.loss / zero
    end = 1 + (int((loss < enough).int().argmax()) if (loss < enough).any() else len(loss) - 1)
    W, v, edge, f = (trace.measured[name][:end] for name in measure)
    return Path(W[..., 0], W[..., 1], v, loss[:end], edge, f[-1])


def four(seed: int = 1) -> dict[str, Path]:
    """The four `REGIMES`, from one start."""
    return {name: follow(scaling, fraction, seed=seed) for name, (scaling, fraction) in REGIMES.items()}
