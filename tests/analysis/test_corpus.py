"""Reading a corpus: beside a pass that stores every value, and gone on with after an end."""

from __future__ import annotations

import math
import random
from collections import Counter, defaultdict
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl
import pytest
import torch
from polars.testing import assert_frame_equal

from analysis.methods.attention import head_output
from analysis.methods.corpus import reading as corpus_method
from analysis.methods.corpus.values import Watch
from analysis.model.trace import trace
from analysis.refs import HeadRef, NeuronRef
from analysis.steps import CorpusStep, ProjectStep
from analysis.tasks.corpora import Corpus
from sessions import Session, record

if TYPE_CHECKING:
    from analysis.model.model import Model

PARTS = ("L2N5", "L1N3", "L1H2", "L1N0", "L2H0")
WINDOW, ABOVE, CONTEXTS = 24, 0.02, 4
WORDS = [
    "the",
    "sea",
    "and",
    "one",
    "two",
    "three",
    "is",
    "in",
    "sum",
    "to",
    "12",
    "345",
    "Anna;",
    "(no)",
]


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Documents of one to a hundred tokens, some of them the same."""
    chance = random.Random(3)
    lengths = [chance.choice((1, 3, 8, 30)) for _ in range(120)]
    documents = [" ".join(chance.choices(WORDS, k=length)) for length in lengths]
    path = tmp_path_factory.mktemp("corpus") / "words.txt"
    path.write_text("\n\n".join([*documents, *documents[:9]]) + "\n")
    return path


@pytest.fixture
def step(text: Path, monkeypatch: pytest.MonkeyPatch) -> CorpusStep:
    """A reading in seven pieces."""
    monkeypatch.setattr(corpus_method, "PIECE_BYTES", text.stat().st_size // 7)
    monkeypatch.setitem(corpus_method.BATCH, "cpu", 96)
    monkeypatch.setattr(corpus_method, "BATCHES", 3)
    monkeypatch.setattr(corpus_method, "TOKENIZED", 1)
    return CorpusStep(
        parts=PARTS, text=Corpus.at(text), contexts=CONTEXTS, window=WINDOW, above=ABOVE
    )


def plain_values(model: Model, ids: list[int]) -> list[list[float]]:
    """The values of the parts at every token of a sequence that is run alone."""
    seen: dict[tuple[int, str], torch.Tensor] = {}
    hf = model.hf.model.layers
    with ExitStack() as stack:
        for layer in (1, 2):
            for name, module in (("N", hf[layer].mlp.down_proj), ("H", hf[layer].self_attn.o_proj)):

                def keep(module, args, key=(layer, name)):
                    seen[key] = args[0][0].detach().float()

                stack.callback(module.register_forward_pre_hook(keep).remove)
        with torch.no_grad():
            model.hf(input_ids=torch.tensor([ids]))
    found = []
    for part in PARTS:
        layer, kind, index = int(part[1]), part[2], int(part[3:])
        x = seen[layer, kind]
        if kind == "N":
            found.append(x[:, index].tolist())
        else:
            width = x.shape[1] // model.info.heads
            here = slice(index * width, (index + 1) * width)
            written = x[:, here] @ hf[layer].self_attn.o_proj.weight[:, here].float().T
            found.append(written.norm(dim=-1).tolist())
    return found


class Plain:
    """Every value of every part, and what follows from them by counting."""

    def __init__(self, model: Model, path: Path) -> None:
        special = len(model.tokenizer("a").input_ids) - len(
            model.tokenizer("a", add_special_tokens=False).input_ids
        )
        room, overlap = WINDOW - special, (WINDOW - special) // 4
        self.values: dict[str, list[tuple[float, int, int]]] = defaultdict(list)
        self.tokens: dict[tuple[int, int], int] = {}
        for number, document in enumerate(path.read_text().strip().split("\n\n")):
            whole = model.tokenizer(document).input_ids
            before, ids = whole[:special], whole[special:]
            start = 0
            while start < len(ids):
                first = max(start - overlap, 0)
                read = ids[first : first + room]
                values = plain_values(model, before + read)
                for place in range(start, first + len(read)):
                    self.tokens[number, place] = ids[place]
                    for part, each in zip(PARTS, values, strict=True):
                        value = each[place - first + special]
                        self.values[part].append((value, number, place))
                start = first + len(read)

    def ends(self, part: str, largest: bool) -> list[tuple[float, int, int]]:
        best: dict[int, tuple[float, int, int]] = {}
        for each in self.values[part]:
            known = best.get(each[1])
            if known is None or (each[0] > known[0] if largest else each[0] < known[0]):
                best[each[1]] = each
        return sorted(best.values(), key=lambda each: -each[0] if largest else each[0])

    def firings(self, part: str, level: float) -> list[tuple[int, int]]:
        return [(number, place) for value, number, place in self.values[part] if abs(value) > level]

    def lifts(self, part: str, level: float, behind: int) -> dict[int, tuple[float, int]]:
        every = Counter(self.tokens.values())
        places = [(number, place + behind) for number, place in self.firings(part, level)]
        found = [self.tokens[each] for each in places if each in self.tokens]
        counts = Counter(found)
        total = sum(every.values())
        return {
            token: (count / len(found) / (every[token] / total), count)
            for token, count in counts.items()
            if count >= 5
        }


@pytest.fixture(scope="module")
def plain(llama: Model, text: Path) -> Plain:
    return Plain(llama, text)


def read(step: CorpusStep, model: Model) -> tuple[pl.DataFrame, dict[str, float]]:
    """What is shown of a whole reading, and above what each part fires."""
    work = step.bound(model)
    rows = step.ranked(pl.concat(list(work.frames(()))))
    return rows, dict.fromkeys(PARTS, ABOVE) | work.baseline["head_levels"]


def test_the_largest_and_smallest_are_those_of_all_values_one_a_document(
    step: CorpusStep, llama: Model, plain: Plain
):
    rows, _ = read(step, llama)
    for part in PARTS:
        for kind in ("top", "bottom"):
            wanted = plain.ends(part, kind == "top")[:CONTEXTS]
            found = rows.filter(name=part, kind=kind)
            assert found["rank"].to_list() == [1, 2, 3, 4]
            assert found["value"].to_list() == pytest.approx([each[0] for each in wanted], abs=1e-5)
            values = {(number, place): value for value, number, place in plain.values[part]}
            for row in found.iter_rows(named=True):
                place = (row["document"], row["position"])
                assert values[place] == pytest.approx(row["value"], abs=1e-5)
                assert row["tokens"][row["at"]] == row["token"]
                assert llama.token(plain.tokens[place]) == row["token"]
                assert row["values"][row["at"]] == pytest.approx(row["value"])
                assert row["context"] == "".join(row["tokens"])
                around = range(place[1] - row["at"], place[1] - row["at"] + len(row["tokens"]))
                texts = [llama.token(plain.tokens[place[0], each]) for each in around]
                assert row["tokens"] == texts


def test_shares_quantiles_and_lifts_are_counted_right(step: CorpusStep, llama: Model, plain: Plain):
    rows, levels = read(step, llama)
    for part in PARTS:
        every = sorted(value for value, _, _ in plain.values[part])
        (share,) = rows.filter(name=part, kind="share")["value"]
        fired = len(plain.firings(part, levels[part]))
        assert share == pytest.approx(fired / len(every), abs=1.5 / len(every))
        for percent, value in rows.filter(name=part, kind="quantile")["rank", "value"].iter_rows():
            exact = every[math.ceil(percent / 100 * len(every)) - 1]
            assert value == pytest.approx(exact, rel=1 / 64 + 1e-3, abs=2e-5)
        for kind, behind in (("fires", 0), ("next", 1)):
            lifts = plain.lifts(part, levels[part], behind)
            found = rows.filter(name=part, kind=kind)
            if share > 0.5:  # it fires nearly everywhere, so that no token stands out
                assert found.is_empty()
                continue
            above = [lift for lift, _ in lifts.values() if lift > 1]
            best = sorted(above, reverse=True)[:CONTEXTS]
            assert best
            assert found["value"].to_list() == pytest.approx(best, rel=2e-2)
            counts = {llama.token(token): count for token, (_, count) in lifts.items()}
            for token, count in found["token", "count"].iter_rows():
                assert abs(counts[token] - count) <= 1


def test_a_reading_that_was_ended_goes_on_where_it_was(
    step: CorpusStep, llama: Model, monkeypatch: pytest.MonkeyPatch
):
    whole = pl.concat(list(step.run(llama)))
    seen: list[int] = []
    values = Watch.values

    def counted(self: Watch, tokens: torch.Tensor) -> torch.Tensor:
        seen.append(tokens.numel())
        return values(self, tokens)

    monkeypatch.setattr(Watch, "values", counted)
    list(step.run(llama))
    all_at_once = sum(seen)
    with Session.create("ended", llama.info, seed=0) as session:
        seen.clear()
        updates = record(session, step, llama)
        for _ in range(4):  # Started, and three pieces
            next(updates)
        updates.close()
        again = record(session, step, llama, resume=session.step(1))
        list(again)
        # Nothing is read twice but the beginning, which says how large heads' outputs are.
        assert sum(seen) <= all_at_once * 1.2
        rows = session.step(1).rows()
    assert rows.height == 7 * len(PARTS)
    assert_frame_equal(step.ranked(rows), step.ranked(whole))


def test_a_piece_that_is_lost_is_read_again_and_the_others_stay(
    step: CorpusStep, llama: Model, monkeypatch: pytest.MonkeyPatch
):
    frames = list(step.run(llama))
    work = step.bound(llama)
    kept = pl.concat(frames[:2] + frames[3:])
    assert work.recall is not None
    work.recall(kept)
    found = list(work.frames(set(kept["row"])))
    assert [each["row"][0] for each in found] == ["piece 3 of 7"]
    both = pl.concat([kept, *found])
    assert_frame_equal(step.ranked(both), step.ranked(pl.concat(frames)))


def test_a_sample_has_the_value_that_its_quantile_says(step: CorpusStep, llama: Model):
    rows, _ = read(step, llama)
    for part in PARTS:
        samples = rows.filter(name=part, kind="sample")
        quantiles = dict(rows.filter(name=part, kind="quantile")["rank", "value"].iter_rows())
        assert samples.height >= 3
        for rank, value in samples["rank", "value"].iter_rows():
            if abs(value) > 2**-5:
                assert value / quantiles[rank] == pytest.approx(1, abs=1)


def test_values_are_those_of_a_run_to_their_token(model: Model, ids: tuple[int, ...]):
    parts = [HeadRef(1, 3), NeuronRef(2, 7), NeuronRef(0, 1), HeadRef(1, 0), NeuronRef(2, 3)]
    tokens = torch.tensor([[*ids, *([0] * 5)], [*ids[::-1], *ids[:5]]])
    if model.behind:  # such a model reads a longer sequence otherwise
        tokens = tokens[:, : len(ids)]
    values = Watch(model, parts).values(tokens)
    assert values.shape == (*tokens.shape, len(parts))
    run = trace(model, ids)
    for part, value in zip(parts, values[0, len(ids) - 1].tolist(), strict=True):
        if isinstance(part, NeuronRef):
            wanted = run.coefficients[part.layer, part.index].item()
        else:
            wanted = head_output(model, ids, part.layer, part.index, run).norm().item()
        assert value == pytest.approx(wanted, rel=1e-3, abs=1e-5)


def test_what_a_neuron_writes_stands_beside_what_it_reads(step: CorpusStep, llama: Model):
    found, _ = read(step, llama)
    written = found.filter(kind="writes")
    assert set(written["name"]) == {"L2N5", "L1N3", "L1N0"}
    project = ProjectStep(source="L2N5", reading="specific", top=10)
    (rows,) = project.run(llama)
    promoted = project.ranked(rows).head(10)
    own = written.filter(name="L2N5")
    assert own["token"].to_list() == promoted["token"].to_list()
    assert own["value"].to_list() == pytest.approx(promoted["specific"].to_list())
