"""The optimizers of lesson 04's zoo."""

import torch

from regimes.networks import TwoLayerLinear
from regimes.optimizers import GradientDescent
from regimes.problems import linear_regression
from regimes_course.lesson04.experiments import _torch


def test_torch_s_descent_on_the_sum_of_squares_is_the_library_s_on_the_mean():
    data, net, twin = linear_regression(20, 50, outputs=2, seed=3), *(TwoLayerLinear(50, 2, 8, std=0.15) for _ in range(2))
    _torch(lambda p: torch.optim.SGD(p, 0.01), 30)(net, data)
    optimizer = GradientDescent(twin, 0.01 * len(data.x))
    for _ in range(30):
        optimizer.step(data.x, data.y)
    torch.testing.assert_close(net.predictor, twin.predictor, rtol=1e-10, atol=1e-12)
    assert (net.predictor - TwoLayerLinear(50, 2, 8, std=0.15).predictor).norm() > 0.1
