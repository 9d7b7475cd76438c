"""Tasks: the kernel, and one Gauss-Newton step."""

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from benchmarks import by_hand, dense, installed
from benchmarks.problems import ImageProblem, TwoLayerProblem
from benchmarks.task import Method, Ratio, Task, flat
from regimes import reference
from regimes.directions import gauss_newton
from regimes.jacobians import jacobian

SMALL, LARGE, TINY = (100, 10, 100), (500, 10, 1000), (20, 3, 30)
FEW = (4000, 2, 7)
JAX = "jax.jit, same formula"
CLOSED, MODULE, HAND = "closed form", "plain module", "by hand"
PRODUCTS, LIBRARY, DENSE, NORMAL = "matrix products", "library", "vmap(jacrev)", "normal equations"


def kernel_products(p: TwoLayerProblem) -> Tensor:
    """The products that no kernel of this kind avoids, in float64 as the kernel is, and nothing else."""
    A = p.x.double() @ p.W.double().mT
    return (A @ A.mT).addmm_(A, A.mT)


def step_products(p: TwoLayerProblem) -> Tensor:
    """Those of a step; the Cholesky factorisation of the kernel comes on top for everybody."""
    kernel_products(p)
    return p.x.new_ones(p.m, p.n, dtype=torch.float64) @ p.x.double()


def step(p: TwoLayerProblem, module: bool = False, damped: bool = True) -> Tensor:
    """The library's step. It measures damping in units of its time scale: the width for the closed form, 1 for a module."""
    net, scale = (p.module, 1) if module else (p.net, p.m)
    return flat(gauss_newton(net, p.x, p.y, damping=damped * scale * p.damping).tensors)


def step_by_hand(p: TwoLayerProblem) -> Tensor:
    """The damped step in closed form."""
    return flat(by_hand.damped_step(p.W, p.v, p.x, p.y, p.damping)[0])


def right_step(p: TwoLayerProblem, solve: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
    """What ``solve`` makes of ``J`` and the residual, both in float64."""
    W, v, x = p.state64
    return solve(dense.per_sample_gradients(W, v, x), by_hand.outputs(W, v, x) - p.y.double())


def through(rows: Callable[..., Tensor], solve: Callable[..., Tensor] = dense.damped) -> Method:
    """The damped step by somebody's ``J``."""
    return lambda p: solve(rows(*p.state), p.r, p.damping)


ROWS = {
    "torch.func vmap(grad)": dense.per_sample_gradients,
    "torch.func jacrev of the batch": dense.batch_jacobian,
    "published algorithm": dense.published_rows,
    "BackPACK": installed.backpack_rows,
}
SOLVES = {"published algorithm": dense.damped_by_svd}


def damped(p: TwoLayerProblem) -> Tensor:
    """The damped step by the dense ``J``."""
    return right_step(p, lambda J, r: dense.damped(J, r, p.damping))


KERNEL = Task(
    "kernel",
    axes="n d m",
    sizes=[SMALL, LARGE],
    tiny=TINY,
    make=TwoLayerProblem,
    reference=lambda p: dense.gram(dense.per_sample_gradients(*p.state64)),
    methods={
        CLOSED: lambda p: jacobian(p.net, p.x).gram(),
        MODULE: lambda p: jacobian(p.module, p.x).gram(),
        HAND: lambda p: by_hand.kernel(*by_hand.features(p.W, p.v, p.x), p.x),
    },
    floors={PRODUCTS: kernel_products},
    peers={name: lambda p, of=of: dense.gram(of(*p.state)) for name, of in ROWS.items()}
    | {JAX: installed.jax_kernel, "ASDL": installed.asdl_kernel},
    tolerance=1e-13,
    ratios=[
        Ratio(CLOSED, PRODUCTS, {SMALL: 6.0, LARGE: 1.46}, {LARGE: 1.3}, guard=LARGE, rival=False),
        Ratio(CLOSED, HAND, {SMALL: 2.0, LARGE: 1.2}),
        Ratio(MODULE, CLOSED, {SMALL: 3.7, LARGE: 1.26}, {LARGE: 1.3}, rival=False),
        Ratio(CLOSED, "torch.func vmap(grad)", {SMALL: 0.21, LARGE: 0.14}, {LARGE: 0.2}),
        Ratio(CLOSED, "BackPACK", {SMALL: 0.21, LARGE: 0.14}, {LARGE: 0.2}),
        Ratio(CLOSED, JAX, {SMALL: 2.9, LARGE: 0.93}, {SMALL: 1.0, LARGE: 1.0}),
        Ratio(CLOSED, "ASDL", {SMALL: 0.38, LARGE: 0.88}),
    ],
)

DAMPED = Task(
    "damped step",
    axes="n d m",
    sizes=[SMALL, LARGE],
    tiny=TINY,
    make=TwoLayerProblem,
    reference=damped,
    methods={CLOSED: step, MODULE: partial(step, module=True), HAND: step_by_hand},
    floors={PRODUCTS: step_products},
    peers={name: through(of, SOLVES.get(name, dense.damped)) for name, of in ROWS.items()}
    | {JAX: installed.jax_damped_step, "ASDL": installed.asdl_damped_step},
    ratios=[
        Ratio(CLOSED, PRODUCTS, {SMALL: 9.6, LARGE: 1.61}, {LARGE: 1.3}, rival=False),
        Ratio(CLOSED, HAND, {SMALL: 2.0, LARGE: 1.23}),
        Ratio(MODULE, CLOSED, {SMALL: 2.4, LARGE: 1.22}, {LARGE: 1.3}, rival=False),
        Ratio(CLOSED, "torch.func vmap(grad)", {SMALL: 0.32, LARGE: 0.17}, {LARGE: 0.2}),
        Ratio(CLOSED, "BackPACK", {SMALL: 0.4, LARGE: 0.17}, {LARGE: 0.2}),
        Ratio(CLOSED, JAX, {SMALL: 3.0, LARGE: 1.08}, {SMALL: 1.0, LARGE: 1.0}),
        Ratio(CLOSED, "ASDL", {SMALL: 0.56, LARGE: 0.88}),
    ],
)

UNDAMPED = Task(
    "undamped step",
    axes="n d m",
    sizes=[SMALL, LARGE],
    tiny=TINY,
    make=TwoLayerProblem,
    reference=lambda p: right_step(p, dense.undamped),
    methods={CLOSED: partial(step, damped=False), MODULE: partial(step, module=True, damped=False)},
    floors={PRODUCTS: step_products},
    peers={"QR of a dense J": lambda p: dense.undamped(dense.per_sample_gradients(*p.state), p.r)},
    ratios=[
        Ratio(CLOSED, PRODUCTS, target={LARGE: 2.0}, rival=False),
        Ratio(MODULE, CLOSED, {SMALL: 4.9, LARGE: 3.2}, {LARGE: 1.5}, rival=False),
        Ratio(CLOSED, "QR of a dense J", {SMALL: 0.36, LARGE: 0.1}),
    ],
)

FLOAT32 = Task(
    "damped step, float32",
    axes="n d m",
    sizes=[LARGE],
    tiny=TINY,
    make=partial(TwoLayerProblem, dtype=torch.float32),
    reference=damped,
    methods={CLOSED: step, MODULE: partial(step, module=True), HAND: step_by_hand},
    tolerance=1e-4,
    ratios=[Ratio(CLOSED, HAND, {LARGE: 1.5}), Ratio(MODULE, CLOSED, {LARGE: 1.23}, {LARGE: 1.3}, rival=False)],
)

FEW_PARAMETERS = Task(
    "damped step, p < n",
    axes="n d m",
    sizes=[FEW],
    tiny=(300, 2, 7),
    make=TwoLayerProblem,
    reference=lambda p: right_step(p, lambda J, r: reference.augmented_step(J.cpu(), r.cpu(), p.damping).to(J)),
    methods={
        CLOSED: step,
        MODULE: partial(step, module=True),
        NORMAL: through(dense.per_sample_gradients, dense.normal_equations),
    },
    loose={NORMAL: 1e-8},  # J^T J has the square of the condition number of J
    ratios=[Ratio(CLOSED, NORMAL, {FEW: 1100.0}), Ratio(MODULE, NORMAL)],
)

IMAGES, CLASSES = (128, 1), (32, 10)

IMAGE_KERNEL = Task(
    "kernel of a convolutional network",
    axes="n c",
    sizes=[IMAGES, CLASSES],
    tiny=(4, 2),
    make=ImageProblem,
    reference=lambda p: dense.gram(dense.rows_one_by_one(p.net, p.x)),
    methods={LIBRARY: lambda p: jacobian(p.net, p.x).gram(), DENSE: lambda p: dense.gram(dense.of_module(p.net, p.x))},
    ratios=[Ratio(LIBRARY, DENSE, {IMAGES: 2.7, CLASSES: 1.3}, {IMAGES: 1.0, CLASSES: 1.0})],
)

IMAGE_STEP = Task(
    "damped step of a convolutional network",
    axes="n c",
    sizes=[IMAGES, CLASSES],
    tiny=(4, 2),
    make=ImageProblem,
    reference=lambda p: dense.damped(dense.rows_one_by_one(p.net, p.x), p.r, p.damping),
    methods={
        LIBRARY: lambda p: flat(gauss_newton(p.net, p.x, p.y, damping=p.damping).tensors),
        DENSE: lambda p: dense.damped(dense.of_module(p.net, p.x), (p.net(p.x) - p.y).detach().flatten(), p.damping),
    },
    ratios=[Ratio(LIBRARY, DENSE, {IMAGES: 2.5, CLASSES: 1.3}, {IMAGES: 1.0, CLASSES: 1.0})],
)

TASKS = [KERNEL, DAMPED, UNDAMPED, FLOAT32, FEW_PARAMETERS, IMAGE_KERNEL, IMAGE_STEP]
