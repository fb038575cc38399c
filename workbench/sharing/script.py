"""A session as a Python script that computes it again."""

from __future__ import annotations

from collections.abc import Sequence

from sessions import RecordedStep, Session
from workbench.sharing.source import Source, literal

_PAGE = '''"""Computes the steps of a recorded session again and keeps their rows as Parquet files.

Written by CNA Workbench, whose packages it imports. `--help` says what it takes.
"""

{imports}

SESSION = {session}
MODEL = {model}
"""As recorded; a folder or a file has to be given with `--model`."""
WEIGHTS = {weights}
"""SHA-256 of the weights that the recorded numbers come from."""
LOADED = {loaded}
"""How they were loaded."""
{definitions}
STEPS = {steps}


def main() -> None:
    """Compute every step, in their order."""
    parser = argparse.ArgumentParser(description=f"Computes session {{SESSION}} again.")
    parser.add_argument("folder", nargs="?", type=Path, default=Path(f"{{SESSION}}-again"))
    parser.add_argument("--model", default=MODEL)
    parser.add_argument("--device")
    parser.add_argument("--adapter", type=Path{required})
    given = parser.parse_args()
    given.folder.mkdir(parents=True, exist_ok=True)
    settings = load_settings(
        model=given.model, device=given.device, adapter=given.adapter, **LOADED
    )
    model = open_model(settings, print)
    if WEIGHTS is not None and model.info.weights_sha256 not in (None, WEIGHTS):
        print("these are not the recorded weights: the numbers will differ")
    for name, step in STEPS.items():
        empty = pl.DataFrame(schema=schema(step.columns))
        rows = step.ranked(pl.concat([empty, *step.run(model)]))
        rows.write_parquet(given.folder / f"{{name}}.parquet")
        print(f"{{name}}: {{step.title}}", rows, sep="\\n")


if __name__ == "__main__":
    main()
'''
_IMPORTS = (
    "import argparse",
    "from pathlib import Path",
    "",
    "import polars as pl",
    "",
)
_NEEDED = (
    "from analysis.columns import schema",
    "from workbench.runner import open_model",
    "from workbench.settings import load_settings",
)


def script(session: Session, steps: Sequence[RecordedStep]) -> str:
    """The script that computes some steps of a session.

    What the session holds becomes nothing but literals: it can put no code of its own in.
    """
    info = session.info
    source = Source(info.seed)
    entries = "".join(f"    {literal(each.id)}: {source.of(each.step, 4)},\n" for each in steps)
    ours = [each for each in source.imports if not each.startswith("from pathlib")]
    how = {"dtype": info.model.dtype, "bits": info.model.bits, "seed": info.seed}
    if info.model.unused:
        how["ignore_unused"] = True
    loaded = ", ".join(f"{literal(name)}: {literal(value)}" for name, value in how.items())
    definitions = "\n".join(source.definitions)
    return _PAGE.format(
        imports="\n".join([*_IMPORTS, *sorted([*ours, *_NEEDED])]),
        session=literal(session.name),
        model=literal(_model(session)),
        weights=literal(info.model.weights_sha256),
        loaded=f"{{{loaded}}}",
        definitions=f"\n{definitions}\n" if definitions else "",
        steps=f"{{\n{entries}}}",
        required="" if info.model.adapter is None else ", required=True",
    )


def _model(session: Session) -> str:
    """What `--model` took when the session was recorded."""
    info = session.info.model
    hub = "/" in info.name and info.revision is not None
    return f"{info.name}@{info.revision}" if hub else info.name
