"""One call of the gRPC health checking protocol (grpc.health.v1.Health/Check), for grpc probes.

The two messages are so small that they are written and read here: a request is field 1, the service's name; a response
is field 1, a ServingStatus of which 1 is SERVING.
"""

import grpc

_METHOD = "/grpc.health.v1.Health/Check"
_SERVING_RESPONSE = b"\x08\x01"
_NAME_BYTES_MAX = 127
"""What fits a length of one byte; service names are far shorter."""


async def is_serving(address: str, service: str, timeout_s: float) -> tuple[bool, str]:
    """Healthy or not, and why not."""
    name = service.encode()[:_NAME_BYTES_MAX]
    request = b"\x0a" + bytes([len(name)]) + name if name else b""
    async with grpc.aio.insecure_channel(address) as channel:
        call = channel.unary_unary(_METHOD, request_serializer=bytes, response_deserializer=bytes)
        try:
            response = await call(request, timeout=timeout_s)
        except grpc.aio.AioRpcError as error:
            return False, f"health rpc failed: {error.code().name}: {error.details()}"
    if response == _SERVING_RESPONSE:
        return True, ""
    return False, f'service "{service}" is not serving'
