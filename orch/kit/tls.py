"""Client certificates that are held in memory, for ssl, which reads them from files only."""

import os
import ssl


def load_client_certificate(context: ssl.SSLContext, certificate_pem: bytes, key_pem: bytes) -> None:
    """By a memory file, so that the key is never on a disk. Raises ssl.SSLError for one that is no good."""
    descriptor = os.memfd_create("client-certificate", os.MFD_CLOEXEC)
    try:
        os.write(descriptor, certificate_pem + b"\n" + key_pem)
        context.load_cert_chain(f"/proc/self/fd/{descriptor}")
    finally:
        os.close(descriptor)
