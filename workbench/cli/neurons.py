"""`workbench neurons`: importance of FFN neurons in one run."""

from __future__ import annotations

from workbench.cli import options


def neurons(
    prompt: options.PromptText = None,
    answer: options.Answer = None,
    top: options.Top = 100,
    everything: options.All = False,
    model: options.ModelName = None,
    dtype: options.Dtype = None,
    bits: options.Bits = None,
    device: options.Device = None,
    adapter: options.Adapter = None,
    seed: options.Seed = None,
    session: options.SessionName = None,
    out: options.Out = None,
    json: options.Json = False,
) -> None:
    """Rank FFN neurons by the log-probability they add to the answer."""
    from analysis.steps import NeuronsStep
    from workbench.cli.steps import Destination, run_step

    step = NeuronsStep(prompt=options.free_prompt(prompt, answer), top=None if everything else top)
    run_step(
        step,
        options.settings(
            model=model, dtype=dtype, bits=bits, device=device, adapter=adapter, seed=seed
        ),
        Destination(session, out, json),
        shown=["name", "importance", "coefficient", "tokens"],
        reads=step.prompt,
    )
