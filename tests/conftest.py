"""How far property tests look: a gate judges the same code the same way every time, `make explore` looks elsewhere."""

import os

from hypothesis import settings

settings.register_profile("gate", derandomize=True)
settings.register_profile("explore", derandomize=False)
settings.load_profile(os.environ.get("OMS_TESTS_HYPOTHESIS", "gate"))
