"""Worlds, schedules, histories, and the one loop that turns a schedule into a history."""
