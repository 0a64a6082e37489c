"""The one error an operator of the sandbox sees."""


class SandboxError(Exception):
    """A sentence that fits on one line and says what to do, or what is missing."""
