"""Arguments that PyTorch's signatures have and ours lack."""

import pytest

from tinygrad_rnn.autograd.signatures import lacks


@lacks("inplace", "ceil_mode")
def plain(x, p=0.5):
    return x, p


@lacks("out")
def sizes(*size):
    return size


@lacks("foreach")
def named(x, *, maximize=False):
    return x, maximize


class Owner:
    @lacks("epoch")
    def step(self):
        return "stepped"

    @lacks("threshold")
    def __init__(self, beta=1.0):
        self.beta = beta


class Heir(Owner):
    pass


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: plain(1, inplace=True), "plain: inplace= is not supported"),
        (lambda: plain(1, 0.5, True), "plain: inplace= is not supported"),
        (lambda: plain(1, 0.5, False, True), "plain: ceil_mode= is not supported"),
        (lambda: sizes(1, 2, 3, out=[]), "sizes: out= is not supported"),
        (lambda: Heir().step(3), "Owner.step: epoch= is not supported"),
        (lambda: Heir(1.0, 10.0), "Heir: threshold= is not supported"),
    ],
)
def test_what_a_signature_lacks_is_named_whether_it_comes_by_name_or_place(call, message):
    with pytest.raises(NotImplementedError, match=f"^{message}$"):
        call()


def test_what_asks_for_nothing_is_no_error():
    assert plain(1, 0.25, False, False) == plain(1, 0.25, inplace=None) == (1, 0.25)
    assert sizes(1, 2, 3, out=None) == (1, 2, 3)
    assert Heir(2.0, 20.0).beta == 2.0  # PyTorch's threshold
    assert Heir().step(None) == "stepped"


@pytest.mark.parametrize("call", [lambda: plain(1, 2, False, False, 5), lambda: named(1, False)])
def test_what_no_signature_has_is_a_type_error(call):
    with pytest.raises(TypeError, match="positional argument"):
        call()
