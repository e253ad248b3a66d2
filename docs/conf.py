"""The documentation site: Sphinx with MyST, drawn figures included."""

from noizenet import __version__

project, author, release = "noizenet", "the noizenet developers", __version__
copyright = "the noizenet developers"
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
myst_enable_extensions = ["dollarmath", "html_image"]
myst_heading_anchors = 3
html_static_path = ["_figures", "../src/noizenet/course/live"]
html_theme = "furo"
html_favicon = "icon.svg"
html_title = "noizenet"
exclude_patterns = ["_build"]
nitpicky = True
nitpick_ignore_regex = [
    # Other libraries: no inventory of theirs is fetched, so that the site is built without a network.
    ("py:.*", r"(np|numpy|torch|matplotlib|typing|collections|pathlib)\..*"),
    # Types in docstrings are plain words ("int", "float32 [n, C]", "Path"): what has a page is referred to by its full
    # name in the text, and full names must resolve.
    ("py:(class|exc|data)", r"[^.]*"),
]
linkcheck_ignore = [r"https?://(?!localhost)"]  # pages elsewhere are not ours to watch
suppress_warnings = ["myst.xref_missing"]
