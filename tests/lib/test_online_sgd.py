"""One-pass SGD: its steps are those of the optimizer, its overlaps a chain, its mean and its limit those of the ODE."""

import math

import numpy as np
import pytest
import torch
from scipy.stats import ks_2samp

from regimes.networks import TwoLayer, committee
from regimes.online_sgd import one_pass, overlap_chain, overlap_distance, overlaps
from regimes.optimizers import GradientDescent
from regimes.population_risk import population_risk
from regimes.problems import orthonormal_units, unit_vectors
from regimes.theory.online_sgd import coefficients, covariance, drift, integrate, noise
from regimes.training import Diverged, Trace
from tests.lib.overlap_cases import start

D, P, K = 17, 3, 2


def teacher(d=D, **options):
    return committee(orthonormal_units(d, K, seed=9), **options)


def student(seed=3, d=D, p=P, **options):
    return committee(1.2 * unit_vectors(d, p, seed=seed), **options)


def samples(seed, n, d=D):
    """What `one_pass` draws with a seed, in the order in which it draws."""
    draws = torch.randn(n, d + 1, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return draws[:, :-1], draws[:, -1]


@pytest.mark.parametrize("total", [False, True])
def test_a_step_is_gradient_descent_on_one_sample(total):
    eta, label_noise, steps = 1.7, 0.3, 40
    net, by_hand, target = student(total=total), student(total=total), teacher()
    one_pass(net, target, eta, steps, label_noise=label_noise, seed=5)
    optimizer, (x, zeta) = GradientDescent(by_hand, lr=eta / D), samples(5, steps)
    for i in range(steps):
        y = target(x[i : i + 1]).detach() + math.sqrt(label_noise) * zeta[i : i + 1]
        optimizer.step(x[i : i + 1], y)
    assert (net.W - student(total=total).W).norm() > 0.05
    torch.testing.assert_close(net.W, by_hand.W, rtol=0, atol=1e-13)


def test_run_axes_are_single_networks_with_their_seeds():
    starts, seeds = torch.tensor([[3, 4], [5, 6]]), torch.tensor([[11, 12], [13, 14]])
    stack = committee(1.2 * unit_vectors(D, P, seed=starts))
    trace = one_pass(stack, teacher(), 0.8, 70, label_noise=0.1, seed=seeds, at=[0, 30, 70])
    assert trace.loss.shape == (3, 2, 2) and trace.measured["M"].shape == (3, 2, 2, P, K)
    for i, j in ((0, 0), (1, 0), (1, 1)):
        one = student(starts[i, j])
        single = one_pass(one, teacher(), 0.8, 70, label_noise=0.1, seed=int(seeds[i, j]), at=[0, 30, 70])
        torch.testing.assert_close(stack.W[i, j], one.W, rtol=0, atol=1e-13)
        torch.testing.assert_close(trace.loss[:, i, j], single.loss, rtol=0, atol=1e-14)
        torch.testing.assert_close(trace.measured["Q"][:, i, j], single.measured["Q"], rtol=0, atol=1e-13)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("activation", ["erf", "relu"])
def test_one_run_alone_is_that_run_in_a_stack(activation, dtype):
    """A single run goes through NumPy, a stack through torch."""
    target = committee(orthonormal_units(D, K, seed=9).to(dtype), activation=activation)
    alone, stack = (
        committee(1.2 * unit_vectors(D, P, seed=seeds).to(dtype), activation=activation) for seeds in (3, torch.tensor([3, 4]))
    )
    before, options = alone.W._version, {"label_noise": 0.1, "at": [0, 30, 70]}
    trace, traces = one_pass(alone, target, 0.8, 70, **options), one_pass(stack, target, 0.8, 70, **options)
    near = {"rtol": 0, "atol": 200 * torch.finfo(dtype).eps}
    torch.testing.assert_close(alone.W, stack.W[0], **near)
    torch.testing.assert_close(trace.measured["Q"], traces.measured["Q"][:, 0], **near)
    assert (trace.measured["Q"][-1] - trace.measured["Q"][0]).norm() > 0.05
    assert alone.W._version > before  # autograd knows that the weights have changed


def test_weights_laid_out_otherwise_are_trained_as_well():
    plain, turned = student(), student()
    turned.W.data = turned.W.data.T.contiguous().T
    for net in (plain, turned):
        one_pass(net, teacher(), 0.8, 20)
    torch.testing.assert_close(turned.W, plain.W, rtol=0, atol=1e-13)


def test_one_seed_for_a_stack_counts_on():
    stack = committee(unit_vectors(D, P, seed=torch.tensor([3, 4])))
    one_pass(stack, teacher(), 0.8, 5, seed=20)
    second = committee(unit_vectors(D, P, seed=4))
    one_pass(second, teacher(), 0.8, 5, seed=21)
    torch.testing.assert_close(stack.W[1], second.W, rtol=0, atol=1e-14)


def test_the_trace_says_what_happened():
    net, target = student(), teacher()
    Q, M = overlaps(net, target)
    trace = one_pass(net, target, 0.5, 130, at=[0, 64, 130])  # two chunks of samples and a part of a third
    assert trace.step.tolist() == [0, 64, 130]
    torch.testing.assert_close(trace.time, 0.5 / D * torch.tensor([0.0, 64.0, 130.0], dtype=torch.float64))
    assert torch.equal(trace.measured["Q"][0], Q) and torch.equal(trace.measured["M"][0], M)
    torch.testing.assert_close(Q, student().W.detach() @ student().W.detach().T)
    assert trace.loss[-1] == population_risk(net, target)
    assert one_pass(student(), target, 0.5, 3).step.tolist() == [0, 3]


def test_units_drawn_from_another_network_are_left_alone():
    target, before = teacher(), teacher().W.detach().clone()
    one_pass(student(), target, 1.0, 5)
    assert torch.equal(target.W, before)


def test_the_chain_has_the_law_of_the_process():
    """Kolmogorov-Smirnov on entries of the overlaps, 400 runs of each, at a size where d matters."""
    d, runs, steps, eta = 13, 400, 60, 1.5
    W = torch.from_numpy(np.pad(start(P, K, d=7)[1], ((0, 0), (0, d - K)))) + 0.1 * unit_vectors(d, P, seed=1)
    target = committee(torch.eye(d, dtype=torch.float64)[:K])
    stack = committee(W.expand(runs, P, d))
    direct = one_pass(stack, target, eta, steps, label_noise=0.05, seed=100)
    Q, M = overlaps(committee(W), target)
    chain = overlap_chain(Q, M, d, eta, steps, label_noise=0.05, runs=runs, seed=1)
    assert torch.equal(chain.measured["Q"][0, 7], Q) and chain.loss.shape == (2, runs)
    torch.testing.assert_close(chain.loss[0], direct.loss[0], rtol=0, atol=1e-15)
    pairs = [("Q", 0, 0), ("Q", 0, 1), ("Q", 2, 2), ("M", 0, 1), ("M", 2, 0)]
    ends = [[t.measured[n][-1, :, i, j] for n, i, j in pairs] + [t.loss[-1]] for t in (direct, chain)]
    values = [ks_2samp(a.numpy(), b.numpy()).pvalue for a, b in zip(*ends, strict=True)]
    assert min(values) > 1e-3, values


def test_the_chain_takes_many_starts():
    Q, M = (np.stack(a) for a in zip(*(start(P, K, seed) for seed in (1, 2)), strict=True))
    trace = overlap_chain(Q, M, 30, 1.0, 20, seed=4, at=[0, 20])
    assert trace.loss.shape == (2, 2)
    np.testing.assert_array_equal(trace.measured["M"][0], M)
    assert (trace.measured["Q"][-1] == trace.measured["Q"][-1].mT).all()
    again = overlap_chain(Q, M, 30, 1.0, 20, seed=4, at=[20])
    assert torch.equal(trace.measured["Q"][-1], again.measured["Q"][0])


def test_the_chain_stands_overlaps_without_room():
    """At the solution ``Q - M M^T`` is zero up to rounding, and below it by rounding."""
    trace = overlap_chain(np.eye(2) - 1e-12 * np.eye(2), np.eye(2), 20, 0.5, 200, runs=3)
    assert (trace.loss[-1] < 1e-20).all() and torch.isfinite(trace.measured["Q"]).all()


def test_expectation_of_one_step():
    """``M`` moves by the drift alone; ``Q`` by drift and noise, where ``|x|^2 / d`` is not quite the one of the ODE."""
    d, eta, label_noise, n = 8, 4.0, 0.2, 200_000
    Q, M = start(2, K, seed=8)
    omega, c, (i, j) = covariance(Q, M, np.eye(K)), coefficients(2, K), np.triu_indices(2)
    J, N = drift(omega, c, 2), noise(omega, c, i, j, label_noise)
    trace = overlap_chain(Q, M, d, eta, 1, label_noise=label_noise, runs=n, seed=3)
    dM = (trace.measured["M"][1] - trace.measured["M"][0]).numpy() * d / eta
    dQ = ((trace.measured["Q"][1] - trace.measured["Q"][0]).numpy() * d / eta)[:, i, j]
    assert np.abs((dM.mean(0) - J[:, 2:]) / (dM.std(0) / math.sqrt(n))).max() < 4
    excess = dQ.mean(0) - (J[:, :2] + J[:, :2].T)[i, j] - eta * N
    assert np.abs(excess / (dQ.std(0) / math.sqrt(n))).max() > 6  # |x|^2 is no constant: it goes along with the fields
    assert (np.abs(excess) < 2 * eta * np.abs(N) / d).all()


def one_step_by_hand(Q, M, d, eta, n, rng):
    """The mean step of ``Q`` from explicit inputs and units."""
    W = np.zeros((len(M), d))
    W[:, : M.shape[1]] = M
    W[:, M.shape[1] : M.shape[1] + len(M)] = np.linalg.cholesky(Q - M @ M.T)
    net, target = committee(torch.from_numpy(W)), committee(torch.eye(d, dtype=torch.float64)[: M.shape[1]])
    x = torch.from_numpy(rng.standard_normal((n, d)))
    phi, slope = net.hidden(x)
    with torch.no_grad():
        v = eta / d * (target(x) - phi.mean(-1))[:, None] * slope
        u = x @ net.W.mT
        dQ = v[:, :, None] * u[:, None, :]
        dQ = dQ + dQ.mT + v[:, :, None] * v[:, None, :] * x.square().sum(-1)[:, None, None]
    return dQ.mean(0).numpy(), (dQ.std(0) / math.sqrt(n)).numpy()


def test_the_chain_keeps_the_length_of_the_input():
    """Its one-step mean is that of explicit inputs, also where ``|x|^2 / d`` is far from one."""
    d, eta, n = 6, 4.0, 60_000
    Q, M = start(2, K, seed=8)
    wanted, error = one_step_by_hand(Q, M, d, eta, n, np.random.default_rng(1))
    trace = overlap_chain(Q, M, d, eta, 1, runs=n, seed=3)
    step = trace.measured["Q"][1] - trace.measured["Q"][0]
    assert (np.abs(step.mean(0).numpy() - wanted) < 5.5 * error).all()


def test_sgd_follows_the_ode_from_its_own_start():
    d, p, eta, t = 100, 4, 1.0, np.array([0.0, 1.0, 5.0, 15.0])
    target = committee(orthonormal_units(d, K, seed=1))
    nets = committee(unit_vectors(d, p, seed=torch.arange(12)))
    Q, M = overlaps(nets, target)
    trace = one_pass(nets, target, eta, 1500, label_noise=1e-3, seed=50, at=[0, 100, 500, 1500])
    np.testing.assert_allclose(trace.time, t)
    risk = np.stack([integrate(q, m, t, eta=eta, label_noise=1e-3).risk for q, m in zip(Q.numpy(), M.numpy(), strict=True)], 1)
    np.testing.assert_allclose(trace.loss.mean(1), risk.mean(1), rtol=0.08)
    assert np.abs(trace.loss[0].numpy() - risk[0]).max() < 1e-15


def test_distance_from_the_ode_falls_as_the_root_of_the_inputs():
    Q, M = start(4, K, seed=2)
    path, found, ds = integrate(Q, M, np.linspace(0, 4, 5), eta=1.0, label_noise=1e-3), [], (40, 160, 640)
    for d in ds:
        chain = overlap_chain(Q, M, d, 1.0, 4 * d, label_noise=1e-3, runs=24, seed=d, at=range(0, 4 * d + 1, d))
        found.append(overlap_distance(chain, path.Q, path.M).mean().item())
    assert -0.65 < np.polyfit(np.log(ds), np.log(found), 1)[0] < -0.35


def test_overlap_distance_is_the_largest_entry_at_any_record():
    Q, M = torch.zeros(4, 3, P, P), torch.zeros(4, 3, P, K)
    Q[2, 0, 1, 1], M[3, 1, 0, 1], Q[0, 2, 0, 0], M[1, 2, 2, 0] = -0.7, 0.2, 0.3, -0.4
    trace = Trace(torch.arange(4), torch.arange(4.0), torch.ones(4, 3), {"Q": Q, "M": M})
    path = np.full((4, P, P), 0.1, dtype=np.float32), np.zeros((4, P, K), dtype=np.float32)
    torch.testing.assert_close(overlap_distance(trace, *path), torch.tensor([0.8, 0.2, 0.4]))


def test_too_large_a_step_is_told():
    with pytest.raises(Diverged, match=r"(?s)diverged at step \d+.*beyond eta = 5.44") as caught:
        one_pass(student(), teacher(), 1e200, 60, at=range(61), seed=2)
    assert caught.value.step <= 60 and len(caught.value.trace.loss) == caught.value.step
    Q, M = start(P, K)
    with np.errstate(all="ignore"), pytest.raises(Diverged):
        overlap_chain(Q, M, 30, 1e200, 60, at=range(61), runs=2)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"steps": 0}, "at least one step"),
        ({"at": [0, 11]}, "records from 0 to steps"),
        ({"at": []}, "at least one step"),
        ({"seed": torch.tensor([1, 2])}, r"one per run, \(\); got seeds of shape \(2,\)"),
        ({"label_noise": -1.0}, "at least zero"),
        ({"net": TwoLayer(D, P, activation="erf", bias=False)}, "freeze v"),
        ({"net": TwoLayer(D, P, activation="erf")}, "leave out biases"),
    ],
)
def test_bad_input(change, message):
    arguments = {"net": student(), "teacher": teacher(), "eta": 1.0, "steps": 10} | change
    with pytest.raises(ValueError, match=message):
        one_pass(**arguments)


def test_a_chain_needs_room():
    Q, M = start(P, K)
    with pytest.raises(ValueError, match=r"p = 3 and k = 2 units need more than p \+ k inputs; got d = 5"):
        overlap_chain(Q, M, 5, 1.0, 10)
    with pytest.raises(ValueError, match="at least one step"):
        overlap_chain(Q, M, 30, 1.0, 0)
