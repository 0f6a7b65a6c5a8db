"""Deployment: moves from one pod template to the next through ReplicaSets, and keeps the old ones for a way back.

reconcile.py  the decision        revisions.py  which set is new, revision numbers and history
scaling.py    how large each set  status.py     counts and conditions
"""
