"""The command line on 8- and 4-bit models: loaded so, or found so in the folder."""

from __future__ import annotations

import importlib.metadata
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest
from packed_weights import write_packed
from polars.testing import assert_frame_equal
from tiny_folder import HEADS_IN_ALL

from analysis.tasks.standard import task
from screens.chrome import status_items
from screens.workspace import Workspace
from sessions import Session

CASE = ["--prompt", r"2 + 3 = 5\n3 + 5 = ", "--answer", "8"]
PACKING = {
    8: {"load_in_8bit": True},
    4: {"load_in_4bit": True, "bnb_4bit_quant_type": "nf4"},
}
COMMANDS = {
    "heads by their mean": ["heads", *CASE, "--mode", "mean"],
    "cna": ["cna", *CASE, "--ablate", "L0H1", "--top", "9"],
    "a neuron through attention": ["project", "L1N5", "--through", "2"],
    "a head": ["project", "L1H2", *CASE],
    "gains": ["gains", *CASE],
}


@pytest.fixture(scope="module", params=[8, 4])
def bits(request) -> int:
    return int(request.param)


@pytest.fixture(scope="module")
def packed_folder(bits, tiny_folder, tmp_path_factory) -> Path:
    """The tiny model, saved with packed weights."""
    into = tmp_path_factory.mktemp("packed") / "tiny"
    return write_packed(tiny_folder, into, **PACKING[bits])


@pytest.mark.parametrize("arguments", COMMANDS.values(), ids=COMMANDS)
def test_a_packed_folder_gives_the_rows_of_packing_on_loading(
    on_tiny, workbench, packed_folder, bits, arguments
):
    found = workbench(*arguments, "--json", "--model", packed_folder, "--device", "cpu")
    assert found.code == 0, found.err
    document = found.document
    on_loading = on_tiny(*arguments, "--json", "--bits", str(bits)).document
    floats = on_tiny(*arguments, "--json").document
    packed, same, other = (pl.DataFrame(each["rows"]) for each in (document, on_loading, floats))
    assert_frame_equal(packed, same, rel_tol=1e-5, abs_tol=1e-5)
    with pytest.raises(AssertionError):
        assert_frame_equal(packed, other, rel_tol=1e-3, abs_tol=1e-3)
    weights = f"{bits}-bit (bitsandbytes)"
    told = [(each["model"]["weights"], each["model"]["bits"]) for each in (document, on_loading)]
    assert told == [(weights, None), (weights, bits)]
    assert floats["model"]["weights"] is None
    assert {each["model"]["dtype"] for each in (document, on_loading, floats)} == {"float32"}


def test_the_doctor_says_what_the_weights_are_and_finds_parity_good(
    on_tiny, workbench, packed_folder, bits
):
    found = workbench("doctor", "--json", "--model", packed_folder, "--device", "cpu")
    assert found.code == 0, found.err
    for report in (found.document, on_tiny("doctor", "--json", "--bits", str(bits)).document):
        assert report["Model"]["weights"] == f"{bits}-bit (bitsandbytes)"
        assert report["Model"]["dtype, device"] == "float32 cpu"
        assert report["Parity (largest errors)"]["verdict"] == "good"
        assert float(report["Parity (largest errors)"]["neurons"]) < 1e-6
        assert report["Libraries"]["bitsandbytes"] == importlib.metadata.version("bitsandbytes")
    assert on_tiny("doctor", "--json").document["Model"]["weights"] == "floats"


def test_a_session_goes_on_with_the_bits_it_began_with(
    on_tiny, workbench, tiny_folder, bits, monkeypatch
):
    whole = on_tiny("heads", *CASE, "--json", "--bits", str(bits)).document["rows"]
    on_tiny("heads", *CASE, "--session", "mine", "--bits", str(bits))
    with Session.open("mine") as session:
        (recorded,) = session.steps
        assert session.info.model.bits == bits
        recorded.info.model_copy(update={"state": "interrupted"}).write(
            recorded.folder / "step.json"
        )
        for part in recorded.folder.glob("*.parquet"):
            part.unlink()
    monkeypatch.setenv("WORKBENCH_BITS", str(12 - bits))  # what is set meanwhile does not count
    outcome = workbench("resume", "mine", "--json", "--model", tiny_folder)
    assert outcome.code == 0, outcome.err
    resumed = pl.DataFrame(outcome.document["rows"])
    assert_frame_equal(resumed, pl.DataFrame(whole), rel_tol=1e-5, abs_tol=1e-5)
    assert len(whole) == HEADS_IN_ALL
    refused = workbench("heads", *CASE, "--session", "mine", "--model", tiny_folder)
    other = f"tiny with {bits}-bit (bitsandbytes) weights, not tiny with {12 - bits}-bit"
    assert (refused.code, other in refused.err) == (2, True), refused.err
    monkeypatch.delenv("WORKBENCH_BITS")
    refused = workbench("heads", *CASE, "--session", "mine", "--model", tiny_folder)
    assert "not tiny with float ones" in refused.err


def test_the_status_line_and_the_list_of_steps_name_the_weights(on_tiny, workbench, bits):
    on_tiny("neurons", *CASE, "--top", "2", "--session", "mine", "--bits", str(bits))
    with Session.open("mine") as session:
        workspace = Workspace(task("add1"))
        workspace.model = session.info.model
    assert status_items(workspace)[0].text == f"tiny {bits}-bit (bitsandbytes) float32 cpu"
    assert (
        f"tiny {bits}-bit (bitsandbytes) float32 cpu" in workbench("sessions", "show", "mine").out
    )


def refusal(outcome) -> str:
    """The one line of a refused command."""
    assert outcome.code == 2, outcome.err
    assert outcome.out == ""
    (line,) = [each for each in outcome.err.splitlines() if each.startswith("workbench: ")]
    return line.removeprefix("workbench: ")


def test_packed_weights_are_not_packed_again(workbench, packed_folder, bits):
    outcome = workbench("neurons", *CASE, "--bits", "4", "--model", packed_folder)
    assert refusal(outcome) == (
        f"tiny is quantised already, {bits}-bit (bitsandbytes): leave --bits out"
    )


def test_without_bitsandbytes_one_line_says_what_to_install(
    workbench, tiny_folder, packed_folder, bits, monkeypatch
):
    monkeypatch.setitem(sys.modules, "bitsandbytes", None)
    install = "needs bitsandbytes: pip install 'cna-workbench[quantised]'"
    outcome = workbench("neurons", *CASE, "--bits", str(bits), "--model", tiny_folder)
    assert refusal(outcome) == f"--bits {bits} {install}"
    outcome = workbench("neurons", *CASE, "--model", packed_folder)
    assert refusal(outcome) == f"tiny, {bits}-bit (bitsandbytes), {install}"


NEURONS_OF_EACH = """
import sys
from workbench.cli import run
for folder in sys.argv[1:]:
    case = ["--prompt", "3 + 5 = ", "--answer", "8"]
    assert run(["neurons", *case, "--model", folder, "--device", "cpu"]) == 0
"""


def test_packed_models_say_nothing_of_their_libraries_on_stderr(tiny_folder, tmp_path):
    """In a process of its own: bitsandbytes has things to say when it is first imported."""
    folders = [write_packed(tiny_folder, tmp_path / f"in {n}", **PACKING[n]) for n in PACKING]
    command = [sys.executable, "-c", NEURONS_OF_EACH, *map(str, folders)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    said = [line.split()[0] for line in done.stderr.splitlines()]
    assert said == 2 * ["importing", "loading", "checking", "reads", "needs", "rank", "session"]
    for bits in PACKING:
        assert f"loading in {bits} (Llama, {bits}-bit (bitsandbytes) float32)" in done.stderr
