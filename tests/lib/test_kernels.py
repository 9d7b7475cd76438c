import pytest
import torch

from regimes import reference
from regimes.directions import time_scale
from regimes.kernels import neural_tangent_kernel
from regimes.networks import SCALINGS, TwoLayer
from regimes.optimizers import GradientDescent
from tests.lib.cases import CASES, NAMES, D, N, normal, relative, two_layer


@pytest.mark.parametrize("name", NAMES)
def test_kernel_is_that_of_the_dense_jacobian(name):
    net, x, _ = CASES[name]()
    J = reference.dense_jacobian(net, x)
    assert relative(neural_tangent_kernel(net, x), time_scale(net) * J @ J.T) < 1e-12


@pytest.mark.parametrize("scaling", SCALINGS)
def test_kernel_is_of_order_one_at_any_width(scaling):
    x = normal(N, D)
    nets = [TwoLayer(D, m, scaling=scaling, std=0.7, output_std=1.4) for m in (2000, 8000)]
    kernels = [neural_tangent_kernel(net, x) for net in nets]
    assert relative(kernels[0], kernels[1]) < 0.1


def test_kernel_predicts_how_the_outputs_move():
    net, x, y = CASES["mean field"]()
    r, K = (net(x) - y).detach(), neural_tangent_kernel(net, x)
    before = net(x).detach()
    GradientDescent(net, lr=1e-6).step(x, y)
    assert relative((net(x).detach() - before) / 1e-6, -K @ r / N) < 1e-4


def test_refuses_bad_inputs():
    with pytest.raises(ValueError, match="inputs must have shape"):
        neural_tangent_kernel(two_layer(), normal(N, D + 1))
    with pytest.raises(ValueError, match="not finite"):
        neural_tangent_kernel(two_layer(), normal(N, D) * torch.inf)
