"""ServiceAccount tokens: JWTs that the server signs, bound to objects and expiring.

    issuer.py         TokenRequest -> token       (looks the ServiceAccount and the bound object up)
    authenticator.py  token -> user               (signature, times, audience, and that both still exist)
    claims.py         what a token says           signer.py  the key

No token is stored. Deleting the ServiceAccount or the bound object ends the token.
"""
