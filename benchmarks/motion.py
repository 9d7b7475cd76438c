"""Tasks: training small networks, sweeping over many runs, and one-pass SGD."""

from collections.abc import Callable
from copy import deepcopy
from functools import cached_property, partial

import numpy as np
import torch
from scipy.special import erf
from torch import Tensor

from benchmarks import by_hand, dense
from benchmarks.problems import TwoLayerProblem
from benchmarks.task import Ratio, Task, flat
from regimes.networks import TwoLayer, committee
from regimes.online_sgd import one_pass, overlaps
from regimes.optimizers import GaussNewton, GradientDescent
from regimes.problems import orthonormal_units, unit_vectors
from regimes.sweeps import stack_size, sweep
from regimes.training import train

LIBRARY, HAND, AUTOGRAD = "train", "loop by hand", "autograd and torch.optim.SGD"

# ---- training a network as small as the course's

COURSE, STEPS = (20, 2, 30), 100
RATES = {"gradient descent": 0.5, "Gauss-Newton": 0.2}
TAMED = 10_000  # times the damping of a single step: a hundred steps with much less amplify rounding until no digit is left


def trained(p: TwoLayerProblem, rule: str) -> Tensor:
    """By `regimes.training.train`: the parameters at the end and all losses."""
    net = deepcopy(p.net)
    makes = {"gradient descent": GradientDescent, "Gauss-Newton": partial(GaussNewton, damping=p.m * TAMED * p.damping)}
    loss = train(net, p.x, p.y, makes[rule](net, RATES[rule]), STEPS).loss
    return flat([net.W, net.v, loss.to(net.W.device)])


def looped(p: TwoLayerProblem, rule: str) -> Tensor:
    """By a loop over the formulas."""

    def direction(W, v):
        if rule == "gradient descent":
            return by_hand.gradient(W, v, p.x, p.y)
        return by_hand.damped_step(W, v, p.x, p.y, TAMED * p.damping)

    return descended(p, rule, direction)


def dense_loop(p: TwoLayerProblem, rule: str) -> Tensor:
    """By the dense ``J`` of every step: the reference."""

    def direction(W, v):
        J, r = dense.per_sample_gradients(W, v, p.x), by_hand.outputs(W, v, p.x) - p.y
        move = p.m * J.mT @ r / p.n if rule == "gradient descent" else dense.damped(J, r, TAMED * p.damping)
        return (move[: W.numel()].reshape(W.shape), move[W.numel() :]), r

    return descended(p, rule, direction)


def descended(p: TwoLayerProblem, rule: str, direction: Callable) -> Tensor:
    """Parameters and losses of a loop."""
    W, v, losses = by_hand.descend(p.W, p.v, p.y, direction, RATES[rule], STEPS)
    return flat([W, v, losses.to(W.device)])


def by_torch(p: TwoLayerProblem) -> Tensor:
    """What everybody writes."""
    W, v = (t.clone().requires_grad_() for t in (p.W, p.v))
    optimizer, losses = torch.optim.SGD([W, v], RATES["gradient descent"] * p.m), []
    for k in range(STEPS + 1):
        loss = dense.mean_loss(W, v, p.x, p.y)
        losses.append(loss.item())
        if k < STEPS:
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return flat([W, v, torch.tensor(losses, dtype=torch.float64).to(W.device)])


def training(rule: str, others: dict, ratios: list[Ratio]) -> Task:
    """A training of some hundred steps by one rule."""
    return Task(
        f"train, {rule}",
        axes="n d m",
        sizes=[COURSE],
        tiny=(8, 2, 5),
        make=TwoLayerProblem,
        reference=partial(dense_loop, rule=rule),
        methods={LIBRARY: partial(trained, rule=rule), HAND: partial(looped, rule=rule), **others},
        ratios=ratios,
        tolerance=1e-9,
    )


DESCENT = training(
    "gradient descent",
    {AUTOGRAD: by_torch},
    [
        Ratio(LIBRARY, HAND, {COURSE: (6.0, 13.0)}, {COURSE: 2.5}, guard=COURSE),
        Ratio(LIBRARY, AUTOGRAD, {COURSE: (1.3, 1.4)}, {COURSE: 1.0}),
    ],
)
GAUSS_NEWTON = training("Gauss-Newton", {}, [Ratio(LIBRARY, HAND, {COURSE: (4.0, 6.0)}, {COURSE: 2.0})])

# ---- a sweep: many runs at once

ADVISED, LOOP = "advised stack", "loop by hand over runs"
SWEEP, SHORT = (200, 10, 200, 64, 8), (200, 10, 200, 16, 4)
LR, DAMPING = 0.5, 1e-3


class SweepProblem:
    """Data for ``runs`` runs that differ in their seed and their spread at the start, trained by Gauss-Newton."""

    def __init__(self, n: int, d: int, m: int, runs: int, steps: int, device: str = "cpu"):
        self.n, self.m, self.runs, self.steps, self.device = n, m, runs, steps, device
        data = TwoLayerProblem(n, d, m, device)
        self.x, self.y = data.x, data.y
        self.grid = {"seed": list(range(runs // 2)), "std": [d**-0.5, 0.5 * d**-0.5]}

    def net(self, seed: Tensor, std: Tensor) -> TwoLayer:
        """The networks of a stack."""
        inputs, runs = self.x.shape[-1], tuple(seed.shape)
        return TwoLayer(inputs, self.m, bias=False, runs=runs, seed=seed, std=std, output_std=1.0, device=self.device)

    def run(self, seed: Tensor, std: Tensor) -> dict[str, Tensor]:
        """What is swept: the loss at the end of a training."""
        net = self.net(seed, std)
        optimizer = GaussNewton(net, LR, damping=self.m * DAMPING)
        return {"loss": train(net, self.x, self.y, optimizer, self.steps, every=self.steps).loss[-1]}

    def swept(self, stack: int | None) -> Tensor:
        """By `regimes.sweeps.sweep`."""
        return sweep(self.run, self.grid, stack=stack)["loss"].flatten().to(self.device)

    def looped(self, direction: Callable) -> Tensor:
        """The same, run by run, along ``direction(W, v, x, y)``."""
        losses = []
        for seed in self.grid["seed"]:
            for std in self.grid["std"]:
                net = self.net(torch.tensor(seed), torch.tensor(std, dtype=torch.float64))
                start = net.W.detach(), net.v.detach()
                *_, loss = by_hand.descend(*start, self.y, lambda W, v: direction(W, v, self.x, self.y), LR, self.steps)
                losses.append(loss[-1])
        return torch.stack(losses).to(self.device)


def dense_direction(W: Tensor, v: Tensor, x: Tensor, y: Tensor) -> tuple[tuple[Tensor, Tensor], Tensor]:
    """The damped step by the dense ``J``."""
    J, r = dense.per_sample_gradients(W, v, x), by_hand.outputs(W, v, x) - y
    move = dense.damped(J, r, DAMPING)
    return (move[: W.numel()].reshape(W.shape), move[W.numel() :]), r


MANY = Task(
    "sweep, Gauss-Newton",
    axes="n d m runs steps",
    sizes=[SWEEP],
    tiny=(12, 3, 8, 4, 2),
    make=SweepProblem,
    reference=lambda p: p.looped(dense_direction),
    methods={ADVISED: lambda p: p.swept(stack_size(p.n, p.m, p.device))}
    | {f"stack of {k}": lambda p, k=k: p.swept(k) for k in (1, 4, 16, 64)}
    | {LOOP: lambda p: p.looped(partial(by_hand.damped_step, damping=DAMPING))},
    peers={"loop over a dense J": lambda p: p.looped(dense_direction)},
    ratios=[
        Ratio(ADVISED, LOOP, {SWEEP: 2.0}, {SWEEP: 1.2, SHORT: 1.2}, guard=SHORT),
        *(Ratio(ADVISED, f"stack of {k}", {SWEEP: before}, {SWEEP: 1.1}) for k, before in ((1, 1.0), (4, 1.5), (64, 1.5))),
        Ratio(ADVISED, "stack of 16", target={SWEEP: 1.1}),
    ],
)

# ---- one-pass SGD

ONE, BATCH = (100, 1, 256), (100, 128, 256)
UNITS, TEACHERS, ETA, NOISE = 8, 4, 1.0, 1e-3


class OnePassProblem:
    """Committees of erf units, each with its own samples of ``d`` Gaussian inputs, taught by another committee."""

    def __init__(self, d: int, runs: int, steps: int, device: str = "cpu"):
        self.d, self.runs, self.steps = d, runs, steps
        self.teacher = committee(orthonormal_units(d, TEACHERS, seed=1000))
        self.W = unit_vectors(d, UNITS, seed=torch.arange(runs))

    @cached_property
    def V(self) -> Tensor:
        """The teacher's weights."""
        return self.teacher.W.detach()

    def by_library(self) -> Tensor:
        """By `regimes.online_sgd.one_pass`: the overlaps at the end."""
        net = committee(self.W)
        one_pass(net, self.teacher, ETA, self.steps, label_noise=NOISE, seed=0)
        return flat(overlaps(net, self.teacher))

    def each(self, walk: Callable[[Tensor, Tensor, Tensor], Tensor]) -> Tensor:
        """The overlaps after ``walk(W, x, zeta)`` with the samples that the library shows each run."""
        found = []
        for seed, W in enumerate(self.W):
            g = torch.Generator().manual_seed(seed)
            draws = torch.randn(self.steps, self.d + 1, generator=g, dtype=torch.float64)
            found.append(walk(W, draws[:, :-1], NOISE**0.5 * draws[:, -1]))
        W = torch.stack(found)
        return flat([W @ W.mT, W @ self.V.mT])

    def by_numpy(self, W: Tensor, x: Tensor, zeta: Tensor) -> Tensor:
        """One network, one sample after the other, as a reader would write it."""
        W, V = W.numpy().copy(), self.V.numpy()
        for sample, noise in zip(x.numpy(), zeta.numpy(), strict=True):
            u = W @ sample
            error = erf(V @ sample / np.sqrt(2)).mean() + noise - erf(u / np.sqrt(2)).mean()
            W += ETA / self.d * error * np.sqrt(2 / np.pi) * np.exp(-u * u / 2)[:, None] * sample
        return torch.from_numpy(W)

    def by_autograd(self, W: Tensor, x: Tensor, zeta: Tensor) -> Tensor:
        """The same by differentiating the loss of each sample: the reference."""
        for sample, noise in zip(x, zeta, strict=True):
            W = W.detach().requires_grad_()
            error = (torch.erf(W @ sample / 2**0.5).mean() - torch.erf(self.V @ sample / 2**0.5).mean()) - noise
            (gradient,) = torch.autograd.grad(error.square() / 2, W)
            W = W - ETA * UNITS / self.d * gradient
        return W.detach()


ONLINE = Task(
    "one-pass SGD",
    axes="d runs steps",
    sizes=[ONE, BATCH],
    tiny=(20, 3, 5),
    make=OnePassProblem,
    reference=lambda p: p.each(p.by_autograd),
    methods={"one_pass": OnePassProblem.by_library, "NumPy loop": lambda p: p.each(p.by_numpy)},
    ratios=[Ratio("one_pass", "NumPy loop", {ONE: 3.5, BATCH: 0.28}, {ONE: 1.0, BATCH: 0.25})],
)

TASKS = [DESCENT, GAUSS_NEWTON, MANY, ONLINE]
