from interp_emerge.abilities import shelf
from interp_emerge.abilities._language import NAMES


def receiver(words: list[str]) -> str:
    """The one of the two people who meet that does not give."""
    first, second, subject = (word for word in words if word in NAMES)
    assert words[words.index("gave") - 1] == subject
    assert words[-1] == "to"
    return {first: second, second: first}[subject]


def test_the_answer_is_who_does_not_act_again_and_the_foil_who_does(speaker, read):
    pairs = shelf["indirect_object"].sample(speaker, n=32, seed=0)
    for row in range(len(pairs)):
        assert [receiver(read(pairs.clean[row]))] == read(pairs.answer[row])
        assert [receiver(read(pairs.corrupt[row]))] == read(pairs.foil[row])


def test_clean_and_corrupt_differ_in_the_acting_name_alone(speaker):
    pairs = shelf["indirect_object"].sample(speaker, n=32, seed=0)
    differing = pairs.clean != pairs.corrupt
    assert (differing.sum(1) == 1).all()
    assert (differing.int().argmax(1) == pairs.positions["acting name"]).all()


def test_both_orders_occur_in_both_wordings(speaker):
    templates = shelf["indirect_object"].sample(speaker, n=8, seed=0).templates
    orders = {f"{wording}, {order}" for wording in ("place first", "place last") for order in ("ABA", "ABB")}
    assert set(templates) == orders


def test_the_template_names_the_order_of_its_prompt(speaker, read):
    pairs = shelf["indirect_object"].sample(speaker, n=8, seed=0)
    for row, template in enumerate(pairs.templates):
        words = read(pairs.clean[row])
        first, _, subject = (word for word in words if word in NAMES)
        assert template.endswith("ABA" if subject == first else "ABB")
        assert template.startswith("place first" if words[0] == "At" else "place last")
