"""No exercise accepts a slip that can be made in any of them: the right answer, spoilt in one way, is wrong and is told why.

The slips are made from the right answer itself, so an exercise gets them on the day it is written.
"""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from regimes_course.exercises import EXERCISES, Function, check

# Right all the same, with the reason.
ALLOWED = {
    "03/plateau": {"one entry off"},  # heights are measured, to a few percent
    "05/break_it": {"one entry off"},  # any settings that explode will do
    "06/scaled_loss": {"one axis more", "a column", "flattened"},  # a loss may come as a vector of length one
    "01/steps_to": {"a tensor for a whole number"},  # one element is a number
    "05/learned_at": {"a tensor for a whole number"},
    "06/samples_needed": {"a tensor for a whole number"},
    "09/phase_switch": {"a tensor for a whole number"},
    "09/perceptron_steps": {"a tensor for a whole number"},
    "09/near_homogeneity_gap": {"a list for a tensor", "an array for a tensor", "one axis more", "a column", "flattened"},
    "09/best_eta": {"one entry off"},  # a step may be off by a few percent
}

# What an exercise says for certain of such a slip: the name of the mistake.
CERTAIN = {("05/learned_at", "off by one", "one step off"), ("07/one_block", "one entry off", "the step of G is wrong")}


def right(key):
    exercise = EXERCISES[key]
    return exercise.reference if isinstance(exercise, Function) else exercise.alternatives[0]


def each(change, kind=torch.Tensor):
    """Apply the change to every value of the kind within tuples, lists and dictionaries."""

    def apply(value):
        if isinstance(value, tuple | list):
            return type(value)(map(apply, value))
        if isinstance(value, dict):
            return {name: apply(entry) for name, entry in value.items()}
        return change(value) if isinstance(value, kind) and not isinstance(value, bool) else value

    return apply


def last_entry(new):
    """Replace the last entry of every tensor, and every float, by a number made of the entry and the largest one."""

    def change(value):
        if isinstance(value, float):
            return new(value, value)
        spoilt = value.detach().clone().flatten()
        if len(spoilt) and spoilt.is_floating_point():
            spoilt[-1] = new(spoilt[-1].item(), spoilt.abs().max().item())
        return spoilt.reshape(value.shape)

    return each(change, torch.Tensor | float)


def in_one_tensor(value):
    if not isinstance(value, tuple | list):
        return value
    if all(isinstance(entry, int | float) for entry in value):
        return torch.tensor(value)
    alike = all(isinstance(entry, torch.Tensor) and entry.shape == value[0].shape for entry in value)
    return torch.stack(tuple(value)) if alike else value


# What is returned for the right value.
VALUES = {
    "nothing": lambda value: None,
    "a text": str,
    "in capitals": each(str.swapcase, str),
    "an object": lambda value: object(),
    "a list for a tensor": each(torch.Tensor.tolist),
    "an array for a tensor": each(lambda t: t.detach().numpy()),
    "a tensor for a whole number": each(torch.tensor, int),
    "floats for whole numbers": each(float, int),
    "float32": each(torch.Tensor.float),
    "one axis more": each(lambda t: t[None]),
    "a column": each(lambda t: t[..., None]),
    "transposed": each(lambda t: t.mT if t.ndim > 1 else t),
    "flattened": each(torch.Tensor.flatten),
    "without its last row": each(lambda t: t[:-1] if t.ndim else t),
    "the first value alone": lambda value: value[0] if isinstance(value, tuple | list) else value,
    "all values in one tensor": in_one_tensor,
    "one value more": lambda value: (*value, value[-1]) if isinstance(value, tuple | list) else (value, value),
    "one value fewer": lambda value: value[:-1] if isinstance(value, tuple | list) else value,
    "one entry off": last_entry(lambda number, largest: number + 0.01 * (largest or 1.0)),
    "one entry NaN": last_entry(lambda number, largest: math.nan),
    "one entry infinite": last_entry(lambda number, largest: math.inf),
    "off by one": each(lambda number: number + 1, int),
}


def slips(key, calls):
    """The spoilt answers by name; ``calls`` are the arguments and values of the right one, as the check called it."""
    answer, exercise = right(key), EXERCISES[key]
    for name, change in VALUES.items():
        if any(repr(change(value)) != repr(value) for _, value in calls):
            yield name, lambda *args, change=change: change(answer(*args))
    yield "raises", lambda *args: 1 / 0
    yield "too many arguments", lambda a, b, c, d, e, f, g, h, i: answer(a, b, c)
    if calls[0][0]:
        yield "too few arguments", lambda: answer()
    if isinstance(exercise, Function):
        yield "wrong in one case", lambda *args: None if repr(args) == repr(calls[-1][0]) else answer(*args)
        if "tensor(" in repr(calls):
            yield "in place", lambda *args: (answer(*args), each(lambda t: t.add_(1))(list(args)))[0]


@pytest.mark.parametrize("key", EXERCISES)
def test_a_right_answer_spoilt_in_one_way_is_rejected(key):
    calls = []

    def watched(*args):
        value = right(key)(*args)
        calls.append((args, value))
        return value

    assert check(key, watched).status == "passed"
    results = {name: check(key, spoilt) for name, spoilt in slips(key, calls)}
    assert len(results) >= 7
    assert {name for name, result in results.items() if result.status != "wrong"} == ALLOWED.get(key, set())
    for name, result in results.items():
        assert len(result.diagnosis) > 20 and "could not follow" not in result.diagnosis, (name, result)
        if isinstance(EXERCISES[key], Function):  # a name is given only to what an exercise lists
            named = name in ("transposed", "the first value alone") or (key, name, result.mistake) in CERTAIN
            assert result.mistake is None or named, (name, result)


NUMBERS = {
    "tensor": torch.tensor,
    "tensor with an axis": lambda v: torch.tensor([v]),
    "array": np.array,
    "NumPy scalar": lambda v: np.array(v)[()],
}


@pytest.mark.parametrize("form", NUMBERS.values(), ids=NUMBERS)
@pytest.mark.parametrize("key", EXERCISES)
def test_a_number_is_a_number_in_whatever_it_comes(key, form):
    wrap = each(lambda v: form(np.float64(v) if isinstance(v, float) else v), int | float)
    result = check(key, lambda *args: each(np.str_, str)(wrap(right(key)(*args))))
    assert result.status == "passed", result.diagnosis


@pytest.mark.parametrize("key", EXERCISES)
def test_a_stub_is_not_attempted(key):
    def stub(*args):
        raise NotImplementedError

    assert check(key, stub).status == "not attempted"


class Hostile:
    """An object that raises when it is compared, printed, measured or used as a number or a truth value."""

    def fail(self, *args):
        raise RuntimeError("hands off")

    __eq__ = __repr__ = __str__ = __bool__ = __len__ = __iter__ = __float__ = __getitem__ = __call__ = fail
    __hash__ = None


DTYPES = [torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.complex128, torch.int64, torch.uint8, torch.bool]
TENSORS = st.builds(torch.zeros, st.lists(st.integers(0, 3), max_size=3).map(tuple), dtype=st.sampled_from(DTYPES))
SINGLE = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.complex_numbers(), st.text(max_size=3), st.binary(max_size=3),
    TENSORS, TENSORS.map(lambda t: t / 0 if t.is_floating_point() else t.numpy()), TENSORS.map(torch.Tensor.to_sparse),
    st.builds(Hostile), st.builds(iter, st.just([1.0])), st.sampled_from([object, len, torch.nn.Linear(2, 1), math]),
)  # fmt: skip
ODD = st.recursive(
    SINGLE,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.lists(inner, min_size=2, max_size=2).map(tuple),
        st.dictionaries(st.sampled_from(["std", "lr", "damping", "tanh"]), inner, max_size=3),
        st.frozensets(st.integers(), max_size=2),
    ),
    max_leaves=4,
)


@pytest.mark.parametrize("key", EXERCISES)
@settings(max_examples=8)
@given(value=ODD)
def test_whatever_an_answer_returns_the_check_does_not_raise(key, value):
    result = check(key, lambda *args: value)
    assert result.status in ("wrong", "passed") and str(result)


@given(key=st.sampled_from(list(EXERCISES)), value=ODD.filter(lambda value: not callable(value)))
def test_whatever_is_given_for_a_function_the_check_does_not_raise(key, value):
    assert "wants the function itself" in check(key, value).diagnosis
