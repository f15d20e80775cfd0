"""What all examples share."""

import pytest

from tests.docs.prepared import Prepared
from tests.studies import MadeOnce


@pytest.fixture(scope="session")
def prepared(made_once: MadeOnce) -> Prepared:
    return Prepared(made_once)
