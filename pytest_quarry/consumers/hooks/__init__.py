"""What a forked child puts between the consumer and everything that outlives a process."""
