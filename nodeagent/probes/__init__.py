"""Probes of containers: checks.py performs one, thresholds.py turns results into verdicts, prober.py keeps the time."""
