r"""Sharpness: the largest curvature of the loss.

Along an eigenvector of the Hessian with eigenvalue :math:`\lambda`, gradient descent with step size :math:`\eta` multiplies
the distance to the minimum of a quadratic by :math:`1 - \eta\lambda`. So it is stable while the *stability number*
:math:`\eta S / 2` of the largest eigenvalue ``S`` is below one.
"""

from collections.abc import Callable
from functools import partial
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from regimes.hessians import Hessian
from regimes.losses import AnyLoss, squared
from regimes.metrics.hessian_spectrum import (
    hessian_eigenvalues,
    largest_eigenvalues,
    nearby_eigenvalue,
    run_by_run,
    takes_all,
)
from regimes.network import run_axes, time_scale, trainable

__all__ = ["Sharpness", "largest_eigenvalue", "sharpness", "sometimes"]

AFRESH = 20  # one search of `Sharpness` in so many does not begin where the last one ended


def sharpness(
    net: nn.Module, x: Tensor, y: Tensor, *, loss: AnyLoss = squared, method: str = "auto", backend: str = "auto"
) -> Tensor:
    r"""The largest eigenvalue of the Hessian of the mean loss, times the network's time scale ``c``: one number per run.

    In the units in which ``lr`` of `regimes.optimizers.GradientDescent` is a step: gradient descent with this ``lr`` is at the
    edge of stability where ``lr * sharpness / 2 == 1``, at any width and in any scaling. (Its step in parameter space is
    ``lr * c``, with ``c`` the width ``m`` for a mean-field `TwoLayer` and 1 for other modules. The kernel ``K = c J J^T`` has
    the same units: at a perfect fit of the squared loss the sharpness is ``lambda_max(K) / n``.)

    It is the largest *algebraic* eigenvalue: a negative one does not count, however large its modulus.

    Many of them along a run take fewer products as a `Sharpness`.

    Args:
        net: a `TwoLayer` (closed form, any run axes), or any module (double backward).
        x, y: the training data, ``(..., n, d)`` and ``(..., n)``.
        loss: see `regimes.losses`.
        method: ``"dense"`` (all eigenvalues), ``"lanczos"`` (about a dozen products with the Hessian, run by run), or
            ``"auto"``: dense up to 150 parameters for a `TwoLayer`, up to 20 for other modules.
        backend: see `regimes.hessians.hessian`.

    Raises:
        ValueError: for parameters that are not finite (a diverged run), targets that do not fit the outputs, or an unknown
            method.
    """
    return hessian_eigenvalues(net, x, y, loss=loss, method=method, backend=backend)[..., 0]


class Sharpness:
    """`sharpness` as a measurement along a run: each search begins where the last one of the same network ended.

    Between two records the Hessian changes little, and three to five products with it take the place of about a dozen.

    >>> from regimes import GradientDescent, TwoLayer
    >>> from regimes.problems import wave
    >>> from regimes.training import train
    >>> data, net = wave(), TwoLayer(1, 200)
    >>> measure = {"sharpness": Sharpness(data.x, data.y)}
    >>> S = train(net, data.x, data.y, GradientDescent(net, lr=0.1), 50, every=10, measure=measure).measured["sharpness"]
    >>> bool((S[-1] - sharpness(net, data.x, data.y)).abs() < 1e-5 * S[-1])
    True

    Each number is within about 1e-6 of its value. What came before decides the digits beyond that, so equal digits take a new
    network or a new object: it remembers a vector for every network it has seen, as long as that exists. A copy of it, in
    another process for example, begins without.

    A search begins at all directions of large curvature that the last one saw, and at as much of a new random one: so an
    eigenvalue that overtakes the largest is found, though its eigenvector is orthogonal to that of the largest. What can be
    missed is one that leaps between two records, from among the small ones to less than half above the largest, along a
    direction orthogonal to all that was seen; but not for long, since one search in twenty begins afresh.

    Args:
        x: the training inputs ``(..., n, d)``.
        y: the targets ``(..., n)``.
        loss, method, backend: see `sharpness`. Where that takes all eigenvalues, as for few parameters, so does this.
    """

    def __init__(self, x: Tensor, y: Tensor, *, loss: AnyLoss = squared, method: str = "auto", backend: str = "auto"):
        self.x, self.y, self.loss, self.method, self.backend = x, y, loss, method, backend
        # of each network how many searches there were, and where the next one may begin in each of its runs
        self._seen: WeakKeyDictionary[nn.Module, tuple[int, dict[int, Tensor | None]]] = WeakKeyDictionary()

    def __call__(self, net: nn.Module) -> Tensor:
        """The sharpness of the network as it is now, one number per run."""
        if takes_all(net, 1, self.method, self.backend):
            return sharpness(net, self.x, self.y, loss=self.loss, method=self.method, backend=self.backend)
        searches, starts = self._seen.get(net, (0, {}))
        found = []
        for run, H in enumerate(run_by_run(net, self.x, self.y, self.loss, self.backend)):
            lam, starts[run] = _search(H, starts.get(run) if searches % AFRESH else None, seed=searches)
            found.append(lam)
        self._seen[net] = searches + 1, starts
        return time_scale(net) * torch.stack(found).reshape(run_axes(net)).to(trainable(net)[0])

    def __reduce__(self):  # without its memory
        return partial(type(self), loss=self.loss, method=self.method, backend=self.backend), (self.x, self.y)


def _search(H: Hessian, start: Tensor | None, seed: int) -> tuple[Tensor, Tensor | None]:
    """The largest eigenvalue of one run, and where a search in a Hessian nearby may begin."""
    random = torch.randn(H.size, generator=torch.Generator().manual_seed(seed), dtype=torch.float64, device="cpu")
    random /= random.norm()
    if start is not None and start.shape == random.shape:  # not so if other parameters are trained now
        random += start
    return nearby_eigenvalue(H, random) or (largest_eigenvalues(H)[0][0], None)


def largest_eigenvalue(H: Hessian, tol: float = 1e-4) -> float:
    """The largest algebraic eigenvalue of the Hessian of one run, by Lanczos iteration: see `largest_eigenvalues`."""
    return largest_eigenvalues(H, tol=tol)[0].item()


def sometimes(measure: Callable[[nn.Module], Tensor], every: int) -> tuple[Callable[[nn.Module], Tensor], int]:
    """The pair ``(measure, every)``: a measurement that is too expensive to make at each step of `regimes.training.train`."""
    return measure, every
