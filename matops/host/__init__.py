"""One machine, over SSH or local: shell, files, facts, jobs, agent."""
