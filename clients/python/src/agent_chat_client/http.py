"""Requests that are repeated until one succeeds, is refused for good, or the time is up."""

import http.client
import json
import random
import time
import urllib.parse
import urllib.request
from email.message import Message
from typing import Any, Callable, Dict, Mapping, NamedTuple, Optional, TypeVar, Union

from .errors import AgentChatError, client_error, error_of

#: A bearer token, or a function that returns a valid one. It is called for every request.
Token = Union[str, Callable[[], str]]

Result = TypeVar("Result")

#: One attempt of 30 s is longer than anything that the service does without being asked to wait.
ATTEMPT_SECONDS = 30.0


class Answer(NamedTuple):
    status: int
    headers: Message
    body: Any


class PlainAnswers(urllib.request.HTTPErrorProcessor):
    """Passes every answer on as it is: a redirect is followed by no client of the service."""

    def http_response(self, request: Any, response: Any) -> Any:
        return response

    https_response = http_response


OPENER = urllib.request.build_opener(PlainAnswers)


class Http:
    def __init__(self, url: str, token: Token, user: Optional[str], timeout: float) -> None:
        self._base = url.rstrip("/")
        self._token = token
        self._user = user
        self._timeout = timeout

    def json(self, method: str, path: str, **call: Any) -> Any:
        """The body of the answer, read as JSON."""
        return self.answer(method, path, **call).body

    def answer(self, method: str, path: str, **call: Any) -> Answer:
        def read(response: http.client.HTTPResponse) -> Answer:
            with response:
                body = response.read()
            return Answer(response.status, response.headers, json.loads(body) if body else None)

        return self._repeated(read, method, path, **call)

    def open(self, method: str, path: str, **call: Any) -> http.client.HTTPResponse:
        """The answer as soon as its head is there."""
        return self._repeated(lambda response: response, method, path, **call)

    def _repeated(
        self,
        read: Callable[[http.client.HTTPResponse], Result],
        method: str,
        path: str,
        *,
        timeout: Optional[float] = None,
        once: bool = False,
        attempt_seconds: float = ATTEMPT_SECONDS,
        **request: Any,
    ) -> Result:
        until = time.monotonic() + (self._timeout if timeout is None else timeout)
        attempts = 0
        while True:
            attempts += 1
            left = max(0.001, min(attempt_seconds, until - time.monotonic()))
            try:
                return self._attempt(read, self._request(method, path, **request), left, attempts)
            except AgentChatError as error:
                # `ifBusy: "reject"` asks for a refusal, so that refusal is passed on at once.
                lost = once and error.code == "connection_failed"
                if not error.retryable or error.code == "conversation_busy" or lost:
                    raise
                wait = max(float(error.retry_after or 0), backoff(attempts))
                if time.monotonic() + wait >= until:
                    raise
                time.sleep(wait)

    def _attempt(
        self,
        read: Callable[[http.client.HTTPResponse], Result],
        request: urllib.request.Request,
        seconds: float,
        attempts: int,
    ) -> Result:
        try:
            response = OPENER.open(request, timeout=seconds)
            if response.status < 300 or response.status == 304:
                return read(response)
            with response:
                body = response.read()
            raise error_of(response.status, response.headers, body, attempts)
        except (OSError, http.client.HTTPException, json.JSONDecodeError, UnicodeDecodeError) as cause:
            detail = "The connection to the service failed, or was cut before the answer was whole."
            raise client_error("connection_failed", detail, attempts) from cause

    def _request(
        self,
        method: str,
        path: str,
        *,
        query: Optional[Mapping[str, Any]] = None,
        body: Any = None,
        headers: Optional[Mapping[str, str]] = None,
    ) -> urllib.request.Request:
        token = self._token if isinstance(self._token, str) else self._token()
        sent: Dict[str, str] = {
            "accept": "application/json, application/problem+json",
            "authorization": f"Bearer {token}",
            **(headers or {}),
        }
        if self._user is not None:
            # A header holds bytes: a name in UTF-8 is sent as one character for each of its bytes.
            sent["x-effective-user"] = self._user.encode().decode("latin-1")
        data = None
        if body is not None:
            data = json.dumps(body).encode()
            sent["content-type"] = "application/json"
        url = self._base + path + query_string(query or {})
        return urllib.request.Request(url, data, sent, method=method)


def query_string(query: Mapping[str, Any]) -> str:
    """Lists with commas between their items, mappings as ``name[key]``; what is None is left out."""
    pairs = []
    for name, value in query.items():
        if isinstance(value, Mapping):
            pairs += [(f"{name}[{key}]", item) for key, item in value.items()]
        elif isinstance(value, (list, tuple)):
            pairs += [(name, ",".join(value))] if value else []
        elif value is not None:
            pairs.append((name, value))
    return f"?{urllib.parse.urlencode(pairs)}" if pairs else ""


def backoff(attempt: int) -> float:
    """Seconds before the next attempt: they double up to five, and differ between clients."""
    return min(5.0, 0.1 * 2.0**attempt) * random.uniform(0.5, 1.0)


def path_of(*parts: str) -> str:
    """A path below the API, with every part escaped."""
    return "/api/agent/" + "/".join(urllib.parse.quote(part, safe="") for part in parts)
