"""A benchmark's report as a Markdown page."""

from __future__ import annotations

import platform
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from screens.text import visible

_GROWTH = {
    "prompts": "the head sweep, with prompts",
    "heads": "the head sweep, with heads",
    "top": "CNA, with the neurons asked for",
    "neurons": "CNA, with the neurons of a random model",
}


def machine(device: str) -> str:
    """The hardware in a few words."""
    import psutil

    cores = psutil.cpu_count(logical=True)
    memory = psutil.virtual_memory().total / 1e9
    words = f"{cores} {platform.machine()} cores, {memory:.0f} GB"
    if device.startswith("cuda"):
        import torch

        words += f", {torch.cuda.get_device_name(device)}"
    return words


def duration(seconds: float) -> str:
    """So many seconds as people say it."""
    return f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.0f} min"


def page(report: dict[str, Any]) -> str:
    """The report as Markdown."""
    parts = [
        _opening(report),
        _speed(report),
        _memory(report),
        _growth(report["growth"]) if "growth" in report else [],
    ]
    return "\n\n".join(paragraph for part in parts for paragraph in part)


def page_of_ui(report: dict[str, Any]) -> str:
    """The report of the terminal UI as Markdown."""
    columns, rows = report["size"]
    paint, keys = report["first_paint"], report["keys"]
    lines = [
        [f"first paint, {name}", _milliseconds(paint[name]), "", ""] for name in ("replay", "live")
    ]
    for name, each in keys.items():
        sent = "" if each["bytes"] is None else f"{each['bytes']:,.0f}"
        lines.append([f"a key on the map of heads, {name}", _milliseconds(each), sent, ""])
    each_second = f"{report['bytes_a_second_sweeping']:,.0f}"
    lines.append(["nothing pressed, live, sweeping", "", "", each_second])
    return "\n\n".join(
        [
            "# The terminal UI, timed from outside",
            f"What a terminal of {columns} × {rows} sees of `workbench`, on {report['machine']}, "
            f"with {report['model']}: from the start, or from a key, until the picture is drawn. "
            "The median, and what 19 of 20 stay below. A sweep keeps all cores busy meanwhile.",
            _table(["", "milliseconds", "bytes a repaint", "bytes a second"], lines),
        ]
    )


def _milliseconds(each: dict[str, float]) -> str:
    return f"{1000 * each['median']:,.0f} (≤ {1000 * each['worst_of_20']:,.0f})"


def _opening(report: dict[str, Any]) -> Iterator[str]:
    work = report["workload"]
    versions = ", ".join(f"{name} {number}" for name, number in report["versions"].items())
    yield "# Benchmarks"
    yield (
        "Each fast path of the workbench beside its *plain twin*: the obvious way to compute the "
        "same numbers, in the same process, on the same model, one after the other. Seconds "
        "belong to the machine; what counts is the ratio, and that the numbers agree. "
        "`workbench bench --out FILE.md` writes this page for yours."
    )
    yield "\n".join(
        [
            f"- **Model** {report['model']}, {report['dtype']}: {work['parameters']:,} parameters, "
            f"{work['heads']:,} attention heads, {work['neurons']:,} FFN neurons, a vocabulary of "
            f"{work['vocabulary']:,}.",
            f"- **Machine** {report['machine']}.",
            f"- **Versions** {versions}.",
        ]
    )


def _speed(report: dict[str, Any]) -> Iterator[str]:
    rows = list(_speed_rows(report))
    if not rows:
        return
    yield "## Speed"
    yield from _workload(report)
    yield _table(["", "fast", "plain", "ratio", "largest difference"], rows)
    if "cna" in report and not report["cna"]["same_names"]:
        yield "**The two ways of CNA did not find the same neurons.**"
    if "peer" in report:
        peer = report["peer"]
        sample = (
            f" Measured on {peer['heads']} heads spread evenly over the layers, and scaled up."
            if peer["scaled_up"]
            else ""
        )
        yield (
            f"The last row's plain twin is the sweep in {peer['name']} {peer['version']}: the "
            "same weights behind its bridge, nothing folded or centred, `hook_z` set to zero, "
            "and logits at the answer's place only, as here. Building the bridge is not "
            f"counted.{sample}"
        )


def _workload(report: dict[str, Any]) -> Iterator[str]:
    work = report["workload"]
    if "heads" in report:
        yield (
            f"**Head sweep.** Each of the {work['heads']:,} heads is zeroed in turn, and the "
            f"answers of {work['prompts']} one-digit additions (at most {work['tokens']} tokens "
            "each) are scored. *Fast*: prompts share what they begin with, and a run starts at the "
            "layer of its head. *Plain*: one hooked forward a head over all prompts in one batch. "
            "*True top five exact* is the time until the five heads that matter most are known "
            "exactly. The difference is that of a row's mean log-probability or probability; of a "
            f"single prompt's log-probability it is {report['heads']['max_prompt_difference']:.0e}."
        )
    if "cna" in report:
        cna = report["cna"]
        yield (
            f"**CNA.** The {cna['top']:,} neurons whose importance for `{work['answer']}` behind "
            f"`{visible(work['case'])}` changes most without head {work['ablated']}. *Fast*: "
            "certain bounds leave few neurons to score. *Plain*: every neuron of both runs over "
            "the whole vocabulary. The first CNA on a model also reads its weights once; "
            "the later ones need not."
        )


def _speed_rows(report: dict[str, Any]) -> Iterator[list[str]]:
    def row(
        name: str, fast: float, plain: float, ratio: float, difference: float | None
    ) -> list[str]:
        nats = "" if difference is None else f"{difference:.1e} nats"
        return [name, f"{fast:.2f} s", f"{plain:.2f} s", f"**{ratio:.1f}×**", nats]

    if "heads" in report:
        heads, top = report["heads"], report["heads_top5"]
        yield row(
            "head sweep",
            heads["fast_s"],
            heads["plain_s"],
            heads["ratio"],
            heads["max_difference"],
        )
        yield row(
            "… true top five exact",
            top["fast_s"],
            top["plain_s"],
            top["ratio"],
            None,
        )
    if "cna" in report:
        cna = report["cna"]
        yield row("CNA, first on a model", cna["first_s"], cna["plain_s"], cna["first_ratio"], None)
        yield row("CNA, again", cna["fast_s"], cna["plain_s"], cna["ratio"], cna["max_difference"])
    if "peer" in report:
        peer = report["peer"]
        yield row(
            f"head sweep in {peer['name']}",
            peer["fast_s"],
            peer["plain_s"],
            peer["ratio"],
            peer["max_difference"],
        )


def _memory(report: dict[str, Any]) -> Iterator[str]:
    names = {"heads": "head sweep", "cna": "CNA"}
    rows = [
        [
            name,
            *(
                f"{report[key][each]:,.0f} MB"
                for each in ("forecast_mb", "peak_mb", "plain_peak_mb")
            ),
        ]
        for key, name in names.items()
        if key in report
    ]
    if not rows:
        return
    yield "## Memory"
    yield (
        "The most in use at once beyond the model. The forecast is what the workbench says before "
        "it starts: the tensors alone. On a CPU the peaks are what the process occupied, "
        "with whatever libraries keep for themselves; on a GPU they are what torch allocated."
    )
    yield _table(["", "forecast", "fast", "plain"], rows)


def _growth(rows: Sequence[dict[str, Any]]) -> Iterator[str]:
    yield "## Growth"
    yield (
        "Seconds of the fast paths as the work grows. The sweeps here ablate a few heads, evenly "
        "over the layers."
    )
    for grows, title in _GROWTH.items():
        some = [row for row in rows if row["grows"] == grows]
        if not some:
            continue
        twins = all("plain_s" in row for row in some)
        head = [title, "fast"] + (["plain", "ratio"] if twins else [])
        yield _table(head, [_growth_row(row) for row in some])


def _growth_row(row: dict[str, Any]) -> list[str]:
    cells = [f"{row['count']:,}", f"{row['seconds']:.2f} s"]
    if "plain_s" in row:
        cells += [f"{row['plain_s']:.2f} s", f"{row['plain_s'] / row['seconds']:.1f}×"]
    return cells


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table whose first column is text and the others numbers."""
    lines = [head, ["---", *("---:" for _ in head[1:])], *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
