"""Domain-free helpers. Nothing here knows Kubernetes."""
