"""The catalogue: each check is schedules, oracles and words."""
