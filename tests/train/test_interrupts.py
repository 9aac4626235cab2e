"""Ctrl-C and SIGTERM, sent to a process of its own."""

import os
import signal
import subprocess
import sys
import threading
import time

import pytest

import tinygrad_rnn as tg
from tinygrad_rnn import nn, optim
from tinygrad_rnn.train.interrupts import Interrupts

PROGRAM = """
import sys, time
import tinygrad_rnn as tg
from tinygrad_rnn import nn, optim

w = nn.Linear(1, 1)
steps = []

def slow(trainer):
    print("step", flush=True)
    time.sleep({sleep})
    steps.append(1)

trainer = tg.Trainer(w, optim.SGD(w.parameters()), lambda w, x: w(x).mean(), callbacks=[slow])
history = trainer.fit([tg.ones(1, 1)], seconds=60)
print(history.ended, history.steps == len(steps), history.steps)
sys.exit(history.exit_code)
"""


def start(sleep, **more):
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM.format(sleep=sleep)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}, **more,
    )  # fmt: skip


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_training_after_its_step(number, code):
    with start(sleep=0.3) as process:
        assert process.stdout.readline() == "step\n"
        process.send_signal(number)
        output, errors = process.communicate(timeout=60)
    assert process.returncode == code, errors
    assert output.splitlines()[-1] == "interrupted True 1"


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, -signal.SIGINT), (signal.SIGTERM, 143)]
)
def test_a_second_signal_does_not_wait(number, code):
    with start(sleep=60) as process:
        assert process.stdout.readline() == "step\n"
        process.send_signal(number)
        time.sleep(0.2)
        process.send_signal(number)
        output, _ = process.communicate(timeout=30)
    assert process.returncode == code
    assert "interrupted" not in output


def test_a_second_signal_is_in_the_history_too():
    def twice(training):
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)

    model = nn.Linear(1, 1)
    training = tg.Trainer(
        model, optim.SGD(model.parameters()), lambda model, x: model(x).sum(), show=False,
        callbacks=[twice],
    )  # fmt: skip
    with pytest.raises(KeyboardInterrupt):
        training.fit([tg.ones(1, 1)], steps=3)
    history = training.history
    assert (history.ended, history.exit_code, history.steps) == ("interrupted", 130, 1)


def test_what_the_shell_ignores_stays_ignored():
    with start(
        sleep=0.3, preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_IGN)
    ) as process:
        assert process.stdout.readline() == "step\n"
        process.send_signal(signal.SIGINT)
        assert process.stdout.readline() == "step\n"
        process.send_signal(signal.SIGTERM)
        output, _ = process.communicate(timeout=60)
    assert process.returncode == 143
    assert "interrupted" in output


def test_handlers_are_put_back():
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    with Interrupts():
        assert signal.getsignal(signal.SIGINT) != before[0]
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before


def test_training_in_another_thread_works_and_leaves_signals_alone():
    ended = []

    def work():
        w = nn.Linear(1, 1)
        loss = lambda w, x: w(x).mean()
        training = tg.Trainer(w, optim.SGD(w.parameters()), loss, show=False)
        ended.append(training.fit([tg.ones(1, 1)], steps=2).ended)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert ended == ["steps"]
