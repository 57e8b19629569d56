"""The one error class users meet."""


class SeedStoryError(ValueError):
    """Something the user can act on.

    The message says what was expected, what came, and what to do next. Raised for bad input,
    bad files and impossible requests; our own broken invariants stay plain ``assert``.
    """
