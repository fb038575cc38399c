"""`workbench bench`: the fast paths beside their plain twins, on this machine."""

from __future__ import annotations

import platform
from pathlib import Path
from typing import Annotated, Any

import typer

from workbench.cli import options


def bench(
    model: options.ModelName = None,
    dtype: options.Dtype = None,
    bits: options.Bits = None,
    device: options.Device = None,
    shots: options.Shots = 2,
    top: options.Top = 100,
    only: Annotated[
        str | None, typer.Option("--only", help="heads, cna or growth; else all three.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="Also write a Markdown page to FILE.md.")
    ] = None,
    json: options.Json = False,
) -> None:
    """Time each fast path beside its plain twin and compare their numbers."""
    from analysis.errors import InputError
    from analysis.interventions import Intervention
    from analysis.prompts import task
    from workbench.cli import narration, output
    from workbench.cli.steps import loaded

    parts = ("heads", "cna", "growth") if only is None else (only,)
    if only not in (None, "heads", "cna", "growth"):
        raise InputError(f"--only {only}: choose heads, cna or growth")
    if out is not None and (out.suffix != ".md" or not out.parent.is_dir()):
        raise InputError(f"--out {out}: name a .md file in a folder that exists")
    prompts = task("add1", shots)
    case = next(each for each in prompts.prompts if each.prompt.endswith("3 + 5 = "))
    opened = loaded(options.settings(model=model, dtype=dtype, bits=bits, device=device))
    from analysis import bench as measure

    report: dict[str, Any] = {"machine": machine(opened.info.device), "model": opened.info.name}
    report |= {"dtype": opened.info.precision, "versions": opened.info.versions}
    if "heads" in parts:
        report |= measure.bench_heads(opened, prompts, narration.say)
    if "cna" in parts:
        head = Intervention.parse("L0H1")
        report |= measure.bench_cna(opened, case, head, top, narration.say)
    if "growth" in parts:
        report["growth"] = measure.bench_growth(opened, prompts, case, narration.say)
    if json:
        output.print_json(report)
    else:
        print(page(report))
    if out is not None:
        out.write_text(page(report) + "\n", "utf-8")
        narration.say(f"written: {out}")


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


def page(report: dict[str, Any]) -> str:
    """The report as Markdown."""
    versions = ", ".join(f"{name} {number}" for name, number in report["versions"].items())
    lines = [
        "# Benchmarks",
        "",
        "Written by `workbench bench --out docs/benchmarks.md`. Fast path and plain twin ran in",
        "one process, one after the other; what counts is the ratio.",
        "",
        f"{report['model']}, {report['dtype']}; {report['machine']}; {versions}.",
        "",
        "| | fast | plain | ratio | largest difference | extra memory, fast | plain |",
        "|---|---|---|---|---|---|---|",
    ]
    names = {
        "heads": "head sweep, all heads",
        "cna": f"CNA, top {report.get('cna', {}).get('top')}",
    }
    for key, name in names.items():
        if key in report:
            row = report[key]
            lines.append(
                f"| {name} | {row['fast_s']:.2f} s | {row['plain_s']:.1f} s | {row['ratio']:.1f}× "
                f"| {row['max_difference']:.1e} | {row['peak_mb']:,.0f} MB "
                f"| {row['plain_peak_mb']:,.0f} MB |"
            )
    if "heads_top5" in report:
        row = report["heads_top5"]
        lines.insert(
            -1 if "cna" in report else len(lines),
            f"| true top five heads exact | {row['fast_s']:.2f} s | {row['plain_s']:.1f} s "
            f"| {row['ratio']:.1f}× | | | |",
        )
    if "cna" in report:
        lines += [
            "",
            f"The first CNA on a model reads its weights once: {report['cna']['first_s']:.1f} s.",
        ]
    if "growth" in report:
        lines += [
            "",
            "## Growth of the fast paths",
            "",
            "| path | grows | count | seconds |",
            "|---|---|---|---|",
        ]
        lines += [
            f"| {row['path']} | {row['grows']} | {row['count']} | {row['seconds']:.2f} |"
            for row in report["growth"]
        ]
    return "\n".join(lines)
