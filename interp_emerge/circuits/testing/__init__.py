"""The claim that a circuit carries an ability, put to the test: minimality, completeness, backups, hypothesis tests."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
