"""What a head sweep says, as numbers for the map and as words beside it."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from contextlib import suppress
from operator import itemgetter

import polars as pl
from rich.text import Text

from analysis.errors import InputError
from analysis.refs import HeadRef
from analysis.steps import HeadsStep
from screens.text import count, logprob, number, one_line
from screens.widgets.head_picture import HeadPicture
from screens.workspace import Result

METRICS = {"logprob": "log-prob", "accuracy": "accuracy", "prob": "probability"}
Changes = dict[HeadRef, float]
ONE_LINE = 15
"""Columns from which a number stands beside its name."""
FACT = 18
"""Columns of a name and its number, where there are more."""


def changes(result: Result, rows: pl.DataFrame, metric: str, group: str = "") -> Changes:
    """Change of a metric against the intact model, by head.

    Args:
        result: the sweep.
        rows: its exact rows, or its estimates.
        metric: one of `METRICS`.
        group: only the prompts of this group; empty: all of them.
    """
    if not rows.height:
        return {}
    value, intact = _measure(result, metric, group)
    found = rows.select("layer", "head", change=value - intact).drop_nulls()
    return {HeadRef(layer, head): change for layer, head, change in found.iter_rows()}


def picture(result: Result, metric: str, group: str = "") -> HeadPicture:
    """What the map shows of a sweep: exact changes, and estimates where there is nothing better."""
    exact = changes(result, result.rows, metric, group)
    estimates: Changes = {}
    if result.estimates is not None and metric == "logprob" and not group:
        estimates = changes(result, result.estimates, metric)
    return HeadPicture(estimates | exact, exact.keys())


def intact(result: Result) -> str:
    """How the model answers with nothing ablated."""
    base = result.baseline
    return f"intact {base['accuracy']:.0%} {logprob(base['logprob'])}" if base else ""


def notes(result: Result, metric: str) -> list[str]:
    """What colours and bars show, and how well the estimates foretold it."""
    words = [f"change of {METRICS[metric]}", "bars: strongest of each layer"]
    agreement = None if result.active else result.step.agreement(result.rows, result.estimates)
    return words if agreement is None else [*words, f"rank agreement {number(agreement, 2)}"]


def head_named(name: str, shape: tuple[int, int]) -> HeadRef:
    """The head of that name in a map of that shape.

    Raises:
        InputError: it names none.
    """
    head = HeadRef.parse(name)
    if head.layer >= shape[0] or head.index >= shape[1]:
        raise InputError(f"{head} is not a head of this model: {range_of(shape)}")
    return head


def range_of(shape: tuple[int, int]) -> str:
    """Which heads a map of that shape has."""
    layers, heads = shape
    return (
        f"layers 0 to {layers - 1}, heads 0 to {heads - 1}" if all(shape) else "none is swept yet"
    )


def heads_of(names: Iterable[str], shape: tuple[int, int]) -> list[HeadRef]:
    """The heads that these name, leaving out what names none of a map of that shape."""
    found = []
    for name in names:
        with suppress(InputError):
            found.append(head_named(name, shape))
    return found


def _measure(result: Result, metric: str, group: str) -> tuple[pl.Expr, float]:
    """The metric of a row, and of the intact model."""
    base = result.baseline
    if not group:
        return pl.col(metric), base.get(metric, 0.0)
    assert isinstance(result.step, HeadsStep)
    prompts = result.step.prompts.prompts
    places = [place for place, prompt in enumerate(prompts) if prompt.group == group]
    name = "prompt_correct" if metric == "accuracy" else "prompt_logprob"

    def measured(value: pl.Expr) -> pl.Expr:
        value = value.cast(pl.Float64)
        return value.exp() if metric == "prob" else value

    intact = pl.Series([base[name][place] for place in places])
    mean = pl.select(measured(pl.lit(intact)).mean()).item()
    chosen = pl.col(name).list.gather(places).list.eval(measured(pl.element()))
    return chosen.list.mean(), float(mean)


def reading(head: HeadRef, result: Result, shown: HeadPicture, room: int) -> Text:
    """The numbers of one head in words.

    Args:
        head: the head.
        result: the sweep.
        shown: what the map shows of it.
        room: columns there are.
    """
    text, values, ranked = Text(), shown.values, shown.ranked
    if result.model is not None:
        text.append(f"{head}\n", style="bold")
    if head not in values:
        return text.append("waiting", style="dim") if result.active else text
    change = number(values[head], 3, sign=True)
    row = next(result.rows.filter(name=str(head)).iter_rows(named=True), None)
    if row is None:
        text.append("estimated\n", style="dim")
        return text.append_text(_fact("change", f"~{change}", room, "dim"))
    rank = bisect_left(ranked, values[head], key=itemgetter(1))
    for label, words, style in (
        ("change", change, "bold"),
        ("log-prob", logprob(row["logprob"]), ""),
        ("accuracy", f"{row['accuracy']:.1%}", ""),
        ("rank", f"{count(rank + 1)} of {count(len(ranked))}", ""),
    ):
        text.append_text(_fact(label, words, room, style))
    return text


def _fact(label: str, words: str, room: int, style: str) -> Text:
    """A number with its name before it, or above it where the column is narrow."""
    text = Text().append(label, style="dim")
    if room < ONE_LINE:
        return text.append(f"\n{words.rjust(room)}\n", style=style)
    space = max(1, min(room, FACT) - len(label) - len(words))
    return text.append(" " * space).append(f"{words}\n", style=style)


def together(results: Iterable[Result]) -> list[Text]:
    """What ablating sets of parts together did, a line each."""
    lines = []
    for result in results:
        for row in result.rows.to_dicts():
            facts = f"accuracy {row['accuracy']:.1%}  log-prob {logprob(row['logprob'])}  change "
            change = logprob(row["logprob"] - result.baseline["logprob"], sign=True)
            text = Text().append(f" {one_line(result.step.title)}  ", style="dim")
            lines.append(text.append(facts).append(change, style="bold"))
    return lines


def marked(heads: Iterable[HeadRef], hint: str) -> Text:
    """The heads that the user marked, and a hint what can be done with them."""
    names = " ".join(str(ref) for ref in sorted(heads))
    text = Text().append(" marked  ", style="dim").append(names, style="bold")
    return text.append(f"  {hint}", style="dim")


def most_harm(ranked: Sequence[tuple[HeadRef, float]]) -> Text:
    """The heads whose ablation harms most, on one line."""
    text = Text().append(" most harm  ", style="dim")
    for ref, change in ranked:
        text.append(f"{ref} ", style="bold").append(f"{number(change, 2, sign=True)}   ")
    text.rstrip()
    return text


def ranking(ranked: Sequence[tuple[HeadRef, float]], lines: int) -> Text:
    """Those that harm most and those that help most side by side, on so many lines."""
    text = Text().append(f" {'most harm':<28}most help", style="dim")
    ends = zip(ranked[: lines - 1], ranked[:-lines:-1], strict=True)
    for rank, pair in enumerate(ends, start=1):
        text.append(f"\n {rank:>2}  ", style="dim")
        for ref, change in pair:
            text.append(f"{ref!s:<8}", style="bold")
            text.append(f"{number(change, 3, sign=True):>8}{'':8}")
    return text
