"""What a researcher hands to `train` under some name: measurements, batches, and optimizers made for one thing or another."""

import itertools

import pytest
import torch
from torch import nn
from torch.optim.lr_scheduler import CosineAnnealingLR, LambdaLR, OneCycleLR, StepLR
from torch.utils.data import DataLoader, TensorDataset

from regimes.kernels import LazyScaling
from regimes.optimizers import GradientDescent, TorchOptimizer
from regimes.training import OutOfBatches, train
from tests.lib.cases import D, N, frozen, normal, perceptron, two_layer, weights

X, Y = normal(N, D, seed=1), normal(N, seed=2, mean=-0.4)
BATCHES = [(normal(4, D, seed=k), normal(4, seed=k + 50)) for k in range(5)]


def by_hand(net, optimizer, batches, scheduler=None):
    """torch's own loop on the mean squared loss with a half."""
    for x, y in batches:
        optimizer.zero_grad()
        ((net(x) - y).square().mean() / 2).backward()
        optimizer.step()
        if scheduler:
            scheduler.step()
    return weights(net)


# ---- measurements


@pytest.mark.parametrize("name", ["step", "time", "loss"])
@pytest.mark.parametrize("look", [lambda net: 7.0, (lambda net: 7.0, 2)])
def test_a_measurement_cannot_take_the_name_of_a_column(name, look):
    net = two_layer()
    with pytest.raises(ValueError, match=f"train\\(\\) itself records {name}: give the measurement another name"):
        train(net, X, Y, GradientDescent(net, 0.1), 2, measure={"mine": lambda net: 0.0, name: look})


@pytest.mark.parametrize(
    ("measure", "says"),
    [
        ({"a": 5.0}, "'a' is 5.0"),
        ({"a": (len, 2, 3)}, "a function of the network or a pair"),
        ({"a": (2, len)}, "a pair"),
        ([len], "a dictionary of functions"),
        ({"a": (len, 2.5)}, "the period of 'a' must be a whole number >= 1; got 2.5"),
        ({"a": (len, 0)}, "the period of 'a' must be"),
        ({"a": (len, 3)}, "a multiple of every=2; that of 'a' is 3"),
    ],
)
def test_what_is_no_measurement_is_said_before_the_first_step(measure, says):
    net = two_layer()
    with pytest.raises(ValueError, match=says):
        train(net, X, Y, GradientDescent(net, 0.1), 2, every=2, measure=measure)


# ---- inner optimizers


def replaced():
    """A network with a new weight, and an optimizer that was made before."""
    net = perceptron()
    inner = torch.optim.SGD(net.parameters(), 0.1)
    net[2].weight = nn.Parameter(net[2].weight.detach().clone())
    return net, inner


def of(make, parameters):
    net = make()
    return net, torch.optim.SGD(parameters(net), 0.1)


FOREIGN = {
    "another network": lambda: of(perceptron, lambda net: perceptron().parameters()),
    "the same network made anew": lambda: of(two_layer, lambda net: two_layer().parameters()),
    "a part": lambda: of(perceptron, lambda net: net[:4].parameters()),
    "all but a bias": lambda: of(perceptron, lambda net: [p for k, p in net.named_parameters() if k != "2.bias"]),
    "more": lambda: of(perceptron, lambda net: [*net.parameters(), nn.Parameter(torch.ones(1))]),
    "copies": lambda: of(two_layer, lambda net: [nn.Parameter(p.detach()) for p in net.parameters()]),
    "a weight replaced": replaced,
}


@pytest.mark.parametrize("name", FOREIGN)
def test_an_inner_optimizer_of_other_parameters_is_refused(name):
    net, inner = FOREIGN[name]()
    for wrap in (lambda: TorchOptimizer(net, inner), lambda: train(net, X, Y, inner, 2)):
        with pytest.raises(
            ValueError, match=r"this SGD holds \d+ of the network's \d+ trainable parameters and \d+ others: make"
        ):
            wrap()


@pytest.mark.parametrize(
    "change",
    [
        lambda net: setattr(net[2], "weight", nn.Parameter(net[2].weight.detach().clone())),
        lambda net: net.load_state_dict({k: v.clone() for k, v in net.state_dict().items()}, assign=True),
        lambda net: net.add_module("further", nn.Linear(1, 1).double()),
    ],
    ids=["one replaced", "all assigned", "one added"],
)
def test_parameters_that_are_replaced_later_are_refused_at_the_next_step(change):
    net = perceptron()
    mover = TorchOptimizer(net, torch.optim.Adam(net.parameters()))
    mover.step(X, Y)
    change(net)
    with pytest.raises(ValueError, match="this Adam holds .* make it anew"):
        mover.step(X, Y)


def test_frozen_parameters_may_be_in_it_or_not_and_stay_once_frozen():
    for parameters in (lambda net: net.parameters(), lambda net: [p for p in net.parameters() if p.requires_grad]):
        net, twin = frozen(perceptron(), "0.weight"), frozen(perceptron(), "0.weight")
        inner = [torch.optim.Adam(parameters(n), 0.02) for n in (net, twin)]
        train(net, X, Y, inner[0], 3)
        assert torch.allclose(weights(net), by_hand(twin, inner[1], [(X, Y)] * 3), rtol=1e-10)
    mover = TorchOptimizer(net, torch.optim.SGD(net.parameters(), 0.1, momentum=0.9))
    mover.step(X, Y)
    frozen(net, "2.weight")  # its gradient of the last step is still there
    before = net[2].weight.detach().clone(), net[4].weight.detach().clone()
    mover.step(X, Y)
    assert torch.equal(net[2].weight, before[0]) and not torch.equal(net[4].weight, before[1])


def test_an_optimizer_of_a_network_inside_another_will_do():
    net = LazyScaling(two_layer(), 2.0)
    start = net.net.W.detach().clone()
    train(net, X, Y, torch.optim.SGD(net.net.parameters(), 0.01), 2)
    assert not torch.equal(net.net.W, start)


@pytest.mark.parametrize(
    "arguments",
    [
        lambda net: (torch.optim.Adam(net.parameters()), net),
        lambda net: (net, torch.optim.Adam),
        lambda net: (net, net.parameters()),
        lambda net: (net, GradientDescent(net, 0.1)),
        lambda net: (net, "adam"),
        lambda net: (net.parameters(), torch.optim.Adam(net.parameters())),
    ],
)
def test_arguments_of_another_kind_or_order(arguments):
    with pytest.raises(ValueError, match=r"TorchOptimizer\(net, (inner\) takes the network, then|\.\.\.\))"):
        TorchOptimizer(*arguments(perceptron()))


@pytest.mark.parametrize("optimizer", ["adam", None, GradientDescent, torch.optim.Adam, lambda x, y: None, nn.Linear(2, 2)])
def test_train_says_what_an_optimizer_is(optimizer):
    with pytest.raises(ValueError, match=r"takes an optimizer of regimes.optimizers or torch.optim or a flow .* got"):
        train(two_layer(), X, Y, optimizer, 2)


@pytest.mark.parametrize(
    "net", [lambda net: net.parameters(), lambda net: list(net.parameters()), lambda net: net.state_dict()]
)
def test_an_optimizer_is_made_for_the_network_itself(net):
    with pytest.raises(ValueError, match=r"made for the network itself, GradientDescent\(net, ...\); got"):
        GradientDescent(net(two_layer()), 0.1)


# ---- schedulers

SCHEDULERS = {
    "step": lambda optimizer: StepLR(optimizer, 2, 0.3),
    "warm-up": lambda optimizer: LambdaLR(optimizer, lambda k: min(k, 4) / 4),
    "cosine": lambda optimizer: CosineAnnealingLR(optimizer, 6),
    "one cycle, with its momentum": lambda optimizer: OneCycleLR(optimizer, 0.3, total_steps=8),
}


@pytest.mark.parametrize("on", ["outer", "inner"])
@pytest.mark.parametrize("name", SCHEDULERS)
def test_a_scheduler_works_on_the_optimizer_and_on_the_one_inside(name, on):
    net, twin = perceptron(), perceptron()
    inner, alone = (torch.optim.SGD(n.parameters(), 0.1, momentum=0.8) for n in (net, twin))
    mover = TorchOptimizer(net, inner)
    scheduler, times = SCHEDULERS[name](mover if on == "outer" else inner), []
    for _ in range(6):
        mover.step(X, Y)
        times.append(mover.dt)
        scheduler.step()
    assert torch.allclose(weights(net), by_hand(twin, alone, [(X, Y)] * 6, SCHEDULERS[name](alone)), rtol=1e-10)
    assert len(set(times)) > 2 and mover.param_groups[0]["lr"] == inner.param_groups[0]["lr"]


# ---- batches

ENDLESS = {
    "list": lambda: BATCHES,
    "tuple": lambda: tuple(BATCHES),
    "cycle": lambda: itertools.cycle(BATCHES),
    "generator": lambda: (batch for _ in range(9) for batch in BATCHES),
    "map": lambda: map(BATCHES.__getitem__, itertools.cycle(range(5))),
    "lists": lambda: [list(batch) for batch in BATCHES],
    "loader": lambda: DataLoader(TensorDataset(*map(torch.cat, zip(*BATCHES, strict=True))), batch_size=4),
}


@pytest.mark.parametrize("name", ENDLESS)
@pytest.mark.parametrize("parts", [[12], [5, 5, 2]])
def test_batches_are_taken_one_by_one_and_again(name, parts):
    net, twin, batches = perceptron(), perceptron(), ENDLESS[name]()
    inner, alone = (torch.optim.SGD(n.parameters(), 0.05, momentum=0.8) for n in (net, twin))
    losses = torch.cat([train(net, None, None, inner, steps, batches=batches).loss[:-1] for steps in parts])
    fed, wanted = list(itertools.islice(itertools.cycle(BATCHES), 12)), []
    for x, y in fed:
        wanted.append((twin(x) - y).detach().square().mean() / 2)
        by_hand(twin, alone, [(x, y)])
    assert torch.allclose(weights(net), weights(twin), rtol=1e-10) and torch.allclose(losses, torch.stack(wanted), rtol=1e-10)


def test_a_batch_that_waits_is_for_the_same_network_and_iterator():
    net, other, feed = perceptron(), perceptron(), iter(BATCHES)
    assert train(net, X, Y, GradientDescent(net, 0.01), 1, batches=feed).step.tolist() == [0, 1]
    train(other, X, Y, GradientDescent(other, 0.01), 0, batches=feed)  # takes the third
    loss = train(net, X, Y, GradientDescent(net, 0.01), 0, batches=iter(BATCHES)).loss[0]
    assert torch.allclose(loss, (net(BATCHES[0][0]) - BATCHES[0][1]).square().mean() / 2, rtol=1e-12)


DRY = {
    "iterator": iter,
    "generator": lambda b: (pair for pair in b),
    "map": lambda b: map(tuple, b),
    "zip": lambda b: zip([x for x, _ in b], [y for _, y in b], strict=True),
}


@pytest.mark.parametrize("name", DRY)
def test_batches_that_end_leave_the_trace(name):
    net, twin = perceptron(), perceptron()
    with pytest.raises(OutOfBatches, match=r"ended at step 3.*itertools.cycle") as caught:
        train(net, X, Y, GradientDescent(net, 0.05), 10, batches=DRY[name](BATCHES[:3]), measure={"a": lambda net: 1.0})
    by_hand(twin, torch.optim.SGD(twin.parameters(), 0.05), BATCHES[:3])
    assert torch.allclose(weights(net), weights(twin), rtol=1e-10)
    assert caught.value.trace.step.tolist() == [0, 1, 2] and caught.value.trace.measured["a"].tolist() == [1, 1, 1]


def test_batches_that_end_are_not_the_end_of_what_is_around():
    """A bare StopIteration would silently end a `map`."""

    def one(count):
        net = perceptron()
        return train(net, X, Y, GradientDescent(net, 0.05), 3, batches=iter(BATCHES[:count]))

    with pytest.raises(OutOfBatches):
        list(map(one, [5, 2, 5]))
    dry = iter([1.0])
    net = perceptron()
    with pytest.raises(RuntimeError, match="StopIteration was raised inside train") as caught:
        list(map(lambda k: train(net, X, Y, GradientDescent(net, 0.05), k, measure={"a": lambda net: next(dry)}), [3]))
    assert caught.value.trace.step.tolist() == [0]


@pytest.mark.parametrize(
    ("batches", "says"),
    [
        ([], "the batches ended at step 0"),
        (iter([]), "the batches ended at step 0"),
        (5, "a DataLoader, a list of pairs"),
        ([X], r"each batch is a pair \(x, y\); got"),
        ([(X, Y, Y)], "each batch is a pair"),
        ([{"x": X, "y": Y}], "each batch is a pair"),
        ([(X.numpy(), Y)], "x must be a torch.Tensor; got a numpy.ndarray"),
    ],
)
def test_what_is_no_batch(batches, says):
    net = two_layer()
    with pytest.raises(ValueError, match=says):
        train(net, X, Y, GradientDescent(net, 0.1), 2, batches=batches)
