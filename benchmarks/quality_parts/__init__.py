"""Parts of `quality.py`, one file each."""
