"""The exercises as a learner meets them: a picture drawn with the answer, what is core, rising stars, two questions."""

import io
import re
from pathlib import Path

import pytest
import torch
from matplotlib.figure import Figure

from regimes_course import exercises
from regimes_course.exercises import EXERCISES
from tools.compose import sources

ROOT = Path(__file__).resolve().parents[2]
PAGES = {s.folder[:2]: s for s in sources(ROOT) if s.is_exercises}
CAPSTONES = {"10"}  # an evening each: none is the core
WITHOUT = {}  # exercises that draw nothing, and why
DRAWN = [key for key, exercise in EXERCISES.items() if exercise.picture]


def statements(source):
    return [cell for cell in source.cells if "exercise" in cell.meta and cell.kind == "markdown"]


def png(fig: Figure) -> bytes:
    page = io.BytesIO()
    fig.savefig(page, format="png", dpi=50)
    return page.getvalue()


@pytest.mark.parametrize("number", PAGES)
def test_every_exercise_has_its_picture_and_its_page_shows_it(number):
    keys = {key for key in EXERCISES if key.startswith(number)}
    shown = {f"{number}/{cell.meta['see']}" for cell in PAGES[number].cells if "see" in cell.meta}
    assert shown == keys & set(DRAWN) == keys - set(WITHOUT)


@pytest.mark.parametrize("number", sorted(PAGES.keys() - CAPSTONES))
def test_two_exercises_are_the_core_and_one_is_optional(number):
    roles = [cell.meta.get("role") for cell in statements(PAGES[number])]
    assert (roles.count("core"), roles.count("optional")) == (2, 1)


@pytest.mark.parametrize("number", PAGES)
def test_stars_do_not_fall_and_the_minutes_add_up(number):
    cells = statements(PAGES[number])
    stars, minutes = ([cell.meta[name] for cell in cells] for name in ("stars", "minutes"))
    assert stars == sorted(stars)
    assert PAGES[number].header["minutes"] == sum(minutes) + 10  # ten for the questions


@pytest.mark.parametrize("number", PAGES)
def test_the_line_under_the_title_says_what_the_cell_says(number):
    for k, cell in enumerate(statements(PAGES[number]), 1):
        title, line = cell.text.split("\n")[0], next(line for line in cell.text.split("\n") if line.startswith("★"))
        stars, minutes, kind, *role = line.split(" · ")
        assert title.startswith(f"## Exercise {k}: ") and kind
        assert (len(stars), minutes) == (cell.meta["stars"], f"{cell.meta['minutes']} minutes")
        assert role == ([cell.meta["role"]] if "role" in cell.meta else [])


@pytest.mark.parametrize("number", PAGES)
def test_a_page_ends_with_two_questions_and_folded_model_answers(number):
    last = PAGES[number].cells[-1]
    assert last.kind == "markdown" and not last.tags and last.text.startswith("## Two questions to write about\n")
    parts = re.split(r"^\*\*\d\.\*\*", last.text, flags=re.M)[1:]
    assert len(parts) == 2
    for part in parts:
        question, answer = part.split("<details><summary>A model answer</summary>\n")
        assert "?" in question and answer.rstrip().endswith("</details>") and 25 <= len(answer.split()) <= 130


@pytest.mark.parametrize("key", DRAWN)
def test_a_picture_is_drawn_with_what_the_answer_returns(key):
    exercise, state = EXERCISES[key], torch.get_rng_state()
    one, other = (exercise.picture(answer) for answer in exercise.alternatives[:2])
    assert all(isinstance(fig, Figure) and len(says) > 40 and fig.axes for fig, says in (one, other))
    assert png(exercise.picture(exercise.alternatives[0])[0]) == png(one[0])  # the same again
    assert torch.equal(torch.get_rng_state(), state)
    assert any(_differs(exercise.picture, mistake.example, one) for mistake in exercise.mistakes[:6])


def _differs(picture, answer, right) -> bool:
    try:
        fig, says = picture(answer)
    except Exception:
        return True
    return says != right[1] and png(fig) != png(right[0])


@pytest.mark.parametrize("key", [key for key, exercise in EXERCISES.items() if exercise.spoiler])
def test_a_picture_that_prints_the_answer_waits_for_one_that_passes(key, monkeypatch, capsys):
    shown = []
    monkeypatch.setattr(exercises, "show", lambda fig, says: shown.append(says))
    for answer in (lambda *args: 1 / 0, EXERCISES[key].mistakes[0].example, None):
        exercises.see(key, answer)
        assert not shown and "has passed its check: it prints the answer" in capsys.readouterr().out
    exercises.see(key, EXERCISES[key].alternatives[0])
    assert len(shown) == 1 and shown[0].startswith("Drawn with your")
