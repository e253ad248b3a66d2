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
nitpicky = False
linkcheck_ignore = [r"https?://(?!localhost)"]  # pages elsewhere are not ours to watch
suppress_warnings = ["myst.xref_missing"]
