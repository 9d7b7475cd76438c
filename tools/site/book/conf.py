"""How Sphinx makes the book; tools/site/build.py puts the pages beside this file."""

from pathlib import Path

project = "regimes"
author = "the contributors to regimes"
copyright = "the contributors to regimes. Text and figures CC BY 4.0, code MIT"  # noqa: A001 (Sphinx's name)
language = "en"

extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.mathjax", "sphinx.ext.viewcode"]
source_suffix = {".md": "myst-nb", ".ipynb": "myst-nb", ".rst": "restructuredtext"}
nb_execution_mode = "off"  # the notebooks are stored with their outputs, which the tests compare
nb_ipywidgets_js = {}  # no widget needs a kernel here
nb_merge_streams = True
nb_render_markdown_format = "myst"  # of outputs too: with tables and formulas
nb_code_prompt_show = "Show the {type}"
nb_code_prompt_hide = "Hide the {type}"
myst_enable_extensions = ["dollarmath", "attrs_block"]
myst_heading_anchors = 3
mathjax_path = "mathjax/tex-chtml.js"
mathjax3_config = {"options": {"enableMenu": False}}  # its menu loads from elsewhere

default_role = "py:obj"
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
toc_object_entries_show_parents = "hide"  # the names of methods alone fit beside the page
python_use_unqualified_type_names = True
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True  # attributes as a list: those of a tuple with names would stand there twice

html_title = "regimes"
html_theme = "pydata_sphinx_theme"
html_context = {"default_mode": "auto"}  # light or dark as the reader's system is
html_favicon = "_static/icon.svg"
html_static_path = ["_static"]
html_css_files = ["panel.css", "book.css"]
html_js_files = [("explorer.js", {"defer": "defer"})]
html_copy_source = False
html_show_sourcelink = False
html_last_updated_fmt = None
html_search_scorer = str(Path(__file__).with_name("scorer.js"))
html_sidebars = {page: [] for page in ("run", "docs/*")}  # which have no neighbours to list
highlight_language = "none"  # of what does not say its own: commands
pygments_style = "a11y-high-contrast-light"
html_theme_options = {
    "logo": {"text": "regimes"},
    "header_links_before_dropdown": 7,
    "navbar_align": "left",
    "show_prev_next": True,
    "navigation_with_keys": False,  # the arrow keys belong to the sliders
    "show_toc_level": 2,
    "back_to_top_button": False,  # it lies over pictures
    "pygments_light_style": "a11y-high-contrast-light",
    "pygments_dark_style": "a11y-high-contrast-dark",
    "footer_start": ["copyright"],
    "footer_end": [],
    "secondary_sidebar_items": ["page-toc"],
}


def skip(app, what, name, member, leave_out, options):
    """Leave out the fields of tuples with names: the class lists them, in words."""
    return True if type(member).__name__ == "_tuplegetter" else None


def setup(app):
    """What Sphinx calls."""
    app.connect("autodoc-skip-member", skip)
