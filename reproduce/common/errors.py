"""The one exception that stands for a mistake a user can fix."""


class UserError(Exception):
    """Shown to the user as one sentence, without a traceback, with a non-zero exit status.

    The message names the thing that is wrong, what was expected, and what to do.
    """
