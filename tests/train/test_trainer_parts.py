"""A trainer names the part that it cannot use, before it trains."""

import pytest

import tinygrad_rnn as tg
from tinygrad_rnn import CheckpointError, Trainer, nn, optim
from tinygrad_rnn.optim.lr_scheduler import ExponentialLR, ReduceLROnPlateau


def made():
    model = nn.Linear(1, 1)
    loss = lambda model, x: model(x).square().mean()
    return {"model": model, "optimizer": optim.SGD(model.parameters(), lr=0.1), "loss": loss}


def test_a_plateau_schedule_needs_a_validation():
    parts = made()
    training = Trainer(**parts, schedule=ReduceLROnPlateau(parts["optimizer"]))
    with pytest.raises(ValueError, match="ReduceLROnPlateau needs validation="):
        training.fit([tg.ones(1, 1)], steps=1)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"model": nn.Linear}, r"model to be .* Module, got the class Linear; pass Linear\(...\)"),
        ({"model": lambda x: x}, "model to be of class Module, got a function"),
        ({"optimizer": optim.SGD}, r"optimizer to be .*, got the class SGD; pass SGD\(...\)"),
        ({"loss": "mse"}, "loss to be a function, got a str"),
        ({"schedule": ExponentialLR}, r"schedule to be .*; pass ExponentialLR\(...\)"),
        ({"callbacks": len}, "callbacks to be a list of functions, got a builtin"),
        ({"callbacks": [len, 3]}, "callbacks to be a list of functions, got an int"),
        ({"show": "no"}, "show to be True, False, None or a rich Console, got 'no'"),
        ({"log": 3}, r"expected a path, got an int; it is Trainer\(..., checkpoint=path, log"),
    ],
    ids=lambda options: next(iter(options)) if isinstance(options, dict) else "",
)
def test_a_part_of_another_kind_is_named(options, says):
    with pytest.raises(TypeError, match=says):
        Trainer(**made() | options)


def test_a_schedule_of_another_optimizer_is_refused():
    with pytest.raises(ValueError, match="the ExponentialLR is of another optimizer"):
        Trainer(**made(), schedule=ExponentialLR(made()["optimizer"], 0.9))


@pytest.mark.parametrize("file", ["log", "checkpoint"])
def test_a_folder_that_is_not_there_is_said_before_training(file, tmp_path):
    with pytest.raises(CheckpointError, match=r"cannot write .*: there is no folder .*runs"):
        Trainer(**made(), **{file: tmp_path / "runs" / "a"})


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"every_steps": "2"}, "every_steps to be a whole number of at least 1, got '2'"),
        ({"every_seconds": -1}, "every_seconds to be a number of at least 0, got -1"),
    ],
)
def test_how_often_to_save_is_a_number(options, says, tmp_path):
    with pytest.raises(ValueError, match=says):
        Trainer(**made(), checkpoint=tmp_path / "a", **options)
