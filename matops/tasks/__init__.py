"""What is typed: one file per namespace. Parses flags, calls the work, prints."""

from __future__ import annotations

import sys

# invoke forbids every program of its own to keep bytecode (`--write-pyc` is the way out, which
# nobody types): 45,000 lines were compiled for each command, half a second of it. Who set
# PYTHONDONTWRITEBYTECODE has said what they want.
sys.dont_write_bytecode = bool(sys.flags.dont_write_bytecode)
