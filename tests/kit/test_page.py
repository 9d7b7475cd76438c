"""What a lesson's page is made of: seeds that a test can change, figures with their sentence, guesses."""

import io

import pytest
import torch
from IPython.display import Markdown
from PIL import Image

from regimes_course.kit import page
from regimes_course.kit.output import movie, picture
from regimes_course.kit.plotting import panels
from regimes_course.kit.webm import unpack


@pytest.fixture
def shown(monkeypatch):
    """What is displayed: (thing, metadata, raw)."""
    sent = []
    monkeypatch.setattr(page, "display", lambda thing, metadata=None, raw=False: sent.append((thing, metadata, raw)))
    return sent


def line():
    fig, (ax,) = panels(size=(3.0, 2.0))
    ax.plot([0, 1], [1, 0])
    return fig


@pytest.fixture
def figure():
    return line()


def test_seeds_start_at_zero(monkeypatch):
    monkeypatch.delenv("REGIMES_FIRST_SEED", raising=False)
    assert torch.equal(page.seeds(3), torch.tensor([0, 1, 2])) and page.seeds(3).dtype == torch.int64


def test_seeds_start_where_the_tests_say(monkeypatch):
    monkeypatch.setenv("REGIMES_FIRST_SEED", "1000")
    assert page.seeds(3).tolist() == [1000, 1001, 1002]
    monkeypatch.setenv("REGIMES_FIRST_SEED", "7")  # read at each call, not at import
    assert page.seeds(1).tolist() == [7]


SIZES = {"course": {"n": 50, "std": 0.1}, "paper": {"n": 500, "std": 0.1}}


@pytest.mark.parametrize(("said", "n"), [(None, 50), ("course", 50), ("paper", 500)])
def test_the_sizes_are_those_of_the_scale_that_was_asked_for(monkeypatch, said, n):
    monkeypatch.delenv("REGIMES_SCALE", raising=False)
    if said:
        monkeypatch.setenv("REGIMES_SCALE", said)  # read at each call, not at import
    sizes = page.at_scale(**SIZES)
    assert (sizes.n, sizes.std) == (n, 0.1) and vars(sizes) == SIZES[said or "course"]


@pytest.mark.parametrize("said", ["Paper", "", "huge"])
def test_another_scale_is_refused(monkeypatch, said):
    monkeypatch.setenv("REGIMES_SCALE", said)
    with pytest.raises(ValueError, match=f"the scales are course and paper; asked for was {said!r}, given are course, paper"):
        page.at_scale(**SIZES)


@pytest.mark.parametrize("given", [["course"], ["paper"], [], ["course", "paper", "poster"]])
def test_a_lesson_gives_both_sizes(monkeypatch, given):
    monkeypatch.setenv("REGIMES_SCALE", "course")
    with pytest.raises(ValueError, match=f"given are {', '.join(given)}$"):
        page.at_scale(**{name: {"n": 1} for name in given})


def test_show_emits_a_picture_with_alternative_text_and_then_the_same_sentence(figure, shown):
    assert page.show(figure, "The loss falls to 0.") is None
    (bundle, _, raw), (words, _, _) = shown
    assert raw and bundle == picture(bundle["image/png"], "The loss falls to 0.")
    assert isinstance(words, Markdown) and words.data == "The loss falls to 0."
    image = Image.open(io.BytesIO(bundle["image/png"]))
    assert image.format == "PNG" and image.size == (300, 200) and "Software" not in image.info
    assert len(image.convert("RGB").getcolors(2**20)) > 10  # not a blank page


def test_the_same_figure_gives_the_same_bytes(shown):
    page.show(line(), "Once.")
    page.show(line(), "Twice.")
    assert shown[0][0]["image/png"] == shown[2][0]["image/png"]


@pytest.mark.parametrize("says", ["", "  \n"])
def test_a_figure_without_a_sentence_is_refused_before_anything_is_shown(figure, shown, says):
    with pytest.raises(ValueError, match="a figure needs a sentence"):
        page.show(figure, says)
    assert shown == []


GUESSES = {
    "none": (..., "Outcome: 0.84 is left\n"),
    "a number": (0.5, "Your guess: 0.5. Outcome: 0.84 is left\n"),
    "zero is a guess": (0, "Your guess: 0. Outcome: 0.84 is left\n"),
    "words": ("both", "Your guess: both. Outcome: 0.84 is left\n"),
    "nothing is a guess": (None, "Your guess: None. Outcome: 0.84 is left\n"),
    "several": ([1, 2], "Your guess: [1, 2]. Outcome: 0.84 is left\n"),
}


@pytest.mark.parametrize(("answer", "printed"), GUESSES.values(), ids=GUESSES)
def test_a_guess_beside_the_outcome(capsys, answer, printed):
    page.guess(answer, "0.84 is left")
    assert capsys.readouterr().out == printed


def test_a_guess_may_be_a_tensor(capsys):
    page.guess(torch.tensor([0.5, 0.25]), "0.84 is left")
    assert capsys.readouterr().out.startswith("Your guess: tensor([0.5000, 0.2500])")


NUMBERS = {
    "right": (95, "Your guess: 95, right. Outcome: about 100\n"),
    "too large": (300, "Your guess: 300, too large by a factor of 3. Outcome: about 100\n"),
    "too small": (25.0, "Your guess: 25.0, too small by a factor of 4. Outcome: about 100\n"),
    "of another sign": (-20, "Your guess: -20, off by 1.2e+02. Outcome: about 100\n"),
    "no number": ("many", "Your guess: many. Outcome: about 100\n"),
    "none": (..., "Outcome: about 100\n"),
}


@pytest.mark.parametrize(("answer", "said"), NUMBERS.values(), ids=NUMBERS)
def test_a_guessed_number_is_compared(answer, said, capsys):
    page.guess(answer, "about 100", number=100)
    assert capsys.readouterr().out == said


def test_a_wrong_choice_hears_why_one_might_think_so(capsys):
    why = {"mean": "the mean is what all samples share"}
    for choice in ("mean", "difference", ...):
        page.guess(choice, "the difference", why=why)
    said = capsys.readouterr().out.split("\n")
    assert said[0] == "Your guess: mean. One might think so: the mean is what all samples share. Outcome: the difference"
    assert said[1:] == ["Your guess: difference. Outcome: the difference", "Outcome: the difference", ""]


def test_a_movie_waits_folded_under_its_last_frame():
    figures = []
    for k in range(3):
        figure, (ax,) = panels()
        ax.plot([0, k])
        figures.append(figure)
    film = movie(figures, seconds=3)
    frames, milliseconds = unpack(film)
    assert len(frames) == 3 and milliseconds == 1000
    html = picture(b"png", "It moves.", film)["text/html"]
    assert html.index('<img alt="It moves."') < html.index("<details><summary>See it move</summary><video controls src=")
    assert "autoplay" not in html and "loop" not in html
