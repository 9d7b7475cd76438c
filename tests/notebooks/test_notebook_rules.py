"""Each way of writing a source wrongly gives its own message, with file and line."""

import pytest

from tools.compose import sources
from tools.source import SourceError

BAD_EXERCISES = {
    "end without begin": ("    ### BEGIN SOLUTION\n", "", "### END SOLUTION without ### BEGIN SOLUTION"),
    "begin without end": ("    ### END SOLUTION\n", "", "### BEGIN SOLUTION without ### END SOLUTION"),
    "nested": ("    return tw", "    ### BEGIN SOLUTION\n    return tw", "nested ### BEGIN SOLUTION"),
    "empty": ("    twice_of_it = x + x\n    return twice_of_it\n", "", "empty solution"),
    "outside": (' exercise="double"\ndef', "\ndef", "solution markers outside"),
    "no markers": ("    ### BEGIN SOLUTION\n    twice", "    twice", "has no solution"),
    "no stars": (" stars=1", "", "stars must be a number from 1 to 3"),
    "too many stars": (" stars=1", " stars=4", "stars must be a number from 1 to 3"),
    "no minutes": (" minutes=5 c", " c", "'double': minutes must be a number from 1 to 120"),
    "no concept": (' concept="doubling"', "", "exercise 'double' has no concept"),
    "no hints": ('# %% [markdown] hints="double"', "# %% [markdown]", "exercise 'double' has no hints"),
    "hints without details": ("<details>", "<p>", "has 0 hints (<details>)"),
    "four hints": ("Add.", "Add. <details> <details> <details>", "has 4 hints (<details>)"),
    "no check": ('# %% check="double"', "# %%", "exercise 'double' has no check"),
    "check of another": ('# %% check="double"', '# %% check="treble"', "check for an unknown exercise 'treble'"),
    "check calls another": ('check("01/double"', 'check("01/dbl"', 'must call check("01/double"'),
    "see of another": ('# %% see="double"', '# %% see="treble"', "see for an unknown exercise 'treble'"),
    "see calls another": ('see("01/double"', 'see("01/dbl"', "the see of exercise 'double' must call see(\"01/double\", ...)"),
    "see is hidden": ('see="double"', 'see="double" tags=["solution"]', "must be a code cell that the learner gets"),
    "see is text": ('# %% see="double"', '# %% [markdown] see="double"', "must be a code cell that the learner gets"),
    "see before the check": ("# %% check", '# %% see="double"\nsee("01/double", double)\n\n# %% check', "duplicated see"),
    "see after the discussion": (
        '# %% see="double"\nsee("01/double", double)\n\n# %% [markdown] discussion="double" tags=["solution"]\n',
        '# %% [markdown] discussion="double" tags=["solution"]\n# x\n\n# %% see="double"\nsee("01/double", 0)\n',
        "must come in the order statement, stub, hints, check, see, discussion",
    ),
    "unknown role": ('role="core"', 'role="corn"', "exercise 'double': the role must be core or optional, or left out"),
    "no discussion": (' discussion="double"', "", "exercise 'double' has no discussion"),
    "discussion shown": (' tags=["solution"]', "", "needs tags="),
    "no statement": (' exercise="double" stars=1', "", "exercise 'double' has no statement"),
    "twice": ("# %% check", '# %% exercise="double"\nx = 1\n\n# %% check', "duplicated stub of exercise 'double'"),
    "leak": ("Add.", "Try twice_of_it = x + x.", "this solution line is in the learner's notebook too"),
    "unknown key": (" stars=1", " stars=1 star=1", "unknown cell metadata 'star'"),
    "unknown tag": ('solution"]', 'solution", "wigdet"]', "unknown tag 'wigdet'"),
    "stub does not parse": ("    return twice_of_it\n", "    return twice_of_it\n    x +\n", "is not plain Python"),
}
BAD_LESSONS = {
    "exercise in a lesson": ("# %%\nprint", '# %% exercise="a"\nprint', "belongs in exercises.py"),
    "no title": ("#     title: Tiny\n", "", "header field 'title' is 'missing'"),
    "minutes": ("minutes: 5", "minutes: five", "header field 'minutes' is 'five'"),
    "needs": ('needs: ["00"]', "needs: [00]", "header field 'needs' is [0]"),
    "papers": ("#     papers: []\n", "", "header field 'papers' is 'missing'"),
    "objectives": ("[see, move, solve]", "[see]", "header field 'objectives' is ['see']"),
    "yaml": ("title: Tiny", "title: Tiny: or not", "the header is not YAML"),
    "duplicated id": ("# The same.\n\n", '# The same.\n\n# %% [markdown] id="slider"\n# x\n\n', "duplicated cell id"),
    "setup id": ('id="slider"', 'id="setup"', "duplicated cell id 'setup'"),
    "bad id": ('id="slider"', 'id="a slider"', "cell id 'a slider' must be"),
    "semicolon": ('line")\n', 'line");\n', "must not end in ';'"),
    "bare expression": ('line")\n', 'line")\nfigure\n', "must not end in a bare expression"),
    "no code": ("# %% [markdown]\n# # Tiny", "# %%\n# Tiny", "a code cell without code"),
    "magic": ("import ipywidgets", "# %matplotlib inline", "is not plain Python"),
    "long cell": ("import ipywidgets\n", "import ipywidgets\n" + "x = 1\n" * 20, "22 lines of code in one cell"),
    "absolute path": ("two runs,", "/usr/share/x", "absolute path '/usr/share/x'"),
    "text before the first cell": ("# %% [markdown]\n# # Tiny", "x = 1\n\n# %% [markdown]\n# # Tiny", "lines '# %%'"),
}


def broken(root):
    with pytest.raises(SourceError) as error:
        sources(root)
    return error.value.problems


@pytest.mark.parametrize("old, new, message", BAD_EXERCISES.values(), ids=BAD_EXERCISES)
def test_exercises_are_refused_with_file_and_line(course, exercises_text, old, new, message):
    assert old in exercises_text
    found = broken(course(exercises=exercises_text.replace(old, new, 1)))
    assert any(message in p.message for p in found), found
    assert {p.path for p in found} == {"sources/01_tiny/exercises.py"} and all(p.line >= 1 for p in found)


@pytest.mark.parametrize("old, new, message", BAD_LESSONS.values(), ids=BAD_LESSONS)
def test_lessons_are_refused_with_file_and_line(course, lesson_text, old, new, message):
    assert old in lesson_text
    found = broken(course(lesson=lesson_text.replace(old, new, 1)))
    assert any(message in p.message for p in found), found
    assert {p.path for p in found} == {"sources/01_tiny/lesson.py"} and all(p.line >= 1 for p in found)


def test_an_exercise_may_come_without_a_picture_and_without_a_role(course, exercises_text):
    text = exercises_text.replace('# %% see="double"\nsee("01/double", double)\n', "").replace(' role="core"', "")
    assert "see=" not in text and sources(course(exercises=text))


def test_the_line_is_the_right_one(course, exercises_text):
    text = exercises_text.replace("    ### END SOLUTION\n", "").replace("Add.", "On /usr/share/x.")
    lines = text.split("\n")
    found = {p.message.split(" ")[0]: p.line for p in broken(course(exercises=text))}
    assert lines[found["###"] - 1] == "    ### BEGIN SOLUTION"
    assert "/usr/share/x" in lines[found["absolute"] - 1]


def test_the_line_of_a_leak_is_that_of_the_solution(course, exercises_text):
    text = exercises_text.replace("Add.", "return twice_of_it")
    (found,) = broken(course(exercises=text))
    assert text.split("\n")[found.line - 1] == "    return twice_of_it"


def test_the_line_of_a_yaml_error(course, lesson_text):
    text = lesson_text.replace("title: Tiny", "title: Tiny: or not")
    (found,) = broken(course(lesson=text))
    assert "Tiny: or not" in text.split("\n")[found.line - 1]


def test_all_problems_of_all_files_at_once(course, lesson_text, exercises_text):
    root = course(
        lesson=lesson_text.replace("minutes: 5", "minutes: 0"),
        exercises=exercises_text.replace(" stars=1", "").replace(' concept="doubling"', ""),
    )
    assert len(broken(root)) == 3


def test_docstrings_do_not_count_as_code(course, exercises_text):
    long = "Twice x.\n" + "    shape\n" * 30
    assert sources(course(exercises=exercises_text.replace("Twice x.", long)))


def test_an_unknown_lesson_is_named_beside_the_known(course):
    with pytest.raises(ValueError, match="no lesson 07; there are: 01_tiny"):
        sources(course(), ["07"])


@pytest.mark.parametrize("name", ["1", "01", "01_tiny"])
def test_a_lesson_has_three_names(course, name):
    assert [source.path for source in sources(course(), [name])] == [
        "sources/01_tiny/lesson.py",
        "sources/01_tiny/exercises.py",
    ]
