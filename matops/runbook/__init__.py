"""The upgrade as ordered steps: look, plan, act, verify; the journal; resume."""
