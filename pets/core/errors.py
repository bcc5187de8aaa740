"""Errors that the user can fix: reported in one or two lines. All others keep their traceback."""

import difflib
from collections.abc import Iterable


class UserError(Exception):
    """Something outside the program is wrong: the message says what, where, and what to do about it."""


class TemporaryError(UserError):
    """An error that may go away by itself: a network or a server does not answer, for example."""


def nearest(name: str, known: Iterable[str], how_many: int = 3) -> str:
    """The end of an error message about an unknown name: ``did you mean 'knn'?``.

    It suggests the names that contain it, or else those closest to it. Where nothing is close, it lists the
    known names, up to a dozen.
    """
    names = sorted(known)
    containing = [each for each in names if name.lower() in each.lower()] if len(name) > 2 else []
    lower = {each.lower(): each for each in names}
    alike = difflib.get_close_matches(name.lower(), lower, n=how_many, cutoff=0.6)
    close = containing[:how_many] or [lower[each] for each in alike]
    if close:
        return "did you mean " + " or ".join(repr(each) for each in close) + "?"
    shown = ", ".join(names[:12]) + (", ..." if len(names) > 12 else "")
    return f"known: {shown}" if names else "none is known"
