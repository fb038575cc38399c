"""The paper's numbers (Yu & Ananiadou, EMNLP 2024), as data. Accuracies and decreases in percent.

None: lost in the copy of the paper that this was read from. Llama-7B unless a table says GPT-J.
"""

from __future__ import annotations

from typing import TypeAlias

Grid: TypeAlias = dict[str, tuple[float | None, ...]]
Ranking: TypeAlias = tuple[tuple[str | None, float | None], ...]
"""Heads in order with the accuracy that is left without each; the intact model first, unnamed."""

HEADS: dict[str, tuple[tuple[str, ...], Grid]] = {
    "T1": (
        ("L17H22", "L15H9", "L14H19", "L15H23", "L16H1"),
        {
            "all": (74.8, 53.4, 62.1, 62.7, 68.1, 68.7),
            "+": (96.8, 42.9, 83.2, 92.5, 89.7, 91.6),
            "-": (94.4, 72.3, 84.6, 93.2, 86.5, 79.1),
            "*": (56.6, 50.5, 50.9, 51.3, 52.3, 56.9),
            "/": (51.4, 48.2, 29.5, 13.8, 43.8, 47.1),
        },
    ),
    "T18": (
        ("L7H0", "L13H9", "L0H11", "L15H6", "L14H14"),
        {
            "all": (74.5, 63.6, 64.4, 65.0, 68.8, 70.8),
            "+": (97.0, 95.0, 94.0, 98.0, 95.0, 97.0),
            "-": (78.6, 63.6, 41.8, 63.6, 74.5, 80.0),
            "*": (71.0, 54.0, 72.0, 53.0, 59.0, 72.0),
            "/": (51.5, 42.0, 50.0, 45.6, 46.7, 34.4),
        },
    ),
}
"""Accuracy intact and without each of the top five heads (Tables 1 and 18)."""

FEW_HEADS = {
    "T1": "few heads matter: 3 of 1,024 cost 10 points of accuracy or more",
    "T18": "few heads matter in GPT-J too: 2 of 448 cost 10 points of accuracy or more",
}
"""What the paper says (section 3.3), and what Table 18 shows: 74.5 to 63.6 and 64.4."""

BY_DIGITS: dict[str, tuple[str, tuple[float, float, float]]] = {
    "+": ("L17H22", (46.5, 58.4, 52.5)),
    "-": ("L17H22", (62.2, 52.6, 56.9)),
    "*": ("L20H18", (6.8, 11.2, 8.1)),
    "/": ("L14H19", (54.9, 71.8, 53.2)),
}
"""Decrease without the most important head at 1, 2 and 3 digits (Table 2)."""

MARKS: dict[str, tuple[float, float]] = {
    "+": (59.2, 57.1),
    "-": (49.8, 65.5),
    "*": (11.6, 11.3),
    "/": (63.6, 75.2),
}
"""Decrease on memorize and on change-one tokens (Table 3)."""

TOP_FIVE: dict[str, tuple[Ranking, Ranking, Ranking]] = {
    "T24": (
        ((None, None), (None, None), (None, None), ("L6H20", 84.1), (None, None), ("L14H19", 84.1)),
        ((None, None), (None, None), (None, None), ("L13H2", 87.9), (None, None), (None, None)),
        ((None, None), (None, None), (None, None), ("L15H23", 83.5), (None, None), (None, None)),
    ),
    "T25": (
        ((None, None), (None, None), (None, None), (None, None), ("L15H23", 53.0), (None, None)),
        ((None, None), (None, None), (None, None), (None, None), ("L13H2", 61.8), (None, None)),
        ((None, None), (None, None), (None, None), ("L15H23", 29.3), (None, None), (None, None)),
    ),
    "T26": (
        (
            (None, 93.0),
            (None, None),
            ("L20H18", 86.7),
            ("L6H24", 87.3),
            (None, None),
            ("L0H30", 89.2),
        ),
        (
            (None, 56.9),
            (None, None),
            (None, None),
            ("L17H22", 50.5),
            (None, None),
            ("L3H5", 51.6),
        ),
        (
            (None, 32.8),
            ("L3H5", 25.9),
            ("L15H9", 29.7),
            ("L14H19", 30.3),
            (None, None),
            ("L2H14", 31.1),
        ),
    ),
    "T27": (
        (
            (None, 78.9),
            ("L14H19", 35.6),
            ("L15H9", 61.1),
            ("L21H24", 65.6),
            ("L6H24", 67.8),
            ("L16H21", 68.9),
        ),
        (
            (None, 48.6),
            ("L14H19", 13.7),
            ("L12H1", 30.2),
            ("L3H3", 31.4),
            ("L16H21", 36.9),
            ("L1H29", 38.8),
        ),
        (
            (None, 19.0),
            ("L14H19", 9.67),
            ("L3H3", 12.7),
            ("L12H1", 13.0),
            ("L6H22", 13.3),
            ("L15H9", 13.7),
        ),
    ),
}
"""Accuracy intact and without each of an operation's top five heads at 1, 2, 3 digits."""

CASE: tuple[tuple[str, tuple[float, float, float, float], str], ...] = (
    ("L28N3696", (0.82, 0.13, 6.21, 0.95), "8, eight, VIII, huit, acht, otto"),
    ("L25N7164", (0.31, 0.07, 8.44, 2.08), "six, eight, acht, Four, twelve, vier"),
    ("L19N5769", (0.20, 0.06, 3.79, 1.28), "eight, VIII, 8, III, huit, acht"),
)
"""Neuron, importance and coefficient intact and without L17H22, tokens (Table 4)."""

CIRCUITS: dict[str, Grid] = {
    "T5": {
        "mask": (100.0, 96.0, 89.5, 86.8, 68.4),
        "keep": (3.9, 7.8, 13.2, 18.4, 38.2),
        "coefficient": (None, 60.4, 67.2, 72.7, 77.1),
    },
    "T15": {
        "mask": (84.6, 82.1, 74.4, 66.7, 51.3),
        "keep": (48.7, 51.3, 53.9, 53.9, 64.2),
        "coefficient": (50, 61, 67, 70, 73),
    },
    "T19": {
        "mask": (58.4, 45.9, 33.4, 25, 25),
        "keep": (37.5, 50, 54.1, 83.4, 95.9),
        "coefficient": (17, 20, 21, 23, 29),
    },
}
"""Decrease for the top 99, 50, 30, 20, 10 neurons (Tables 5, 15, 19)."""

LOWEST: dict[str, tuple[float, ...]] = {
    "T6": (15.8, 14.8, 12.5, 9.5, 4.4),
    "T16": (1.3, 0.9, 3.2, 4.9, 7.0),
    "T20": (1.9, 1.7, 1.6, 1.2, 1.9),
}
"""Decrease of the others' coefficients without the lowest neuron (Tables 6, 16, 20)."""

TRANSFORMED: tuple[tuple[str, str, str | None], ...] = (
    ("L12N4072", "rd, quarters, PO", "III, three, Three, 3, triple"),
    ("L11N2258", "enz, Trace, lis, vid, suite, HT, ung, icano", None),
    ('word "3"', "rd, rum, quarters, Af, EXISTS, raum", "three, Three, RGB, triple, 3, triangle"),
    ('word "5"', "th, esa, gi, AXI, gal, ides, Inject, san, IDE", None),
)
"""Tokens as it stands and behind attention layer 15 (Table 7)."""

HIDDEN: dict[str, Grid] = {
    "T8": {"neurons": (51_980, 10_426, 1_953, 510), "accuracy": (98.7, 68.4, 53.9, 43.4)},
    "T17": {"neurons": (51_980, 10_426, None, 510), "accuracy": (97.5, 82.1, None, 25.7)},
    "T21": {"neurons": (None, 4_272, 1_228, 564), "accuracy": (None, 100.0, 83.4, 20.8)},
}
"""Size and accuracy decrease of the hidden-interpretable sets at M = 0, 1, 2, 3."""

HIDDEN_RANDOM = {"T8": (2, 2.6), "T17": (1, 5.1)}
"""For which M the paper gives a random set of equal size, and the decrease it costs."""

CHAIN = {
    1: "L11N2258, L12N4072, word 3, word 5",
    2: "attention layers up to 16",
    3: "L17H22",
    4: "L19N5769, L25N7164, L28N3696",
}
"""The four stages for 3+5 (Figure 1, section 4.5)."""

LORA_ORIGINAL = 62.96
"""Accuracy before any fine-tuning on 2-digit arithmetic (section 5)."""
LORA_ACCURACY = {"shallow": "around 90", "middle": "falling", "deep": "falling more slowly"}
"""What section 5 says of Figure 2; its numbers are in the picture only."""

LORA_CASE: tuple[tuple[str, tuple[float, ...]], ...] = (
    ("L28N3696", (6.2, 3.6, 6.3, 3.9, 5.7, 4.1)),
    ("L25N7164", (8.4, 16.1, 11.8, 11.0, 13.9, 9.7)),
    ("L19N5769", (3.8, 9.2, 7.7, 6.1, 5.1, 3.8)),
)
"""Neuron, its coefficient in the original and with LoRA on layer 9, 15, 16, 19, 20 (Table 9)."""

LORA_INCREASE: Grid = {
    "shallow": (42, 49, 57, 59),
    "middle": (29, 36, 44, 53),
    "deep": (2, 11, 14, 28),
}
"""Mean increase of the top 50, 30, 20, 10 neurons' coefficients (Table 10)."""

PRUNED_FROM, PRUNED_LORA = 17, 9
"""The lowest pruned layer and the adapted one, of 32 (section 6.1)."""
PRUNED = {"original": 62.9, "LoRA": 89.3, "pruned + LoRA": 82.3, "random + LoRA": 17.1}
"""Accuracy of the whole and the pruned model (Table 11)."""

BIASED: tuple[tuple[str, tuple[float, float], str], ...] = (
    ("L22N2651", (6.48, 1.53), "maid, domestic, servant, servitor"),
    ("L19N8436", (3.39, 0.14), "nurse, secretary, typing, reception"),
)
"""Neurons with their coefficients about a woman and a man, and their tokens (Table 12)."""

GAPS = {"origin": (1.26, 1.45, 1.08), "edited": (0.81, 1.04, 0.59)}
"""Mean gap in log-probability, in all, of woman-biased, of man-biased professions (Table 13)."""
