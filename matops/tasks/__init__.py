"""What is typed: one file per namespace. Parses flags, calls the work, prints."""
