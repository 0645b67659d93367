"""Deliveries of webhooks (Standard Webhooks)."""

import base64
import binascii
import hashlib
import hmac
import json
import time
from typing import Any, Dict, Iterator, Mapping, Sequence, Union

from .errors import client_error


def verify_webhook(
    body: bytes,
    headers: Mapping[str, str],
    secrets: Union[str, Sequence[str]],
    *,
    tolerance: float = 300.0,
) -> Dict[str, Any]:
    """The event of a delivery, once its signature is verified: ``{"type": …, "timestamp": …, "data": …}``.

    ``body`` is the body as it came: a parser that changes one byte breaks the signature. ``secrets`` is ``whsec_…``,
    or several while a secret is replaced. Raises ``AgentChatError`` with the code ``invalid_webhook`` when the
    delivery was not signed with one of them, or not within ``tolerance`` seconds.
    """
    found = {name.lower(): value for name, value in headers.items()}
    identity = found.get("webhook-id", "")
    timestamp = found.get("webhook-timestamp", "")
    signatures = [one[3:] for one in found.get("webhook-signature", "").split(" ") if one.startswith("v1,")]
    if not identity or not signatures:
        raise client_error("invalid_webhook", "The headers of a webhook are missing.")
    if not timestamp.isdecimal() or abs(time.time() - int(timestamp)) > tolerance:
        raise client_error("invalid_webhook", "The webhook was not sent now.")
    signed = f"{identity}.{timestamp}.".encode() + body
    for secret in [secrets] if isinstance(secrets, str) else secrets:
        key = base64.b64decode(secret[6:] if secret.startswith("whsec_") else secret)
        expected = hmac.new(key, signed, hashlib.sha256).digest()
        if any(hmac.compare_digest(expected, given) for given in decoded(signatures)):
            event: Dict[str, Any] = json.loads(body)
            return event
    raise client_error("invalid_webhook", "The webhook was not signed with this secret.")


def decoded(signatures: Sequence[str]) -> Iterator[bytes]:
    for signature in signatures:
        try:
            yield base64.b64decode(signature)
        except (binascii.Error, ValueError):
            continue
