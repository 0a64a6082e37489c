"""Running a migration's additive ALTERs before the outage, online, under the lock guard.

``grammar`` reads a statement (and knows nothing it was not taught), ``choose`` decides which are
taken, ``picture`` tells what a table looks like and where two schemas differ, ``run`` does it.
"""
