"""`workbench doctor`: is everything there, and does a model compute what it should?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from workbench.cli import options

if TYPE_CHECKING:
    from analysis.model import Model


def doctor(
    model: options.ModelName = None,
    dtype: options.Dtype = None,
    bits: options.Bits = None,
    device: options.Device = None,
    json: options.Json = False,
) -> None:
    """Check this machine; with --model also the model's parts and parity."""
    from rich.console import Console
    from rich.text import Text

    from workbench.cli import output
    from workbench.cli.steps import loaded
    from workbench.health import machine

    report: dict[str, dict[str, Any]] = machine()
    if model is not None:
        report |= _model_report(
            loaded(options.settings(model=model, dtype=dtype, bits=bits, device=device))
        )
    if json:
        output.print_json(report)
        return
    console = Console(highlight=False)
    for title, facts in report.items():
        console.print(Text(title, style="bold"))
        for name, value in facts.items():
            console.print(Text(f"  {name:<18} {value}"), soft_wrap=True)


def _model_report(model: Model) -> dict[str, dict[str, Any]]:
    info = model.info
    family = model.parts.family
    places = {
        name: getattr(family, name)
        for name in family.__dataclass_fields__
        if isinstance(getattr(family, name), str) and name != "name"
    }
    return {
        "Model": {
            "name": info.name,
            "family": info.family,
            "architecture": info.architecture,
            "shape": f"{info.layers} layers, {info.heads} heads ({info.kv_heads} KV), "
            f"{info.neurons:,} neurons a layer, width {info.width}, {info.vocabulary:,} tokens",
            "weights": info.weights or "floats",
            "dtype, device": f"{info.dtype} {info.device}",
            "weights sha256": info.weights_sha256,
            "packed prompts": "exact" if info.packed else "not exact; plain batches are used",
        },
        "Where its parts are": places,
        "Parity (largest errors)": {
            "logits": f"{info.parity.logits:.1e}",
            "residual": f"{info.parity.residual:.1e}",
            "neurons": f"{info.parity.neurons:.1e}",
            "verdict": "good" if info.parity_holds else "TOO LARGE: numbers may be wrong",
        },
    }
