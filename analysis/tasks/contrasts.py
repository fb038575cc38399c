"""Tasks whose cases come with a second prompt: what differs between the two is what is looked for.

Each is drawn with a seed from lists of common words, so that most tokenizers hold every word in
one token. What does not fit a tokenizer is left out before a step runs (`PromptSet.fitted`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from random import Random

from analysis.errors import InputError
from analysis.tasks.prompts import Prompt, PromptSet

Draw = Callable[[Random], Prompt]
ATTEMPTS = 200
"""Draws for each case that is wanted, before a task is said to have no more of them."""

WOMEN = ("Mary", "Anna", "Sarah", "Laura", "Alice", "Emma", "Kate", "Jane", "Lisa", "Susan")
MEN = ("John", "Tom", "James", "Paul", "Mark", "David", "Peter", "George", "Robert", "Jack")
NAMES = WOMEN + MEN

GIVING = (
    "When {a} and {b} went to the {place}, {s} gave a {thing} to",
    "After {a} and {b} met at the {place}, {s} handed a {thing} to",
    "While {a} and {b} were at the {place}, {s} passed a {thing} to",
    "Then {a} and {b} came to the {place}, and {s} offered a {thing} to",
)
PLACES = ("store", "school", "park", "office", "station", "hospital", "market", "house")
THINGS = ("drink", "book", "ring", "letter", "ball", "key", "gift", "map")

LASTING = "The {noun} lasted from the year {century}{start} to the year {century}"
NOUNS = ("war", "siege", "project", "reign", "voyage", "trial", "dispute", "campaign", "journey")
CENTURIES = range(11, 19)

CAPITALS = {
    "France": "Paris",
    "Italy": "Rome",
    "Germany": "Berlin",
    "Spain": "Madrid",
    "Russia": "Moscow",
    "China": "Beijing",
    "Japan": "Tokyo",
    "England": "London",
    "Egypt": "Cairo",
    "Greece": "Athens",
    "Ireland": "Dublin",
    "Austria": "Vienna",
    "Cuba": "Havana",
    "Iraq": "Baghdad",
    "Iran": "Tehran",
    "Poland": "Warsaw",
    "Sweden": "Stockholm",
    "Norway": "Oslo",
    "Portugal": "Lisbon",
    "Denmark": "Copenhagen",
    "Belgium": "Brussels",
    "Canada": "Ottawa",
    "Scotland": "Edinburgh",
}
ASKING_CAPITAL = (
    "The capital of {} is",
    "The capital city of {} is called",
    "Q: What is the capital of {}?\nA:",
)
LANGUAGES = {
    "France": "French",
    "Italy": "Italian",
    "Germany": "German",
    "Spain": "Spanish",
    "Russia": "Russian",
    "China": "Chinese",
    "Japan": "Japanese",
    "England": "English",
    "Greece": "Greek",
    "Portugal": "Portuguese",
    "Poland": "Polish",
    "Sweden": "Swedish",
    "Egypt": "Arabic",
    "Turkey": "Turkish",
    "Korea": "Korean",
}
CURRENCIES = {
    "Japan": "yen",
    "Mexico": "peso",
    "China": "yuan",
    "England": "pound",
    "Germany": "euro",
    "America": "dollar",
    "Korea": "won",
    "Switzerland": "franc",
    "Turkey": "lira",
}
FACTS = {
    "language": (LANGUAGES, ("The official language of {} is", "The people of {} speak")),
    "currency": (CURRENCIES, ("The currency of {} is the", "In {} people pay with the")),
}

ADMIRED = ("friend", "teacher", "singer", "student", "doctor", "writer", "driver", "cook")
PRAISE = ("great", "good", "nice", "kind")

DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
MONTHS = (
    *("January", "February", "March", "April", "May", "June"),
    *("July", "August", "September", "October", "November", "December"),
)
NUMBERS = ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
LETTERS = tuple("ABCDEFGHIJKLMNOPQRSTUVWXYZ")
SERIES = {"days": DAYS, "months": MONTHS, "numbers": NUMBERS, "letters": LETTERS}
RUN = 3
"""Members of a series that a prompt shows before the one that is asked for."""

COMMON = (
    *("time", "water", "house", "light", "book", "road", "tree", "stone", "river", "music"),
    *("table", "paper", "night", "horse", "bread", "glass", "ship", "field", "king", "city"),
    *("door", "fire", "wind", "snow", "bird", "gold", "salt", "moon", "garden", "window"),
)
REPEATED = 8
"""Words that are said twice, the second time up to the one that is asked for."""


def contrasting(name: str, cases: int, seed: int) -> PromptSet:
    """So many different cases of a task, each with a corrupt prompt and wrong answers.

    Args:
        name: one of `CONTRASTS`.
        cases: how many.
        seed: the same one draws the same cases.

    Raises:
        InputError: it has not so many.
    """
    found = tuple(islice(_distinct(CONTRASTS[name], Random(f"{seed} {name}")), cases))
    if not 0 < len(found) == cases:
        raise InputError(f"--cases {cases}: {name} has only {len(found):,}")
    return PromptSet(name=name, prompts=found, only_fitting=True)


def _distinct(draw: Draw, random: Random) -> Iterator[Prompt]:
    seen: set[Prompt] = set()
    tries = 0
    while tries < ATTEMPTS:
        case = draw(random)
        tries += 1
        if case not in seen:
            seen.add(case)
            tries = 0
            yield case


def _indirect_object(random: Random) -> Prompt:
    """Who is given something: the one of two who does not give (Wang et al. 2022).

    The corrupt prompt lets the other one give, so that it is the first one who is given it.
    """
    subject, receiver = random.sample(NAMES, 2)
    template = random.choice(GIVING)
    place, thing = random.choice(PLACES), random.choice(THINGS)
    receiver_first = random.random() < 0.5
    a, b = (receiver, subject) if receiver_first else (subject, receiver)

    def said(giver: str) -> str:
        return template.format(a=a, b=b, s=giver, place=place, thing=thing)

    return Prompt(
        prompt=said(subject),
        corrupt=said(receiver),
        answer=f" {receiver}",
        wrong=f" {subject}",
        group="ABBA" if receiver_first else "BABA",
    )


def _greater_than(random: Random) -> Prompt:
    """A year that a span of time can end in: later than it began (Hanna et al. 2023).

    Tokenizers that write a year in single digits are asked for the decade, others for both digits;
    a case of the other kind fits no tokenizer of one. In the corrupt prompt it began in year 01.
    """
    noun, century = random.choice(NOUNS), random.choice(CENTURIES)
    digits = random.choice((1, 2))
    start = random.randrange(20, 80) if digits == 1 else random.randrange(10, 90)
    border = start // 10 if digits == 1 else start

    def said(year: int) -> str:
        return LASTING.format(noun=noun, century=century, start=f"{year:02}")

    return Prompt(
        prompt=said(start),
        corrupt=said(1),
        answer=tuple(f"{each:0{digits}}" for each in range(border + 1, 10**digits)),
        wrong=tuple(f"{each:0{digits}}" for each in range(border)),
        group=("decade", "year")[digits - 1],
    )


def _capital(random: Random) -> Prompt:
    """The capital of a country; the corrupt prompt asks for that of another."""
    return _looked_up(random, CAPITALS, ASKING_CAPITAL, "")


def _fact(random: Random) -> Prompt:
    """The language or the currency of a country."""
    group = random.choice(tuple(FACTS))
    return _looked_up(random, *FACTS[group], group)


def _looked_up(
    random: Random, known: Mapping[str, str], templates: Sequence[str], group: str
) -> Prompt:
    one, other = random.sample(tuple(known), 2)
    template = random.choice(templates)
    return Prompt(
        prompt=template.format(one),
        corrupt=template.format(other),
        answer=f" {known[one]}",
        wrong=f" {known[other]}",
        group=group,
    )


def _pronoun(random: Random) -> Prompt:
    """The pronoun that takes up a name; in the corrupt prompt it is a name of the other gender."""
    woman, man = random.choice(WOMEN), random.choice(MEN)
    pairs = [(woman, " she"), (man, " he")]
    random.shuffle(pairs)
    (name, answer), (other, wrong) = pairs
    text = f"is a really {random.choice(PRAISE)} {random.choice(ADMIRED)}, isn't"
    return Prompt(
        prompt=f"So {name} {text}",
        corrupt=f"So {other} {text}",
        answer=answer,
        wrong=wrong,
        group=answer.strip(),
    )


def _successor(random: Random) -> Prompt:
    """What follows in a series of days, months, numbers or letters."""
    group = random.choice(tuple(SERIES))
    series = SERIES[group]
    one, other = random.sample(range(len(series) - RUN), 2)
    shown = [", ".join(series[start : start + RUN]) + "," for start in (one, other)]
    return Prompt(
        prompt=shown[0],
        corrupt=shown[1],
        answer=f" {series[one + RUN]}",
        wrong=f" {series[other + RUN]}",
        group=group,
    )


def _repeated(random: Random) -> Prompt:
    """Random words said twice: what followed a word the first time follows it again.

    In the corrupt prompt another word followed it the first time (Olsson et al. 2022).
    """
    *words, other = random.sample(COMMON, REPEATED + 1)
    place = random.randrange(2, REPEATED)
    changed = [*words[:place], other, *words[place + 1 :]]
    again = words[:place]
    return Prompt(
        prompt=" ".join([*words, *again]),
        corrupt=" ".join([*changed, *again]),
        answer=f" {words[place]}",
        wrong=f" {other}",
    )


CONTRASTS: dict[str, Draw] = {
    "ioi": _indirect_object,
    "greater-than": _greater_than,
    "capitals": _capital,
    "gender-pronoun": _pronoun,
    "successor": _successor,
    "induction": _repeated,
    "facts": _fact,
}
"""These tasks by name; each draws a case."""

ROLES = {"ioi": {"answer": "indirect object", "wrong answer": "subject", "differs": "giver"}}
"""What tasks call the roles of positions (`analysis.tasks.roles`) in their prompts."""
