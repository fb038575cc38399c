"""`workbench bench`: the fast paths beside their plain twins, on this machine."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from analysis.bench.peer import check_peer
from analysis.errors import Cancelled, InputError, WorkbenchError
from analysis.model.random_model import SHAPES, shape_of
from workbench.cli import options

if TYPE_CHECKING:
    from analysis.model.model import Model
    from analysis.refs import HeadRef
    from analysis.tasks.prompts import Prompt, PromptSet
    from workbench.settings import Settings

PARTS = ("heads", "cna", "growth")
_KEYS = 20
"""Starts of the terminal UI, and keys of each kind, that are timed."""


@dataclass(frozen=True)
class Plan:
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


def bench(
    model: options.ModelName = None,
    dtype: options.Dtype = None,
    bits: options.Bits = None,
    device: options.Device = None,
    ignore_unused: options.IgnoreUnused = None,
    shots: options.Shots = 2,
    top: options.Top = 100,
    only: Annotated[
        str | None, typer.Option("--only", help="heads, cna or growth; else all three.")
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
) -> None:
    """Time each fast path beside its plain twin and compare their numbers."""
    from analysis.tasks.standard import task
    from workbench.cli import narration, output
    from workbench.cli.bench_page import page, page_of_ui

    plan = Plan(only, top, random, peer, peer_heads)
    if ui and (only or random or peer):
        raise InputError("--ui stands alone, with --model at most")
    if model is not None and random is not None:
        raise InputError("give either --model or --random")
    if out is not None and (out.suffix != ".md" or not out.parent.is_dir()):
        raise InputError(f"--out {out}: name a .md file in a folder that exists")
    prompts = task("add1", shots)
    settings = options.settings(
        model=model, dtype=dtype, bits=bits, device=device, ignore_unused=ignore_unused
    )
    try:
        if ui:
            report = _measured_ui(settings)
        else:
            with narration.held_back():
                report = _measured(_opened(settings, random), prompts, plan)
    except (KeyboardInterrupt, Cancelled):
        narration.say("interrupted: of a benchmark nothing is kept")
        raise
    text = page_of_ui(report) if ui else page(report)
    if json:
        output.print_json(report)
    else:
        print(text)
    if out is not None:
        out.write_text(text + "\n", "utf-8")
        narration.say(f"written: {out}")


def _measured_ui(settings: Settings) -> dict[str, Any]:
    from workbench.bench_ui import bench_ui
    from workbench.cli import narration
    from workbench.cli.bench_page import machine

    options = ["--model", settings.model, "--dtype", settings.dtype, "--device", settings.device]
    with narration.stages() as tell:
        measured = bench_ui(tuple(options), _KEYS, tell)
    return {"model": settings.model, "machine": machine("cpu"), **measured}


def _opened(settings: Settings, random: str | None) -> Model:
    from workbench.cli import narration
    from workbench.cli.steps import loaded
    from workbench.health import free_memory
    from workbench.logs import start_logging
    from workbench.quiet import quiet_libraries

    if random is None:
        return loaded(settings)
    start_logging()
    narration.say(f"making {random} with random weights ({settings.dtype})")
    with quiet_libraries():
        from analysis.model.loading import DTYPES, usable_device
        from analysis.model.random_model import random_model

        device = str(usable_device(settings.device))
        needed, free = shape_of(random).parameters, free_memory(device)
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


def _measured(model: Model, prompts: PromptSet, plan: Plan) -> dict[str, Any]:
    """The report: what was measured on, the workload, and a comparison for each part."""
    from analysis.bench.peer import TransformerLens
    from analysis.bench.sweeps import bench_cna, bench_growth, bench_heads, expected_seconds
    from analysis.interventions import Intervention
    from analysis.methods.neurons import fitting_top
    from analysis.refs import HeadRef
    from workbench.cli import narration
    from workbench.cli.bench_page import duration, machine

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
    narration.say(f"measuring {', '.join(plan.parts)}: very roughly {duration(seconds)}")
    with narration.stages() as tell:
        if "heads" in plan.parts:
            report |= bench_heads(model, prompts, tell, peer, plan.peer_heads)
        if "cna" in plan.parts:
            report |= bench_cna(model, case, ablate, top, tell)
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
