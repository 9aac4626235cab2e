import numpy as np
import pytest

import tinygrad_rnn as tg
from tinygrad_rnn.utils.data import Vocabulary


def test_tokens_are_sorted_and_have_consecutive_ids():
    vocabulary = Vocabulary.of("banana")
    assert vocabulary.tokens == ("a", "b", "n")
    assert vocabulary.ids == {"a": 0, "b": 1, "n": 2}
    assert len(vocabulary) == 3


def test_the_order_given_to_the_class_itself_is_kept():
    assert Vocabulary("nab").encode("ban").tolist() == [2, 1, 0]


def test_encoding_gives_int64_and_decoding_gives_the_text_back():
    text = "Ωmega, naïve 🙂\n"
    vocabulary = Vocabulary.of(text)
    ids = vocabulary.encode(text)
    assert ids.dtype == np.int64
    assert ids.shape == (len(text),)
    assert vocabulary.decode(ids) == text
    assert vocabulary.decode(ids.tolist()) == text
    assert vocabulary.decode(tg.tensor(ids)) == text


def test_a_text_and_the_list_of_its_characters_are_encoded_alike():
    text = "".join(map(chr, np.random.default_rng(0).integers(32, 3000, 500)))
    vocabulary = Vocabulary.of(text)
    np.testing.assert_array_equal(vocabulary.encode(text), vocabulary.encode(list(text)))
    assert vocabulary.encode(text).tolist() == [vocabulary.ids[c] for c in text]


@pytest.mark.parametrize("empty", ["", []])
def test_nothing_is_encoded_as_nothing(empty):
    vocabulary = Vocabulary.of("abc")
    ids = vocabulary.encode(empty)
    assert (ids.dtype, ids.shape) == (np.int64, (0,))
    assert vocabulary.decode(ids) == ""


def test_a_vocabulary_without_characters_knows_no_text():
    with pytest.raises(ValueError, match=r"unknown tokens: 'a', 'b'\. "):
        Vocabulary.of(["one", "two"]).encode("ab")


def test_words_are_decoded_as_a_list():
    vocabulary = Vocabulary.of(["to", "be", "or", "a"])
    assert vocabulary.decode(vocabulary.encode(["be", "a"])) == ["be", "a"]


def test_any_hashable_can_be_a_token():
    vocabulary = Vocabulary.of([30, 10, 20, 10])
    assert vocabulary.encode([10, 30]).tolist() == [0, 2]
    assert vocabulary.decode([1]) == [20]


def test_membership_asks_for_tokens():
    vocabulary = Vocabulary.of("abc", specials=["<end>"])
    assert "a" in vocabulary
    assert "<end>" in vocabulary
    assert "z" not in vocabulary
    assert 0 not in vocabulary


def test_specials_come_first_in_their_order_and_only_once():
    vocabulary = Vocabulary.of("cab", specials=["<pad>", "<end>", "b"])
    assert vocabulary.tokens == ("<pad>", "<end>", "b", "a", "c")


def test_a_text_with_specials_is_decoded_as_text():
    vocabulary = Vocabulary.of("ab", specials=["<end>"])
    assert vocabulary.decode([1, 2, 0]) == "ab<end>"


@pytest.mark.parametrize("sequence", ["axbé", ["a", "x", "b", "é"]])
def test_unknown_tokens_are_encoded_as_the_one_for_them(sequence):
    vocabulary = Vocabulary.of("ab", specials=["<pad>"], unknown="<unk>")
    assert vocabulary.tokens == ("<pad>", "<unk>", "a", "b")
    assert vocabulary.encode(sequence).tolist() == [2, 1, 3, 1]


def test_the_unknown_token_may_be_one_of_the_tokens():
    vocabulary = Vocabulary.of("ab?", unknown="?")
    assert vocabulary.tokens == ("?", "a", "b")
    assert vocabulary.encode("a!").tolist() == [1, 0]


@pytest.mark.parametrize("sequence", ["a♥b♦♥c", list("a♥b♦♥c")])
def test_one_error_names_every_unknown_token_once(sequence):
    with pytest.raises(ValueError, match=r"^unknown tokens: '♥', '♦'\. .*unknown='"):
        Vocabulary.of("abc").encode(sequence)


def test_an_error_about_many_tokens_stays_short():
    with pytest.raises(ValueError, match="'j' and 16 more"):
        Vocabulary.of("0").encode("abcdefghijklmnopqrstuvwxyz")


def test_surrogates_are_characters_like_others():
    vocabulary = Vocabulary.of("a\udc80")
    assert vocabulary.decode(vocabulary.encode("\udc80a")) == "\udc80a"


def test_a_token_given_twice_is_refused():
    with pytest.raises(ValueError, match="given twice: 'a'"):
        Vocabulary("aba")


@pytest.mark.parametrize("ids", [[0, 3], [-1]])
def test_ids_that_no_token_has_are_refused(ids):
    with pytest.raises(ValueError, match=f"from 0 to 2, got {ids[-1]}"):
        Vocabulary.of("abc").decode(ids)


def test_a_batch_of_ids_is_refused():
    with pytest.raises(ValueError, match=r"got \(2, 2\); take one row"):
        Vocabulary.of("abc").decode(np.zeros((2, 2), int))


def test_tokens_without_an_order_are_refused_by_their_kinds():
    with pytest.raises(TypeError, match="these, of int and str, have no order; give Vocabulary"):
        Vocabulary.of(["a", 1])
    assert Vocabulary(["a", 1]).encode([1, "a"]).tolist() == [1, 0]
