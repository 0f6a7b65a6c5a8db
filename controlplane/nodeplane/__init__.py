"""The control plane's end of the node sessions: desired objects down, status up, liveness, exec and log streams.

    informers > node_set (pure: what each node holds) > session (one per node) > Link > agent
    agent > Link > session > pod_status / node_status / events > Client
                           > liveness (heartbeats in memory; only transitions are written)

`nodeplane.NodePlane` has no transport in it: it serves any `Link`, gRPC's (`server.py`) or the simulator's.
"""
