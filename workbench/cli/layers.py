"""`workbench gains` and `workbench lens`: a run layer by layer."""

from __future__ import annotations

from workbench.cli import options


def gains(
    prompt: options.PromptText = None,
    answer: options.Answer = None,
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
    """Show what the attention and the FFN of each layer add to the answer."""
    from analysis.steps import GainsStep
    from workbench.cli.steps import Destination, run_step

    step = GainsStep(prompt=options.free_prompt(prompt, answer))
    run_step(
        step,
        options.settings(
            model=model, dtype=dtype, bits=bits, device=device, adapter=adapter, seed=seed
        ),
        Destination(session, out, json),
        shown=["name", "attention", "ffn", "logprob"],
        reads=step.prompt,
    )


def lens(
    prompt: options.PromptText = None,
    answer: options.Answer = None,
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
    """Show what every layer would say at every position (logit lens)."""
    from analysis.steps import LensStep
    from workbench.cli.steps import Destination, run_step

    step = LensStep(prompt=options.free_prompt(prompt, answer))
    run_step(
        step,
        options.settings(
            model=model, dtype=dtype, bits=bits, device=device, adapter=adapter, seed=seed
        ),
        Destination(session, out, json),
        shown=["name", "reads", "token", "prob", "answer_prob", "answer_rank"],
        reads=step.prompt,
    )
