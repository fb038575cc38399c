"""The command tree."""

from __future__ import annotations

from typing import Annotated

import typer

from analysis.errors import InputError
from workbench import __version__
from workbench.cli import (
    ablate,
    bench,
    chain,
    circuit,
    cna,
    data,
    demo,
    doctor,
    edit,
    evaluate,
    heads,
    hidden,
    layers,
    lora,
    models,
    neurons,
    options,
    paper,
    project,
    prune,
    replay,
    resume,
    run_plan,
    sessions,
)

app = typer.Typer(
    name="workbench",
    help="Find out how a language model computes an answer, and change it.",
    epilog="Without a command: the terminal UI. Data goes to stdout, narration to stderr.",
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    no_args_is_help=False,
)


@app.callback(invoke_without_command=True)
def start(
    context: typer.Context,
    model: options.ModelName = None,
    dtype: options.Dtype = None,
    bits: options.Bits = None,
    device: options.Device = None,
    adapter: options.Adapter = None,
    ignore_unused: options.IgnoreUnused = None,
    session: options.SessionName = None,
    readonly: Annotated[
        bool | None,
        typer.Option("--readonly", help="Refuse whatever changes or deletes something."),
    ] = None,
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    """Find out how a language model computes an answer, and change it."""
    given = {"model": model, "dtype": dtype, "bits": bits, "device": device, "adapter": adapter}
    given |= {"ignore_unused": ignore_unused, "session": session, "readonly": readonly}
    misplaced = [
        f"--{name.replace('_', '-')}" for name, value in given.items() if value is not None
    ]
    if version:
        print(__version__)
    elif context.invoked_subcommand is not None and misplaced:
        command = context.invoked_subcommand
        raise InputError(
            f"{misplaced[0]} goes behind the command: workbench {command} {misplaced[0]} …"
        )
    elif context.invoked_subcommand is None:
        from workbench.tui import open_live

        chosen = options.settings(
            model=model,
            dtype=dtype,
            bits=bits,
            device=device,
            adapter=adapter,
            ignore_unused=ignore_unused,
            readonly=readonly,
        )
        open_live(chosen, session, model_given=model is not None)


app.command("heads")(heads.heads)
app.command("neurons")(neurons.neurons)
app.command("ablate")(ablate.ablate)
app.command("cna")(cna.cna)
app.command("chain")(chain.chain)
app.command("circuit")(circuit.circuit)
app.command("gains")(layers.gains)
app.command("lens")(layers.lens)
app.command("hidden")(hidden.hidden)
app.command("project")(project.project)
app.command("lora")(lora.lora)
app.command("prune")(prune.prune)
app.command("paper")(paper.paper)
app.command("evaluate")(evaluate.evaluate)
app.command("edit")(edit.edit)
app.command("export")(models.export)
app.command("inspect")(models.inspect)
app.add_typer(data.app, name="data")
app.add_typer(sessions.app, name="sessions")
app.command("run")(run_plan.run_plan)
app.command("replay")(replay.replay)
app.command("resume")(resume.resume)
app.add_typer(models.app, name="models")
app.command("doctor")(doctor.doctor)
app.command("bench")(bench.bench)
app.command("demo")(demo.demo)
