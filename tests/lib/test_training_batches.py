"""Training on mini-batches, and optimizers of torch's."""

import pytest
import torch

from regimes.directions import gradient
from regimes.kernels import neural_tangent_kernel
from regimes.losses import CrossEntropy
from regimes.metrics import (
    accuracy,
    cka,
    compare_to_init,
    kernel_distance,
    loss_on,
    participation_ratio,
    reconstruction,
)
from regimes.optimizers import GradientDescent, TorchOptimizer
from regimes.theory.reversible import inversion_error
from regimes.training import Trace, train
from tests.lib.cases import D, N, normal, perceptron, relative, reversible, two_layer, weights

BATCHES = [(normal(N, D, seed=k), normal(N, seed=k + 50, mean=-0.4)) for k in range(8)]
X = normal(N, 2 * D, seed=1, std=0.9)
ONE_HOT = torch.nn.functional.one_hot(torch.arange(N) % 3, 3).double()


def test_each_step_takes_the_next_batch_and_records_its_loss():
    net, twin = two_layer(), two_layer()
    trace = train(net, *BATCHES[0], GradientDescent(net, 0.05), 6, batches=iter(BATCHES))
    by_hand = GradientDescent(twin, 0.05)
    losses = []
    for x, y in BATCHES[:6]:
        losses.append(loss_on(twin, x, y))
        by_hand.step(x, y)
    assert torch.equal(weights(net), weights(twin))
    assert torch.allclose(trace.loss, torch.stack([*losses, loss_on(twin, *BATCHES[6])]), rtol=1e-13)


def test_without_batches_the_full_batch_is_taken():
    net, twin = two_layer(), two_layer()
    train(net, *BATCHES[0], GradientDescent(net, 0.05), 5)
    train(twin, *BATCHES[1], GradientDescent(twin, 0.05), 5, batches=iter([BATCHES[0]] * 6))
    assert torch.equal(weights(net), weights(twin))


def test_a_torch_optimizer_takes_the_steps_torch_would():
    net, twin = perceptron(), perceptron()
    x, y = BATCHES[0]
    mover = TorchOptimizer(net, torch.optim.Adam(net.parameters(), lr=0.02))
    trace = train(net, x, y, mover, 12)
    adam, losses = torch.optim.Adam(twin.parameters(), lr=0.02), []
    for _ in range(12):
        loss = (twin(x) - y).square().mean() / 2
        losses.append(loss.item())
        adam.zero_grad()
        loss.backward()
        adam.step()
    assert relative(weights(net), weights(twin)) < 1e-10
    assert trace.loss[:-1].tolist() == pytest.approx(losses, rel=1e-10) and trace.loss[-1] < trace.loss[0]
    assert trace.time[-1].item() == pytest.approx(12 * 0.02)


def test_a_torch_optimizer_with_another_loss_and_a_direction_that_is_known():
    net, twin, loss = reversible(), reversible(), CrossEntropy(3)
    mover = TorchOptimizer(net, torch.optim.SGD(net.parameters(), lr=0.1), loss=loss)
    known = mover.direction(X, ONE_HOT)
    mover.direction = None
    mover.step(X, ONE_HOT, known)
    GradientDescent(twin, 0.1, loss=loss).step(X, ONE_HOT)
    assert relative(weights(net), weights(twin)) < 1e-14
    assert relative(gradient(twin, X, ONE_HOT, loss=loss).tensors[0], known.tensors[0]) > 1e-3


def test_accuracy():
    net = reversible(runs=(2,), seed=torch.arange(2))
    right = [sum(int(f.argmax()) == i % 3 for i, f in enumerate(run)) / N for run in net(X).detach()]
    assert accuracy(net, X, ONE_HOT).tolist() == pytest.approx(right)


def test_loss_of_a_reversible_network_with_another_loss():
    net = reversible(runs=(2,), seed=torch.arange(2))
    for i in range(2):
        wanted = torch.nn.functional.cross_entropy(net(X)[i], ONE_HOT).item()
        assert loss_on(net, X, ONE_HOT, loss=CrossEntropy(3))[i].item() == pytest.approx(wanted, rel=1e-13)
    wanted = (net(X) - ONE_HOT).square().sum((1, 2)) / (2 * N)
    assert torch.allclose(loss_on(net, X, ONE_HOT), wanted, rtol=1e-13)


def test_reconstruction_and_its_law():
    """Rounding by eps |z|, magnified on the way back as on the way forth: the order of magnitude over ten decades."""
    seeds = torch.arange(4)
    for blocks, std, dtype in [
        (8, 0.3, torch.float64),
        (20, 0.3, torch.float64),
        (30, 0.2, torch.float64),
        (6, 0.3, torch.float32),
    ]:
        net = reversible(runs=(4,), seed=seeds, blocks=blocks, std=std, dtype=dtype)
        error, growth = reconstruction(net, X.to(dtype))
        z = net.encode(X.to(dtype)).detach()
        assert torch.allclose(growth, torch.linalg.matrix_norm(z) / torch.linalg.matrix_norm(X.to(dtype)), rtol=1e-5)
        assert torch.allclose(error, torch.linalg.matrix_norm(net.inverse(z) - X.to(dtype)) / X.norm().to(dtype), rtol=1e-3)
        law = inversion_error(growth, torch.finfo(dtype).eps)
        ratio = (error / law).log10().median()
        assert growth.median() > 2 and -2 < ratio < 1.5, (blocks, std, error, law)


def test_the_law_of_the_inverse_in_numbers():
    assert inversion_error(torch.tensor([1.0, 100.0]), 1e-16).tolist() == pytest.approx([1e-16, 1e-12])


def test_compared_with_the_start():
    net = reversible(blocks=3, runs=(2,), seed=torch.arange(2))
    probe, start = X[:4], [z.detach() for z in net.states(X)]
    measures, K = compare_to_init(net, X, probe), neural_tangent_kernel(net, probe)
    assert torch.allclose(measures["cka"](net), torch.ones(3, 2, dtype=torch.float64)) and not measures["drift"](net).any()
    with torch.no_grad():
        net.W += 0.1 * normal(*net.W.shape, seed=9)
    now = list(net.states(X))
    for block in range(3):
        torch.testing.assert_close(measures["cka"](net)[block], cka(now[block], start[block]).detach())
    torch.testing.assert_close(measures["drift"](net), kernel_distance(neural_tangent_kernel(net, probe), K))
    torch.testing.assert_close(measures["participation"](net), participation_ratio(now[-1]).detach())
    assert (measures["drift"](net) > 0.01).all() and (measures["cka"](net) < 0.999).all()


def test_first_below():
    t = torch.arange(5)
    train_loss = torch.tensor([[3.0, 3], [2, 1], [1, 0.5], [0.5, 0.6], [0.1, 0.4]])
    cka = torch.arange(30.0).reshape(5, 3, 2)
    trace = Trace(t, t, train_loss, {"train": train_loss, "cka": cka})
    found = trace.first_below(0.5, "train")
    assert found["train"].tolist() == [0.5, 0.5]
    assert torch.equal(found["cka"], torch.stack([cka[3, :, 0], cka[2, :, 1]], -1))
    with pytest.raises(ValueError, match="never comes below train = 0.2: its smallest is 0.4. Take more steps"):
        trace.first_below(0.2, "train")
