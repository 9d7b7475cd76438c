"""A check says the same of a function in another process as of one in this."""

import io
import os
import sys
from random import Random

import pytest
import torch

from regimes_course.exercises import EXERCISES
from regimes_course.kit.checking import Function, Mistake
from regimes_course.teacher.referee import Limits, Student, judge
from regimes_course.teacher.wire import Peer, Stopped

COMMAND = [sys.executable, "-m", "regimes_course.teacher.inside"]
FAST = ["01/gn_direction", "03/rests", "03/success_rates", "04/what_is_kept", "05/rescale", "06/scaled_loss", "09/classify"]


@pytest.fixture(scope="module")
def student():
    """A process with all the checks, so that their examples can be answers there."""
    one = Student(COMMAND, {**os.environ, "TQDM_DISABLE": "1"}, Limits(seconds=600))
    one.start()
    one.within(600)
    assert one.run("from regimes_course.exercises import EXERCISES") == ""
    yield one
    one.stop()


def agree(student, key):
    """Whether all listed answers of an exercise get the same verdict there as here."""
    exercise = EXERCISES[key]
    right = [(f"alternatives[{i}]", answer) for i, answer in enumerate(exercise.alternatives)]
    wrong = [(f"mistakes[{i}].example", mistake.example) for i, mistake in enumerate(exercise.mistakes)]
    for where, answer in right + wrong:
        student.within(600)
        assert student.run(f"answer = EXERCISES[{key!r}].{where}") == ""
        assert judge(exercise, student, "answer") == (exercise.examine(answer), ""), where


@pytest.mark.parametrize("key", FAST)
def test_a_verdict_is_the_same_through_the_wire(student, key):
    agree(student, key)


@pytest.mark.long
@pytest.mark.parametrize("key", [key for key in EXERCISES if key not in FAST])
def test_every_verdict_is_the_same_through_the_wire(student, key):
    agree(student, key)


def answers(student, *sources, key="01/gn_direction"):
    student.within(600)
    assert [student.run(source) for source in sources] == [""] * len(sources)
    return judge(EXERCISES[key], student, "answer")[0]


def test_what_cannot_cross_is_told_by_its_type(student):
    odd = "class Odd:\n    def __repr__(self): return 'an odd thing'"
    assert "an Odd; expected a Tensor" in answers(student, odd, "def answer(J, r, damping): return Odd()").diagnosis
    assert "ndarray" in answers(student, "def answer(J, r, damping): return J.T.numpy() @ r.numpy()").diagnosis
    own = "class Mine(LookupError): pass\ndef answer(J, r, damping): raise Mine('what')"
    assert "raised Mine: what" in answers(student, own).diagnosis
    assert "changes its argument number 2" in answers(student, "def answer(J, r, damping): r.zero_(); return J[0]").diagnosis
    assert answers(student, "def answer(J, r, damping): raise NotImplementedError()").status == "not attempted"
    assert answers(student, "def answer(J, r, damping): raise KeyboardInterrupt").status == "wrong"
    assert "wants the function itself" in answers(student, "answer = 3").diagnosis
    assert "called" in answers(student, "del answer").diagnosis


class Evil:
    def __reduce__(self):
        return print, ("code has run",)


@pytest.mark.parametrize("message", [b"", b"no message", "pickle", "another type"])
def test_no_message_runs_code(message, capsys):
    if isinstance(message, str):
        buffer = io.BytesIO()
        torch.save(Evil() if message == "pickle" else {"function": None}, buffer)
        message = buffer.getvalue()
    from multiprocessing import Pipe

    ours, theirs = Pipe()
    peer = Peer(ours, safe=True)
    peer.deadline = 0
    theirs.send_bytes(message)
    with pytest.raises(Stopped, match="garbled"):
        peer._receive()
    assert "code has run" not in capsys.readouterr().out


def test_a_grader_draws_other_cases():
    def draw(rng: Random):
        return (rng.randint(0, 10**9),)

    shown = Function("00/x", abs, dict, [Mistake("m", "s", abs)], (), "", draw=draw)
    hidden = Function("00/x", abs, dict, [Mistake("m", "s", abs)], (), "", draw=draw, seed=3)
    assert len(set(shown.drawn) | set(hidden.drawn)) == 40


@pytest.mark.parametrize("key", [key for key, one in EXERCISES.items() if isinstance(one, Function) and one.draw])
def test_right_answers_pass_with_hidden_cases(key):
    from dataclasses import replace

    for seed in (1, 2):
        exercise = replace(EXERCISES[key], seed=seed)
        for answer in exercise.alternatives:
            assert exercise.examine(answer).status == "passed", (key, seed)
