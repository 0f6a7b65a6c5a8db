"""How nodes are called as users of the API (Kubernetes' node authorization mode)."""

NODE_USER_PREFIX = "system:node:"
NODES_GROUP = "system:nodes"
