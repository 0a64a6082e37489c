"""Throw-away hosts with a real Matomo on them."""

from .api import Sandbox
from .errors import SandboxError

__all__ = ["Sandbox", "SandboxError"]
