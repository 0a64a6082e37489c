"""matops: upgrades and maintenance of large self-hosted Matomo installations."""

__version__ = "0.1.0"
