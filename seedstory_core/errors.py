"""The one error class users meet."""


class SeedStoryError(ValueError):
    """Something the user can act on.

    The message says what was expected, what came, and what to do next. Raised for bad input,
    bad files and impossible requests; our own broken invariants stay plain ``assert``.
    """

    #: Hosts show an error's class with its module, which for a pack is a path on the user's disk.
    __module__ = "seedstory_core.errors"
