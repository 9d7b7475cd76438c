"""The same numbers on an NVIDIA GPU as on the CPU, to 1e-9 in float64."""

import pytest
import torch
from cases import CASES, runs_of, two_layer, weights

from regimes.directions import gauss_newton
from regimes.flows import RungeKutta4
from regimes.jacobians import jacobian
from regimes.optimizers import EdgeFraction, GaussNewton, GradientDescent
from regimes.problems import teacher_student
from regimes.training import train

pytestmark = pytest.mark.cuda
NAMES = ["mean field", "perceptron, three outputs", "convolution, two outputs"]


def close(gpu, cpu):
    assert gpu.device.type == "cuda"
    return ((gpu.cpu() - cpu).norm() / cpu.norm()).item() < 1e-9


def pair(name):
    net, x, y = CASES[name]()
    twin, _, _ = CASES[name]()
    return (net, x, y), (twin.cuda(), x.cuda(), y.cuda())


@pytest.mark.parametrize("name", NAMES)
def test_gram(name):
    (net, x, _), (gpu, gx, _) = pair(name)
    assert close(jacobian(gpu, gx).gram(), jacobian(net, x).gram())


@pytest.mark.parametrize("damping", [0.0, 0.1])
@pytest.mark.parametrize("name", NAMES)
def test_one_gauss_newton_step(name, damping):
    cpu, gpu = (gauss_newton(*on, damping=damping) for on in pair(name))
    assert all(close(a, b) for a, b in zip(gpu.tensors, cpu.tensors, strict=True))
    assert gpu.solve.route == cpu.solve.route


MAKERS = {
    "gauss-newton": lambda net: GaussNewton(net, 0.05),
    "gauss-newton, damped": lambda net: GaussNewton(net, 0.05, damping=0.02),
    "each run its step": lambda net: GradientDescent(net, torch.tensor([0.1, 0.2, 0.3], device=net.W.device)),
    "at the edge": lambda net: GradientDescent(net, EdgeFraction()),
    "runge-kutta": lambda net: RungeKutta4(net, gauss_newton, 0.05),
}


@pytest.mark.parametrize("name", MAKERS)
def test_twenty_training_steps(name):
    seeds = torch.arange(3)
    problem = teacher_student(n=11, d=3, n_test=17, seed=seeds)
    nets = [two_layer(runs=(3,), seed=seeds), two_layer(runs=(3,), seed=seeds, device="cuda")]
    there = problem.to("cuda")
    traces = [train(n, p.x, p.y, MAKERS[name](n), 20) for n, p in zip(nets, (problem, there), strict=True)]
    assert close(traces[1].loss, traces[0].loss) and close(weights(nets[1]), weights(nets[0]))
    assert traces[1].steps_to(0.5).tolist() == traces[0].steps_to(0.5).tolist()
    assert len(runs_of(nets[0])) == 3
