"""Exercise 1: a property test, judged by the laws of training that it accepts and rejects."""

from collections.abc import Callable

import torch

from regimes.networks import TwoLayer
from regimes_course.kit.checking import Behaviour, Mistake
from regimes_course.lesson02 import pictures
from regimes_course.lesson02.visits import missed, observe, otherwise, refused

__all__ = ["DUPLICATION_TEST"]


def _one_trained(visits):
    return max(len(visit.paths) for visit in visits) == 1


def _unequal(visits):
    """A right law refused after unequal numbers of steps; fewer for the last network are those of a loop that ended early."""
    counts = [visit.counts for visit in refused(visits)]
    return any(len(set(c)) > 1 and (min(c) > 1 or c[0] < c[-1]) for c in counts)


def _apart_at_the_start(visits):
    return any(visit.law.right and visit.apart(steps=0) > 1e-6 for visit in visits)


def _there_and_back(m):
    """Every unit twice: in its order, then in the opposite one."""
    return torch.cat([torch.arange(m), torch.arange(m).flip(0)])


def _test(units=_there_and_back, steps=(8, 8), see=lambda net, x, x_new: net(x_new), close=torch.allclose) -> Callable:
    """A right answer, with one thing at a time to get wrong."""

    def answer(step, net, x, y, x_new):
        twin = net.units(units(net.width))
        for network, count in zip((net, twin), steps, strict=True):
            for _ in range(count):
                step(network, x, y)
        return close(see(net, x, x_new), see(twin, x, x_new))

    return answer


def _same_network(step, net, x, y, x_new):
    twin = net
    for _ in range(8):
        step(net, x, y)
        step(twin, x, y)
    return torch.allclose(net(x_new), twin(x_new))


def _copied_too_late(step, net, x, y, x_new):
    for _ in range(8):
        step(net, x, y)
    twin = net.units(_there_and_back(net.width))
    for _ in range(8):
        step(twin, x, y)
    return torch.allclose(net(x_new), twin(x_new))


def _parameters(step, net, x, y, x_new):
    m = net.width
    twin = net.units(_there_and_back(m))
    for _ in range(8):
        step(net, x, y)
        step(twin, x, y)
    return torch.allclose(twin.W[:m], net.W) and torch.allclose(twin.v[:m], net.v)


def _three_times_shuffled(step, net, x, y, x_new):
    order = torch.randperm(3 * net.width, generator=torch.Generator().manual_seed(0)) % net.width
    twin = net.units(order)
    for _ in range(5):
        step(net, x, y)
        step(twin, x, y)
        if (net(x_new) - twin(x_new)).abs().max() > 1e-7:
            return False
    return True


def _by_hand(step, net, x, y, x_new):
    options = {"activation": net.activation, "scaling": net.scaling, "bias": net.bias}
    twin = TwoLayer(net.inputs, 2 * net.width, **options)
    with torch.no_grad():
        twin.W.copy_(torch.cat([net.W.flip(0), net.W]))
        twin.v.copy_(torch.cat([net.v.flip(0), net.v]))
    for network in (net, twin):
        for _ in range(20):
            step(network, x, y)
    f, g = net(x_new), twin(x_new)
    return (f - g).norm() < 1e-6 * f.norm()


def _one_step_at_a_time(step, net, x, y, x_new):
    """A fresh twin for each step, made from where the network is."""
    agree = True
    for _ in range(4):
        twin = net.units(_there_and_back(net.width))
        step(net, x, y)
        step(twin, x, y)
        agree = agree and torch.allclose(net(x_new), twin(x_new))
    return agree


def _on_new_inputs(step, net, x, y, x_new):
    twin = net.units(_there_and_back(net.width))
    for _ in range(8):
        step(net, x_new, torch.zeros_like(x_new[:, 0]))
        step(twin, x_new, torch.zeros_like(x_new[:, 0]))
    return torch.allclose(net(x_new), twin(x_new))


DUPLICATION_TEST = Behaviour(
    key="02/duplication_test",
    picture=pictures.duplication_test,
    observe=observe,
    passed=lambda visits: not refused(visits) and not missed(visits),
    praise=lambda visits: (
        f"Your test accepts {sum(v.law.right for v in visits)} laws that see only the cloud, up to rounding, and rejects "
        f"{sum(not v.law.right for v in visits)} that see more."
    ),
    otherwise=otherwise,
    alternatives=(
        _test(),
        _three_times_shuffled,
        _by_hand,
        _one_step_at_a_time,
        lambda *args: bool(_test(lambda m: torch.randperm(2 * m, generator=torch.Generator().manual_seed(1)) % m)(*args)),
    ),
    mistakes=(
        Mistake(
            "other data",
            "A network is trained on other data than x and y. Train both on these, and compare at x_new, whose inputs have no labels.",
            _on_new_inputs,
            lambda visits: any(not visit.given for visit in visits),
        ),
        Mistake(
            "no verdict",
            "Your function must return one True or False for each law. It returned something else, or nothing, or raised an error by assert.",
            _test(close=lambda f, g: (f - g).norm().item()),
            lambda visits: any(visit.verdict is None for visit in visits),
        ),
        Mistake(
            "never trained",
            "Nothing was trained: step was never called. So far this compares the networks at their start only.",
            _test(steps=(0, 0)),
            lambda visits: not any(visit.paths for visit in visits),
        ),
        Mistake(
            "twin not trained",
            "Only one network was trained and it is compared with one that was not: step both of them, equally often.",
            _test(steps=(8, 0)),
            lambda visits: _one_trained(visits) and bool(refused(visits)),
        ),
        Mistake(
            "compared with itself",
            "Only one network was trained, so that it is compared with itself: step works in place. Make the network of duplicated "
            "units before the training, as an object of its own, and train both.",
            _same_network,
            _one_trained,
        ),
        Mistake(
            "unequal numbers of steps",
            "The two networks take different numbers of steps. The time scale is the law's own affair: both take equally many.",
            _test(steps=(8, 16)),
            _unequal,
        ),
        Mistake(
            "nothing duplicated",
            "All the networks that were trained have as many units as the given one. A law that depends on their number is not found "
            "like this: take every unit twice.",
            _test(units=lambda m: torch.arange(m).flip(0)),
            lambda visits: all(visit.multiples <= {1.0} for visit in visits),
        ),
        Mistake(
            "part of the units duplicated",
            "The width of the second network is no multiple of that of the first: some units were taken more often than others, "
            "which is another cloud. Take all of them equally often.",
            _test(units=lambda m: torch.arange(m + m // 2) % m),
            lambda visits: any(multiple % 1 for visit in visits for multiple in visit.multiples),
        ),
        Mistake(
            "another function at the start",
            "The two networks are not the same function before the first step. Copy all units equally often, weights unchanged, from "
            "the network before it was trained; and keep its activation, bias and scaling (net.units does).",
            _copied_too_late,
            lambda visits: bool(refused(visits)) and _apart_at_the_start(visits),
        ),
        Mistake(
            "wrong way round",
            "Every verdict is the opposite of the right one: return True where the two networks stay the same function.",
            _test(close=lambda f, g: not torch.allclose(f, g)),
            lambda visits: all(visit.verdict is not visit.law.right for visit in visits),
        ),
        Mistake(
            "parameters compared",
            "A law was rejected that only changes the order in which the units are stored. The cloud is the same: compare what the "
            "networks compute, not their parameters.",
            _parameters,
            lambda visits: [visit.law.asks for visit in refused(visits)] == ["outputs"],
        ),
        Mistake(
            "rounding rejected",
            "Right laws were rejected although the outputs of the two networks agree to ten digits. Sums over units are rounded "
            "differently when the units are others or in another order: compare outputs with a tolerance, neither bit by bit nor to 1e-12.",
            _test(close=torch.equal),
            lambda visits: bool(refused(visits)) and all(visit.apart() < 1e-9 for visit in refused(visits)),
        ),
        Mistake(
            "one step only",
            "A single step is too short. From v = 0 it moves only v; the hidden weights, and a decay of v, act from the second step on.",
            _test(steps=(1, 1)),
            lambda visits: max(max(visit.counts, default=0) for visit in visits) == 1 and bool(missed(visits, "second step")),
        ),
        Mistake(
            "tolerance too loose",
            "A weak dependence on the width was accepted, which moves the outputs by about 1e-4 of their size: compare more closely. "
            "Rounding is smaller by far.",
            _test(close=lambda f, g: torch.allclose(f, g, atol=0.5)),
            lambda visits: bool(missed(visits, "close look")),
        ),
        Mistake(
            "training inputs only",
            "A law was accepted whose networks agree on the training inputs and nowhere else. It is the function that must be the same: "
            "compare the outputs at x_new.",
            _test(see=lambda net, x, x_new: net(x)),
            lambda visits: bool(missed(visits, "new inputs")),
        ),
        Mistake(
            "one number compared",
            "A law was accepted whose networks have the same mean output at x_new, and the same at the first and the last inputs, and differ at the others: "
            "compare all the outputs, one by one.",
            _test(see=lambda net, x, x_new: net(x_new).mean()),
            lambda visits: bool(missed(visits, "all outputs")),
            also=[_test(see=lambda net, x, x_new, i=i: net(x_new)[i]) for i in (0, -1)],
        ),
        Mistake(
            "signs not compared",
            "A law was accepted whose networks have outputs of the same size and of opposite signs: compare the outputs themselves, not their "
            "squares, absolute values or length.",
            _test(see=lambda net, x, x_new: net(x_new).norm()),
            lambda visits: bool(missed(visits, "signs")),
            also=[_test(see=lambda net, x, x_new: net(x_new).abs())],
        ),
        Mistake(
            "order kept",
            "A law was accepted that looks at the place in which a unit is stored. A cloud has no order: reorder the units when you "
            "duplicate them.",
            _test(units=lambda m: torch.arange(m).repeat(2)),
            lambda visits: bool(missed(visits, "order")),
        ),
    ),
)
