"""The order of the tests, and how far property tests look: a gate judges the same code the same way every time,
`make explore` looks elsewhere."""

import os

import pytest
from hypothesis import settings

settings.register_profile("gate", derandomize=True)
settings.register_profile("explore", derandomize=False)
settings.load_profile(os.environ.get("OMS_TESTS_HYPOTHESIS", "gate"))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The tests that kill processes take longest and begin first, so that the workers end together."""
    items.sort(key=lambda item: item.get_closest_marker("fault") is None)
