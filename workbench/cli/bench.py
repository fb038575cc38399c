"""`workbench bench`: the fast paths beside their plain twins, on this machine, as a page."""

from __future__ import annotations

import platform
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from analysis.bench.peer import check_peer
from analysis.errors import Cancelled, InputError, WorkbenchError
from analysis.folders import named_aside
from analysis.interventions import Intervention
from analysis.model.random_model import SHAPES, shape_of
from analysis.refs import HeadRef
from analysis.tasks.standard import task
from screens import markdown
from screens.text import visible
from workbench import health
from workbench.cli import narration, options, output
from workbench.cli.step_commands import OnModel, on_a_model
from workbench.cli.steps import loaded
from workbench.logs import quiet_libraries, start_logging

if TYPE_CHECKING:
    from analysis.model.model import Model
    from analysis.tasks.prompts import Prompt, PromptSet
    from workbench.settings import Settings


PARTS = ("heads", "cna", "patch", "corpus", "growth")
_KEYS = 20
"""Starts of the terminal UI, and keys of each kind, that are timed."""


@dataclass(frozen=True)
class BenchPlan:
    """What is to be measured; refused, before a model is touched, where it cannot be done."""

    only: str | None
    top: int
    random: str | None
    peer: str | None
    peer_heads: int | None

    def __post_init__(self) -> None:
        if self.only is not None and self.only not in PARTS:
            raise InputError(f"--only {self.only}: choose {', '.join(PARTS[:-1])} or {PARTS[-1]}")
        if self.random is not None:
            shape_of(self.random)
        if self.peer is not None and "heads" not in self.parts:
            raise InputError("--peer compares the head sweep; say --only heads, or leave it out")
        if self.peer is not None:
            check_peer(self.peer)
        elif self.peer_heads is not None:
            raise InputError("--peer-heads goes with --peer")

    @property
    def parts(self) -> tuple[str, ...]:
        """The parts of the benchmark that will run."""
        return PARTS if self.only is None else (self.only,)


@on_a_model("adapter")
def bench(
    shots: options.Shots = 2,
    top: options.Top = 100,
    only: Annotated[
        str | None, typer.Option("--only", help="heads, cna, patch, corpus or growth; else all.")
    ] = None,
    random: Annotated[
        str | None,
        typer.Option(
            "--random",
            help=f"Instead of --model: {', '.join(SHAPES)}; their weights are random.",
        ),
    ] = None,
    peer: Annotated[
        str | None,
        typer.Option("--peer", help="The head sweep in transformer-lens too, if installed."),
    ] = None,
    peer_heads: Annotated[
        int | None,
        typer.Option("--peer-heads", min=1, help="Sweep N heads in it and scale up; else all."),
    ] = None,
    ui: Annotated[
        bool, typer.Option("--ui", help="Time the terminal UI instead: first paint, keys, bytes.")
    ] = False,
    out: Annotated[
        Path | None, typer.Option("--out", help="Also write a Markdown page to FILE.md.")
    ] = None,
    json: options.Json = False,
    *,
    on: OnModel,
) -> None:
    """Time each fast path beside its plain twin and compare their numbers."""
    plan = BenchPlan(only, top, random, peer, peer_heads)
    if ui and (only or random or peer):
        raise InputError("--ui stands alone, with --model at most")
    if on.model is not None and random is not None:
        raise InputError("give either --model or --random")
    if out is not None and (out.suffix != ".md" or not out.parent.is_dir()):
        raise InputError(f"--out {out}: name a .md file in a folder that exists")
    prompts = task("add1", shots)
    report = _report(on.settings, prompts, plan, ui)
    _publish(report, page_of_ui(report) if ui else page(report), out, json)


def _report(settings: Settings, prompts: PromptSet, plan: BenchPlan, ui: bool) -> dict[str, Any]:
    """What was measured; interrupted, it says that nothing is kept."""
    try:
        if ui:
            return _measured_ui(settings)
        with narration.held_back():
            return _measured(_opened(settings, plan.random), prompts, plan)
    except (KeyboardInterrupt, Cancelled):
        narration.say("interrupted: of a benchmark nothing is kept")
        raise


def _publish(report: dict[str, Any], text: str, out: Path | None, json: bool) -> None:
    """Print the report, and write its page if that is asked for."""
    if json:
        output.print_json(report)
    else:
        print(text)
    if out is not None:
        with named_aside(out) as aside:
            aside.write_text(f"{text}\n", "utf-8")
        narration.say(f"written: {out}")


def _measured_ui(settings: Settings) -> dict[str, Any]:
    from workbench.bench_ui import bench_ui

    options = ["--model", settings.model, "--dtype", settings.dtype, "--device", settings.device]
    with narration.stages() as tell:
        measured = bench_ui(tuple(options), _KEYS, tell)
    return {"model": settings.model, "machine": machine("cpu"), **measured}


def _opened(settings: Settings, random: str | None) -> Model:

    if random is None:
        return loaded(settings)
    start_logging()
    narration.say(f"making {random} with random weights ({settings.dtype})")
    with quiet_libraries():
        from analysis.model.loading import DTYPES, usable_device
        from analysis.model.random_model import random_model

        device = str(usable_device(settings.device))
        needed, free = shape_of(random).parameters, health.free_memory(device)
        needed *= DTYPES[settings.dtype].itemsize
        if needed > free:  # else the system would end the program without a word
            raise WorkbenchError(
                f"{random} in {settings.dtype} takes {needed / 1e9:.1f} GB; "
                f"{free / 1e9:.1f} GB are free on {device}"
            )
        model = random_model(random, dtype=settings.dtype, device=device, seed=settings.seed)
    for line in model.info.warnings:
        narration.warn(line)
    return model


def _measured(model: Model, prompts: PromptSet, plan: BenchPlan) -> dict[str, Any]:
    """The report: what was measured on, the workload, and a comparison for each part."""
    from analysis.bench.patches import bench_patch
    from analysis.bench.peer import TransformerLens
    from analysis.bench.reading import bench_corpus, expected_reading
    from analysis.bench.sweeps import bench_cna, bench_growth, bench_heads, expected_seconds
    from analysis.methods.neurons import fitting_top

    top = fitting_top(model, plan.top)
    peer = None if plan.peer is None else TransformerLens(model)
    narration.go_ahead()
    case = next(each for each in prompts.prompts if each.prompt.endswith("3 + 5 = "))
    head = HeadRef(0, min(1, model.info.heads - 1))
    ablate = Intervention(heads=(head,))
    report: dict[str, Any] = {
        "model": model.info.name,
        "dtype": model.info.precision,
        "machine": machine(model.info.device),
        "versions": model.info.versions,
        "workload": _workload(model, prompts, case, head),
    }
    theirs = 0 if peer is None else plan.peer_heads or report["workload"]["heads"]
    seconds = expected_seconds(model, prompts, case, plan.parts, theirs)
    if "corpus" in plan.parts:
        seconds += expected_reading(model)
    narration.say(f"measuring {', '.join(plan.parts)}: very roughly {duration(seconds)}")
    with narration.stages() as tell:
        if "heads" in plan.parts:
            report |= bench_heads(model, prompts, tell, peer, plan.peer_heads)
        if "cna" in plan.parts:
            report |= bench_cna(model, case, ablate, top, tell)
        if "patch" in plan.parts:
            report |= bench_patch(model, tell)
        if "corpus" in plan.parts:
            report |= bench_corpus(model, tell)
        if "growth" in plan.parts:
            report["growth"] = bench_growth(model, prompts, case, ablate, tell)
    return report


def _workload(model: Model, prompts: PromptSet, case: Prompt, head: HeadRef) -> dict[str, Any]:
    """What is computed, in numbers."""
    info = model.info
    return {
        "prompts": len(prompts),
        "tokens": max(len(model.encode(each).ids) for each in prompts.prompts),
        "heads": info.layers * info.heads,
        "neurons": info.layers * info.neurons,
        "vocabulary": info.vocabulary,
        "parameters": info.parameters,
        "case": case.prompt,
        "answer": case.answer,
        "ablated": str(head),
    }


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
        _reading(report["corpus"]) if "corpus" in report else [],
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
            markdown.table(["", "milliseconds", "bytes a repaint", "bytes a second"], lines),
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
    yield from _method(report)
    yield markdown.table(["", "fast", "plain", "ratio", "largest difference"], rows)
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


def _method(report: dict[str, Any]) -> Iterator[str]:
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
    if "patch" in report:
        patch = report["patch"]
        yield (
            "**Patching.** Residual stream, attention and FFN at every layer and position of a "
            f"pair of prompts, {patch['patches']:,} patches. *Fast*: runs start at the patched "
            "layer and position. *Plain*: one hooked forward a patch, measured on "
            f"{patch['plain_patches']:,} of them and scaled up. The difference is that of logit "
            "differences."
        )


def _speed_rows(report: dict[str, Any]) -> Iterator[list[str]]:
    named = {
        "heads": "head sweep",
        "heads_top5": "… true top five exact",
        "cna": "CNA, again",
        "patch": "patching",
    }
    if "peer" in report:
        named["peer"] = f"head sweep in {report['peer']['name']}"
    for part, name in named.items():
        if part not in report:
            continue
        found = report[part]
        if part == "cna":
            first = {"fast_s": found["first_s"], "ratio": found["first_ratio"]}
            yield _speed_row("CNA, first on a model", {**found, **first, "max_difference": None})
        yield _speed_row(name, found)


def _speed_row(name: str, found: dict[str, Any]) -> list[str]:
    difference = found.get("max_difference")
    nats = "" if difference is None else f"{difference:.1e} {found.get('unit', 'nats')}"
    seconds = [f"{found[way]:.2f} s" for way in ("fast_s", "plain_s")]
    return [name, *seconds, f"**{found['ratio']:.1f}×**", nats]


_READ = {
    "last": "{parts} neurons and heads of the last layer",
    "layer": "all {parts:,} neurons of the last layer",
    "middle": "{parts} neurons and heads of the middle layer",
}


def _reading(found: dict[str, dict[str, Any]]) -> Iterator[str]:
    yield "## Reading a corpus"
    tokens = found["last"]["tokens"]
    yield (
        f"The first {tokens:,} tokens of the text that comes along, read for some parts, beside "
        "the bare forward of the whole model on the same batches, in which nothing is looked at. "
        "The reading tokenizes, counts, keeps contexts and makes its rows. Layers above the "
        "deepest that is asked for do not run, so that of the middle layer is the fastest."
    )
    rows = [
        [
            _READ[name].format(**each),
            *(f"{tokens / each[way]:,.0f}" for way in ("fast_s", "plain_s")),
            f"**{each['ratio']:.2f}**",
        ]
        for name, each in found.items()
    ]
    yield markdown.table(["", "tokens a second", "bare forward", "ratio"], rows)


def _memory(report: dict[str, Any]) -> Iterator[str]:
    names = {"heads": "head sweep", "cna": "CNA", "patch": "patching"}
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
    yield markdown.table(["", "forecast", "fast", "plain"], rows)


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
        yield markdown.table(head, [_growth_row(row) for row in some])


def _growth_row(row: dict[str, Any]) -> list[str]:
    cells = [f"{row['count']:,}", f"{row['seconds']:.2f} s"]
    if "plain_s" in row:
        cells += [f"{row['plain_s']:.2f} s", f"{row['plain_s'] / row['seconds']:.1f}×"]
    return cells
