"""Greater than: a number that ends a span has to be larger than the one that begins it.

The prompt ends inside the second number, after the digits that both numbers share. Which digits come next depends on
the tokenizer: two of them (GPT-2), one of them (tokenizers that split numbers into digits), or the last of groups of
three. Right are all next tokens that make the second number larger; the foils make it smaller, or equal. A next digit
that leaves this open, because more digits follow, is neither. Without the ability a large number is a good guess, so
compare with the corrupted prompts, and read `choice_prob` and the logit difference rather than accuracy.

The slot `number` holds the digits of the first number that decide, and `rest` those behind them, if there are any. So
the position `number` is a token that the corruption changes.
"""

from interp_emerge.abilities import shelf
from interp_emerge.abilities._wordings import Corruption, Scene, Setting, Wordings
from interp_emerge.core.source import Source

TEMPLATES = {
    "years": "The {event} lasted from the year {number}{rest} to the year {begun}",
    "prices": "The price of the {good} went up from ${number}{rest} to ${begun}",
    "sequence": "{first}, {second}, {number}{rest}, {begun}",
}
PARAPHRASES = {
    "years, born": "The {event} started in {number}{rest} and ended in {begun}",
    "prices, paid": "First they asked ${number}{rest} for the {good}, and later even ${begun}",
}
CUTS = ((2, 2), (2, 1), (3, 1))
"""Digits of the second number that the prompt gives, and digits of the token that follows, in order of preference."""
ENDINGS = range(1, 88)
"""Last two digits of every number. A split halves this range, whatever part of it is drawn from."""
PROBES = ("1743", "1862", "1538", "1657", "1384", "1929")


def cut_of(setting: Setting) -> tuple[int, int]:
    """How the tokenizer cuts most numbers of four digits."""
    for given, follow in CUTS:
        probes = ((f"to the year {one[:given]}", one[given : given + follow]) for one in PROBES)
        if 2 * sum(setting.adds_one_token(*probe) for probe in probes) >= len(PROBES):
            return given, follow
    raise setting.refuse("numbers of four digits do not end with one or two digits that are a token of their own")


def fill(setting: Setting) -> Scene:
    given, follow = cut_of(setting)
    century, ending = setting.one(range(11, 20)), setting.one(ENDINGS, but=range(1, 12))
    number = f"{century}{ending}"
    begun, next_, more = number[:given], int(number[given : given + follow]), given + follow < len(number)
    smallest = number[:given] + "0" * (4 - given - 1) + "1"
    # As far as the second number is given, the lower number begins like it too.
    least = ending - ending % 10 ** (4 - given)
    other = setting.one(ENDINGS, but=[*range(1, least), *range(ending, 88)])
    replaced = {"lowest start": smallest, "lower start": f"{century}{other:02d}"}[setting.corruption]
    if int(replaced) >= int(number):
        raise setting.refuse("there is no lower number that begins with the same digits")
    if replaced[: given + follow] == number[: given + follow]:
        raise setting.refuse("the lower number begins with the same digits as far as they decide")
    first, second = sorted(setting.several(ENDINGS, 2, but=[*range(1, 10), *range(ending, 88)]))
    clean = {
        "event": setting.one("things.events"),
        "good": setting.one("things.goods"),
        "number": number[: given + follow],
        "rest": number[given + follow :],
        "begun": begun,
        "first": f"{century}{first}",
        "second": f"{century}{second}",
    }
    corrupt = {"number": replaced[: given + follow], "rest": replaced[given + follow :]}
    if setting.template == "sequence":
        corrupt |= {"first": replaced, "second": replaced}
    larger = [f"{one:0{follow}d}" for one in range(next_ + 1, 10**follow)]
    if not larger or (next_ == 0 and more):
        raise setting.refuse("no digit is larger than 9, or smaller than 0")
    return Scene(
        clean=clean,
        corrupt=corrupt,
        answer=larger,
        foil=[f"{one:0{follow}d}" for one in range(next_ + (not more))],
        variables={"number": int(number), "century": century},
    )


shelf.add(
    Wordings(
        name="greater_than",
        summary="end a span with a larger number than it began with",
        source=Source("Hanna et al.", 2023, "https://arxiv.org/abs/2305.00586"),
        chance=0.5,
        templates=TEMPLATES,
        paraphrases=PARAPHRASES,
        corruptions={
            "lowest start": Corruption(
                about="the span begins with the lowest number of the century, so nearly every ending is larger",
                changes=("number", "rest", "first", "second"),
            ),
            "lower start": Corruption(
                about="the span begins with a lower number, so more endings are larger",
                changes=("number", "rest", "first", "second"),
            ),
        },
        positions={"number": "number"},
        variables=("number", "century"),
        lists=("things.events", "things.goods"),
        distractors=("About 90 people were asked. ", "Page 12 tells more. "),
        needs="numbers of four digits that end with a token of one or two digits",
        fill=fill,
    ).ability()
)
