"""How over-parameterised networks learn: gradient descent and Gauss-Newton on any ``nn.Module``, and what to measure of them.

A network of two layers learns a wave by Gauss-Newton; at the end its sharpness is measured.

>>> from regimes import GaussNewton, TwoLayer, sharpness, train
>>> from regimes.problems import wave
>>> data, net = wave(), TwoLayer(1, 100)
>>> trace = train(net, data.x, data.y, GaussNewton(net, lr=0.1, damping=1e-3), steps=100)
>>> bool(trace.loss[-1] < 1e-3 * trace.loss[0]), sharpness(net, data.x, data.y).shape
(True, torch.Size([]))

What is used most is here; each name is loaded when it is first asked for:

- networks: `TwoLayer`, one or a whole stack of runs at once; `Network`, to say more about a module of your own;
- training: `GradientDescent` and `GaussNewton` are torch optimizers whose step takes the data; `train` runs them and returns
  a `Trace`; `sweep` calls a function on every combination of some settings, in stacks, in parallel, and restartable;
- what they are made of: the directions `gradient` and `gauss_newton`, the operators `jacobian` and `hessian`;
- what to look at: `neural_tangent_kernel`, `sharpness`.

The rest is in the modules: `regimes.metrics` (measurements), `regimes.problems` (data), `regimes.losses`, `regimes.flows`
(continuous time), `regimes.theory` (what papers predict, apart from everything else).
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from regimes.directions import gauss_newton as gauss_newton
    from regimes.directions import gradient as gradient
    from regimes.hessians import hessian as hessian
    from regimes.jacobians import jacobian as jacobian
    from regimes.kernels import neural_tangent_kernel as neural_tangent_kernel
    from regimes.metrics import sharpness as sharpness
    from regimes.network import Network as Network
    from regimes.networks import TwoLayer as TwoLayer
    from regimes.optimizers import GaussNewton as GaussNewton
    from regimes.optimizers import GradientDescent as GradientDescent
    from regimes.sweeps import sweep as sweep
    from regimes.training import Trace as Trace
    from regimes.training import train as train

_HOME = {
    "GaussNewton": "optimizers",
    "GradientDescent": "optimizers",
    "Network": "network",
    "Trace": "training",
    "TwoLayer": "networks",
    "gauss_newton": "directions",
    "gradient": "directions",
    "hessian": "hessians",
    "jacobian": "jacobians",
    "neural_tangent_kernel": "kernels",
    "sharpness": "metrics",
    "sweep": "sweeps",
    "train": "training",
}
__all__ = list(_HOME)


def __getattr__(name: str) -> Any:
    """Load the module a name lives in when it is first asked for: torch alone takes a second."""
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    return value


def __dir__() -> list[str]:
    """The names that are loaded already, and those that wait."""
    return sorted({*globals(), *_HOME})
