"""The same numbers on an NVIDIA GPU as on the CPU, to 1e-9 in float64."""

import pytest
import torch
from cases import CASES, normal, reversible, runs_of, two_layer, weights

from regimes.directions import gauss_newton
from regimes.exact import exact_gauss_newton
from regimes.flows import RungeKutta4
from regimes.jacobians import jacobian
from regimes.networks import Reversible
from regimes.optimizers import EdgeFraction, ExactGaussNewton, GaussNewton, GradientDescent
from regimes.problems import teacher_student, ten_digits
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


# Reversible networks (lesson 07).


def reversible_pair(**options):
    return [reversible(runs=(3,), seed=torch.arange(3), std=0.05, device=device, **options) for device in ("cpu", "cuda")]


@pytest.mark.parametrize("solver", ["cholesky", "svd"])
def test_the_exact_direction_of_a_reversible_network(solver):
    (cpu, gpu), x, y = reversible_pair(), normal(11, 6, seed=1), normal(11, 3, seed=2)
    here, there = exact_gauss_newton(cpu, x, y, solver=solver), exact_gauss_newton(gpu, x.cuda(), y.cuda(), solver=solver)
    assert close(there.tensors[0], here.tensors[0]) and (there.solve.residual < 1e-8).all()
    assert close(gpu.inverse(gpu.encode(x.cuda())).detach(), x.expand(3, 11, 6))
    assert close(jacobian(gpu, x.cuda()).gram(), jacobian(cpu, x).gram())


def test_mini_batches_of_digits_on_the_device():
    seeds, problem = torch.arange(3), ten_digits(64, seed=torch.arange(3))
    losses = []
    for device in ("cpu", "cuda"):
        net, data = Reversible(64, 10, 48, runs=(3,), seed=seeds, device=device), problem.to(device)
        feed = data.batches(16, seed=seeds, shift=True)
        losses.append(train(net, data.x, data.y, ExactGaussNewton(net, 0.3), 10, batches=feed).loss)
    assert close(losses[1].cuda(), losses[0])
