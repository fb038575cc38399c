"""What head sweeps say, one alone or two together: numbers for the map, words beside it."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from contextlib import suppress
from itertools import zip_longest
from operator import itemgetter
from typing import Any

import polars as pl
from rich.text import Text

from analysis.errors import InputError
from analysis.refs import HeadRef
from analysis.steps import HeadsStep
from screens.text import count, logprob, number, one_line
from screens.widgets.head_pair import HeadPicture
from screens.workspace import Result

METRICS = {
    "logprob": "log-prob",
    "accuracy": "accuracy",
    "prob": "probability",
    "logit_difference": "logit difference",
}
Changes = dict[HeadRef, float]
ONE_LINE = 15
"""Columns from which a number stands beside its name."""
FACT = 18
"""Columns of a name and its number, where there are more."""


def metrics(*sweeps: Result) -> list[str]:
    """Those that the rows of all these sweeps have."""
    have = [{column.name for column in each.step.filled} for each in sweeps]
    return [name for name in METRICS if all(name in each for each in have)]


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
    known = result.estimates
    foretold = metric == result.step.ordered_by and not group
    if known is not None and foretold and metric in known.columns:
        estimates = changes(result, known, metric)
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
    own = {"accuracy": "prompt_correct", "logit_difference": "prompt_logit_difference"}
    name = own.get(metric, "prompt_logprob")

    def measured(value: pl.Expr) -> pl.Expr:
        value = value.cast(pl.Float64)
        return value.exp() if metric == "prob" else value

    intact = pl.Series([base[name][place] for place in places])
    mean = pl.select(measured(pl.lit(intact)).mean()).item()
    chosen = pl.col(name).list.gather(places).list.eval(measured(pl.element()))
    return chosen.list.mean(), float(mean)


def reading(
    head: HeadRef,
    result: Result,
    shown: HeadPicture,
    room: int,
    follows: Sequence[tuple[str, float]] = (),
) -> Text:
    """The numbers of one head in words.

    Args:
        head: the head.
        result: the sweep.
        shown: what the map shows of it.
        room: columns there are.
        follows: the patterns that the head follows, and how much.
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
    apart = row.get("logit_difference")
    for label, words, style in (
        ("change", change, "bold"),
        *([] if apart is None else [("logit diff", number(apart, 2), "")]),
        ("log-prob", logprob(row["logprob"]), ""),
        ("accuracy", f"{row['accuracy']:.1%}", ""),
        ("rank", f"{count(rank + 1)} of {count(len(ranked))}", ""),
        *((word, number(weight, 2), "") for word, weight in follows),
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
            title = result.step.title
            if row.get("position") is not None:
                title += f" · {row['name']}"
            text = Text().append(f" {one_line(title)}  ", style="dim")
            lines.append(text.append(facts).append(change, style="bold"))
    return lines


def marked(heads: Iterable[HeadRef], hint: str) -> Text:
    """The heads that the user marked, and a hint what can be done with them."""
    names = " ".join(str(ref) for ref in sorted(heads))
    text = Text().append(" marked  ", style="dim").append(names, style="bold")
    return text.append(f"  {hint}", style="dim")


def most_harm(ranked: Sequence[tuple[HeadRef, float]], width: int) -> Text:
    """The heads whose ablation harms most, as many as one line of so many columns has room for."""
    text = Text().append(" most harm  ", style="dim")
    for ref, change in (pair for pair in ranked if pair[1] < 0):
        words = f"{number(change, 2, sign=True)}"
        if text.cell_len + len(f"{ref} {words}") > width:
            break
        text.append(f"{ref} ", style="bold").append(f"{words}   ")
    text.rstrip()
    return text


def ranking(ranked: Sequence[tuple[HeadRef, float]], lines: int) -> Text:
    """Those that harm most and those that help most side by side, on so many lines.

    None stands among those that help whose ablation changes nothing, or does harm.
    """
    text = Text().append(f" {'most harm':<28}most help", style="dim")
    harm = [pair for pair in ranked if pair[1] < 0][: lines - 1]
    help = sorted((pair for pair in ranked if pair[1] > 0), key=lambda pair: -pair[1])[: lines - 1]
    for rank, pair in enumerate(zip_longest(harm, help), start=1):
        text.append(f"\n {rank:>2}  ", style="dim")
        for head in pair:
            name, change = ("", "") if head is None else (str(head[0]), number(head[1], 3, True))
            text.append(f"{name:<8}", style="bold").append(f"{change:>8}{'':8}")
    return text


ALIKE = 10
"""How many of the top heads two runs are compared by."""
SPACIOUS = 6
"""Lines of a reading from which the name of the head has one of its own, and a blank one below."""
MISSING = "–"
"""Stands for what a run does not know of a head."""


def reading_of_two(
    head: HeadRef, runs: Sequence[Result], shown: Sequence[HeadPicture], lines: int
) -> Text:
    """The numbers of one head in both runs, and how far they are apart.

    Args:
        head: the head.
        runs: the two sweeps.
        shown: what is drawn of each.
        lines: how many there are; of what does not fit whole nothing is shown, least worth first.
    """
    text = Text().append(str(head), style="bold")
    a, b = shown
    apart = b.above(a)
    text.append("\n\nchange\n" if lines >= SPACIOUS else " change\n", style="dim")
    for letter, each in (("A", a), ("B", b), ("B−A", apart)):
        known = "" if head in each.exact or head not in each.values else "~"
        words = known + number(each.values.get(head), 3, sign=True)
        text.append(f" {letter:<3}{words:>8}\n", style="bold" if each is apart else "")
    ranks = [[ref for ref, _ in each.ranked] for each in shown]
    rows = [_row(result, head) for result in runs]
    for label, two in (
        ("rank", [str(each.index(head) + 1) if head in each else MISSING for each in ranks]),
        ("accuracy", [MISSING if row is None else f"{row['accuracy']:.1%}" for row in rows]),
        ("log-prob", [MISSING if row is None else logprob(row["logprob"]) for row in rows]),
    ):
        if text.plain.count("\n") + 1 + len(two) > lines:
            break
        text.append(f"{label}\n", style="dim")
        for letter, words in zip("AB", two, strict=True):
            text.append(f" {letter:<3}{words:>8}\n")
    text.rstrip()
    return text


def _row(result: Result, head: HeadRef) -> dict[str, Any] | None:
    found = result.rows.filter(pl.col("name") == str(head)).head(1).to_dicts()
    return found[0] if found else None


def apart(a: HeadPicture, b: HeadPicture, count: int) -> Text:
    """The heads in whose change two runs differ most, and under them how far they are alike."""
    text = Text().append(f" {'most apart':<12}", style="dim")
    for ref, value in b.above(a).ranked[:count]:
        text.append(f"{ref} ", style="bold").append(f"{number(value, 2, sign=True)}   ")
    text.rstrip()
    return text.append(f"\n {'in both':<12}", style="dim").append_text(_alike(a, b))


def ranking_of_two(a: HeadPicture, b: HeadPicture, lines: int) -> Text:
    """The heads in whose change two runs differ most, with their numbers, on so many lines."""
    # What differs comes first: a narrow place cuts what the reading tells anyway.
    text = Text().append(f"{'apart':<8}{'B − A':>8}{'A':>9}{'B':>9}", style="dim")
    for ref, value in b.above(a).ranked[: lines - 1]:
        text.append(f"\n{ref!s:<8}{number(value, 3, sign=True):>8}", style="bold")
        for each in (a.values[ref], b.values[ref]):
            text.append(f"{number(each, 3, sign=True):>9}")
    return text


def _alike(a: HeadPicture, b: HeadPicture) -> Text:
    """Which of the top heads two runs share, and whether they rank the others alike."""
    shared = a.exact & b.exact
    if not shared:
        return Text("no head yet", style="dim")
    top = min(ALIKE, len(a.exact), len(b.exact))
    both = set(a.most(top)) & set(b.most(top))
    text = Text().append(f"{len(both)} of the top {top}", style="bold")
    if len(shared) > 2:
        values = {
            "a": [a.values[head] for head in shared],
            "b": [b.values[head] for head in shared],
        }
        agreement = pl.DataFrame(values).select(pl.corr("a", "b", method="spearman")).item()
        text.append(f"   rank agreement {number(agreement, 2)}", style="dim")
    return text


def shared_groups(*sweeps: Result) -> list[str]:
    """The groups that the prompts of all these sweeps have."""
    sets = [each.step.prompts.groups for each in sweeps if isinstance(each.step, HeadsStep)]
    return [group for group in sets[0] if all(group in each for each in sets)] if sets else []


def rows_of_two(a: HeadPicture, b: HeadPicture, only: HeadRef | None = None) -> pl.DataFrame:
    """The exact changes of both runs and how far they are apart, the farthest first."""
    heads = [head for head, _ in b.above(a).ranked if only is None or head == only]
    return pl.DataFrame(
        {
            "name": [str(head) for head in heads],
            "change_a": [a.values[head] for head in heads],
            "change_b": [b.values[head] for head in heads],
        },
        schema={"name": pl.String, "change_a": pl.Float64, "change_b": pl.Float64},
    ).with_columns(difference=pl.col("change_b") - pl.col("change_a"))
