"""A user's program, as a type checker reads it: run by test_types.

Each line is a call that the library promises; ``assert_type`` says what comes back, ``type: ignore`` what must be refused.
"""

from typing import assert_type

import torch
from torch import Tensor, nn

from regimes import (
    GaussNewton,
    GradientDescent,
    Network,
    Trace,
    TwoLayer,
    gauss_newton,
    gradient,
    hessian,
    jacobian,
    neural_tangent_kernel,
    sharpness,
    sweep,
    train,
)
from regimes.flows import RungeKutta4
from regimes.losses import logistic, squared
from regimes.metrics import Sharpness, kernel_distance, loss_on
from regimes.optimizers import EdgeFraction, TorchOptimizer
from regimes.problems import wave

data = wave()
net = TwoLayer(1, 20, runs=(2, 3), std=torch.ones(2, 3), seed=0)
own = nn.Sequential(nn.Linear(1, 5), nn.Tanh(), nn.Linear(5, 1), nn.Flatten(0)).double()


class Mine(Network):
    def __init__(self) -> None:
        super().__init__()
        self.k = nn.Parameter(torch.ones(1, dtype=torch.float64))

    def forward(self, x: Tensor) -> Tensor:
        return self.k * x[:, 0]


for module in (net, own, Mine()):
    assert_type(sharpness(module, data.x, data.y), Tensor)
    assert_type(neural_tangent_kernel(module, data.x), Tensor)
    assert_type(gradient(module, data.x, data.y.sign(), loss=logistic).tensors, tuple[Tensor, ...])
    assert_type(gauss_newton(module, data.x, data.y, damping=1e-3).loss, Tensor)
    assert_type(jacobian(module, data.x).gram(), Tensor)
    assert_type(hessian(module, data.x, data.y).dense(), Tensor)

for optimizer in (
    GaussNewton(own, damping=1e-3),
    GradientDescent(own, lr=EdgeFraction()),
    TorchOptimizer(own, torch.optim.Adam(own.parameters())),
):
    assert_type(train(own, data.x, data.y, optimizer, 10, measure={"test": lambda net: loss_on(net, data.x, data.y)}), Trace)
trace = train(own, data.x, data.y, RungeKutta4(own, gradient, dt=0.1), 10)
assert_type(trace.steps_to(1e-3), Tensor)
assert_type(trace.loss[0] + kernel_distance(torch.eye(2), torch.eye(2)), Tensor)


def run(std: Tensor, seed: Tensor) -> dict[str, Tensor]:
    return {"loss": loss_on(TwoLayer(1, 10, runs=std.shape, std=std, seed=seed), data.x, data.y)}


assert_type(sweep(run, {"std": [0.1, 1.0], "seed": range(3)})["loss"], Tensor)
assert_type(sweep(run, {"std": torch.ones(2), "seed": [1, 2]}, stack=2, jobs=1, store=None)["loss"], Tensor)
adam, loader = torch.optim.Adam(own.parameters()), [(data.x, data.y)]
trace = train(own, None, None, adam, 10, measure={"sharpness": (lambda net: sharpness(net, data.x, data.y), 5)}, batches=loader)
assert_type(sharpness(TwoLayer(1, 5, activation=nn.ELU()), data.x, data.y), Tensor)
trace = train(own, data.x, data.y, adam, 10, measure={"sharpness": Sharpness(data.x, data.y, loss=squared)})


def refused() -> None:
    train(own, data.x, data.y, "adam", 10)  # type: ignore[arg-type]
    sweep(run, {"std": 0.1})  # type: ignore[dict-item]
    sharpness(own, data.x)  # type: ignore[call-arg]
