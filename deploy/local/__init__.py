"""Clusters on one machine: real parts (etcd, orch-server, registries, agents), nodes made of namespaces.

Drives executables and the kernel; imports neither controlplane nor nodeagent. Everything that `up` makes is found again
from the state folder and the run folder alone, so that `down` removes exactly that, whoever calls it and whenever.
"""
