"""`workbench bench`: one JSON document, a Markdown page, and refusals in one line."""

from __future__ import annotations

import re
from importlib.metadata import PackageNotFoundError

import pytest

from analysis.model.random_model import SHAPES
from workbench.cli.bench import page_of_ui

TINY = SHAPES["llama-tiny"]


@pytest.fixture(autouse=True)
def _small(monkeypatch):
    """Growth with the size of a model is shown on small ones."""
    import analysis.bench.sweeps

    monkeypatch.setattr(analysis.bench.sweeps, "SIZES", (16, 32))
    monkeypatch.setattr(analysis.bench.sweeps, "SIZED", "llama-tiny")


@pytest.fixture
def benched(workbench):
    """Runs a benchmark on a tiny random model and expects it to succeed."""

    def run(*arguments):
        outcome = workbench("bench", "--random", "llama-tiny", "--device", "cpu", *arguments)
        assert outcome.code == 0, outcome.err
        return outcome

    return run


def tables(page: str) -> list[list[list[str]]]:
    """The cells of each Markdown table."""
    blocks = [block for block in page.split("\n\n") if block.startswith("|")]
    return [
        [[cell.strip() for cell in line.strip("|").split("|")] for line in block.splitlines()]
        for block in blocks
    ]


def test_json_holds_each_part_with_seconds_ratio_difference_and_memory(benched):
    outcome = benched("--json")
    report = outcome.document
    assert list(report) == [
        "model",
        "dtype",
        "machine",
        "versions",
        "workload",
        "heads",
        "heads_top5",
        "cna",
        "patch",
        "corpus",
        "growth",
    ]
    for part in ("heads", "cna", "patch"):
        keys = {"fast_s", "plain_s", "ratio", "max_difference", "peak_mb", "forecast_mb"}
        assert keys <= set(report[part])
        assert report[part]["max_difference"] < 1e-4
    assert report["corpus"]["layer"]["parts"] == TINY.neurons
    assert all(each["ratio"] > 0 for each in report["corpus"].values())
    assert {row["grows"] for row in report["growth"]} == {"prompts", "heads", "top", "neurons"}
    work = report["workload"]
    assert (work["prompts"], work["heads"]) == (36, TINY.layers * TINY.heads)
    assert work["neurons"] == TINY.layers * TINY.neurons
    assert (work["answer"], work["ablated"]) == ("8", "L0H1")


def test_how_long_it_takes_is_said_before_the_stages_in_their_order(benched):
    lines = benched("--only", "cna", "--json").err.splitlines()
    assert re.fullmatch(r"measuring cna: very roughly \d+ (s|min)", lines[1])
    assert [line.partition(":")[0] for line in lines[2:]] == [
        "CNA, fast",
        "CNA, fast",
        "CNA, plain",
    ]


def test_only_one_part_is_measured_where_one_is_named(benched):
    report = benched("--only", "heads", "--json").document
    assert "heads" in report
    assert not {"cna", "growth"} & set(report)


def test_a_saved_model_is_measured_too(on_tiny):
    report = on_tiny("bench", "--only", "cna", "--top", "7", "--json").document
    assert report["model"] == "tiny"
    assert report["cna"]["top"] == 7
    assert report["cna"]["same_names"]


def test_a_dtype_reaches_the_random_model(benched):
    report = benched("--only", "heads", "--dtype", "bfloat16", "--json").document
    assert report["dtype"] == "bfloat16"


def test_the_page_is_markdown_with_a_row_for_each_comparison(benched, tmp_path):
    file = tmp_path / "benchmarks.md"
    outcome = benched("--out", file)
    page = file.read_text("utf-8")
    assert page == outcome.out
    assert f"written: {file}" in outcome.err
    assert re.findall("^#+ .*$", page, re.MULTILINE) == [
        "# Benchmarks",
        "## Speed",
        "## Memory",
        "## Growth",
        "## Reading a corpus",
    ]
    found = tables(page)
    assert len(found) == 7
    for table in found:
        assert {len(row) for row in table} == {len(table[0])}
    speed, memory, *_ = found
    names = [row[0] for row in speed[2:]]
    assert names == [
        "head sweep",
        "… true top five exact",
        "CNA, first on a model",
        "CNA, again",
        "patching",
    ]
    assert [row[0] for row in memory[2:]] == ["head sweep", "CNA", "patching"]


def test_a_page_of_one_part_speaks_of_no_other(benched):
    page = benched("--only", "growth").out
    assert re.findall("^#+ .*$", page, re.MULTILINE) == ["# Benchmarks", "## Growth"]


def test_the_page_tells_of_a_peer_and_of_its_sample(benched):
    from workbench.cli.bench import page

    report = benched("--only", "heads", "--json").document
    report["peer"] = {
        "name": "transformer-lens",
        "version": "4.3.0",
        "fast_s": 2.0,
        "plain_s": 16.0,
        "ratio": 8.0,
        "max_difference": 1e-6,
        "heads": 3,
        "scaled_up": True,
    }
    text = page(report)
    last = tables(text)[0][-1]
    assert last == [
        "head sweep in transformer-lens",
        "2.00 s",
        "16.00 s",
        "**8.0×**",
        "1.0e-06 nats",
    ]
    assert "Measured on 3 heads" in text


def test_neurons_that_differ_are_said_in_bold(benched):
    from workbench.cli.bench import page

    report = benched("--only", "cna", "--json").document
    assert "did not find the same neurons" not in page(report)
    report["cna"]["same_names"] = False
    assert "**The two ways of CNA did not find the same neurons.**" in page(report)


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--only", "lens"], "--only lens: choose heads, cna, patch, corpus or growth"),
        (["--random", "llama-8b"], "unknown shape 'llama-8b'; choose llama-7b"),
        (["--random", "llama-tiny", "--model", "smollm2-135m"], "either --model or --random"),
        (["--peer", "pyvene"], "--peer pyvene: choose transformer-lens"),
        (["--peer", "transformer-lens", "--only", "cna"], "--peer compares the head sweep"),
        (["--peer-heads", "3"], "--peer-heads goes with --peer"),
        (["--peer-heads", "0"], "--peer-heads"),
        (["--out", "page.txt"], "name a .md file"),
        (["--out", "no/page.md"], "in a folder that exists"),
        (["--shots", "9"], "--shots 9 is out of range"),
        (["--random", "llama-tiny", "--device", "warp"], "device 'warp' cannot be used"),
        (["--random", "llama-tiny", "--top", "193"], "more than the 192 neurons"),
    ],
)
def test_what_cannot_be_measured_is_refused(refused, arguments, reason):
    assert reason in refused("bench", *arguments)


def test_a_peer_that_is_not_installed_is_refused_with_what_installs_it(refused, monkeypatch):
    def absent(name):
        raise PackageNotFoundError(name)

    monkeypatch.setattr("analysis.bench.peer.version", absent)
    line = refused("bench", "--peer", "transformer-lens")
    assert "not installed; pip install 'cna-workbench[peer]'" in line


def test_a_random_model_that_does_not_fit_is_not_begun(workbench, monkeypatch):
    monkeypatch.setattr("workbench.health.free_memory", lambda device: 2_000_000_000)
    outcome = workbench("bench", "--random", "llama-7b", "--device", "cpu", "--dtype", "bfloat16")
    assert (outcome.code, outcome.out) == (1, "")
    assert outcome.err == (
        "workbench: llama-7b in bfloat16 takes 13.5 GB; 2.0 GB are free on cpu\n"
    )


@pytest.mark.parametrize(
    "where", ["analysis.bench.sweeps.plain_scores", "analysis.methods.heads.frame"]
)
def test_ctrl_c_ends_it_with_130_and_nothing_on_stdout(workbench, monkeypatch, where):
    def interrupted(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(where, interrupted)
    outcome = workbench("bench", "--random", "llama-tiny", "--device", "cpu", "--only", "heads")
    assert (outcome.code, outcome.out) == (130, "")
    assert outcome.err.splitlines()[-1] == "interrupted: of a benchmark nothing is kept"


def test_the_terminal_ui_is_timed_from_outside(tiny_folder, monkeypatch, on_tiny):
    from workbench import bench_ui

    plain = bench_ui.bench_ui
    monkeypatch.setattr(bench_ui, "bench_ui", lambda given, times, tell: plain(given, 1, tell))
    monkeypatch.setattr("workbench.bench_ui.WATCHED", 0.3)
    report = on_tiny("bench", "--ui", "--json").document
    assert report["first_paint"]["replay"]["median"] > 0
    assert report["keys"]["replay"]["bytes"] > 0
    assert report["keys"]["live, sweeping"]["median"] > 0
    assert "| first paint, live | " in page_of_ui(report)


def test_the_terminal_ui_is_timed_alone(workbench):
    outcome = workbench("bench", "--ui", "--only", "heads")
    assert outcome.code == 2
    assert outcome.err.strip() == "workbench: --ui stands alone, with --model at most"
