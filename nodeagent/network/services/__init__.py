"""Services on this node: from Service and EndpointSlice objects to nftables maps.

compile.py decides what each Service balances over, table.py which elements that makes and what changed, ruleset.py how
it is written for nft, proxy.py does it.
"""
