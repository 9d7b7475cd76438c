"""The same numbers on an NVIDIA GPU as on the CPU, to 1e-9 in float64."""

import pytest
import torch

from regimes.directions import gauss_newton
from regimes.flows import RungeKutta4
from regimes.hessians import hessian
from regimes.jacobians import jacobian
from regimes.kernels import LazyScaling, Linearised, neural_tangent_kernel
from regimes.losses import logistic
from regimes.metrics import change_from_init, cka, homogeneity_gap, normalised_margin, phase_switch, sharpness, smoothed_margin
from regimes.networks import Reversible, TwoLayer, committee, fix_signs
from regimes.online_sgd import one_pass
from regimes.optimizers import EdgeFraction, GaussNewton, GradientDescent, ReversibleGaussNewton
from regimes.population_risk import PopulationGradient
from regimes.problems import orthonormal_units, parity, teacher_student, ten_digits, tug_of_war, unit_vectors
from regimes.reversible_gauss_newton import exact_gauss_newton
from regimes.theory.lazy import flow_prediction, kernel_regression, relu_kernel
from regimes.training import train
from tests.lib.cases import CASES, normal, reversible, runs_of, two_layer, weights

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
    assert gpu.solve.method == cpu.solve.method


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
        losses.append(train(net, data.x, data.y, ReversibleGaussNewton(net, 0.3), 10, batches=feed).loss)
    assert close(losses[1].cuda(), losses[0])


# Large steps (lesson 09).


def test_a_large_step_on_the_logistic_loss():
    """Forty steps of which many raise the risk, on data of each run; margins and phases too."""
    seeds, eta = torch.arange(3), torch.tensor([24.0, 48.0, 96.0], dtype=torch.float64)
    x, y = tug_of_war(torch.tensor([0.1, 0.15, 0.2]))
    found = []
    for device in ("cpu", "cuda"):
        net = TwoLayer(2, 8, runs=(3,), seed=seeds, activation="leaky_softplus", bias=False, device=device)
        net, at = fix_signs(net), (x.to(device), y.to(device))
        loss = train(net, *at, GradientDescent(net, eta.to(device), loss=logistic), 40).loss
        measured = normalised_margin(net, *at), smoothed_margin(net, *at, 0.3466), homogeneity_gap(net, at[0])
        found.append((loss, measured, phase_switch(loss.to(device), (1 / eta).to(device))))
    (loss, measured, phases), (gpu_loss, gpu_measured, gpu_phases) = found
    assert close(gpu_loss.cuda(), loss) and all(close(b, a) for a, b in zip(measured, gpu_measured, strict=True))
    assert all(b.device.type == "cuda" and torch.equal(b.cpu(), a) for a, b in zip(phases, gpu_phases, strict=True))


# The lazy regime (lesson 06).


@pytest.mark.parametrize("wrap", [Linearised, lambda net: LazyScaling(net, 3.0)], ids=["linearised", "scaled"])
def test_a_wrapped_network_trains_on_the_device(wrap):
    seeds, problem, found = torch.arange(3), parity(20, 6, seed=torch.arange(3)), []
    for device in ("cpu", "cuda"):
        data = problem.to(device)
        start = TwoLayer(6, 24, runs=(3,), activation="relu", bias=False, output_std=1.0, seed=seeds, device=device)
        net = wrap(start)
        loss = train(net, data.x, data.y, GradientDescent(net, 0.5), 20).loss
        features = cka(net.net.hidden(data.x)[0], start.hidden(data.x)[0])
        K = neural_tangent_kernel(net, data.x, data.x_test[..., :7, :])
        found.append((loss.to(device), features, K, net(data.x_test).detach(), *change_from_init(net, data.x).values()))
    assert all(close(b, a) for a, b in zip(*found, strict=True) if a.norm() > 1e-9)


def test_predictions_without_training_on_the_device():
    data = parity(20, 12)
    there = data.to("cuda")
    for predict in (kernel_regression, lambda *kernels: flow_prediction(*kernels, 3.0)):
        cpu, gpu = (predict(relu_kernel(on.x), relu_kernel(on.x_test, on.x), on.y) for on in (data, there))
        assert close(gpu, cpu)


@pytest.mark.parametrize("method", ["dense", "lanczos"])
@pytest.mark.parametrize("name", NAMES)
def test_sharpness_on_the_device(name, method):
    (net, x, y), (gpu, gx, gy) = pair(name)
    assert close(sharpness(gpu, gx, gy, method=method), sharpness(net, x, y, method=method))


@pytest.mark.parametrize("backend", ["closed form", "autograd"])
def test_hessian_on_the_device(backend):
    (net, x, y), (gpu, gx, gy) = pair("mean field")
    assert close(hessian(gpu, gx, gy, backend=backend).dense().detach(), hessian(net, x, y, backend=backend).dense().detach())


# One-pass SGD (lesson 03).


def committees(device, activation="erf"):
    W = unit_vectors(12, 5, seed=torch.arange(3)).to(device)
    return committee(W, activation=activation), committee(orthonormal_units(12, 3, seed=9).to(device), activation=activation)


def test_one_pass_sgd_on_the_device():
    (net, target), (gpu, there) = committees("cpu"), committees("cuda")
    cpu, cuda = (one_pass(a, b, 1.0, 150, label_noise=0.1, at=[0, 70, 150]) for a, b in ((net, target), (gpu, there)))
    assert close(gpu.W.detach(), net.W.detach()) and close(cuda.loss.cuda(), cpu.loss)
    assert cuda.loss.device.type == cuda.measured["M"].device.type == "cpu"


@pytest.mark.parametrize("activation", ["erf", "relu"])
def test_the_flow_of_the_population_risk_on_the_device(activation):
    found = []
    for device in ("cpu", "cuda"):
        net, target = committees(device, activation)
        trace = train(net, None, None, RungeKutta4(net, PopulationGradient(target), 0.5), 20)
        found.append((net.W.detach(), trace.loss.to(device)))
    assert all(close(b, a) for a, b in zip(*found, strict=True))
