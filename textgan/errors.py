"""The one exception that a user's mistake raises."""


class UserError(Exception):
    """A mistake the user can mend; the message is one line: what is wrong, expected, received, and what to do."""
