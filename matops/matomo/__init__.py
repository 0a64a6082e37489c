"""One Matomo installation: config file, console, release, archives, tracker, lock."""
