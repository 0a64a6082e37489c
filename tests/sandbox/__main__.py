"""Entry point of `python3 -m tests.sandbox`."""

import sys

from .cli import main

sys.exit(main())
