"""A consumer under test: start, drive, kill, observe."""
