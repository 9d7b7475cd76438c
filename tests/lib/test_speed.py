"""The library is no slower than twice its targets, beside what a reader would write: ratios of CPU time, never seconds.

The best of several attempts counts, so that a busy machine fails nobody. `python3 course.py bench` measures all of it.
"""

from dataclasses import replace

import pytest
import torch

from benchmarks.run import TASKS
from benchmarks.task import best

GUARDED = [(task, ratio) for task in TASKS for ratio in task.ratios if ratio.guard]


@pytest.fixture(autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.mark.parametrize(("task", "ratio"), GUARDED, ids=[task.name for task, _ in GUARDED])
def test_no_slower_than_twice_the_target(task, ratio):
    limit = 2 * ratio.target[ratio.guard]
    found = best(task, ratio, limit)
    assert found <= limit, f"{task.name}, {task.at(ratio.guard)}: {ratio.method} / {ratio.against} is {found:.1f}"


def test_what_is_guarded():
    assert {task.name: ratio.target[ratio.guard] for task, ratio in GUARDED} == {
        "train, gradient descent": 2.5,
        "kernel": 1.3,
        "sweep, Gauss-Newton": 1.2,
    }


def test_a_slow_method_is_noticed():
    """A kernel that is computed four times over."""
    task, ratio = next((task, ratio) for task, ratio in GUARDED if task.name == "kernel")
    slow = dict(task.methods)
    slow[ratio.method] = lambda p, once=task.methods[ratio.method]: [once(p) for _ in range(4)][0]
    assert best(replace(task, methods=slow), ratio, 0.0, attempts=1) > 2 * ratio.target[ratio.guard]
