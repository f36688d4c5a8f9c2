"""Consumers that are programs: started, seen and killed from outside."""
