"""The tape of a loss as numbered lines, and what can be said about each of them."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from ..autograd.elementwise import Row
from ..autograd.primitives import Array
from ..autograd.tape import Edge, Key, Node, sum_to, tape, walk
from ..autograd.tensor import Tensor
from ..autograd.waiting import WeightGradient, settled
from ..nn.module import Module
from .ops import input_names, kept, row_of, rule_of


class Use(NamedTuple):
    """One input of one line: where the gradient that leaves there goes."""

    line: int  # of the node that uses the value
    input: int  # which of its inputs
    parent: int  # the line that the value comes from; -1 - i for `leaves[i]`
    output: int  # which output of that line


class Lines:
    """The tape behind a loss, one numbered line for each node, the oldest first.

    Nothing here changes it: `walk` is the walk that `backward` makes, but frees nothing and adds
    to no ``.grad``.  With a model its parameters are called by their names.  Names and edges are
    taken at the beginning: they are there after `backward` too, what it frees (`kept`) is not.

    Raises: TypeError for what is no Tensor, or no Module; ValueError for a tensor that is not a
    single number, or that nothing led to; RuntimeError when backward has freed the tape already.
    """

    def __init__(self, loss: Tensor, model: Module | None = None) -> None:
        if not isinstance(loss, Tensor):
            raise TypeError(f"explain: expected the loss, a Tensor; got {type(loss).__name__}")
        if loss.grad_fn is None or loss.numel() != 1:
            why = f"has shape {loss.shape}" if loss.grad_fn else "was not computed from anything"
            hint = "sum() or mean() it first" if loss.grad_fn else "nothing that led to it was"
            raise ValueError(
                f"explain: expected the loss, one number on the tape; this tensor {why}: {hint}"
                + ("" if loss.grad_fn else " recorded with requires_grad=True")
            )
        if model is not None and not isinstance(model, Module):
            raise TypeError(f"explain: expected a Module as model, got {type(model).__name__}")
        self.loss = loss
        self.nodes = tape([(loss.grad_fn, 0)])
        self.edges = [node.edges for node in self.nodes]  # backward takes them from the nodes
        self.number = {node: i for i, node in enumerate(self.nodes)}
        self.leaves: list[Tensor] = []
        self.uses: list[list[Use]] = []  # of each line
        self.users: dict[tuple[int, int], list[Use]] = {}  # of each output of a line, and leaf
        found: dict[int, int] = {}
        for i in range(len(self)):
            self.uses.append([])
            for k, edge in enumerate(self.edges[i]):
                if edge is None:
                    continue
                parent, output = edge[:2]
                if type(parent) is Node:
                    line = self.number[parent]
                else:
                    line = -1 - found.setdefault(id(parent), len(found))
                    if len(found) > len(self.leaves):
                        self.leaves.append(parent)
                use = Use(i, k, line, output)
                self.uses[i].append(use)
                self.users.setdefault((line, output), []).append(use)
        named = model.named_parameters() if model is not None else ()
        self._names = {id(parameter): name for name, parameter in named}

    def __len__(self) -> int:
        return len(self.nodes)

    def walk(
        self, found: dict[Key, Any] | None = None
    ) -> Iterator[tuple[int, list[Any], list[Any]]]:
        """The walk back: (line, gradients that arrive, gradients that leave), all of them arrays.

        A gradient that leaves has the shape of its input; None where nobody wants one.  At the end
        `found` holds the sums that came to the leaves.
        """
        found = {} if found is None else found
        start = self.loss._edge, np.ones(self.loss.shape, self.loss.dtype)
        steps = walk([start], found, keep=True)  # type: ignore[list-item]
        for i in reversed(range(len(self))):
            self.check_not_freed(i)
            _, arriving, leaving = next(steps)
            pairs = zip(self.edges[i], leaving, strict=True)
            gone = [None if e is None or g is None else there(g, e) for e, g in pairs]
            yield i, [*map(settled, arriving)], gone
        next(steps, None)

    def check_not_freed(self, i: int) -> None:
        """Raises: RuntimeError when backward has freed what the gradients of a line need."""
        if self.nodes[i].pullback is None:
            raise RuntimeError(
                "Trying to backward through the graph a second time: backward() has freed it "
                "meanwhile. Say retain_graph=True, or look at it first"
            )

    # ------------------------------------------------------------------------ what a line is called

    def row(self, i: int) -> Row | None:
        """The row of the calculus table that a line is an application of."""
        return row_of(self.nodes[i].op)

    def input_names(self, i: int) -> list[str]:
        """What an op calls its inputs: "x", "weight", "parts[2]"."""
        return input_names(self.nodes[i].op, len(self.edges[i]))

    def leaf_name(self, i: int) -> str:
        """What a leaf is called: by the model, or by the op that uses it first."""
        leaf = self.leaves[i]
        if id(leaf) in self._names:
            return self._names[id(leaf)]
        use = self.users[-1 - i, 0][0]
        while self.reshapes(use.line) and (use.line, 0) in self.users:
            use = self.users[use.line, 0][0]
        name = self.input_names(use.line)[use.input]
        return name if name in ("weight", "bias") else "leaf"

    def leaf_label(self, i: int) -> str:
        """Its name, with the shape where that says nothing by itself."""
        name = self.leaf_name(i)
        return f"{name} {self.leaves[i].shape}" if name == "leaf" else name

    def reshapes(self, i: int) -> bool:
        """Whether a line only gives what it gets in another form: a weight stays a weight."""
        return self.nodes[i].op.__name__ in ("cast", "clone", "expand", "permute", "reshape")

    def rule(self, i: int) -> list[str]:
        """The value of a line, then the derivative for each of its inputs, as the table has them.

        Of an op that is not in the table, its name and what its docstring says.
        """
        row, node = self.row(i), self.nodes[i]
        if row is not None:
            return rule_of(row)
        said = (node.op.__doc__ or "Several ops as one compiled kernel.").strip().split("\n")[0]
        return [f"{node.op.__name__}: {said}"]

    # ------------------------------------------------------------------------ what is remembered

    def kept(self, i: int) -> dict[str, np.ndarray]:
        """The arrays that the derivatives of a line mention, by the names that they have there."""
        return kept(self.nodes[i])

    def values(self) -> dict[tuple[int, int], np.ndarray]:
        """The values that are still known: those that some derivative mentions, and the loss.

        An array that is kept has lived since the op ran, so that its id tells for sure which input
        or output of the op it is.
        """
        known: dict[tuple[int, int], np.ndarray] = {}
        for i, node in enumerate(self.nodes):
            arrays = {id(array): array for array in node.kept()}
            for k, (_, _, key) in enumerate(node.outputs):
                if key in arrays:
                    known[i, k] = arrays[key]
            for use in self.uses[i]:
                key = node.inputs[use.input]
                if key in arrays:
                    known[use.parent, use.output] = arrays[key]
        known[len(self) - 1, self.loss._edge[1]] = self.loss._array  # type: ignore[index]
        known |= {(-1 - i, 0): leaf._array for i, leaf in enumerate(self.leaves)}
        return known


def value_of(g: Any) -> Any:
    """A gradient as an array.

    A product stays what it is: the walk adds to those that it has given away, and in another order
    the sum would be rounded otherwise.
    """
    if type(g) is not WeightGradient:
        return settled(g)
    value = np.concatenate(g.lefts).T @ np.concatenate(g.rights) if g.lefts else 0
    return value if g.total is None else value + g.total


def there(g: Any, edge: Edge) -> Array:
    """A gradient that leaves, as it comes to the parent: broadcasting undone."""
    _, _, shape, dtype = edge
    g = np.asarray(value_of(g))
    return (g if g.shape == shape else sum_to(g, shape)).astype(dtype, copy=False)
