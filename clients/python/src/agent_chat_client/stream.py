"""The answer of a run while it is written."""

import http.client
import json
import time
from typing import Any, Dict, Iterator, NamedTuple, Optional

from .errors import client_error
from .http import Http, backoff, path_of

#: The service sends something at least every ten seconds.
SILENCE_SECONDS = 30.0
PATIENCE_SECONDS = 60.0

#: One chunk in the vocabulary of the AI SDK's UI message streams: ``{"type": "text-delta", "delta": "…"}`` and others.
Chunk = Dict[str, Any]


class Event(NamedTuple):
    id: Optional[str]
    data: str


class AnswerStream:
    """The chunks of an answer.

    Iterating connects. After a cut the stream goes on with the next chunk, so that none is missing and none comes
    twice. Leaving the loop closes the connection, and the run goes on.
    """

    def __init__(
        self,
        http: Http,
        run_id: str,
        conversation_id: Optional[str] = None,
        last_event_id: Optional[str] = None,
    ) -> None:
        self._http = http
        self.run_id = run_id
        #: None when the conversation could not be stored.
        self.conversation_id = conversation_id
        #: The id of the newest chunk that was read, for ``follow`` in another process.
        self.last_event_id = last_event_id

    def __iter__(self) -> Iterator[Chunk]:
        cuts = 0
        patient_until = time.monotonic() + PATIENCE_SECONDS
        while True:
            with self._connect() as response:
                if response.status == 204:
                    return
                for event in events(response):
                    cuts = 0
                    patient_until = time.monotonic() + PATIENCE_SECONDS
                    if event.id is not None:
                        self.last_event_id = event.id
                    if event.data == "[DONE]":
                        return
                    yield json.loads(event.data)
            cuts += 1
            wait = backoff(cuts)
            if time.monotonic() + wait > patient_until:
                raise client_error("connection_failed", "The stream was cut again and again.", cuts)
            time.sleep(wait)

    def text(self) -> Iterator[str]:
        """The texts of the answer alone, piece by piece."""
        return (chunk["delta"] for chunk in self if chunk["type"] == "text-delta")

    def _connect(self) -> http.client.HTTPResponse:
        # Refusals are problems only where JSON is named.
        headers = {"accept": "text/event-stream, application/problem+json, application/json"}
        if self.last_event_id is not None:
            headers["last-event-id"] = self.last_event_id
        path = path_of("chat", self.run_id, "stream")
        return self._http.open(
            "GET", path, query={"ui": 7}, headers=headers, attempt_seconds=SILENCE_SECONDS
        )


def events(response: http.client.HTTPResponse) -> Iterator[Event]:
    """The events of an answer until its end or its cut. An event whose end is missing is left out."""
    identity: Optional[str] = None
    data = []
    while True:
        try:
            line = response.readline().decode()
        except (OSError, http.client.HTTPException, UnicodeDecodeError):
            return
        if not line.endswith("\n"):
            return
        line = line.rstrip("\r\n")
        field, _, value = line.partition(":")
        value = value[1:] if value.startswith(" ") else value
        if field == "data":
            data.append(value)
        elif field == "id":
            identity = value
        elif line == "":
            if data:
                yield Event(identity, "\n".join(data))
            identity, data = None, []
