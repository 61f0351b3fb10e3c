"""A package, so that pytest imports `tests.conftest` and not `conftest` with this folder on the import path.

Its folders have the names of frameworks, and would stand in for those that are not installed.
"""
