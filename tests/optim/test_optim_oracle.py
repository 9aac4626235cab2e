"""Optimisers and schedules against PyTorch, where that is installed (float64, 1e-10)."""

import itertools

import numpy as np
import pytest

import tinygrad_rnn as tg
from tinygrad_rnn import optim
from tinygrad_rnn.optim import lr_scheduler

STEPS = 20
rng = np.random.default_rng(7)
X, Y = rng.standard_normal((8, 3)), rng.standard_normal((8, 4))
W, B = rng.standard_normal((3, 4)), rng.standard_normal(4)


@pytest.fixture
def torch():
    return pytest.importorskip("torch")


def grid(**options):
    """Every combination of the values."""
    return [
        dict(zip(options, values, strict=True)) for values in itertools.product(*options.values())
    ]


OPTIMIZERS = [
    *(("SGD", o) for o in grid(
        momentum=[0, 0.9], weight_decay=[0, 0.1], maximize=[False, True],
    )),
    *(("SGD", {"momentum": 0.8, **o}) for o in grid(
        dampening=[0, 0.3], weight_decay=[0.1], maximize=[False, True],
    )),
    *(("SGD", {"momentum": 0.8, "nesterov": True, **o}) for o in grid(weight_decay=[0, 0.1])),
    *((name, o) for name in ("Adam", "AdamW") for o in grid(
        betas=[(0.9, 0.999), (0.5, 0.8)], eps=[1e-3], weight_decay=[0, 0.1],
        amsgrad=[False, True], maximize=[False, True],
    )),
    *(("RMSprop", o) for o in grid(
        alpha=[0.7], eps=[1e-3], weight_decay=[0, 0.1], momentum=[0, 0.9],
        centered=[False, True], maximize=[False, True],
    )),
    *(("Adagrad", o) for o in grid(
        lr_decay=[0, 0.2], weight_decay=[0, 0.1], initial_accumulator_value=[0, 0.5],
        eps=[1e-3], maximize=[False, True],
    )),
]  # fmt: skip


def loss_of(w, b, x, y):
    return (((x @ w + b).tanh() - y) ** 2).mean()


class Pair:
    """The same optimiser on the same two parameters, here and in PyTorch, in a group each."""

    def __init__(self, torch, name, group=None, **options):
        self.w, self.b = tg.tensor(W, requires_grad=True), tg.tensor(B, requires_grad=True)
        self.tw = torch.tensor(W, requires_grad=True)
        self.tb = torch.tensor(B, requires_grad=True)
        self.x, self.y = tg.tensor(X), tg.tensor(Y)
        self.tx, self.ty = torch.tensor(X), torch.tensor(Y)
        ours = [{"params": [self.w]}, {"params": [self.b], **(group or {})}]
        theirs = [{"params": [self.tw]}, {"params": [self.tb], **(group or {})}]
        self.ours = getattr(optim, name)(ours, **options)
        self.theirs = getattr(torch.optim, name)(theirs, **options)

    def step(self):
        for optimizer, loss in [
            (self.ours, lambda: loss_of(self.w, self.b, self.x, self.y)),
            (self.theirs, lambda: loss_of(self.tw, self.tb, self.tx, self.ty)),
        ]:
            optimizer.zero_grad()
            loss().backward()
            optimizer.step()

    def check(self):
        close(self.w.data, self.tw.detach().numpy())
        close(self.b.data, self.tb.detach().numpy())
        for mine, theirs in zip(self.ours.param_groups, self.theirs.param_groups, strict=True):
            for name in ("lr", "momentum", "betas"):
                if name in theirs:
                    close(mine[name], theirs[name])


def close(mine, theirs):
    np.testing.assert_allclose(mine, theirs, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize(("name", "options"), OPTIMIZERS)
def test_optimizers(torch, name, options):
    pair = Pair(torch, name, {"lr": 0.03}, lr=0.01, **options)
    for _ in range(STEPS):
        pair.step()
        pair.check()


@pytest.mark.parametrize("name", ["SGD", "Adam", "AdamW", "RMSprop", "Adagrad"])
def test_defaults(torch, name):
    pair = Pair(torch, name)
    for _ in range(STEPS):
        pair.step()
    pair.check()


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("SGD", {"momentum": 0.9}),
        ("Adam", {"amsgrad": True}),
        ("RMSprop", {"momentum": 0.9, "centered": True}),
        ("Adagrad", {}),
    ],
)
def test_the_layout_of_a_state_dict(torch, name, options):
    pair = Pair(torch, name, lr=0.1, **options)
    pair.step()
    mine, theirs = pair.ours.state_dict(), pair.theirs.state_dict()
    assert mine["state"].keys() == theirs["state"].keys()
    for number, kept in theirs["state"].items():
        assert mine["state"][number].keys() == kept.keys()
        for key, value in kept.items():
            close(mine["state"][number][key], np.asarray(value))
    for group, other in zip(mine["param_groups"], theirs["param_groups"], strict=True):
        assert group == {key: other[key] for key in group}


SCHEDULES = [
    ("StepLR", {"step_size": 3}),
    ("StepLR", {"step_size": 5, "gamma": 0.7}),
    ("MultiStepLR", {"milestones": [9, 2, 2, 15], "gamma": 0.5}),
    ("ExponentialLR", {"gamma": 0.9}),
    ("CosineAnnealingLR", {"T_max": 6}),
    ("CosineAnnealingLR", {"T_max": 4, "eta_min": 0.005}),
    ("LambdaLR", {"lr_lambda": lambda t: 1 / (1 + t)}),
    ("LambdaLR", {"lr_lambda": [lambda t: 0.9**t, lambda t: t / 10]}),
    ("LinearLR", {}),
    ("LinearLR", {"start_factor": 0.9, "end_factor": 0.1, "total_iters": 8}),
    *(("OneCycleLR", {"max_lr": 0.1, "total_steps": STEPS, **o}) for o in grid(
        anneal_strategy=["cos", "linear"], three_phase=[False, True], pct_start=[0.3, 0.45, 0.0],
    ) if not (o["three_phase"] and o["pct_start"] == 0.0)),
    ("OneCycleLR", {
        "max_lr": [0.1, 0.3], "epochs": 7, "steps_per_epoch": 3, "base_momentum": [0.7, 0.8],
        "max_momentum": 0.9, "div_factor": 4, "final_div_factor": 50,
    }),
    ("OneCycleLR", {"max_lr": 0.1, "total_steps": STEPS, "cycle_momentum": False}),
]  # fmt: skip


@pytest.mark.parametrize(("name", "options"), SCHEDULES)
@pytest.mark.parametrize(("kind", "more"), [("SGD", {"momentum": 0.5}), ("AdamW", {})])
def test_schedules(torch, name, options, kind, more):
    pair = Pair(torch, kind, {"lr": 0.05}, lr=0.02, **more)
    mine = getattr(lr_scheduler, name)(pair.ours, **options)
    theirs = getattr(torch.optim.lr_scheduler, name)(pair.theirs, **options)
    for _ in range(STEPS):
        pair.step()
        mine.step()
        theirs.step()
        pair.check()
        close(mine.get_last_lr(), theirs.get_last_lr())
        assert mine.last_epoch == theirs.last_epoch


@pytest.mark.parametrize(
    "options",
    [
        {"patience": 2},
        {"patience": 1, "cooldown": 2, "factor": 0.5},
        {"mode": "max", "patience": 1, "threshold": 0.05},
        {"mode": "max", "patience": 0, "threshold": 0.1, "threshold_mode": "abs"},
        {"patience": 0, "threshold": 0.1, "threshold_mode": "abs", "min_lr": [0.003, 0.0]},
        {"patience": 0, "factor": 0.5, "eps": 2e-3},
    ],
)
def test_plateau(torch, options):
    pair = Pair(torch, "SGD", {"lr": 0.05}, lr=0.02)
    mine = lr_scheduler.ReduceLROnPlateau(pair.ours, **options)
    theirs = torch.optim.lr_scheduler.ReduceLROnPlateau(pair.theirs, **options)
    metrics = np.random.default_rng(8).uniform(0.5, 1.5, 2 * STEPS) * 0.97 ** np.arange(2 * STEPS)
    reductions = set()
    for metric in metrics:
        pair.step()
        mine.step(metric)
        theirs.step(metric)
        pair.check()
        close(mine.get_last_lr(), theirs.get_last_lr())
        for name in ("best", "num_bad_epochs", "cooldown_counter", "last_epoch"):
            assert getattr(mine, name) == getattr(theirs, name)
        reductions.add(mine.get_last_lr()[1])
    assert len(reductions) > 2


CHAINS = [
    ([("LinearLR", {"total_iters": 4}), ("CosineAnnealingLR", {"T_max": 12})], [5]),
    ([("LinearLR", {"start_factor": 0.1}), ("ExponentialLR", {"gamma": 0.8})], [3]),
    (
        [
            ("StepLR", {"step_size": 2}),
            ("MultiStepLR", {"milestones": [1, 3]}),
            ("LambdaLR", {"lr_lambda": lambda t: 0.9**t}),
        ],
        [5, 11],
    ),
    ([("LinearLR", {}), ("OneCycleLR", {"max_lr": 0.1, "total_steps": 20})], [6]),
    ([("OneCycleLR", {"max_lr": 0.1, "total_steps": 8}), ("StepLR", {"step_size": 4})], [8]),
    ([("StepLR", {"step_size": 4}), ("ExponentialLR", {"gamma": 0.8})], [0]),
]


@pytest.mark.parametrize(("parts", "milestones"), CHAINS)
def test_sequences(torch, parts, milestones):
    pair = Pair(torch, "SGD", {"lr": 0.05}, lr=0.02, momentum=0.9)
    mine, theirs = (
        module.SequentialLR(
            optimizer,
            [getattr(module, name)(optimizer, **options) for name, options in parts],
            milestones,
        )
        for module, optimizer in [
            (lr_scheduler, pair.ours),
            (torch.optim.lr_scheduler, pair.theirs),
        ]
    )
    for _ in range(STEPS):
        pair.step()
        mine.step()
        theirs.step()
        pair.check()
        close(mine.get_last_lr(), theirs.get_last_lr())
        assert mine.last_epoch == theirs.last_epoch


def test_schedules_that_act_together(torch):
    pair = Pair(torch, "SGD", {"lr": 0.05}, lr=0.02)
    schedules = [
        schedule
        for module, optimizer in [
            (lr_scheduler, pair.ours),
            (torch.optim.lr_scheduler, pair.theirs),
        ]
        for schedule in [
            module.LinearLR(optimizer),
            module.ExponentialLR(optimizer, 0.9),
            module.CosineAnnealingLR(optimizer, 7, eta_min=1e-3),
            module.StepLR(optimizer, 3),
        ]
    ]
    for _ in range(STEPS):
        pair.step()
        for schedule in schedules:
            schedule.step()
        pair.check()
