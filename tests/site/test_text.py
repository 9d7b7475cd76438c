"""Links and folded text of notebooks, as Sphinx needs them."""

import pytest

from tools.site.pages import Book
from tools.site.text import displayed, folded, links

BOOK = Book(("lessons/01_a.ipynb", "lessons/deeper/01_a.ipynb", "exercises/01_a.ipynb"))
ONLINE = Book(BOOK.notebooks, "https://example.org/us/regimes")


@pytest.mark.parametrize(
    ("page", "says", "becomes"),
    [
        ("lessons/01_a.ipynb", "see [deeper](deeper/01_a.ipynb#why).", "see [deeper](deeper/01_a.ipynb#why)."),
        ("lessons/deeper/01_a.ipynb", "[01](../01_a.ipynb)", "[01](../01_a.ipynb)"),
        ("docs/CLAIMS.md", "[*01*: deeper](../lessons/deeper/01_a.ipynb)", "[*01*: deeper](../lessons/deeper/01_a.ipynb)"),
        ("docs/INSTRUCTORS.md", "[MISTAKES.md](MISTAKES.md) lists", "`docs/MISTAKES.md` lists"),
        ("exercises/01_a.ipynb", "[how](../docs/ARCHITECTURE.md)", "how (`docs/ARCHITECTURE.md`)"),
        ("exercises/01_a.ipynb", "[far](https://example.org/a.md), [near](#a)", "[far](https://example.org/a.md), [near](#a)"),
        ("exercises/01_a.ipynb", "`[x](y.md)` is code\n```\nnet[0](x.md)\n```", "`[x](y.md)` is code\n```\nnet[0](x.md)\n```"),
        ("exercises/01_a.ipynb", '<a href="../lessons/01_a.ipynb#b">01</a>', '<a href="../lessons/01_a.html#b">01</a>'),
        ("docs/A.md", "ICML 2021, arXiv 2105.06351.", "ICML 2021, [arXiv 2105.06351](https://arxiv.org/abs/2105.06351)."),
        ("docs/A.md", "[arXiv 2105.06351](https://a.b)", "[arXiv 2105.06351](https://a.b)"),
        ("exercises/01_a.ipynb", "K is [[a, b], [b, a]](sic) and f[0](x)", "K is [[a, b], [b, a]](sic) and f[0](x)"),
    ],
)
def test_links_lead_to_pages_of_the_book_or_name_a_file(page, says, becomes):
    assert links(says, page, BOOK.target) == becomes


def test_with_an_address_files_outside_the_book_are_linked_there():
    says = links("[MISTAKES.md](MISTAKES.md)", "docs/INSTRUCTORS.md", ONLINE.target)
    assert says == "[MISTAKES.md](https://example.org/us/regimes/blob/main/docs/MISTAKES.md)"


def test_a_displayed_formula_is_a_paragraph():
    says = "The network is\n$$f(x) = \\frac1m\n  \\sum_j v_j,$$\nwith $m$ units and `$$` in code."
    assert displayed(says) == "The network is\n\n$$f(x) = \\frac1m\n  \\sum_j v_j,$$\n\nwith $m$ units and `$$` in code."


def test_what_is_folded_ends_alone():
    says = "<details><summary>Can do</summary>\n\n- one;\n- two.\n\nNeeds: more.</details>\n\nThen."
    assert folded(says) == "<details><summary>Can do</summary>\n\n- one;\n- two.\n\nNeeds: more.\n\n</details>\n\n\nThen."


def test_what_is_folded_in_one_piece_stays_html_with_its_formulas_marked():
    says = r"<details><summary>Hint</summary>1. Take $\lambda_2$ of v_j * w_j.</details>"
    marked = r'<span class="math notranslate nohighlight">\(\lambda_2\)</span>'
    assert folded(says) == rf"<details><summary>Hint</summary>1. Take {marked} of v_j * w_j.</details>"
