"""How answers are examined: never an exception for the learner, never broadcasting, each fault in its own words."""

import json
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch

from regimes_course import exercises as checks
from regimes_course.exercises import EXERCISES, Behaviour, Function, Mistake, Result, WrongAnswer, check, see
from regimes_course.kit.checking import MIME, Complaint
from regimes_course.kit.comparing import Outcome, describe, random, same
from regimes_course.kit.plotting import panels

KEY = "07/scale"


def scale(x, a):
    return a * x


def stub(x, a):
    raise NotImplementedError()


TOY = Function(
    key=KEY,
    reference=scale,
    cases=lambda: {"a row": (random(0, 1, 3), 2.0), "a block": (random(1, 4, 3), -3.0)},
    praise="Right.",
    alternatives=(),
    mistakes=(
        Mistake("not scaled", "This is x itself.", lambda x, a: x.clone()),
        Mistake("divided", "This divides.", lambda x, a: x / a, also=[lambda x, a: x / a**2, lambda x, a: x // a]),
        Mistake("in place", "This works on x itself.", lambda x, a: x.mul_(a)),
        Mistake("by zero", "This divides by zero.", lambda x, a: x * (1 / 0)),
    ),
)


def picture(answer):
    """Draws what an answer makes of one, on an argument that no case has."""
    fig, (ax,) = panels()
    value = answer(torch.ones(1, 1, dtype=torch.float64), 5.0).item()
    ax.plot([0, 1], [0, value])
    return fig, f"Five times one is {value:g}."


TOY = replace(TOY, alternatives=(lambda x, a: x * a,), picture=picture)


@pytest.fixture(autouse=True)
def _toy(monkeypatch):
    monkeypatch.setitem(checks.EXERCISES, KEY, TOY)
    monkeypatch.setattr(checks, "_checked", {})


def in_place(x, a):
    x += 1
    return a * x


def begun(x, a):
    if len(x) == 1:
        return a * x
    raise NotImplementedError


def fails_late(x, a):
    return a * x if len(x) == 1 else x @ x


ANSWERS = {
    "right": (scale, "passed", None, "Right."),
    "a stub": (stub, "not attempted", None, "Replace the line that raises NotImplementedError"),
    "a stub that is called": (lambda x, a: stub(x, a), "wrong", None, "Your function raised NotImplementedError"),
    "a case left undone": (
        begun,
        "wrong",
        None,
        "Your function raised NotImplementedError (a part of it is still to be written) (case: a block)",
    ),
    "torch's own NotImplementedError": (
        lambda x, a: x.half() / 0 + torch.ones(2, device="meta"),
        "wrong",
        None,
        "Your function raised",
    ),
    "a mistake": (lambda x, a: x / a, "wrong", "divided", "This divides."),
    "a mistake in another form": (lambda x, a: x / (a * a), "wrong", "divided", "This divides."),
    "a mistake in a third form": (lambda x, a: torch.floor_divide(x, a), "wrong", "divided", "This divides."),
    "one form here, another there": (lambda x, a: x / a if a > 0 else x / a**2, "wrong", None, "(case: a row)"),
    "a mistake that changes its argument": (lambda x, a: x.mul_(a), "wrong", "in place", "This works on x itself."),
    "a mistake that raises": (lambda x, a: (a / 0) * x, "wrong", "by zero", "This divides by zero."),
    "raises": (lambda x, a: [][0], "wrong", None, "Your function raised IndexError: list index out of range (case: a row)"),
    "raises in the second case": (fails_late, "wrong", None, "(case: a block)"),
    "takes other arguments": (lambda x: x, "wrong", None, "Your function raised TypeError"),
    "recursion without an end": (lambda x, a: (lambda f: f(f))(lambda f: f(f)), "wrong", None, "raised RecursionError"),
    "returns nothing": (lambda x, a: None, "wrong", None, "Your function returned nothing; is a return missing?"),
    "returns a list": (
        lambda x, a: (a * x).tolist(),
        "wrong",
        None,
        "Your function returned a list; expected a Tensor of shape (1, 3)",
    ),
    "an array": (lambda x, a: (a * x).numpy(), "wrong", None, "Your function returned a ndarray; expected a Tensor"),
    "ends Python": (lambda x, a: sys.exit(3), "wrong", None, "Your function raised SystemExit: 3"),
    "a number": (lambda x, a: 1.0, "wrong", None, "Your function returned a float; expected a Tensor"),
    "no row axis": (lambda x, a: (a * x)[0], "wrong", None, "Your function returned shape (3,); expected (1, 3)"),
    "one axis more": (lambda x, a: (a * x)[None], "wrong", None, "Your function returned shape (1, 1, 3); expected (1, 3)"),
    "broadcasts": (lambda x, a: (a * x).expand(2, 3), "wrong", None, "Your function returned shape (2, 3); expected (1, 3)"),
    "transposed": (lambda x, a: (a * x).mT, "wrong", None, "Your function returned shape (3, 1); expected (1, 3)"),
    "float32": (lambda x, a: (a * x).float(), "wrong", None, "Your function returned torch.float32; expected torch.float64"),
    "changes its argument": (in_place, "wrong", None, "Your function changes its argument number 1 in place; work on a copy"),
    "a little off": (lambda x, a: a * x * (1 + 1e-5), "wrong", None, "The values differ by 1e-05 of the largest entry"),
    "not a number": (lambda x, a: a * x * float("nan"), "wrong", None, "Of the 3 entries 3 are NaN"),
    "rounding": (lambda x, a: a * x * (1 + 1e-9), "passed", None, "Right."),
}


@pytest.mark.parametrize(("answer", "status", "mistake", "says"), ANSWERS.values(), ids=ANSWERS)
def test_an_answer_is_judged(answer, status, mistake, says):
    result = check(KEY, answer)
    assert (result.key, result.status, result.mistake) == (KEY, status, mistake)
    assert says in result.diagnosis and result.diagnosis[0].isupper()


class Hostile:
    def __repr__(self):
        raise SystemExit

    def __eq__(self, other):
        raise ValueError(self)


class Bottomless(BaseException):
    def __str__(self):
        raise OSError


def falls(x, a):
    raise Bottomless


@pytest.mark.parametrize("answer", [Hostile(), lambda x, a: Hostile(), lambda x, a: [Hostile()], falls], ids=range(4))
@pytest.mark.parametrize("exercise", ["a function", "a behaviour"])
def test_no_object_brings_a_check_to_its_knees(exercise, answer):
    seen = replace(DEED, observe=lambda f: f(1, 2), passed=lambda seen: seen == 3, mistakes=())
    result = (TOY if exercise == "a function" else seen).examine(answer)
    assert result.status == "wrong" and len(result.diagnosis) > 20


def test_what_the_notebook_does_to_numpy_does_not_judge_an_answer():
    def reference(x):
        return np.exp(-x)

    toy = replace(TOY, reference=reference, cases=lambda: {"a large x": (np.float64(1e3),)}, mistakes=())
    with np.errstate(all="raise"):
        assert toy.examine(lambda x: np.exp(-x)).status == "passed"


@pytest.mark.parametrize("value", [None, 3, "scale", torch.ones(2), [scale]], ids=str)
@pytest.mark.parametrize("key", ["01/gn_direction", "01/find_the_bug"])
def test_what_is_not_a_function_is_told_so(key, value):
    result = check(key, value)
    assert (result.status, result.mistake) == ("wrong", None)
    name = key.removeprefix("01/")
    assert f"This check wants the function itself, check('{key}', {name}), not its value" in result.diagnosis
    assert f"it got {type(value).__name__}" in result.diagnosis


def test_a_long_value_is_not_printed_in_full():
    assert len(check(KEY, list(range(10**5))).diagnosis) < 200


@pytest.mark.parametrize("answer", [stub, None, lambda x, a: x, lambda x, a: [][0]])
def test_strict_raises_whatever_did_not_pass(answer):
    with pytest.raises(WrongAnswer, match=f"^{KEY}: .") as error:
        check(KEY, answer, strict=True)
    assert check(KEY, answer).diagnosis in str(error.value) and isinstance(error.value, AssertionError)
    assert check(KEY, scale, strict=True).status == "passed"


@pytest.mark.parametrize("strict", [True, False])
def test_an_unknown_exercise_is_named_beside_the_known(strict):
    with pytest.raises(KeyError, match="no exercise '01/gn_dirction'; there are 01/gn_direction, "):
        check("01/gn_dirction", scale, strict=strict)


def test_each_case_gets_its_own_arguments():
    seen = []

    def keeps(x, a):
        seen.append(x)
        return x.mul_(a)

    cases = TOY.cases()
    fixed = replace(TOY, cases=lambda: cases)
    before = [args[0].clone() for args in cases.values()]
    assert fixed.examine(keeps).mistake == "in place" and len(seen) == 2
    assert all(torch.equal(args[0], kept) for args, kept in zip(cases.values(), before, strict=True))


def test_a_result_in_a_notebook():
    result = Result(KEY, "wrong", 'a < b & "c" <script>', "divided")
    bundle = result._repr_mimebundle_()
    assert bundle.keys() == {"text/plain", "text/html", MIME} and MIME == "application/vnd.regimes.check+json"
    record = {"key": KEY, "status": "wrong", "diagnosis": result.diagnosis, "mistake": "divided"}
    assert json.loads(json.dumps(bundle[MIME])) == record
    assert "a &lt; b &amp; &quot;c&quot; &lt;script&gt;" in bundle["text/html"] and "<script>" not in bundle["text/html"]
    assert "role='status'" in bundle["text/html"] and KEY in bundle["text/html"]
    assert bundle["text/plain"] == str(result) == f'✗ {KEY}: wrong. a < b & "c" <script>'
    assert str(Result(KEY, "passed", "")) == f"✓ {KEY}: passed."
    assert str(Result(KEY, "not attempted", "x")).startswith("○ ")


def test_html_in_what_an_answer_raises_is_escaped():
    def fails(x, a):
        raise ValueError("<img src=x>")

    assert "<img" not in check(KEY, fails)._repr_mimebundle_()["text/html"]


T = torch.arange(6.0).reshape(2, 3)
SAME = {
    "tensors": (T, T.clone(), True),
    "another value": (T, T + 1e-3, False),
    "within rtol of the largest entry": (T, T + 4e-7, True),
    "shapes that broadcast": (T[:1].expand(2, 3)[:1], T[:1].expand(2, 3), False),
    "scalar for a vector": (torch.ones(()), torch.ones(1), False),
    "dtypes": (T, T.double(), False),
    "nan against a number": (T / T[0, 0], T, False),
    "empty": (torch.ones(0, 3), torch.ones(0, 3), True),
    "empty, other shape": (torch.ones(0, 3), torch.ones(3, 0), False),
    "zero against a tiny number": (torch.full((2,), 1e-30), torch.zeros(2), False),
    "list and tuple": ([1, 2], (1, 2), True),
    "lengths": ((1, 2), (1, 2, 3), False),
    "nested": ((1, T), (1, T.clone()), True),
    "nested, another": ((1, T), (1, T + 1), False),
    "a float for a whole number": (1.0, 1, False),
    "texts of NumPy": (np.str_("a"), "a", True),
    "no number and no number": (float("nan"), float("nan"), True),
    "infinity and a number": (float("inf"), 1.0, False),
    "complex numbers": (1j, 1j * (1 + 1e-9), True),
    "complex and real": (1 + 0j, 1.0, False),
    "bool and int": (True, 1, False),
    "close numbers": (1.0, 1 + 1e-8, True),
    "numbers": (171, 170, False),
    "texts": ("a", "a", True),
    "nothing and a number": (None, 0, False),
}


@pytest.mark.parametrize(("a", "b", "equal"), SAME.values(), ids=SAME)
def test_same(a, b, equal):
    assert same(a, b, 1e-7) is equal


@pytest.mark.parametrize(("value", "equal"), [(torch.nan, True), (torch.inf, False)])
def test_an_example_that_gives_no_number_is_compared_too(value, equal):
    assert same(torch.full((2,), value), torch.full((2,), torch.nan), 1e-7) is equal


NUMBERS = (
    1.5,
    np.float64(1.5),
    np.float32(1.5),
    torch.tensor(1.5),
    torch.tensor([1.5]),
    np.array([[1.5]]),
    torch.ones(1, 1) * 1.5,
)


@pytest.mark.parametrize("one", NUMBERS, ids=repr)
def test_one_element_is_a_number_in_whatever_it_comes(one):
    assert same(one, 1.5, 1e-7) and not same(one, 1.6, 1e-7) and same((one, 2), (1.5, 2), 0)
    assert same(one, torch.tensor(1.5, dtype=getattr(one, "dtype", None) if isinstance(one, torch.Tensor) else None), 0)
    assert "1.5" in describe(Outcome(one), Outcome(1.6))
    assert not same(one, torch.ones(2), 1e-7) and not same(torch.full((2,), 1.5), 1.5, 1e-7)


def test_a_whole_number_will_do_for_a_float_and_not_the_other_way_round():
    assert same(1, 1.0, 0) and same(torch.tensor(3), 3, 0) and same(np.int64(3), 3, 0)
    assert not same(1.0, 1, 0) and not same(True, 1, 0) and not same(1, True, 0) and same(np.bool_(True), True, 0)


def outcome(error):
    return Outcome(error=error)


class Special(ValueError):
    pass


def test_outcomes_agree_in_errors_of_one_kind_and_in_what_they_change():
    one, other, third = (outcome(kind(text)) for kind, text in ((ValueError, "a"), (ValueError, "b"), (TypeError, "a")))
    assert one.agrees(other, 0) and not one.agrees(third, 0) and not one.agrees(Outcome(value=1), 0)
    assert outcome(Special()).agrees(one, 0) and not one.agrees(outcome(Special()), 0)
    assert not Outcome(value=1).agrees(one, 0)
    assert not Outcome(value=1, changed=0).agrees(Outcome(value=1), 0)
    assert Outcome(value=1, changed=0).agrees(Outcome(value=1, changed=0), 0)


M = torch.arange(1.0, 7.0).reshape(2, 3)
SQUARE = torch.ones(2, 2) + torch.eye(2)
SAID = {
    "an error is wanted": (3.5, ValueError("x"), "expected a ValueError; your function returned 3.5"),
    "another error is wanted": (TypeError("no"), ValueError("x"), "expected a ValueError; your function raised TypeError: no"),
    "nothing where an error is wanted": (None, ValueError("x"), "expected a ValueError; your function returned None"),
    "an error": (TypeError("no"), 3.5, "your function raised TypeError: no"),
    "a complaint": (Complaint("two things are wanted"), 3.5, "two things are wanted"),
    "numbers": ((3, 5.5), (4.5, 5.5), "your function returned (3, 5.5); expected (4.5, 5.5)"),
    "a number": (2.0, 3.5, "your function returned 2; expected 3.5"),
    "a whole number": (170, 171, "your function returned 170: off by 1; expected 171"),
    "a whole number in a float": (8.0, 5.0, "your function returned 8: off by 3; expected 5"),
    "a large whole number": (70007, 70000, "your function returned 70007: off by 7; expected 70000"),
    "whole numbers": ((171, 398), (171, 400), "your function returned (171, 398): off by 2; expected (171, 400)"),
    "a whole number that is far off": (17, 171, "your function returned 17; expected 171"),
    "a whole number for zero": (2, 0, "your function returned 2: off by 2; expected 0"),
    "infinity for a whole number": (float("inf"), 3.0, "your function returned inf; expected 3"),
    "the same to six digits": (0.123456789, 0.12345, "returned 0.123457: right to 4 digits, 5 are asked; expected 0.12345"),
    "whole numbers in a tensor": (
        torch.tensor([500, 2]),
        torch.tensor([501, 2]),
        "largest entry, only in entry 0 (counted from 0). You",
    ),
    "the same to six digits, in a tensor": (
        torch.tensor([9.00002, 1e-16, 1.0], dtype=torch.float64),
        torch.tensor([9.00002012, -4e-16, 1.0002], dtype=torch.float64),
        "You return [9.00002, 0, 1]; expected [9.00002, 0, 1.0002]",
    ),
    "one entry beside rounding": (
        torch.tensor([5.0, 1e-9]),
        torch.tensor([6.0, 2e-16]),
        "only in entry 0 (counted from 0). You",
    ),
    "three digits": (0.853, 0.8526055, "right to 3 digits, 5 are asked; expected 0.852606"),
    "a float where a whole number is meant": (3.0, 3, "your function returned a float, 3.0; expected an int"),
    "a list for a number": ([3.0], 3.0, "your function returned a list; expected a number"),
    "many for one": (M, 3.0, "returned a Tensor of shape (2, 3); expected a single number"),
    "no number": (float("nan"), 3.0, "your function returned nan, which is no number"),
    "another text": ("lazy", "rich", "your function returned 'lazy'; expected 'rich'"),
    "another spelling": ("Gap_only", "gap only", "'Gap_only', which is right but spelt otherwise: 'gap only'"),
    "a number for a text": (3, "rich", "your function returned an int; expected a text"),
    "a value of many": ((M, M + 1), (M, M), "value number 2: the values differ by 0.17 of the largest entry"),
    "too few": ((M,), (M, M), "your function returned 1 values; expected 2"),
    "a tensor for two values": (M, (M, M), "your function returned a Tensor; expected 2 values, in a tuple"),
    "one row": (
        torch.stack([M[0], M[1] * 1.5]),
        M,
        "only in row 1 (counted from 0). You return [[1, 2, 3], [6, 7.5, 9]]; expected",
    ),
    "one column": (M * torch.tensor([1, 1, 0.5]), M, "only in column 2 (counted from 0)"),
    "one entry": (torch.tensor([1.0, 2, 4]), torch.tensor([1.0, 2, 3]), "only in entry 2 (counted from 0)"),
    "off the diagonal": (SQUARE + 1 - torch.eye(2), SQUARE, "only off the diagonal"),
    "a common factor": (0.5 * M, M, "the values differ by 0.5 of the largest entry: they are 0.5 times the right ones"),
    "the sign": (-M, M, "they have the wrong sign"),
    "a few digits": (M * torch.tensor([1.0002, 1, 1]), M, "right to 3 digits, 5 are asked"),
    "not zero": (torch.ones(2), torch.zeros(2), "the values are not all zero"),
}


@pytest.mark.parametrize(("got", "want", "says"), SAID.values(), ids=SAID)
def test_a_difference_is_described(got, want, says):
    one, other = (outcome(v) if isinstance(v, Exception) else Outcome(v) for v in (got, want))
    assert not one.agrees(other, 1e-5)
    assert says in describe(one, other, 1e-5, show=True)


def test_two_numbers_that_differ_are_never_printed_alike():
    for off in (1e-5, 1e-8, 1e-11, 1e-15):
        got, want = Outcome((1 + off) / 3), Outcome(1 / 3)
        says = describe(got, want, 1e-17, show=True).removeprefix("your function returned ")
        assert says.split(": ")[0].split("; ")[0] != says.split("expected ")[1], says


def test_what_is_expected_is_shown_only_where_it_is_asked_and_small():
    assert "expected" not in describe(Outcome(2.0), Outcome(3.0)) and "expected" not in describe(Outcome(M + 1), Outcome(M))
    assert "expected" not in describe(Outcome(torch.ones(13)), Outcome(torch.zeros(13)), show=True)


def test_a_judge_that_stumbles_does_not_raise():
    stumbles = Behaviour(
        KEY, observe=lambda f: f(), passed=lambda seen: 1 / 0, mistakes=(), alternatives=(), praise=str, otherwise=str
    )
    result = stumbles.examine(lambda: 1)
    assert result.status == "wrong" and "ZeroDivisionError" in result.diagnosis


def test_random_numbers_are_the_same_each_time_and_leave_the_generator_alone():
    state = torch.get_rng_state()
    assert torch.equal(random(3, 2, 5), random(3, 2, 5)) and not torch.equal(random(3, 4), random(4, 4))
    assert random(0, 2).dtype == torch.float64 and torch.equal(torch.get_rng_state(), state)


def tenfold(answer):
    found = answer(10)
    if isinstance(found, str):
        raise Complaint("your function must return a number; it returned a text")
    return found + 0


def undone(x):
    raise NotImplementedError


DEED = Behaviour(
    key="07/deed",
    observe=tenfold,
    passed=lambda seen: seen > 100,
    praise=lambda seen: f"It went to {seen}.",
    otherwise=lambda seen: f"it went to {seen}, which is not enough.",
    alternatives=(),
    mistakes=(
        Mistake("backwards", "It went backwards.", lambda x: -x, lambda seen: seen < 0),
        Mistake("short", "It stopped short.", lambda x: x, lambda seen: seen <= 10),
    ),
)
DEEDS = {
    "passed": (lambda x: x**3, "passed", None, "It went to 1000."),
    "first mistake that applies": (lambda x: -x, "wrong", "backwards", "It went backwards."),
    "second mistake": (lambda x: 10, "wrong", "short", "It stopped short."),
    "no known mistake": (lambda x: 20, "wrong", None, "It went to 20, which is not enough."),
    "raises": (lambda x: x / 0, "wrong", None, "Your function raised ZeroDivisionError: division by zero (called with 10)"),
    "a stub": (undone, "not attempted", None, "Replace the line"),
    "a complaint": (lambda x: "ten", "wrong", None, "Your function must return a number; it returned a text"),
    "what the check cannot use": (lambda x: [], "wrong", None, "The check cannot use what your function returned (TypeError: "),
    "not a function": (7, "wrong", None, "it got int 7"),
}


@pytest.mark.parametrize(("answer", "status", "mistake", "says"), DEEDS.values(), ids=DEEDS)
def test_a_deed_is_judged(answer, status, mistake, says):
    result = DEED.examine(answer)
    assert (result.status, result.mistake) == (status, mistake) and says in result.diagnosis


@pytest.mark.parametrize("key", [key for key in EXERCISES if key != KEY])
def test_examining_twice_gives_the_same(key):
    answer = EXERCISES[key].mistakes[0].example
    assert check(key, answer) == check(key, answer)


def test_an_interrupted_check_is_not_begun_again_for_its_picture(shown):
    calls = []

    def interrupted(x, a):
        calls.append(1)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        check(KEY, interrupted)
    see(KEY, interrupted)
    assert len(calls) == 1 and SOLUTION[1:] in shown[0][1]
    with pytest.raises(WrongAnswer, match="a loop without an end"):
        check(KEY, interrupted, strict=True)


DRAWN = replace(TOY, draw=lambda rng: (random(rng.randrange(99), rng.randint(2, 9), 3), rng.uniform(-5, 5)))


def test_drawn_cases_find_what_no_listed_one_does():
    assert DRAWN.examine(scale).status == "passed" and len(DRAWN.drawn) == 20
    result = DRAWN.examine(lambda x, a: a * x if len(x) in (1, 4) else a * x.flip(0))
    assert (result.status, result.mistake) == ("wrong", None)
    assert "case: drawn case 1 of 20: x of shape (" in result.diagnosis and ", a " in result.diagnosis
    assert DRAWN.examine(lambda x, a: a * x if len(x) in (1, 4) else a * x.flip(0)) == result


def test_drawn_cases_are_the_same_each_time_and_in_each_copy():
    assert list(DRAWN.drawn) == list(replace(DRAWN, praise="x").drawn)


def test_what_the_notebook_does_to_torch_does_not_judge_an_answer():
    seen = replace(
        DEED,
        observe=lambda f: f(torch.ones(2)),
        passed=lambda seen: seen.requires_grad and seen.device.type == "cpu",
        praise=str,
    )
    device = torch.get_default_device()
    try:
        torch.set_default_device("meta")
        with torch.no_grad():
            result = seen.examine(lambda x: x * torch.ones(2, requires_grad=True))
            drawn = DRAWN.examine(lambda x, a: x * torch.full((1,), a, dtype=torch.float64))
    finally:
        torch.set_default_device(device)
    assert (result.status, drawn.status) == ("passed", "passed")


# ---- the picture that is drawn with an answer


@pytest.fixture
def shown(monkeypatch):
    """What `see` shows: figures with their sentences."""
    seen = []
    monkeypatch.setattr(checks, "show", lambda fig, says: seen.append((fig, says)))
    return seen


def gives_up(x, a):
    if a == 5:
        raise ValueError("five")
    return a * x


SOLUTION = "drawn with a solution: yours has not passed yet"
SEEN = {
    "passed": (scale, "drawn with your scale"),
    "a stub": (stub, SOLUTION),
    "wrong": (lambda x, a: x / a, SOLUTION),
    "raises": (lambda x, a: [][0], SOLUTION),
    "ends Python": (lambda x, a: sys.exit(3), SOLUTION),
    "changes its argument": (in_place, SOLUTION),
    "not a function": (torch.ones(2), SOLUTION),
    "none": (None, SOLUTION),
    "hostile": (Hostile(), SOLUTION),
    "passed, and fails in the picture": (
        gives_up,
        "drawn with a solution: yours passed, but the picture cannot use it (ValueError: five)",
    ),
    "passed, and ends Python in the picture": (
        lambda x, a: sys.exit(1) if a == 5 else a * x,
        "drawn with a solution: yours passed, but the picture cannot use it "
        "(SystemExit: 1 (an answer returns; it does not end Python))",
    ),
}


@pytest.mark.parametrize(("answer", "mark"), SEEN.values(), ids=SEEN)
def test_a_picture_says_with_whose_function_it_is_drawn(answer, mark, shown):
    assert see(KEY, answer) is None
    ((fig, says),) = shown
    assert fig.get_suptitle() == f"({mark.split(' (')[0]})" and says == f"{mark[0].upper()}{mark[1:]}. Five times one is 5."


def test_a_title_is_kept_above_the_mark(shown, monkeypatch):
    def titled(answer):
        fig, says = picture(answer)
        fig.suptitle("A line")
        return fig, says

    monkeypatch.setitem(checks.EXERCISES, KEY, replace(TOY, picture=titled))
    see(KEY, scale)
    assert shown[0][0].get_suptitle() == "A line\n(drawn with your scale)"


def test_a_picture_is_computed_from_the_answer(shown, monkeypatch):
    monkeypatch.setitem(checks.EXERCISES, KEY, replace(TOY, rtol=0.1))
    see(KEY, lambda x, a: 1.05 * a * x)
    assert shown[0][1].endswith("Five times one is 5.25.")


def test_seeing_keeps_no_verdict_and_asks_no_second_time(shown, monkeypatch):
    kept, examined = [], []
    monkeypatch.setattr(checks, "record", lambda *verdict: kept.append(verdict))
    counting = replace(TOY, cases=lambda: examined.append(1) or TOY.cases())
    monkeypatch.setitem(checks.EXERCISES, KEY, counting)
    see(KEY, scale)
    assert not kept and len(examined) == 1
    check(KEY, scale)
    see(KEY, scale)
    assert len(kept) == 1 and len(examined) == 2  # the check's verdict on this very function
    see(KEY, lambda x, a: x)
    assert len(examined) == 3 and SOLUTION[1:] in shown[-1][1]


def test_there_is_no_picture_of_nothing(monkeypatch):
    with pytest.raises(KeyError, match="no exercise '01/gn_dirction'"):
        see("01/gn_dirction", scale)
    monkeypatch.setitem(checks.EXERCISES, KEY, replace(TOY, picture=None))
    with pytest.raises(KeyError, match="exercise '07/scale' has no picture"):
        see(KEY, scale)
