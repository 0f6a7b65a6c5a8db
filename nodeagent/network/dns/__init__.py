"""The node's DNS server: cluster names from the Services and EndpointSlices of this node's set, others from upstream.

records.py says which names a Service makes, answer.py what a question gets (both pure), server.py listens, forward.py
asks upstream.
"""
