"""How Orch gets onto machines: installation and local clusters."""
