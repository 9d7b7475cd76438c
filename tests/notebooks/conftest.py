"""A tiny course: one lesson with a figure and a slider, one exercise. Built once a session."""

import pytest

from tools import notebooks

HEADER = """\
# ---
# jupyter:
#   regimes:
#     title: Tiny
#     minutes: 5
#     needs: ["00"]
#     papers: []
#     objectives: [see, move, solve]
# ---

"""
LESSON = (
    HEADER
    + """\
# %% [markdown]
# # Tiny

# %%
import matplotlib.pyplot as plt

figure, axes = plt.subplots()
_ = axes.plot([0, 1], [1, 0], label="loss")
_ = axes.set_title("step size 0.1")
plt.show()
print("The loss falls to 0.")

# %% tags=["widget"] id="slider"
import ipywidgets

display(ipywidgets.VBox([ipywidgets.IntSlider(2, description="width")]))

# %%
print("two runs,", "one text")
print("and a second line")

# %% [markdown]
# The same.

# %% [markdown]
# The same.
"""
)
EXERCISES = (
    HEADER
    + '''\
# %% [markdown]
# # Tiny exercises

# %%
def check(key, answer):
    """Stands in for the course's own."""
    try:
        print(key, "passed" if answer(2) == 4 else "wrong")
    except NotImplementedError:
        print(key, "not attempted yet")

def see(key, answer):
    """Stands in for the course's own."""
    print(key, "is drawn")

# %% [markdown] exercise="double" stars=1 minutes=5 concept="doubling" role="core"
# ## Exercise 1: double

# %% exercise="double"
def double(x):
    """Twice x."""
    ### BEGIN SOLUTION
    twice_of_it = x + x
    return twice_of_it
    ### END SOLUTION

# %% [markdown] hints="double"
# <details><summary>Hint</summary>Add.</details>

# %% check="double"
check("01/double", double)

# %% see="double"
see("01/double", double)

# %% [markdown] discussion="double" tags=["solution"]
# Multiplying by two is right as well.
'''
)


def _write(root, lesson=LESSON, exercises=EXERCISES):
    folder = root / "sources" / "01_tiny"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "lesson.py").write_text(lesson, encoding="utf-8")
    (folder / "exercises.py").write_text(exercises, encoding="utf-8")
    return root


@pytest.fixture
def course(tmp_path):
    """course(lesson=text, exercises=text) writes sources and returns the root; call it again to change them."""
    return lambda **texts: _write(tmp_path, **texts)


@pytest.fixture(scope="session")
def lesson_text():
    """The tiny lesson; session-wide, so that tests change a copy."""
    return LESSON


@pytest.fixture(scope="session")
def exercises_text():
    """The tiny exercises."""
    return EXERCISES


@pytest.fixture(scope="session")
def built(tmp_path_factory):
    """The root of the tiny course, built and executed; do not change it, copy it."""
    root = _write(tmp_path_factory.mktemp("tiny"))
    assert notebooks.build(root) == []
    return root
