"""Tasks: a product with the Hessian, and the sharpness along a run."""

from collections.abc import Callable
from copy import deepcopy
from functools import cached_property
from unittest.mock import patch

import numpy as np
import torch
from scipy.sparse.linalg import LinearOperator, eigsh
from torch import Tensor

from benchmarks import dense, installed
from benchmarks.by_hand import HessianProduct
from benchmarks.problems import TwoLayerProblem
from benchmarks.task import Ratio, Row, Size, Task, flat
from regimes.hessians import hessian
from regimes.metrics import Sharpness, sharpness
from regimes.networks.two_layer_derivatives import TwoLayerHessian
from regimes.optimizers import GradientDescent
from regimes.training import train

SMALL, LARGE = (100, 10, 100), (500, 10, 1000)
CLOSED, MODULE, HAND, BACKWARD = "closed form", "plain module", "by hand", "double backward"
LIBRARY, AFRESH, EIGSH = "Sharpness", "sharpness, each afresh", "double backward and eigsh"
RECORDS = 11


class CurvatureProblem(TwoLayerProblem):
    """A network at one state, and for each method what it prepares once."""

    @cached_property
    def closed(self):
        """The library's operator for the network."""
        return hessian(self.net, self.x, self.y)

    @cached_property
    def general(self):
        """That for the plain module."""
        return hessian(self.module, self.x, self.y)

    @cached_property
    def hand(self) -> HessianProduct:
        """The formula, with what stays kept."""
        return HessianProduct(self.W, self.v, self.x, self.y)

    @cached_property
    def backward(self) -> dense.DoubleBackward:
        """The gradient, with its graph."""
        return dense.DoubleBackward(self.W, self.v, self.x, self.y)

    def general_product(self) -> Tensor:
        """By the plain module, whose output weights have an axis more."""
        V, u = self.vector
        return flat(self.general.product((V, u[None])))


PRODUCT = Task(
    "Hessian product",
    axes="n d m",
    sizes=[LARGE],
    tiny=(20, 3, 30),
    make=CurvatureProblem,
    reference=lambda p: flat(dense.hessian_product(*p.state, p.y, p.vector)),
    methods={
        CLOSED: lambda p: flat(p.closed.product(p.vector)),
        MODULE: CurvatureProblem.general_product,
        HAND: lambda p: flat(p.hand(*p.vector)),
        BACKWARD: lambda p: flat(p.backward(*p.vector)),
    },
    peers={"jax.jit, jvp of grad": installed.jax_hessian_product},
    tolerance=1e-12,
    ratios=[
        Ratio(CLOSED, BACKWARD, {LARGE: 0.63}, {LARGE: 0.25}),
        Ratio(CLOSED, HAND, {LARGE: 2.8}),
        Ratio(MODULE, BACKWARD, {LARGE: 0.59}),
        Ratio(CLOSED, "jax.jit, jvp of grad", {LARGE: 0.59}),
    ],
)


class RunProblem(TwoLayerProblem):
    """A run of gradient descent at half its edge of stability, whose sharpness is recorded at every step."""

    @cached_property
    def lr(self) -> float:
        """Half of ``2 / sharpness`` at the start."""
        return 1 / self._exact(self.W, self.v)

    @cached_property
    def states(self) -> list[tuple[Tensor, Tensor]]:
        """The parameters at each record, by autograd."""
        found = [(self.W, self.v)]
        while len(found) < RECORDS:
            p = tuple(t.clone().requires_grad_() for t in found[-1])
            gradient = torch.autograd.grad(self.m * dense.mean_loss(*p, self.x, self.y), p)
            found.append(tuple((t - self.lr * g).detach() for t, g in zip(p, gradient, strict=True)))
        return found

    def _exact(self, W: Tensor, v: Tensor) -> float:
        return by_eigsh(self, W, v, tolerance=1e-10)

    def exact(self) -> Tensor:
        """The sharpness at each record to ten digits."""
        return torch.tensor([self._exact(*state) for state in self.states], dtype=torch.float64)

    def along(self, look: Callable) -> Tensor:
        """What ``look(net)`` measures along a run of `regimes.training.train`."""
        net = deepcopy(self.net)
        optimizer = GradientDescent(net, self.lr)
        return train(net, self.x, self.y, optimizer, RECORDS - 1, measure={"sharpness": look}).measured["sharpness"]

    def by_library(self) -> Tensor:
        """By the library, each search from where the last one ended."""
        return self.along(Sharpness(self.x, self.y))

    def afresh(self) -> Tensor:
        """By the library, each search from the same vector."""
        return self.along(lambda net: sharpness(net, self.x, self.y))

    def by_others(self, look: Callable) -> Tensor:
        """By ``look(problem, W, v)``."""
        look = torch.enable_grad()(look)
        return self.along(lambda net: torch.tensor(look(self, net.W.detach(), net.v.detach()), dtype=torch.float64))


def by_eigsh(p: RunProblem, W: Tensor, v: Tensor, tolerance: float = 1e-4) -> float:
    """The sharpness as one writes it with SciPy: Lanczos iteration on products by double backward."""
    product = dense.DoubleBackward(W, v, p.x, p.y)

    def times(vector: np.ndarray) -> np.ndarray:
        direction = torch.from_numpy(vector.ravel().copy()).to(W)
        return flat(product(direction[: W.numel()].reshape(W.shape), direction[W.numel() :])).cpu().numpy()

    size = W.numel() + v.numel()
    operator, start = LinearOperator((size, size), times, dtype=np.float64), np.random.default_rng(0).standard_normal(size)
    return p.m * eigsh(operator, k=1, which="LA", return_eigenvectors=False, tol=tolerance, v0=start)[0]


ALONG = Task(
    "sharpness along a run",
    axes="n d m",
    sizes=[SMALL, LARGE],
    tiny=(20, 3, 60),
    make=RunProblem,
    reference=RunProblem.exact,
    methods={LIBRARY: RunProblem.by_library, AFRESH: RunProblem.afresh, EIGSH: lambda p: p.by_others(by_eigsh)},
    peers={
        "PyHessian": lambda p: p.by_others(installed.pyhessian_sharpness),
        "hessian-eigenthings": lambda p: p.by_others(installed.eigenthings_sharpness),
    },
    tolerance=1e-4,
    loose={"PyHessian": 1e-2},
    ratios=[
        Ratio(LIBRARY, EIGSH, {SMALL: 0.62, LARGE: 0.72}),
        Ratio(LIBRARY, "PyHessian", {SMALL: 0.5}),
        Ratio(LIBRARY, "hessian-eigenthings", {SMALL: 0.17}),
    ],
)

TASKS = [PRODUCT, ALONG]


def products(size: Size, device: str) -> float:
    """How many Hessian products the library takes for a record."""
    problem = RunProblem(*size, device=device)
    with patch.object(TwoLayerHessian, "product", autospec=True, side_effect=TwoLayerHessian.product) as counted:
        problem.by_library()
    return counted.call_count / RECORDS


def counts(tiny: bool = False, device: str = "cpu") -> list[Row]:
    """The number of products a record, at each size."""
    before = {SMALL: 19.5, LARGE: 26.0}
    sizes = [ALONG.tiny] if tiny else ALONG.sizes
    what = "Hessian products a record"
    return [Row(ALONG.name, ALONG.at(size), what, products(size, device), before.get(size), 5.0) for size in sizes]
