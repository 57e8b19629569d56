"""Helpers of the tests; `conftest.py` imports this folder as the package ``support``."""
