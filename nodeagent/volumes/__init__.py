"""Volumes of pods, and the few files of its own that every pod gets.

payload.py and plan.py decide what a volume holds (pure), atomic_writer.py and sub_path.py do the two delicate things
with files, volumes.py is what the agent calls.
"""
