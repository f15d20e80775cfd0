"""What a widget raises for a state that it cannot have; as `TraitError`s, so that changes made together are undone."""

import traitlets as t

from interp_emerge.core.errors import InputError, UnknownNameError


class StateError(InputError, t.TraitError):
    """A value that a widget cannot show."""


class UnknownStateError(UnknownNameError, t.TraitError):
    """A name that nothing in a widget has."""
