"""How things look in every picture: what an op is drawn as, and the colours."""

from ..autograd.elementwise import Row, words

FAMILIES = {
    "product": "linear matmul",
    "curve": "softmax log_softmax logsumexp",
    "arithmetic": "where",
    "total": "sum prod cumsum amax amin",
    "shape": "cast clone concat expand flip index pad permute put reshape split stack unbind "
    "windows",
}  # fmt: skip
"""The kinds of op that have a colour of their own, besides the rows of the calculus table."""

WORDS = {
    "product": "product with a weight",
    "curve": "nonlinearity",
    "arithmetic": "arithmetic",
    "total": "sum",
    "shape": "moves values",
    "other": "compiled, or your own",
}
_FAMILY = {op: family for family, ops in FAMILIES.items() for op in ops.split()}

SIGNS = {
    "add": "+", "sub": "−", "mul": "×", "div": "÷", "neg": "−", "square": "x²", "power": "xⁿ",
    "pow": "xᶻ", "sqrt": "√", "exp": "eˣ", "reciprocal": "1/x", "sigmoid": "σ", "linear": "Wx",
    "matmul": "@", "sum": "Σ", "concat": "cat", "split": "cut", "unbind": "cut", "index": "[i]",
    "reshape": "view", "permute": "perm", "maximum": "max", "minimum": "min", "softmax": "smax",
    "log_softmax": "lsm", "leaky_relu": "lrelu", "softplus": "soft⁺",
}  # fmt: skip
"""Short signs for the nodes of a step; all other ops show the beginning of their name."""


def family(op: str, row: Row | None) -> str:
    """The kind of an op: what a row computes with operators alone is arithmetic."""
    return _FAMILY.get(op) or (_of_row(row) if row else "other")


def _of_row(row: Row) -> str:
    known = {*row.inputs, *row.constants}
    return "arithmetic" if set(words(row.forward)) <= known else "curve"


def sign(op: str) -> str:
    """What stands in the small node of an op."""
    return SIGNS.get(op, op[:5])


PALETTE = {
    #             light      dark
    "paper":      ("#fbfaf7", "#14161b"),
    "card":       ("#ffffff", "#1b1e25"),
    "step":       ("#f4f2ed", "#20242c"),
    "ink":        ("#1d2129", "#eceae4"),
    "soft":       ("#5d6470", "#a3a9b5"),
    "line":       ("#dcd8cf", "#353a45"),
    "now":        ("#111318", "#ffffff"),
    "product":    ("#0067a5", "#62b4ea"),
    "curve":      ("#b84a00", "#f09a4a"),
    "arithmetic": ("#00795a", "#3cc39d"),
    "total":      ("#98427f", "#dd92c5"),
    "shape":      ("#6a7180", "#949cab"),
    "other":      ("#1d2129", "#eceae4"),
    "bad":        ("#c4001d", "#ff6b76"),
}  # fmt: skip
"""Colours by name, for light and for dark paper.

The hues of the families are Okabe and Ito's, which people who do not see all colours tell apart;
their lightness is set for contrast with the paper.  Signs say the same as colours do.
"""

RAMP = (
    ("#dbe0e6", "#30363f"),
    ("#bdd0e2", "#2c4660"),
    ("#97bfdd", "#2a5b80"),
    ("#6ca9d4", "#2a7599"),
    ("#458fc6", "#3592a6"),
    ("#2a72b3", "#55b0a6"),
    ("#27539b", "#8bcb99"),
    ("#2e357f", "#c9e18a"),
    ("#2c1a5c", "#fdf4a6"),
)
"""Gradients from small to large, for light and for dark paper: further and further from it."""
SHADES = len(RAMP)


def figure(x: float) -> str:
    """A number in four digits."""
    return f"{x:.4g}"
