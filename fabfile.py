"""What lets ``fab`` find ``tasks.py`` (``inv`` finds it by itself)."""

from tasks import ns

__all__ = ["ns"]
