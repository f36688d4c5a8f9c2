"""What a process does, as Linux sees it: system calls that wait for us, and what they are about."""
