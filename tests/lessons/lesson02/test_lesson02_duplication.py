"""The laws of exercise 1 are what they are called; tests of them that no list names are judged rightly too."""

import copy

import numpy as np
import pytest
import torch

from regimes.networks import TwoLayer
from regimes_course.exercises import check
from regimes_course.lesson02.laws import LAWS, data

WRONG_LAWS = [law for law in LAWS if not law.right]


def back(m):
    return torch.cat([torch.arange(m), torch.arange(m).flip(0)])


def apart(law, index, steps, on="x_test"):
    """How far the network and its twin end apart."""
    problem, net = data(), law.net()
    twin = net.units(index(net.width))
    for _ in range(steps):
        law.step(net, problem.x, problem.y)
        law.step(twin, problem.x, problem.y)
    x = getattr(problem, on)
    return (net(x) - twin(x)).abs().max().item()


def says(law):
    return law.says


@pytest.mark.parametrize("law", [law for law in LAWS if law.right], ids=says)
@pytest.mark.parametrize("steps", [0, 2, 40])
def test_a_right_law_sees_only_the_cloud(law, steps):
    shuffled = lambda m: torch.randperm(3 * m, generator=torch.Generator().manual_seed(5)) % m  # noqa: E731
    assert max(apart(law, index, steps) for index in (back, shuffled)) < (1e-10 if law.asks == "rounding" else 1e-12)


@pytest.mark.parametrize("law", WRONG_LAWS, ids=says)
@pytest.mark.parametrize("steps", [2, 10, 40])
def test_a_wrong_law_is_found_whatever_the_number_of_steps(law, steps):
    assert apart(law, back, steps) > 1e-4


def asking(what):
    return [law for law in LAWS if law.asks == what]


def test_the_special_laws_are_there():
    assert {law.asks for law in LAWS} == {
        "",
        "rounding",
        "outputs",
        "second step",
        "close look",
        "order",
        "new inputs",
        "all outputs",
        "signs",
    }


@pytest.mark.parametrize("law", asking("second step"), ids=says)
def test_some_laws_are_seen_from_the_second_step_on(law):
    assert apart(law, back, 1) < 1e-14 < 1e-4 < apart(law, back, 2)


@pytest.mark.parametrize("law", asking("new inputs"), ids=says)
def test_one_law_is_seen_on_new_inputs_only(law):
    assert apart(law, back, 10, "x") < 1e-13 < 1e-2 < apart(law, back, 10)


@pytest.mark.parametrize("law", asking("order"), ids=says)
def test_some_laws_are_blind_to_one_order_of_the_copies(law):
    orders = (lambda m: torch.arange(m).repeat(2), lambda m: torch.arange(m).repeat_interleave(2))
    least, most = sorted(apart(law, order, 10) for order in orders)
    assert least < 1e-14 < 1e-1 < most


@pytest.mark.parametrize("law", asking("close look"), ids=says)
def test_a_weak_law_moves_the_outputs_by_little(law):
    assert apart(law, back, 10) < 2e-3


@pytest.mark.parametrize("law", asking("rounding"), ids=says)
def test_one_right_law_lets_rounding_grow(law):
    assert apart(law, back, 10) > 1e-12


def test_laws_are_deterministic_and_do_not_touch_the_data():
    for law in LAWS:
        problem, one, two = data(), law.net(), law.net()
        for net in (one, two):
            law.step(net, problem.x, problem.y)
            law.step(net, problem.x, problem.y)
        assert torch.equal(one.W, two.W) and torch.equal(one.v, two.v), law.says
        assert torch.equal(problem.x, data().x) and torch.equal(problem.y, data().y)
        assert not torch.equal(one(problem.x), law.net()(problem.x)), law.says


def property_test(units=back, steps=6, see=lambda net, x, x_new: net(x_new), judge=torch.allclose):
    def answer(step, net, x, y, x_new):
        twin = net.units(units(net.width))
        for _ in range(steps):
            step(net, x, y)
            step(twin, x, y)
        return judge(see(net, x, x_new), see(twin, x, x_new))

    return answer


def stops_early(differ, twice=False):
    def answer(step, net, x, y, x_new):
        twin = net.units(back(net.width))
        for _ in range(6):
            for cloud in (net, twin, *([twin] if twice else [])):
                step(cloud, x, y)
            if differ(net(x_new), twin(x_new)):
                return False
        return True

    return answer


def one_after_the_other(differ):
    def answer(step, net, x, y, x_new):
        twin, path = net.units(back(net.width)), []
        for _ in range(6):
            step(net, x, y)
            path.append(net(x_new).detach())
        for f in path:
            step(twin, x, y)
            if differ(f, twin(x_new)):
                return False
        return True

    return answer


def halved(step, net, x, y, x_new):
    twin = net.units(back(net.width))
    with torch.no_grad():
        twin.v /= 2
    for cloud in (net, twin) * 6:
        step(cloud, x, y)
    return torch.allclose(net(x_new), twin(x_new))


def always_silu(step, net, x, y, x_new):
    twin = TwoLayer(net.inputs, 2 * net.width, scaling=net.scaling, bias=net.bias)
    with torch.no_grad():
        twin.W.copy_(net.W[back(net.width)])
        twin.v.copy_(net.v[back(net.width)])
    for cloud in (net, twin) * 6:
        step(cloud, x, y)
    return torch.allclose(net(x_new), twin(x_new))


def deep_copy(step, net, x, y, x_new):
    twin = copy.deepcopy(net)
    for cloud in (net, twin) * 6:
        step(cloud, x, y)
    return torch.allclose(net(x_new), twin(x_new))


def asserts(step, net, x, y, x_new):
    assert property_test()(step, net, x, y, x_new)
    return True


def starts_must_be_equal(step, net, x, y, x_new):
    return torch.equal(net(x_new), net.units(back(net.width))(x_new)) and property_test()(step, net, x, y, x_new)


def only_the_twin(step, net, x, y, x_new):
    twin = net.units(back(net.width))
    for _ in range(6):
        step(twin, x, y)
    return torch.allclose(net(x_new), twin(x_new))


def other_targets(step, net, x, y, x_new):
    twin = net.units(back(net.width))
    for _ in range(6):
        step(net, x, y)
        step(twin, x, y / 2)
    return torch.allclose(net(x_new), twin(x_new))


def forgets_the_last_line(*args):
    if not property_test()(*args):
        return False


def a_fresh_twin_each_step(step, net, x, y, x_new, tolerance=0.1):
    agree = True
    for _ in range(4):
        twin = net.units(back(net.width))
        step(net, x, y)
        step(twin, x, y)
        agree = agree and torch.allclose(net(x_new), twin(x_new), tolerance, tolerance)
    return agree


def not_equal(f, g):
    return not torch.equal(f, g)


def training_loss(net, x, x_new):
    return (net(x) - data().y).square().mean()


TESTS_WRONG = {
    "always true": (lambda *args: True, "never trained"),
    "always false": (lambda *args: False, "never trained"),
    "forgets to return True": (forgets_the_last_line, "no verdict"),
    "a verdict an output": (property_test(judge=torch.isclose), "no verdict"),
    "asserts": (asserts, "no verdict"),
    "only the twin trained": (only_the_twin, "twin not trained"),
    "a deep copy": (deep_copy, "nothing duplicated"),
    "the first half of the units": (property_test(units=lambda m: torch.arange(m // 2)), "part of the units duplicated"),
    "units drawn with repetition": (
        property_test(units=lambda m: torch.randint(m, (2 * m,), generator=torch.Generator().manual_seed(0))),
        "another function at the start",
    ),
    "output weights halved": (halved, "another function at the start"),
    "always SiLU": (always_silu, "another function at the start"),
    "twice as many steps for the twin, compared at each": (
        stops_early(lambda f, g: not torch.allclose(f, g), twice=True),
        "unequal numbers of steps",
    ),
    "bit by bit, at each step": (stops_early(not_equal), "rounding rejected"),
    "bit by bit, one network after the other": (one_after_the_other(not_equal), "rounding rejected"),
    "bit by bit at the start": (starts_must_be_equal, "rounding rejected"),
    "to 1e-13": (property_test(judge=lambda f, g: torch.allclose(f, g, 0, 1e-13)), "rounding rejected"),
    "to a hundredth": (property_test(judge=lambda f, g: torch.allclose(f, g, 1e-2, 1e-2)), "tolerance too loose"),
    "a fresh twin each step, to a tenth": (a_fresh_twin_each_step, "tolerance too loose"),
    "NaN counts as equal": (stops_early(lambda f, g: (f - g).norm() > 1e3), "tolerance too loose"),
    "training loss": (property_test(see=training_loss), "training inputs only"),
    "each unit beside its copy": (property_test(units=lambda m: torch.arange(m).repeat_interleave(2)), "order kept"),
    "three copies in order": (property_test(units=lambda m: torch.arange(m).repeat(3)), "order kept"),
    "one step": (property_test(steps=1), "one step only"),
    "other targets for the twin": (other_targets, "other data"),
}


@pytest.mark.parametrize(("answer", "mistake"), TESTS_WRONG.values(), ids=TESTS_WRONG)
def test_a_test_that_is_not_one_is_told_why(answer, mistake):
    result = check("02/duplication_test", answer)
    assert (result.status, result.mistake) == ("wrong", mistake), result.diagnosis


def test_a_verdict_nobody_foresaw_names_the_laws():
    result = check("02/duplication_test", lambda step, net, *rest: property_test()(step, net, *rest) or net.width == 18)
    assert result.mistake is None and result.status == "wrong"
    assert "it accepts a gradient divided by its norm over all parameters." in result.diagnosis


def test_what_a_test_raises_is_repeated():
    result = check("02/duplication_test", property_test(units=lambda m: torch.arange(2 * m)))
    assert result.diagnosis.startswith("Your function raised IndexError")


def in_both_orders(*args):
    step, net, *rest = args
    return all(property_test(units)(step, copy.deepcopy(net), *rest) for units in (back, lambda m: torch.arange(m).flip(0)))


TESTS_RIGHT = {
    "thirty steps": property_test(steps=30),
    "at each step": stops_early(lambda f, g: not torch.allclose(f, g)),
    "one network after the other": one_after_the_other(lambda f, g: (f - g).abs().max() > 1e-8),
    "NumPy's bool": property_test(judge=lambda f, g: np.allclose(f.detach().numpy(), g.detach().numpy())),
    "duplicated, and permuted": in_both_orders,
    "five times": property_test(units=lambda m: torch.cat([back(m), back(m), torch.arange(m)])),
    "all outputs": property_test(see=lambda net, x, x_new: torch.cat([net(x), net(x_new)])),
}


@pytest.mark.parametrize("answer", TESTS_RIGHT.values(), ids=TESTS_RIGHT)
def test_another_test_is_accepted(answer):
    result = check("02/duplication_test", answer)
    assert result.status == "passed", result.diagnosis
