"""The other end of `decrypt`, written from its docs with the `cryptography` package.

Reads one JSON object a line and answers each with one. Bytes are hex.
"""

import json
import os
import sys
import zlib

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

KEY_LEN = {"aes_128_gcm": 16, "aes_192_gcm": 24, "aes_256_gcm": 32, "chacha20_poly1305": 32}


def parts(*texts):
    return b"".join(len(text).to_bytes(4, "big") + text for text in texts)


def aead(algorithm, key):
    return ChaCha20Poly1305(key) if algorithm == "chacha20_poly1305" else AESGCM(key)


def link_cipher(ask, ring_key):
    algorithm = ask["algorithm"]
    if ask["mode"] == "interop":
        return aead(algorithm, ring_key)
    info = parts(b"linkgate sealed 1", algorithm.encode(), *identity(ask))
    length = KEY_LEN[algorithm]
    return aead(algorithm, HKDF(hashes.SHA256(), length, None, info).derive(ring_key))


def identity(ask):
    return [name.encode() for name in ask["identity"]]


def associated(ask, header):
    place = [ask["direction"], ask["part"], ask["key"]]
    return header + parts(*[text.encode() for text in place], *identity(ask))


def seal(ask):
    key_id, ring_key = next(iter(ask["ring"].items()))
    cipher, nonce, text = link_cipher(ask, bytes.fromhex(ring_key)), os.urandom(12), bytes.fromhex(ask["text"])
    if ask["mode"] == "interop":
        return nonce + cipher.encrypt(nonce, text, None)
    method = 0
    if ask["deflate"]:
        method, packer = 1, zlib.compressobj(wbits=-15)
        text = packer.compress(text) + packer.flush()
    header = bytes([1, method, len(key_id)]) + key_id.encode()
    return header + nonce + cipher.encrypt(nonce, text, associated(ask, header))


def open_(ask):
    sealed = bytes.fromhex(ask["text"])
    if ask["mode"] == "interop":
        (ring_key,) = ask["ring"].values()
        return link_cipher(ask, bytes.fromhex(ring_key)).decrypt(sealed[:12], sealed[12:], None)
    version, method, id_len = sealed[:3]
    assert version == 1
    header, rest = sealed[: 3 + id_len], sealed[3 + id_len :]
    ring_key = bytes.fromhex(ask["ring"][header[3:].decode()])
    text = link_cipher(ask, ring_key).decrypt(rest[:12], rest[12:], associated(ask, header))
    return {0: lambda: text, 1: lambda: zlib.decompress(text, wbits=-15)}[method]()


for line in sys.stdin:
    ask = json.loads(line)
    answer = {"seal": seal, "open": open_}[ask["do"]](ask)
    print(json.dumps({"text": answer.hex()}), flush=True)
