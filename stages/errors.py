"""What a person can mend is said in one or two lines; everything else keeps its traceback."""

import difflib
from collections.abc import Iterable


class UserError(Exception):
    """Something outside the program is wrong: the message says what, where, and what to do about it."""


class TemporaryError(UserError):
    """Something outside the program is wrong, and may be right again in a while: a network, a server."""


def nearest(name: str, known: Iterable[str], how_many: int = 3) -> str:
    """The names that contain a word, or are closest to a mistyped one: ``did you mean 'knn'?``.

    It is the end of a message. Where nothing is close, all names are listed, up to a dozen.
    """
    names = sorted(known)
    containing = [each for each in names if name.lower() in each.lower()] if len(name) > 2 else []
    close = containing[:how_many] or difflib.get_close_matches(name.lower(), names, n=how_many, cutoff=0.6)
    if close:
        return "did you mean " + " or ".join(repr(each) for each in close) + "?"
    shown = ", ".join(names[:12]) + (", ..." if len(names) > 12 else "")
    return f"known are: {shown}" if names else "none is known"
