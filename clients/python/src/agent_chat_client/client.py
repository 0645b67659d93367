"""The operations of agent-chat-service."""

import time
import uuid
from typing import Any, Callable, Dict, Literal, Mapping, Optional, Sequence, cast

from .errors import AgentChatError, client_error
from .http import Http, Token, path_of
from .stream import AnswerStream
from .types import (
    ActionBody,
    ActionDecided,
    ActionPage,
    AgentList,
    Conversation,
    ConversationPage,
    EndedRun,
    MessagePage,
    RetryBody,
    Run,
    RunPage,
    RunStarted,
    RunStatus,
    TurnBody,
    UsageReport,
)

#: Seconds of one long poll, and the time after which it counts as lost.
POLL_SECONDS = 30
POLL_LOST_SECONDS = 45.0


class AgentChat:
    """Every call is repeated until it succeeds or its ``timeout`` (in seconds) has passed."""

    def __init__(
        self, url: str, token: Token, *, user: Optional[str] = None, timeout: float = 60.0
    ) -> None:
        self._http = Http(url, token, user, timeout)
        self.conversations = Conversations(self._http)
        self.actions = Actions(self._http)
        self.agents = Agents(self._http)

    def start(
        self, turn: TurnBody, *, idempotency_key: Optional[str] = None, timeout: Optional[float] = None
    ) -> RunStarted:
        """Starts a run, once.

        The same key and turn give the first run again, at any time and from any process. A new key is made for
        every call when it is left out, so that the attempts of one call start one run.
        """
        return self._start(path_of("chat"), turn, idempotency_key, timeout)

    def retry(
        self,
        run_id: str,
        options: Optional[RetryBody] = None,
        *,
        idempotency_key: Optional[str] = None,
        timeout: Optional[float] = None,
    ) -> RunStarted:
        """Answers the question of a run again, once. The new answer takes the place of the old one."""
        return self._start(path_of("chat", run_id, "retry"), options or {}, idempotency_key, timeout)

    def get(self, run_id: str, *, timeout: Optional[float] = None) -> Run:
        """The run as it is."""
        return cast(Run, self._http.json("GET", path_of("chat", run_id), timeout=timeout))

    def wait(
        self,
        run_id: str,
        *,
        timeout: Optional[float] = None,
        on_update: Optional[Callable[[Run], None]] = None,
    ) -> EndedRun:
        """Waits for the end of a run.

        Without a timeout it waits for as long as the run takes, and gives up only when the service has not answered
        for a minute. ``on_update`` is told of every change of a run that has not ended.
        """
        until = float("inf") if timeout is None else time.monotonic() + timeout
        etag: Optional[str] = None
        polls = 0
        while True:
            begin = time.monotonic()
            left = until - begin
            if left <= 0:
                detail = f"The run {run_id} has not ended within {timeout} s. It goes on."
                raise client_error("deadline_exceeded", detail, polls)
            polls += 1
            status, headers, body = self._http.answer(
                "GET",
                path_of("chat", run_id),
                query={"wait": int(min(POLL_SECONDS, left))},
                headers={} if etag is None else {"if-none-match": etag},
                attempt_seconds=POLL_LOST_SECONDS,
                timeout=left + 1 if left < POLL_LOST_SECONDS else None,
            )
            etag = headers.get("etag")
            if status == 304:
                # An instance that is leaving answers at once.
                apart = begin + float(headers.get("retry-after") or 1)
                time.sleep(max(0.0, min(apart, until) - time.monotonic()))
            elif body["status"] not in ("queued", "running"):
                return cast(EndedRun, body)
            elif on_update is not None:
                on_update(body)

    def run(
        self,
        turn: TurnBody,
        *,
        idempotency_key: Optional[str] = None,
        timeout: Optional[float] = None,
        on_update: Optional[Callable[[Run], None]] = None,
    ) -> EndedRun:
        """Starts a run and waits for its end."""
        begin = time.monotonic()
        run_id = self.start(turn, idempotency_key=idempotency_key, timeout=timeout)["runId"]
        left = None if timeout is None else timeout - (time.monotonic() - begin)
        return self.wait(run_id, timeout=left, on_update=on_update)

    def stream(
        self, turn: TurnBody, *, idempotency_key: Optional[str] = None, timeout: Optional[float] = None
    ) -> AnswerStream:
        """Starts a run, once, and gives its answer while it is written."""
        started = self.start(turn, idempotency_key=idempotency_key, timeout=timeout)
        return AnswerStream(self._http, started["runId"], started.get("conversationId"))

    def follow(self, run_id: str, *, last_event_id: Optional[str] = None) -> AnswerStream:
        """The answer of a run from its first chunk on, or from the one after ``last_event_id``."""
        return AnswerStream(self._http, run_id, None, last_event_id)

    def cancel(self, run_id: str, *, timeout: Optional[float] = None) -> Run:
        """Cancels a run. It is answered once the run is over, or after three seconds with ``cancelRequestedAt``."""
        return cast(Run, self._http.json("POST", path_of("chat", run_id, "cancel"), timeout=timeout))

    def list(
        self,
        *,
        status: Optional[Sequence[RunStatus]] = None,
        conversation_id: Optional[str] = None,
        run_id: Optional[Sequence[str]] = None,
        metadata: Optional[Mapping[str, str]] = None,
        limit: Optional[int] = None,
        cursor: Optional[str] = None,
        timeout: Optional[float] = None,
    ) -> RunPage:
        """Runs without their contents, newest first."""
        query = {
            "status": status,
            "conversationId": conversation_id,
            "runId": run_id,
            "metadata": metadata,
            "limit": limit,
            "cursor": cursor,
        }
        return cast(RunPage, self._http.json("GET", path_of("chat"), query=query, timeout=timeout))

    def usage(
        self,
        *,
        since: Optional[str] = None,
        until: Optional[str] = None,
        group_by: Optional[Literal["day", "agent", "model"]] = None,
        timeout: Optional[float] = None,
    ) -> UsageReport:
        """What the ended runs have used. Days are written as 2026-11-30."""
        query = {"from": since, "to": until, "groupBy": group_by}
        return cast(UsageReport, self._http.json("GET", path_of("usage"), query=query, timeout=timeout))

    def _start(
        self, path: str, body: Any, idempotency_key: Optional[str], timeout: Optional[float]
    ) -> RunStarted:
        headers = {"idempotency-key": idempotency_key or str(uuid.uuid4())}
        answer = self._http.json("POST", path, body=body, headers=headers, timeout=timeout)
        return cast(RunStarted, answer)


class Conversations:
    def __init__(self, http: Http) -> None:
        self._http = http

    def list(self, *, limit: Optional[int] = None, cursor: Optional[str] = None) -> ConversationPage:
        """Newest activity first."""
        query = {"limit": limit, "cursor": cursor}
        return cast(ConversationPage, self._http.json("GET", path_of("conversations"), query=query))

    def get(self, conversation_id: str) -> Conversation:
        path = path_of("conversations", conversation_id)
        return cast(Conversation, self._http.json("GET", path))

    def messages(
        self,
        conversation_id: str,
        *,
        order: Optional[Literal["asc", "desc"]] = None,
        include: Optional[Literal["superseded"]] = None,
        limit: Optional[int] = None,
        cursor: Optional[str] = None,
    ) -> MessagePage:
        """Oldest message first, or newest with ``order="desc"``."""
        path = path_of("conversations", conversation_id, "messages")
        query = {"order": order, "include": include, "limit": limit, "cursor": cursor}
        return cast(MessagePage, self._http.json("GET", path, query=query))

    def create(
        self, *, title: Optional[str] = None, metadata: Optional[Mapping[str, str]] = None
    ) -> Conversation:
        """Creates one before its first message. It is not sent again when its answer was lost, as it has no key."""
        body = {"title": title, "metadata": metadata}
        return cast(Conversation, self._http.json("POST", path_of("conversations"), body=body, once=True))

    def fork(self, conversation_id: str, through_message_id: Optional[str] = None) -> Conversation:
        """Copies the messages up to one, or all, into a new conversation. Not sent again when its answer was lost."""
        path = path_of("conversations", conversation_id, "fork")
        body = {} if through_message_id is None else {"throughMessageId": through_message_id}
        return cast(Conversation, self._http.json("POST", path, body=body, once=True))

    def update(self, conversation_id: str, patch: Mapping[str, Any]) -> Conversation:
        """Changes ``title`` and ``metadata`` by a JSON merge patch."""
        path = path_of("conversations", conversation_id)
        return cast(Conversation, self._http.json("PATCH", path, body=patch))

    def delete(self, conversation_id: str) -> None:
        """Deletes a conversation, and cancels its runs."""
        try:
            self._http.json("DELETE", path_of("conversations", conversation_id))
        except AgentChatError as error:
            # The answer of an earlier attempt was lost, and that attempt has deleted it.
            if error.code != "conversation_not_found" or error.attempts == 1:
                raise


class Actions:
    def __init__(self, http: Http) -> None:
        self._http = http

    def list(
        self,
        *,
        status: Optional[Literal["pending"]] = None,
        limit: Optional[int] = None,
        cursor: Optional[str] = None,
    ) -> ActionPage:
        """Actions that wait for an answer of this user."""
        query = {"status": status, "limit": limit, "cursor": cursor}
        return cast(ActionPage, self._http.json("GET", path_of("actions"), query=query))

    def answer(self, run_id: str, action_id: str, answer: ActionBody) -> ActionDecided:
        """Answers an action with ``{"decision": …}``, ``{"output": …}`` or ``{"error": …}``.

        The same answer again changes nothing. After the last action of a turn ``continuedBy`` names the run that
        goes on.
        """
        path = path_of("chat", run_id, "actions", action_id)
        return cast(ActionDecided, self._http.json("POST", path, body=answer))

    def approve(self, run_id: str, action_id: str) -> ActionDecided:
        return self.answer(run_id, action_id, {"decision": "approve"})

    def deny(self, run_id: str, action_id: str, reason: Optional[str] = None) -> ActionDecided:
        answer: ActionBody = {"decision": "deny"}
        if reason is not None:
            answer["reason"] = reason
        return self.answer(run_id, action_id, answer)


class Agents:
    def __init__(self, http: Http) -> None:
        self._http = http

    def list(self) -> AgentList:
        """The agents and their tools."""
        return cast(AgentList, self._http.json("GET", path_of("agents")))
