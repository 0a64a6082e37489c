"""The preflight checks: pure functions from facts to a status, a finding and what to do."""
