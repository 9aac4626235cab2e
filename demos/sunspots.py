"""Next year's sunspots are forecast by GRUs, by linear autoregression and by persistence (5 s).

What you will see: the numbers of sunspots of the years 1700 to 2008, which rise and fall in about
11 years, never twice in the same way.  Five GRUs learn from 1700-1920 to say the next number after
each year; their mean is the forecast.  From 1921 on nothing is learnt, and each year is forecast
from those before it.  Two forecasters have to be beaten on the same years: persistence ("next year
is like this one"), and a linear autoregression, fitted to 1700-1920 too.  The GRUs read and say
square roots, whose ups and downs are more alike; to see how much of their lead is due to that, a
linear autoregression does the same.  Further ahead, forecasts are read as if they were numbers that
had been observed; all errors grow, and plain linear autoregression is hard to beat.

Nothing was chosen by the years of the test: how many years an autoregression sees (1 to 12), and
what the GRUs are like, by the errors of 1881-1920 after learning from 1700-1880.

    python demos/sunspots.py
    python demos/sunspots.py --seed 1 --plot sunspots.png

Source: the yearly numbers of the Solar Influences Data Analysis Center, which statsmodels ships;
the years to learn from are those of Weigend, Huberman and Rumelhart 1990.
"""

import sys
from collections.abc import Callable
from typing import Any

import numpy as np
from _shared import Parser, chart, finish, plot, say, trained
from numpy.lib.stride_tricks import sliding_window_view
from rich.table import Table

import tinygrad_rnn as tg
from tinygrad_rnn import nn
from tinygrad_rnn.nn import functional as F

NEEDS = ["statsmodels"]
START, CHOOSE, TEST = 1700, 1881, 1921  # the first year, of the choice, and of the test
AHEAD = (1, 2, 3, 5, 8)  # years
MEMBERS, HIDDEN, BATCH, STEPS = 5, 16, 16, 500
WINDOW, SETTLING = 50, 10  # years of a training sequence; of these are read only
GRU, LINEAR, ROOTS, SAME = "GRUs", "linear", "linear, roots", "persistence"


class Forecaster(nn.Module):
    """(T, B, 1) -> (T, B, 1): what comes after each."""

    def __init__(self) -> None:
        self.recurrent = nn.GRU(1, HIDDEN)
        self.head = nn.Linear(HIDDEN, 1)

    def forward(self, x: tg.Tensor) -> tg.Tensor:
        outputs, _ = self.recurrent(x)
        return self.head(outputs)


def loss(model: Forecaster, x: tg.Tensor) -> tg.Tensor:
    return F.mse_loss(model(x[:-1])[SETTLING:], x[SETTLING + 1 :])


def sunspots() -> np.ndarray:
    """The numbers of the years from START on."""
    from statsmodels.datasets import sunspots

    return sunspots.load_pandas().data["SUNACTIVITY"].to_numpy()


def squared(roots: np.ndarray) -> np.ndarray:
    return np.maximum(roots, 0) ** 2


# A forecast is (K, N): in row k, column n, what year first + n + k will be, said at the end of year
# first + n - 1.


def persistence(series: np.ndarray, first: int) -> np.ndarray:
    return np.tile(series[first - START - 1 : -1], (max(AHEAD), 1))


def autoregression(series: np.ndarray, order: int, first: int) -> np.ndarray:
    """x[t] = c + w[1] x[t-1] + ... + w[order] x[t-order], fitted by least squares before `first`.

    >>> autoregression(np.arange(1700.0, 1710), order=1, first=1705)[:2].round()
    array([[1705., 1706., 1707., 1708., 1709.],
           [1706., 1707., 1708., 1709., 1710.]])
    """
    windows = sliding_window_view(series[: first - START], order + 1)
    with_one = lambda x: np.hstack([x, np.ones((len(x), 1))])
    weights = np.linalg.lstsq(with_one(windows[:, :-1]), windows[:, -1])[0]
    past, forecasts = sliding_window_view(series[first - START - order : -1], order), []
    for _ in range(max(AHEAD)):
        forecasts.append(with_one(past) @ weights)
        past = np.hstack([past[:, 1:], forecasts[-1][:, None]])
    return np.stack(forecasts)


@tg.no_grad()
def forecast(model: Forecaster, series: np.ndarray, first: int) -> np.ndarray:
    outputs, _ = model.recurrent(tg.tensor(series[:-1, None, None]))
    h = outputs[first - START - 1 :].transpose(0, 1)  # (1, N, H): the state after each year
    forecasts = [model.head(h)]
    for _ in range(max(AHEAD) - 1):
        _, h = model.recurrent(forecasts[-1], h)
        forecasts.append(model.head(h))
    return np.stack([x.data[0, :, 0] for x in forecasts])


def error(series: np.ndarray, forecasts: np.ndarray, ahead: int = 1) -> float:
    """The root of the mean square error of what was said so many years before."""
    count = forecasts.shape[1] - ahead + 1
    return float(np.sqrt(np.mean((forecasts[ahead - 1, :count] - series[-count:]) ** 2)))


def chosen(series: np.ndarray, forecasts: Callable[[np.ndarray, int, int], np.ndarray]) -> int:
    """The order whose errors in the years of the choice are smallest."""
    known = series[: TEST - START]
    return min(range(1, 13), key=lambda order: error(known, forecasts(known, order, CHOOSE)))


def main(arguments: list[str] | None = None) -> int:
    o = Parser(__file__, __doc__, NEEDS).parse_args(arguments)
    series = sunspots()
    linear = lambda x, order, first: np.maximum(autoregression(x, order, first), 0)
    of_roots = lambda x, order, first: squared(autoregression(np.sqrt(x), order, first))
    orders = {LINEAR: chosen(series, linear), ROOTS: chosen(series, of_roots)}

    roots = np.sqrt(series)
    mean, spread = roots[: TEST - START].mean(), roots[: TEST - START].std()
    scaled = ((roots - mean) / spread).astype(np.float32)
    windows = sliding_window_view(scaled[: TEST - START], WINDOW + 1)
    said = []
    for member in range(MEMBERS):
        tg.manual_seed(o.seed * MEMBERS + member)
        model, rng = Forecaster(), np.random.default_rng([o.seed, member])
        batch = lambda: tg.tensor(windows[rng.integers(0, len(windows), BATCH)].T[..., None])  # noqa: B023
        title = f"GRU {member + 1} of {MEMBERS}"
        trained(o.budget, model, loss, batch, STEPS, title, lr=5e-3, decay=0.1, cycle=True)
        said.append(squared(forecast(model, scaled, TEST) * spread + mean))

    forecasts = {
        GRU: np.mean(said, 0),
        LINEAR: linear(series, orders[LINEAR], TEST),
        ROOTS: of_roots(series, orders[ROOTS], TEST),
        SAME: persistence(series, TEST),
    }
    errors = {name: {k: error(series, f, k) for k in AHEAD} for name, f in forecasts.items()}
    alone = [error(series, one) for one in said]
    years = np.arange(TEST, START + len(series))
    seen = {"sunspots": (years, series[TEST - START :]), GRU: (years, forecasts[GRU][0])}
    say(f"\neach year from {TEST} on, and what was forecast the year before")
    say(chart(seen, x="year"))
    say(table(errors, orders))

    one = {name: e[1] for name, e in errors.items()}
    missed = [f"{name} is better" for name in (LINEAR, SAME) if one[name] <= one[GRU]]
    lead = {name: 1 - one[name] / one[LINEAR] for name in (GRU, ROOTS)}
    behind = [str(k) for k in AHEAD if errors[GRU][k] > errors[LINEAR][k]]
    further = f"; but {', '.join(behind)} years ahead the linear one is better" if behind else ""
    figures = {"errors": errors, "orders": orders, "each GRU alone": alone}
    return finish(
        o, figures,
        f"one year ahead, {TEST}-{years[-1]}, off by: GRUs {one[GRU]:.1f} (each alone "
        f"{min(alone):.1f} to {max(alone):.1f}), linear autoregression {one[LINEAR]:.1f} (of roots "
        f"{one[ROOTS]:.1f}), persistence {one[SAME]:.1f}",
        f"a lead of {lead[GRU]:.0%} over linear, of which roots alone give {lead[ROOTS]:.0%}"
        f"{further}", missed, lambda figure: draw(figure, seen, errors),
    )  # fmt: skip


def table(errors: dict[str, dict[int, float]], orders: dict[str, int]) -> Table:
    """Errors by forecaster and years ahead; the best is green."""
    headings = ["1 year", *(f"{k} years" for k in AHEAD[1:])]
    shown = Table("", "sees", *headings, title="\nroot mean square error, so far ahead")
    for name, e in errors.items():
        sees = f"{orders[name]} years" if name in orders else "1 year" if name == SAME else "all"
        best = {k for k in AHEAD if e[k] == min(other[k] for other in errors.values())}
        row = [f"[green]{e[k]:.1f}[/]" if k in best else f"{e[k]:.1f}" for k in AHEAD]
        shown.add_row(name, sees, *row)
    return shown


def draw(figure: Any, seen: dict[str, Any], errors: dict[str, dict[int, float]]) -> None:
    """The forecasts of one year ahead, and the errors further ahead."""
    upper, lower = figure.subplots(2, 1, height_ratios=[3, 2])
    plot(upper, seen, ylabel="sunspots", title="Yearly sunspots, forecast the year before")
    further = {name: ([*e], [*e.values()]) for name, e in errors.items()}
    plot(lower, further, xlabel="years ahead", ylabel="root mean square error")


if __name__ == "__main__":
    sys.exit(main())
