from interp_emerge.core.errors import InputError, InterpEmergeError, ModelError, UnknownNameError


def test_every_error_of_the_package_is_caught_by_its_base():
    assert all(issubclass(kind, InterpEmergeError) for kind in (InputError, ModelError, UnknownNameError))


def test_a_near_miss_gets_a_suggestion_and_a_far_one_the_list():
    assert (
        str(UnknownNameError("size", "70n", ["14m", "70m"]))
        == "unknown size '70n'; did you mean '70m'? (known: 14m, 70m)"
    )
    assert str(UnknownNameError("size", "huge", ["14m", "70m"])) == "unknown size 'huge' (known: 14m, 70m)"
    assert str(UnknownNameError("step", 7, [])) == "unknown step '7' (known: none)"


def test_names_with_commas_are_quoted_and_an_empty_one_is_left_out():
    message = str(UnknownNameError("template", "x", ["", "went, ABBA", "years"]))
    assert message == "unknown template 'x' (known: 'went, ABBA', years)"


def test_a_long_list_is_cut():
    message = str(UnknownNameError("step", "x", range(100)))
    assert message.endswith("22, 23, …)")
