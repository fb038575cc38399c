"""Many prompts as one sequence: what the prefix tree holds, and what each node may see."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis.model.packing import Pack, pack
from analysis.model.tokens import Encoded

CPU = torch.device("cpu")
TOKENS = st.lists(st.integers(0, 3), min_size=1, max_size=6).map(tuple)


def text(ids: tuple[int, ...], answer: tuple[int, ...]) -> Encoded:
    return Encoded(ids, frozenset(), answer)


def ancestry(packed: Pack, node: int) -> list[int]:
    """The tokens a node sees, in order of position."""
    seen = [place for place in range(len(packed.tokens)) if packed.sees[node, place]]
    return [int(packed.tokens[place]) for place in sorted(seen, key=lambda p: packed.depth[p])]


def scored_texts(packed: Pack) -> list[list[tuple[list[int], int]]]:
    """For each prompt the (tokens read, token expected) of each scored position."""
    pairs = [
        (ancestry(packed, int(node)), int(target))
        for node, target in zip(packed.scored, packed.targets, strict=True)
    ]
    starts = [0]
    for length in packed.lengths:
        starts.append(starts[-1] + length)
    return [pairs[start:end] for start, end in pairwise(starts)]


def test_prompts_that_begin_alike_share_those_tokens():
    encoded = [text((1, 2, 3), (7,)), text((1, 2, 4), (8,)), text((1, 2, 3, 5), (9,))]
    (packed,) = pack(encoded, 100, CPU)
    assert packed.tokens.tolist() == [1, 2, 3, 4, 5]
    assert packed.depth.tolist() == [0, 1, 2, 2, 3]


def test_a_prompt_that_is_another_s_beginning_adds_no_token():
    (packed,) = pack([text((1, 2, 3), (4,)), text((1, 2), (3,))], 100, CPU)
    assert packed.tokens.tolist() == [1, 2, 3]
    assert packed.scored.tolist() == [2, 1]


def test_all_but_the_last_answer_token_are_read():
    (packed,) = pack([text((1, 2), (3, 4, 5))], 100, CPU)
    assert packed.tokens.tolist() == [1, 2, 3, 4]
    assert scored_texts(packed) == [[([1, 2], 3), ([1, 2, 3], 4), ([1, 2, 3, 4], 5)]]


@settings(max_examples=200)
@given(st.lists(st.tuples(TOKENS, TOKENS), min_size=1, max_size=8), st.integers(1, 20))
def test_every_position_scored_sees_its_own_prompt_and_nothing_else(cases, limit):
    packs = list(pack([text(*case) for case in cases], limit, CPU))
    found = [each for packed in packs for each in scored_texts(packed)]
    expected = [
        [(list(ids + answer[:place]), token) for place, token in enumerate(answer)]
        for ids, answer in cases
    ]
    assert found == expected
    assert [number for packed in packs for number in packed.prompts] == list(range(len(cases)))


@settings(max_examples=100)
@given(st.lists(st.tuples(TOKENS, TOKENS), min_size=1, max_size=8), st.integers(1, 20))
def test_a_pack_holds_each_distinct_beginning_once_and_keeps_to_the_limit(cases, limit):
    for packed in pack([text(*case) for case in cases], limit, CPU):
        beginnings = set()
        for number in packed.prompts:
            path = cases[number][0] + cases[number][1][:-1]
            beginnings |= {path[: end + 1] for end in range(len(path))}
        assert len(packed.tokens) == len(beginnings)
        assert len(packed.tokens) <= limit or len(packed.prompts) == 1


def test_the_mask_lets_a_node_attend_to_its_ancestors_only():
    (packed,) = pack([text((1, 2), (0,)), text((1, 3), (0,))], 100, CPU)
    allowed = packed.mask(torch.float32)[0, 0] == 0
    assert allowed.tolist() == [
        [True, False, False],
        [True, True, False],
        [True, False, True],
    ]
    assert packed.mask(torch.bfloat16).min() == torch.finfo(torch.bfloat16).min


def test_a_window_counts_positions_in_the_prompt_not_places_in_the_pack():
    encoded = [text((1, 2, 3, 4), (0,)), text((1, 2, 5, 6), (0,))]
    (packed,) = pack(encoded, 100, CPU)
    allowed = packed.mask(torch.float32, window=2)[0, 0] == 0
    seen = [[int(packed.tokens[p]) for p in row.nonzero()] for row in allowed]
    assert seen == [[1], [1, 2], [2, 3], [3, 4], [2, 5], [5, 6]]


@pytest.mark.parametrize("length", [1, 5])
def test_a_single_prompt_is_an_ordinary_causal_sequence(length):
    (packed,) = pack([text(tuple(range(length)), (9,))], 1, CPU)
    assert packed.sees.tolist() == torch.ones(length, length).tril().bool().tolist()
    assert packed.depth.tolist() == list(range(length))
