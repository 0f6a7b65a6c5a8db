"""How the API calls groups of users, and nodes as users (Kubernetes' node authorization mode)."""

AUTHENTICATED = "system:authenticated"
NODE_USER_PREFIX = "system:node:"
NODES_GROUP = "system:nodes"
