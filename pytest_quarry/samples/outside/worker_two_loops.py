"""Two loops in one process, each of which receives, loads and acknowledges. Usage: worker_two_loops.py QUEUE_URL FOLDER."""

import threading

import worker_sound  # type: ignore[import-not-found]  # beside this file

threading.Thread(target=worker_sound.work, name="second", daemon=True).start()
worker_sound.work()
