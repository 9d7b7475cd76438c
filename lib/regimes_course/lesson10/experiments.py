"""What the capstones hand out: networks that are known by looks, gradients, products or runs, each counted."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache

import torch
from torch import Tensor, nn
from torch.func import functional_call, hessian
from torch.nn.functional import pad

from regimes.metrics import refit
from regimes.networks import TwoLayer
from regimes.optimizers import GaussNewton
from regimes.problems import Problem, teacher_student
from regimes.training import train

__all__ = [
    "Race",
    "Slope",
    "Trained",
    "along_sgd",
    "full_steps",
    "plain_descent",
    "race",
    "run",
    "slope",
    "small_net",
    "trained",
]


@dataclass
class Race:
    """A network and its training data, known by looks; what came of it is measured on data that no look shows.

    Attributes:
        net: at the start, with ``v = 0``.
        data: 60 samples of a teacher with two units in five dimensions.
        looks: the weights that were looked at.
    """

    net: TwoLayer
    data: Problem
    looks: list[Tensor] = field(default_factory=list)

    @property
    def start(self) -> Tensor:
        """All weights, ``(840,)``: the rows of ``W``, then ``v``."""
        return torch.cat([self.net.W.detach().flatten(), self.net.v.detach()])

    def look(self, w: Tensor) -> tuple[Tensor, Tensor]:
        """The residual ``f - y`` ``(60,)`` at weights ``w`` ``(840,)``, and its Jacobian ``(60, 840)``."""
        self.looks.append(w.detach().clone())
        W, v = self._parts(w.detach())
        x, m = pad(self.data.x, (0, 1), value=1.0), self.net.width
        features, slope = self.net.activation(x @ W.T)
        by_W = (slope * v)[:, :, None] * x[:, None, :]
        return features @ v / m - self.data.y, torch.cat([by_W.flatten(1), features], 1) / m

    def left(self, w: Tensor) -> float:
        """The training loss, as a share of that at the start."""
        return (self._outputs(w, self.data.x) - self.data.y).square().sum().item() / self.data.y.square().sum().item()

    def test(self, w: Tensor) -> float:
        """The loss on 500 new samples, as a share of that of predicting zero."""
        return (self._outputs(w, self.data.x_test) - self.data.y_test).square().mean().item()

    def random_features(self) -> float:
        """That loss with the hidden weights of the start and the best output weights."""
        return (refit(self.net, self.data.x, self.data.y)(self.data.x_test) - self.data.y_test).square().mean().item()

    def _parts(self, w: Tensor) -> tuple[Tensor, Tensor]:
        m = self.net.width
        return w[:-m].reshape(m, -1), w[-m:]

    def _outputs(self, w: Tensor, x: Tensor) -> Tensor:
        W, v = self._parts(w)
        return self.net.activation(pad(x, (0, 1), value=1.0) @ W.T)[0] @ v / self.net.width


def race(seed: int) -> Race:
    """A network of 120 hidden units, hidden weights of 0.5, at its start."""
    return Race(TwoLayer(5, 120, std=0.5, seed=seed + 100), teacher_student(60, 5, teacher_width=2, seed=seed))


def plain_descent(look: Callable, w: Tensor, steps: int = 40) -> Tensor:
    """Gradient descent, each step at half of the stability limit of the moment."""
    for _ in range(steps):
        r, J = look(w)
        w = w - J.T @ r / torch.linalg.eigvalsh(J @ J.T)[-1]
    return w


def full_steps(look: Callable, w: Tensor, steps: int = 8) -> Tensor:
    """Gauss-Newton with full steps."""
    for _ in range(steps):
        r, J = look(w)
        w = w - J.T @ torch.linalg.solve(J @ J.T, r)
    return w


class Slope:
    """Gradients and Hessian products of ``|f - y|^2 / 2n`` for a torch network, as functions of all its weights in one vector.

    That is half of what ``nn.MSELoss`` computes.

    Args:
        net: any module with outputs ``(n, 1)``; left as it is.
        x, y: ``(n, d)``, ``(n,)``.

    Attributes:
        start: the weights it has now, ``(p,)``.
        loss: of weights ``(p,)``.
    """

    def __init__(self, net: nn.Module, x: Tensor, y: Tensor):
        named = {name: p.detach().clone() for name, p in net.named_parameters()}
        self.start = torch.cat([p.flatten() for p in named.values()])

        def loss(w: Tensor) -> Tensor:
            parts = w.split([p.numel() for p in named.values()])
            weights = {name: part.reshape(p.shape) for (name, p), part in zip(named.items(), parts, strict=True)}
            return (functional_call(net, weights, (x,)).squeeze(1) - y).square().mean() / 2

        self.loss = loss
        self._at: tuple[Tensor, Tensor] | None = None  # the weights of the last product, and the gradient there

    def gradient(self, w: Tensor) -> Tensor:
        """The gradient at ``w``, ``(p,)``."""
        w = w.detach().requires_grad_()
        return torch.autograd.grad(self.loss(w), w)[0]

    def product(self, w: Tensor, v: Tensor) -> Tensor:
        """The Hessian at ``w`` times ``v``, ``(p,)``."""
        if self._at is None or not torch.equal(self._at[0], w):
            at = w.detach().clone().requires_grad_()
            self._at = at, torch.autograd.grad(self.loss(at), at, create_graph=True)[0]
        at, g = self._at
        return torch.autograd.grad(g, at, v.detach(), retain_graph=True)[0]


def small_net(seed: int, width: int = 12) -> nn.Module:
    """Two hidden layers of tanh on two inputs, in float64."""
    draw = torch.Generator().manual_seed(seed)
    layers = [nn.utils.skip_init(nn.Linear, a, b, dtype=torch.float64) for a, b in ((2, width), (width, width), (width, 1))]
    with torch.no_grad():
        for layer in layers:
            layer.weight.copy_(torch.randn(layer.weight.shape, generator=draw, dtype=torch.float64) / layer.in_features**0.5)
            layer.bias.zero_()
    return nn.Sequential(layers[0], nn.Tanh(), layers[1], nn.Tanh(), layers[2])


def slope(seed: int) -> Slope:
    """A small network with 205 weights, on 40 points of ``sin(2 a) b``."""
    x = torch.randn(40, 2, generator=torch.Generator().manual_seed(1000 + seed), dtype=torch.float64)
    y = torch.sin(2 * x[:, 0]) * x[:, 1]
    return Slope(small_net(seed), x, y / y.square().mean().sqrt())


def along_sgd(run: Slope, eta: float, steps: int = 400, every: int = 20) -> tuple[list[float], list[float]]:
    """Losses at every step of SGD on the mean square, and every so often a stability number from the dense Hessian."""
    w = nn.Parameter(run.start.clone())
    sgd, losses, numbers = torch.optim.SGD([w], lr=eta), [], []
    for k in range(steps + 1):
        mean_square = 2 * run.loss(w)
        losses.append(mean_square.item() / 2)
        if k % every == 0:
            numbers.append(eta / 2 * torch.linalg.eigvalsh(2 * hessian(run.loss)(w.detach()))[-1].item())
        sgd.zero_grad()
        mean_square.backward()
        sgd.step()
    return losses, numbers


@dataclass(frozen=True)
class Trained:
    """A network at its start and after a while of Gauss-Newton, and its problem."""

    start: TwoLayer
    net: TwoLayer
    data: Problem

    def seen(self) -> dict[str, Tensor]:
        """What a learner gets of it: features without the 1/m, output weights, and labels."""
        parts = {"y": self.data.y, "y_test": self.data.y_test, "v": self.net.v}
        for name, x in (("features", self.data.x), ("features_test", self.data.x_test)):
            parts |= {name: self.net.hidden(x)[0], f"{name}_start": self.start.hidden(x)[0]}
        return {name: part.detach().clone() for name, part in parts.items()}


@lru_cache(maxsize=1024)
def trained(std: float, t: float, seed: int) -> Trained:
    """Hidden weights of ``std``, ``v = 0``, and steps of 0.05 to the time ``t``: d = 3, n = 40, m = 50."""
    if not (0.05 <= std <= 20 and 0.05 <= t <= 5):
        raise ValueError(f"std goes from 0.05 to 20, t from 0.05 to 5; got std = {std:g}, t = {t:g}")
    data = teacher_student(40, 3, teacher_width=2, seed=seed)
    start, net = (TwoLayer(3, 50, std=std, seed=seed + 50) for _ in range(2))
    train(net, data.x, data.y, GaussNewton(net, 0.05, damping=5e-3), round(t / 0.05))
    return Trained(start, net, data)


def run(std: float, t: float, seed: int) -> dict[str, Tensor]:
    """Train a network, and see its features: see `Trained`."""
    return trained(float(std), float(t), int(seed)).seen()
