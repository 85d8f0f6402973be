"""Additively homomorphic ciphers for parties: a key's owner decrypts, everybody else adds."""
