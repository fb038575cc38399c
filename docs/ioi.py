"""Writes docs/ioi-on-smollm2.md from the example session: `make docs`."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from analysis import bootstrap
from analysis.bootstrap import Estimate
from analysis.folders import write_durably
from analysis.steps.attend import AttendStep, DetectStep
from analysis.steps.corpus import CorpusStep
from analysis.steps.direct import DirectCasesStep
from analysis.steps.edges import EdgesStep, FaithfulnessStep, areas
from analysis.steps.heads import HeadsStep
from analysis.steps.patch import PatchStep
from screens.markdown import table
from screens.text import count, visible
from sessions import RecordedStep, Session

PAGE = Path(__file__).parent / "ioi-on-smollm2.md"
READING = Path(__file__).parent / "ioi-reading.md"
"""What people make of the numbers; the rest of the page is written by the program."""
SEED = 0
LEAST = 2.0
"""Per cent of the difference that a head moves if it is listed."""
SUBJECT, LAST = -5, -1
"""Where the giver stands the second time in every template, and what predicts the name."""


class Finding:
    """The steps of the example, and what they come to."""

    def __init__(self) -> None:
        self.session = Session.open("example:ioi")

    def one(self, kind: type, **asked: Any) -> RecordedStep:
        """The step of a kind with such parameters."""
        for each in self.session.steps:
            if isinstance(each.step, kind) and asked.items() <= vars(each.step).items():
                return each
        raise LookupError(f"no {kind.__name__} {asked}")

    @cached_property
    def sweep(self) -> RecordedStep:
        """Heads zeroed one by one."""
        return self.one(HeadsStep)

    @cached_property
    def zeroed(self) -> dict[str, Estimate]:
        """By head what zeroing it adds to the logit difference of a case."""
        intact = np.asarray(self.sweep.info.baseline["prompt_logit_difference"], float)
        return {
            name: bootstrap.mean(np.asarray(found, float) - intact, SEED, 1.0)
            for name, found in self.sweep.rows().select("name", "prompt_logit_difference").rows()
        }

    @cached_property
    def moved(self) -> dict[str, Estimate]:
        """By head the share of the difference that it brings back at all positions."""
        return shares(self.one(PatchStep, unit="head", positions=None))

    @cached_property
    def moved_at(self) -> dict[str, Estimate]:
        """By head and position the same, as `L23H3@-1`."""
        return shares(self.one(PatchStep, unit="head", positions=(SUBJECT, LAST)))

    @cached_property
    def movers(self) -> list[str]:
        """Heads that move `LEAST` per cent or more either way, as far as the cases say."""
        some = [name for name, each in self.moved.items() if decided(each, LEAST)]
        return sorted(some, key=lambda name: -value(self.moved[name]))


FEW = 6
"""Tokens of each kind that a part is told by."""


def value(estimate: Estimate) -> float:
    """The number; 0 where the cases say nothing."""
    return estimate.value or 0.0


def decided(estimate: Estimate, least: float) -> bool:
    """Whether it is so large, and its interval on one side of 0."""
    low, high = estimate.low or 0.0, estimate.high or 0.0
    return abs(value(estimate)) >= least and (low > 0 or high < 0)


def shares(recorded: RecordedStep) -> dict[str, Estimate]:
    """By name the share in per cent that a patch brings back, cases drawn together."""
    base = recorded.info.baseline
    clean, corrupt = base["case_clean"], base["case_corrupt"]

    def share(patched: NDArray[Any], low: NDArray[Any], high: NDArray[Any]) -> NDArray[Any]:
        found: NDArray[Any] = 100 * (patched - low).sum(-1) / (high - low).sum(-1)
        return found

    return {
        name: bootstrap.of(share, found, corrupt, clean, seed=SEED)
        for name, found in recorded.rows().select("name", "case_metric").rows()
    }


def carried(recorded: RecordedStep, found: list[float]) -> Estimate:
    """Faithfulness in per cent of one value a case: as much of all differences together."""
    base = recorded.info.baseline
    apart = np.asarray(base["case_clean"]) - np.asarray(base["case_corrupt"])

    def share(part: NDArray[Any], whole: NDArray[Any]) -> NDArray[Any]:
        ratio: NDArray[Any] = 100 * part.sum(-1) / whole.sum(-1)
        return ratio

    return bootstrap.of(share, np.asarray(found) * apart, apart, seed=SEED)


def said(estimate: Estimate, decimals: int = 1) -> str:
    """`58.4 (51.0 to 65.2)`."""
    if estimate.value is None:
        return ""
    middle = f"{estimate.value:.{decimals}f}"
    if estimate.low is None or estimate.high is None:
        return middle
    return f"{middle} ({estimate.low:.{decimals}f} to {estimate.high:.{decimals}f})"


def page() -> str:
    """What held and what did not, then the numbers."""
    finding = Finding()
    return "\n".join(
        [
            _opening(finding),
            READING.read_text("utf-8"),
            _known(finding),
            _maps(finding),
            _heads(finding),
            _looks(finding),
            _written(finding),
            _reads(finding),
            _ablation(finding),
            _edges(finding),
            _faithfulness(finding),
        ]
    )


def _opening(finding: Finding) -> str:
    session = finding.session
    info = session.info.model
    steps, seconds = len(session.steps), sum(each.info.seconds for each in session.steps)
    cases = len(finding.sweep.step.prompts)  # type: ignore[attr-defined]
    return f"""# Indirect objects in SmolLM2-135M

"When Mary and John went to the store, John gave a drink to": who is given it? Measured on
{info.source} ({info.dtype}, {info.device}) over {cases} cases of `--task ioi` by
[plans/ioi.toml](plans/ioi.toml): {steps} steps, {count(round(seconds / 60))} minutes
of two cores that had much other work. In the corrupt prompt the other one of the two
gives, so that the right answer is the other name. A patch puts one unit's value of the clean
run into the corrupt one; its share says how much of the difference between the two runs comes back.
Behind a number stands its 95 % bootstrap interval over the cases.
`workbench replay example:ioi` shows all of this on the screens, with no model;
[method.md](method.md#two-prompts) says how numbers are made.
Written by `make docs` from the recorded session.
"""


def _known(finding: Finding) -> str:
    base = finding.sweep.info.baseline
    groups = [each.group for each in finding.sweep.step.prompts.prompts]  # type: ignore[attr-defined]
    right = np.asarray(base["prompt_correct"], float)
    apart = np.asarray(base["prompt_logit_difference"], float)
    rows = []
    for name in ("all", *sorted(set(groups))):
        some = [at for at, each in enumerate(groups) if name in ("all", each)]
        rows.append(
            [
                name,
                str(len(some)),
                said(bootstrap.mean(right[some], SEED)),
                said(bootstrap.mean(apart[some] > 0, SEED)),
                said(bootstrap.mean(apart[some], SEED, 1.0), 2),
            ]
        )
    names = ["order", "cases", "says the name, %", "prefers it, %", "logit difference"]
    return f"## Does the model know it\n\n{table(names, rows)}\n"


def _maps(finding: Finding) -> str:
    lines = ["## Where it stands: one pair, layer by layer", ""]
    residual = finding.one(PatchStep, unit="residual")
    tokens = residual.info.baseline["tokens"]
    at = {position: f"{tokens[position].strip()}@{position}" for position in _turns(residual)}
    by_place = dict(residual.rows().select("name", "recovered").rows())
    rows = [
        [f"L{layer}", *(f"{100 * by_place[f'L{layer}@{each}']:.1f}" for each in at)]
        for layer in range(0, finding.session.info.model.layers, 3)
    ]
    lines += ["Share in per cent that the residual stream entering a layer brings back:", ""]
    lines += [table(["layer", *at.values()], rows), ""]
    lines += ["The attention and FFN outputs that bring back most, and least:", ""]
    listed = []
    for unit in ("attention", "ffn"):
        ranked = finding.one(PatchStep, unit=unit).rows().sort("recovered", descending=True)
        for name, token, share in (
            pl.concat([ranked.head(6), ranked.tail(2)]).select("name", "token", "recovered").rows()
        ):
            listed.append([f"{unit} {name}", token.strip(), f"{100 * share:.1f}"])
    return "\n".join(
        [*lines, table(["output", "at", "share, %"], listed, [False, False, True]), ""]
    )


def _turns(residual: RecordedStep) -> list[int]:
    """Positions at which the stream of some layer brings back half or more."""
    rows = residual.rows().filter(pl.col("recovered") >= 0.5)
    return sorted(rows["position"].unique().to_list())


def _heads(finding: Finding) -> str:
    rows = [
        [
            name,
            said(finding.moved[name]),
            said(finding.moved_at[f"{name}@{SUBJECT}"]),
            said(finding.moved_at[f"{name}@{LAST}"]),
            said(finding.zeroed[name], 2) if name in finding.zeroed else "",
        ]
        for name in finding.movers
        if f"{name}@{LAST}" in finding.moved_at
    ]
    names = [
        "head",
        "share, %",
        "at the second giver, %",
        "at the last token, %",
        "zeroed: logit difference",
    ]
    return f"""## Heads that move the name

All {len(finding.moved)} heads were patched, each at all positions; these move {LEAST:.0f} % or
more of the difference either way, with an interval clear of 0. They were patched again at two
places alone: where the giver is named the second time, and at the last token.

{table(names, rows)}
"""


LOOKED_AT = ("indirect object", "subject", "behind subject", "giver", "first", "last")
"""Roles that the table of where heads look has columns for."""


def _looks(finding: Finding) -> str:
    """Where the heads above look from the two places at which they move the name."""
    seen = finding.one(AttendStep, by=None)
    repeats = dict(finding.one(DetectStep).rows().select("name", "induction").rows())
    weights = {
        (name, query, key): 100 * weight
        for name, query, key, weight in seen.rows()
        .select("name", "query_token", "key_token", "weight")
        .rows()
    }
    rows = []
    for name in finding.movers:
        at = finding.moved_at.get(f"{name}@{SUBJECT}")
        moves_there = at is not None and decided(at, LEAST) and abs(value(at)) > LEAST
        query = "giver" if moves_there else "last"
        shares = [weights.get((name, query, key)) for key in LOOKED_AT]
        said = ["" if each is None else f"{each:.0f}" for each in shares]
        rows.append([name, query, *said, f"{100 * repeats[name]:.0f}"])
    names, cases = ["head", "from", *LOOKED_AT, "induction"], seen.info.baseline["cases"]
    return f"""## Where they look

What these heads attend to, from the place at which they move the name, in per cent of their
weight: the mean over all {cases} cases, by what the tokens are to the case (`workbench attend`).
The giver is the second mention of the subject. The last column is what they give, on random tokens
said twice, to the token behind the same one (`workbench attend --detect`): high for an induction
head.

{table(names, rows, [place > 1 for place in range(len(names))])}
"""


def _written(finding: Finding) -> str:
    """What the parts write of the answer themselves."""
    recorded = finding.one(DirectCasesStep)
    base, rows = recorded.info.baseline, recorded.step.ranked(recorded.rows())
    cells = []
    for row in rows.head(14).iter_rows(named=True):
        share, increase = (
            said(Estimate(row[name], row[low], row[high], base["cases"]), 2)
            for name, low, high in (
                ("logit_difference", "low", "high"),
                ("logprob_increase", "logprob_low", "logprob_high"),
            )
        )
        moved = finding.moved.get(row["name"])
        cells.append([row["name"], share, increase, "" if moved is None else said(moved)])
    names = ["part", "logit difference", "log-probability", "brings back, %"]
    return f"""## What writes the answer

The logit difference of the clean prompts is {base["logit_difference"]:.3f}, the mean over
{base["cases"]} cases, and as what was written into the residual stream (`workbench direct`) it is
embedding {base["embedding"]:.3f} + heads {base["heads"]:.3f} + FFNs {base["ffn"]:.3f}
= {base["sum"]:.3f}; no case is off by more than {base["off"]:.0e}. The largest parts, with what
each adds to the answer's log-probability where it is written, and what patching says of the heads.

{table(names, cells, [place > 0 for place in range(len(names))])}
"""


def _reads(finding: Finding) -> str:
    recorded = finding.one(CorpusStep)
    step, rows = recorded.step, recorded.step.ranked(recorded.rows())
    assert isinstance(step, CorpusStep)

    def tokens(part: str, kind: str) -> str:
        found = rows.filter(name=part, kind=kind).head(FEW)["token"].to_list()
        return " ".join(f"`{visible(each)}`" for each in found)

    def listed(part: str) -> list[str]:
        share = rows.filter(name=part, kind="share")["value"][0]
        return [part, f"{100 * share:.1f}", *(tokens(part, each) for each in ("fires", "writes"))]

    shown = table(["part", "fires, % of tokens", "fires on", "writes"], map(listed, step.parts))
    return f"""## What the neurons fire on

Neurons that write most of the difference on one of the cases or over all, three of the heads, and
the neuron of [addition](guide.md#read-a-neuron), in the text that comes along (`workbench corpus`):
the tokens that each fires on, by how much likelier they are there than anywhere, and those that its
value promotes more than other neurons of its layer do. A head fires on the 5 % of tokens where it
adds most; what it writes depends on the run.

{shown}
"""


def _ablation(finding: Finding) -> str:
    worst = sorted(finding.zeroed, key=lambda name: value(finding.zeroed[name]))[:12]
    rows = [[name, said(finding.zeroed[name], 2), said(finding.moved[name])] for name in worst]

    def agreement(names: Iterable[str]) -> float:
        pairs = [(-value(finding.zeroed[each]), value(finding.moved[each])) for each in names]
        return spearman(*zip(*pairs, strict=True))

    listed = table(["head", "zeroed: logit difference", "patched: share, %"], rows)
    return f"""## Taken away, or carried over

Zeroing a head asks whether the prompt's answer needs it; patching asks whether it carries what
differs between the two prompts. Over all {len(finding.zeroed)} heads the ranks of the two agree to
{agreement(finding.zeroed):.2f} (Spearman), over the {len(finding.movers)} above to
{agreement(finding.movers):.2f}. The heads whose zeroing costs most of the logit difference:

{listed}
"""


def spearman(one: Iterable[float], other: Iterable[float]) -> float:
    """Correlation of the ranks of two lists."""
    frame = pl.DataFrame({"a": list(one), "b": list(other)})
    return float(frame.select(pl.corr("a", "b", method="spearman")).item())


def _edges(finding: Finding) -> str:
    recorded = finding.one(EdgesStep)
    verified = recorded.rows().drop_nulls("verified")
    agree = spearman(verified["score"], verified["verified"])
    rows = [
        [name, f"{score:.3f}", said(bootstrap.mean(found, SEED, 1.0), 3)]
        for name, score, found in verified.sort(pl.col("verified").abs(), descending=True)
        .head(25)
        .select("name", "score", "case_verified")
        .rows()
    ]
    listed = table(["edge", "estimated", "verified"], rows)
    return f"""## Edges

Of all edges the {verified.height} of largest score (EAP-IG) were verified by path patching; the two
agree to {agree:.2f} (Spearman). A number is what corrupting that edge alone does to the logit
difference of the clean prompt, so that what carries the name is negative. The largest:

{listed}
"""


def _faithfulness(finding: Finding) -> str:
    recorded = finding.one(FaithfulnessStep)
    rows = recorded.rows().sort("share")
    cpr, cmd = areas(rows)
    listed = [
        [name, count(edges), said(carried(recorded, found)), f"{100 * random:.1f}"]
        for name, edges, found, random in rows.select(
            "name", "edges", "case_faithfulness", "random"
        ).rows()
    ]
    cases = len(recorded.info.baseline["case_numbers"])
    shown = table(["edges kept", "edges", "faithfulness, %", "random edges, %"], listed)
    return f"""## The strongest edges alone

Everything outside the kept edges has its value of the corrupt prompt. Over {cases} cases;
CPR {cpr:.3f}, CMD {cmd:.3f}.

{shown}
"""


if __name__ == "__main__":
    write_durably(PAGE, page().encode())
