"""The course: every page is run while it is built, and an error or a warning stops the build.

python -m sphinx -W -T --keep-going docs build/docs
"""

import os
import sys
from pathlib import Path

from docutils.nodes import SkipNode
from docutils.utils.math.latex2mathml import tex2mathml

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))  # the pages show the code that they stand beside
os.environ["PYTHONPATH"] = os.pathsep.join([str(HERE.parent), os.environ.get("PYTHONPATH", "")])
os.environ["PYDEVD_DISABLE_FILE_VALIDATION"] = "1"  # a debugger's warning, which no page needs

import tinygrad_rnn  # noqa: E402

project = "tinygrad_rnn"
author = "The tinygrad_rnn developers"
release = tinygrad_rnn.__version__
html_title = "tinygrad_rnn, a course"

extensions = ["myst_nb"]
myst_enable_extensions = ["colon_fence", "dollarmath"]
myst_update_mathjax = False
nitpicky = True

nb_execution_mode = "force"
nb_execution_raise_on_error = True
nb_execution_timeout = 120
nb_output_stderr = "error"
nb_render_markdown_format = "myst"
nb_code_prompt_show = nb_code_prompt_hide = "how this is drawn"

html_theme = "furo"
html_static_path = ["_static"]
html_css_files = ["course.css"]
html_show_sphinx = html_show_copyright = False
html_copy_source = False
templates_path: list[str] = []
pygments_style, pygments_dark_style = "friendly", "github-dark"


def setup(app):
    """Formulas become MathML, which browsers draw by themselves, with nothing from the network."""
    app.add_html_math_renderer("mathml", (_formula(False), None), (_formula(True), None))


html_math_renderer = "mathml"


def _formula(block):
    def visit(writer, node):
        drawn = tex2mathml(node.astext(), as_block=block)
        writer.body.append(f'<div class="formula">{drawn}</div>' if block else drawn)
        raise SkipNode

    return visit
