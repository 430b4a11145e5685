"""HTTP/1.1 without I/O: bytes to requests, responses to bytes.

Strict by grammar, linear in its input, bounded in memory. Nothing in here knows a socket, a
clock, a thread or an option.
"""

from __future__ import annotations

from .grammar import ProtocolError, ResponseError
from .heads import RequestHeads
from .messages import Limits, Request
from .reader import RequestReader
from .response import (
    CONTINUE,
    HEAD_END,
    LAST_CHUNK,
    Declaration,
    Declarations,
    Head,
    ResponseHeads,
    chunk_frame,
    early_hints,
    encode_chunk,
    error_response,
)

__all__ = [
    "CONTINUE",
    "HEAD_END",
    "LAST_CHUNK",
    "Declaration",
    "Declarations",
    "Head",
    "Limits",
    "ProtocolError",
    "Request",
    "RequestHeads",
    "RequestReader",
    "ResponseError",
    "ResponseHeads",
    "chunk_frame",
    "early_hints",
    "encode_chunk",
    "error_response",
]
