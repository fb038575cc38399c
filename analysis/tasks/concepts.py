"""Words for numbers and operations, and the tokens of a vocabulary that are such words.

The words behind the zero-shot search for hidden-interpretable neurons (paper section 4.4). Left out
is what is more often something else: single Roman letters, `second`, Spanish `once`, hyphen and
slash.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from analysis.errors import InputError

_ENGLISH = """
zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen
sixteen seventeen eighteen nineteen twenty thirty forty fifty sixty seventy eighty ninety hundred
thousand million billion third fourth fifth sixth seventh eighth ninth tenth number numbers
numeral numerals numeric digit digits
"""
_ROMAN = "II III IV VI VII VIII IX Ⅱ Ⅲ Ⅳ Ⅴ Ⅵ Ⅶ Ⅷ Ⅸ Ⅹ"
_LATIN_SCRIPT = """
deux trois quatre cinq huit neuf
uno tres cuatro cinco seis siete ocho nueve diez
dois três quatro oito
quattro cinque sette otto dieci
eins zwei drei vier fünf sechs sieben acht neun zehn
två fyra åtta nio tio vijf negen tien
cztery pięć sześć siedem osiem dziewięć dziesięć
octo
"""
_OTHER_SCRIPTS = """
один два три четыре пять шесть семь восемь девять десять
零 一 二 三 四 五 六 七 八 九 十 百 千
０ １ ２ ３ ４ ５ ６ ７ ８ ９
٠ ١ ٢ ٣ ٤ ٥ ٦ ٧ ٨ ٩
० १ २ ३ ४ ५ ६ ७ ८ ९
⁰ ¹ ² ³ ⁴ ⁵ ⁶ ⁷ ⁸ ⁹ ₀ ₁ ₂ ₃ ₄ ₅ ₆ ₇ ₈ ₉ ① ② ③ ④ ⑤ ⑥ ⑦ ⑧ ⑨
"""
_OPERATIONS = """
plus add adds added adding addition sum sums
minus subtract subtracts subtracted subtracting subtraction
times multiply multiplies multiplied multiplying multiplication product products
divide divides divided dividing division quotient remainder
equal equals arithmetic
+ − × ÷ = ± ＋ － ＝ ∑
"""
_LARGEST_NUMERAL = 100

CONCEPTS: tuple[str, ...] = tuple(
    dict.fromkeys(
        [
            *map(str, range(_LARGEST_NUMERAL + 1)),
            *_ENGLISH.split(),
            *_ROMAN.split(),
            *_LATIN_SCRIPT.split(),
            *_OTHER_SCRIPTS.split(),
            *_OPERATIONS.split(),
        ]
    )
)
"""Numbers and operations in digits, words, signs, other languages and scripts."""
CONCEPTS_NAME = "numbers and operations"


def read_concepts(text: str) -> tuple[str, tuple[str, ...]]:
    """Words as the user gives them: a comma list, or a text file with one word a line.

    Returns:
        What to call them, and the words.

    Raises:
        InputError: the file cannot be read, or there is no word.
    """
    if os.path.isfile(text) or _names_a_file(text):
        path = Path(text)
        name, words = path.stem, _lines(path)
        where = path.name
    else:
        name, words = text, text.split(",")
        where = "--concepts"
    found = tuple(dict.fromkeys(filter(None, map(str.strip, words))))
    if not found:
        raise InputError(f"{where} holds no words; give a comma list or a file with one a line")
    if name == text:
        name = ", ".join(found[:4]) + (f" and {len(found) - 4} more" if len(found) > 4 else "")
    return name, found


def _names_a_file(text: str) -> bool:
    """Whether this can only be meant as a file: one word with an ending such as .txt."""
    return "," not in text and re.search(r"\w\.[A-Za-z]\w*$", text) is not None


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8 text"
        raise InputError(f"cannot read concepts from {path.name}: {reason}") from error
