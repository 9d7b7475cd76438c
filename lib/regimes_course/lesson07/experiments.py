"""A half layer to take apart, what a step does to two batches, and runs that are too long for a slider or a lesson.

Those are mini-batch runs of reversible networks: measured once, stored, read here.

``python -m tools.exact_steps`` measures all of them again and writes ``exact_steps.json``.
"""

import json
from collections.abc import Iterator
from functools import cache
from importlib import resources
from itertools import product

import torch
from torch import Tensor, nn

from regimes.linalg import Unsolvable
from regimes.losses import Loss, squared
from regimes.metrics import accuracy, cka, loss_on
from regimes.networks import HalfLayer, Reversible, get_activation
from regimes.optimizers import DirectionOptimizer, GaussNewton, GradientDescent, ReversibleGaussNewton, TorchOptimizer
from regimes.problems import Images, ten_digits
from regimes.training import progress, train

__all__ = [
    "DATA",
    "GRID",
    "LONG",
    "METHODS",
    "STEPS",
    "batch_changes",
    "block_step",
    "half",
    "long_run",
    "long_runs",
    "measure",
    "optimizer",
    "step_size",
    "stored",
]

METHODS = ("exact Gauss-Newton", "min-norm Gauss-Newton", "Adam", "gradient descent")
STEPS = {  # small, middle, large, of each method
    "exact Gauss-Newton": (0.1, 0.5, 0.9),
    "min-norm Gauss-Newton": (0.1, 0.5, 0.9),
    "Adam": (3e-4, 1e-3, 3e-3),
    "gradient descent": (2e-3, 5e-3, 1e-2),
}
DATA = {"clean": {}, "shifted": {}, "20 % label noise": {"noise": 0.2}}
GRID = {
    "method": METHODS,
    "step": ("small", "middle", "large"),
    "batch": (32, 64, 128),
    "data": tuple(DATA),
    "halves": ("top and bottom", "columns", "checkerboard"),
}
LONG = {  # method, step, epochs
    "exact Gauss-Newton, η = 0.5": ("exact Gauss-Newton", 0.5, 40),
    "exact Gauss-Newton, η = 0.1": ("exact Gauss-Newton", 0.1, 40),
    "min-norm Gauss-Newton, η = 0.5": ("min-norm Gauss-Newton", 0.5, 12),
    "Adam": ("Adam", 1e-3, 40),
}


def half(x: Tensor, V: Tensor, W: Tensor) -> HalfLayer:
    """A half layer with ReLU at ``x`` ``(n, h)``.

    It has ``.A`` ``(n, m + 1)``, ``.output = A W``, and ``.jvp(t)``, how the output moves with x.
    """
    phi, slope = get_activation("relu")(x @ V)
    return HalfLayer(x, torch.nn.functional.pad(phi, (0, 1), value=1.0), slope, V, W)


def block_step(x: Tensor, E: Tensor, V: Tensor, W: Tensor) -> Tensor:
    """The shortest weights ``(2, m + 1, h)`` that move the output of a block of two half layers by ``E``, to first order."""
    (x1, x2), (e1, e2) = x.chunk(2, -1), E.chunk(2, -1)
    F = half(x2, V[0], W[0])
    G = half(x1 + F.output, V[1], W[1])
    delta_F = torch.linalg.pinv(F.A) @ e1
    return torch.stack([delta_F, torch.linalg.pinv(G.A) @ (e2 - G.jvp(F.A @ delta_F))])


def batch_changes(
    optimizer: DirectionOptimizer, batches: Iterator[tuple[Tensor, Tensor]], steps: int, *, loss: Loss = squared
) -> Tensor:
    """Take a step on each of ``steps`` batches; by what share that changes the loss on this batch, and on the next one.

    A step that generalises lowers both; one that only fits its batch lowers the first.

    Args:
        optimizer: see `regimes.optimizers`; its network moves.
        batches: ``(x, y)`` without end; one more than ``steps`` is taken.
        steps: how many.
        loss: of the optimizer.

    Returns:
        ``L_after / L_before - 1``, ``(2, steps, ...)``: on the own batch, on the next; negative is better.

    Source: Buffelli et al. 2024, figure 3.
    """
    changes, own = [], next(batches)
    for _ in range(steps):
        pair = own, next(batches)
        before = torch.stack([loss_on(optimizer.net, *batch, loss=loss) for batch in pair])
        optimizer.step(*own)
        after = torch.stack([loss_on(optimizer.net, *batch, loss=loss) for batch in pair])
        changes.append(after / before - 1)
        own = pair[1]
    return torch.stack(changes, 1)


def optimizer(method: str, net: nn.Module, step: float, *, loss: Loss = squared) -> DirectionOptimizer:
    """One of `METHODS` with its step size; the min-norm rule is for the squared loss alone."""
    return {
        "exact Gauss-Newton": lambda: ReversibleGaussNewton(net, step, loss=loss),
        "min-norm Gauss-Newton": lambda: GaussNewton(net, step),
        "Adam": lambda: TorchOptimizer(net, torch.optim.Adam(net.parameters(), lr=step), loss=loss),
        "gradient descent": lambda: GradientDescent(net, step, loss=loss),
    }[method]()


def step_size(method: str, step: str | float) -> float:
    """The number behind ``"small"``, ``"middle"`` or ``"large"`` for a method; a number is itself."""
    return STEPS[method][GRID["step"].index(step)] if isinstance(step, str) else step


def measure(method: str, step: str | float, batch: int, data: str, halves: str, *, n: int = 1024, epochs: int = 10) -> dict:
    """One run: three blocks of width 256, squared loss, one seed. Those of the grid are stored; any step and batch will do.

    Returns:
        ``train`` and ``test``, the training loss and the test accuracy at the start and after each epoch (shorter if the run
        diverged); ``own`` and ``other``, the mean change of the loss on a step's own batch and on the next one, in the last
        epoch; ``cka`` of each block's states with those of the start, on test images.
    """
    problem, net = ten_digits(n, halves=halves, **DATA[data]), Reversible(64, 10, 256, blocks=3, seed=100)
    mover = optimizer(method, net, step_size(method, step))
    start = [z.detach() for z in net.states(problem.x_test)]
    feed, told = problem.batches(batch, seed=7, shift=data == "shifted"), {"train": [], "test": []}
    try:
        for epoch in progress(range(epochs + 1), "epochs"):
            told["train"].append(loss_on(net, problem.x, problem.y).item())
            told["test"].append(accuracy(net, *_test(problem)).item())
            if epoch < epochs:
                changes = batch_changes(mover, feed, n // batch)
    except Unsolvable:
        return told | {"own": None, "other": None, "cka": None}
    own, other = changes.mean(1).tolist()
    now = [z.detach() for z in net.states(problem.x_test)]
    return told | {"own": own, "other": other, "cka": [cka(a, b).item() for a, b in zip(now, start, strict=True)]}


def long_run(name: str, data: str, seeds: Tensor, *, width: int = 512, epochs: int | None = None) -> dict:
    """Two blocks on 1437 images in batches of 64: training loss and test accuracy after each epoch, for each seed."""
    method, step, whole = LONG[name]
    problem = ten_digits(1437, seed=seeds, **DATA[data])
    net = Reversible(64, 10, width, runs=seeds.shape, seed=seeds + 100)
    mover = optimizer(method, net, step)
    measured = {"train": lambda net: loss_on(net, problem.x, problem.y), "test": lambda net: accuracy(net, *_test(problem))}
    steps, feed = (
        (whole if epochs is None else epochs) * (1437 // 64),
        problem.batches(64, seed=seeds + 7, shift=data == "shifted"),
    )
    trace = train(net, problem.x, problem.y, mover, steps, every=1437 // 64, measure=measured, batches=feed)
    return trace.measured


def _test(problem: Images):
    return problem.x_test, problem.y_test


@cache
def stored() -> dict:
    """What ``python -m tools.exact_steps`` wrote: ``grid`` and ``long``, by settings."""
    file = resources.files("regimes_course.lesson07") / "exact_steps.json"
    return json.loads(file.read_text(encoding="utf8"))


def long_runs() -> dict[str, dict[str, Tensor]]:
    """Stored training losses ``(seeds, epochs + 1)`` of `LONG`, for shifted images and for noisy labels."""
    runs = stored()["long"]
    return {d: {name: torch.tensor(runs[f"{name} | {d}"]["train"]).double() for name in LONG} for d in list(DATA)[1:]}


def key(**settings) -> str:
    """The name of a run of the grid in the file."""
    return " | ".join(str(settings[name]) for name in GRID)


def positions() -> list[dict]:
    """The settings of all runs of the grid."""
    return [dict(zip(GRID, values, strict=True)) for values in product(*GRID.values())]
