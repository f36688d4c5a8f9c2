"""What people and machines read: made from histories and verdicts, and from nothing else."""
