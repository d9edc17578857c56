"""The documentation site: ``sphinx-build -c docs . build/docs`` makes it from the Markdown files of this repository.

The repository is the source directory, so that links between its files are those that GitHub shows.
"""

import inspect
import re
from importlib import import_module, metadata
from typing import Any

project = "asyncrl"
author = copyright = "the asyncrl authors"
release = metadata.version("asyncrl")

extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.viewcode"]
root_doc = "docs/index"
include_patterns = ["*.md", "docs/*.md", "docs/*.ipynb", "results/published/README.md"]
exclude_patterns = ["**/.*"]

# Links such as usage.md#exit-codes, as GitHub forms them.
myst_heading_anchors = 4

# Outputs of notebooks are not committed.
nb_execution_mode = "force"
nb_execution_timeout = 300
nb_execution_raise_on_error = True
nb_execution_in_temp = True
nb_merge_streams = True

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
python_maximum_signature_line_length = 100
autodoc_preserve_defaults = True
# there are two classes of the name Policy
suppress_warnings = ["ref.python"]
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True

html_theme = "furo"
html_title = f"asyncrl {release}"
# index.html leads to docs/index.html
html_extra_path = ["site"]
html_copy_source = False


def describe_field(app: Any, what: str, name: str, value: Any, options: Any, lines: list[str]) -> None:
    """Describe a field of a named tuple by the comment at the end of its line, which autodoc does not read."""
    if not lines or not lines[0].startswith("Alias for field number"):
        return
    module, owner, field = name.rsplit(".", 2)
    source = inspect.getsource(getattr(import_module(module), owner))
    comment = re.search(rf"^    {field}: [^#\n]*  # (.*)$", source, flags=re.MULTILINE)
    lines[:] = [re.sub(r"([*_`|])", r"\\\1", comment[1])] if comment else []


def setup(app: Any) -> None:
    """Connect the function above."""
    app.connect("autodoc-process-docstring", describe_field)
