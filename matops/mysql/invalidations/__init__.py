"""``archive_invalidations``: what the archiver has yet to do. Sized, truncated, put back."""
