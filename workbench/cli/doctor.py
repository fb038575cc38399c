"""`workbench doctor`: is everything there, and does a model compute what it should?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from analysis.errors import WorkbenchError
from workbench.cli import options, output
from workbench.cli.step_commands import OnModel, on_a_model
from workbench.cli.steps import loaded
from workbench.health import Fact, machine, plain

if TYPE_CHECKING:
    from analysis.model.model import Model

NAME = 18
"""Cells of the longest name."""
MARKS = {"ok": ("✓", "green"), "advice": ("!", "yellow"), "broken": ("✗", "bold red")}


@on_a_model("adapter")
def doctor(json: options.Json = False, *, on: OnModel) -> None:
    """Check this machine; with --model also the model's parts and parity."""
    report = machine()
    if on.model is not None:
        report |= _model_report(loaded(on.settings))
    found = [
        {"about": f"{title}: {name}", "state": fact.mark, "do": fact.advice}
        for title, facts in report.items()
        for name, fact in facts.items()
        if fact.mark != "ok"
    ]
    if json:
        values = {
            title: {name: fact.value for name, fact in facts.items()}
            for title, facts in report.items()
        }
        output.print_json({**values, "Advice": found})
    else:
        _print(report)
    broken = [each["about"] for each in found if each["state"] == "broken"]
    if broken:
        raise WorkbenchError(f"this cannot work as it is: {', '.join(map(str, broken))}")


def _print(report: dict[str, dict[str, Fact]]) -> None:
    """Each fact on a line, with advice below it; an eye that runs down the left sees the marks."""
    from rich.console import Console
    from rich.text import Text

    console = Console(highlight=False)
    for title, facts in report.items():
        console.print(Text(title, style="bold"))
        for name, fact in facts.items():
            mark, style = MARKS[fact.mark]
            line = Text.assemble((f"{mark} ", style), (f"{name:<{NAME}} ", "dim"), fact.value)
            console.print(line, soft_wrap=True)
            if fact.advice:
                advice = f"{'':<{NAME + 3}}→ {fact.advice}"
                console.print(Text(advice, style=style), soft_wrap=True)
        console.print()
    count = sum(fact.mark != "ok" for facts in report.values() for fact in facts.values())
    words = f"{count} thing{'s' if count > 1 else ''} to look at" if count else "all is well"
    console.print(Text(words, style="bold"))


def _model_report(model: Model) -> dict[str, dict[str, Fact]]:
    info = model.info
    family = model.parts.family
    places = {
        name: getattr(family, name)
        for name in family.__dataclass_fields__
        if isinstance(getattr(family, name), str) and name != "name"
    }
    good = info.parity_holds
    verdict = Fact("good") if good else Fact("TOO LARGE: numbers may be wrong", "--dtype float32")
    return {
        "Model": plain(
            {
                "name": info.name,
                "family": info.family,
                "architecture": info.architecture,
                "shape": f"{info.layers} layers, {info.heads} heads ({info.kv_heads} KV), "
                f"{info.neurons:,} neurons a layer, width {info.width}, {info.vocabulary:,} tokens",
                "weights": info.weights or "floats",
                "dtype, device": f"{info.dtype} {info.device}",
                "weights sha256": info.weights_sha256 or "none",
                "packed prompts": "exact"
                if info.packed
                else "not exact; each prompt runs by itself",
            }
        ),
        "Where its parts are": plain(places),
        "Parity (largest errors)": plain(
            {
                "logits": f"{info.parity.logits:.1e}",
                "residual": f"{info.parity.residual:.1e}",
                "neurons": f"{info.parity.neurons:.1e}",
            }
        )
        | {"verdict": verdict},
    }
