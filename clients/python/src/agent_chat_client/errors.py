"""Why a call did not succeed."""

import json
from email.message import Message
from typing import Any, Dict, List, Literal, Mapping, Optional, Union

from .types import Fault, ProblemCode

ClientCode = Literal[
    "connection_failed", "deadline_exceeded", "unexpected_answer", "invalid_webhook"
]

TEMPORARY = {408, 425, 429, 500, 502, 503, 504}


class AgentChatError(Exception):
    """A refusal, with the members of its problem; branch on ``code``.

    The codes are those of ``/problems/{code}`` on the service, and four of the client's own:
    ``connection_failed``, ``deadline_exceeded``, ``unexpected_answer`` (something between the client and the service
    has answered) and ``invalid_webhook``.
    """

    def __init__(self, problem: Mapping[str, Any], attempts: int = 1) -> None:
        super().__init__(f"{problem['code']}: {problem.get('detail', '')}")
        self.problem: Dict[str, Any] = dict(problem)
        #: How often the request was sent.
        self.attempts = attempts
        self.code: Union[ProblemCode, ClientCode] = problem["code"]
        self.status: int = problem.get("status", 0)
        self.title: str = problem.get("title", "")
        self.detail: str = problem.get("detail", "")
        self.retryable: bool = problem["retryable"]
        self.retry_after: Optional[int] = problem.get("retryAfter")
        self.request_id: Optional[str] = problem.get("requestId")
        self.errors: List[Fault] = problem.get("errors", [])
        self.active_run_id: Optional[str] = problem.get("activeRunId")
        self.head_message_id: Optional[str] = problem.get("headMessageId")
        self.superseded_by: Optional[str] = problem.get("supersededBy")


def client_error(code: ClientCode, detail: str, attempts: int = 1, **members: Any) -> AgentChatError:
    problem = {"code": code, "detail": detail, "retryable": code == "connection_failed", **members}
    return AgentChatError(problem, attempts)


def error_of(status: int, headers: Message, body: bytes, attempts: int) -> AgentChatError:
    """The error of an answer. What is not a problem of the service becomes ``unexpected_answer``."""
    if (headers.get("content-type") or "").startswith("application/problem+json"):
        try:
            problem = json.loads(body)
            if isinstance(problem["code"], str) and isinstance(problem["retryable"], bool):
                return AgentChatError(problem, attempts)
        except (ValueError, KeyError, TypeError):
            pass
    after = headers.get("retry-after") or ""
    return client_error(
        "unexpected_answer",
        f"The answer has the status {status} and no problem of the service.",
        attempts,
        status=status,
        retryable=status in TEMPORARY,
        retryAfter=int(after) if after.isdecimal() else None,
        requestId=headers.get("x-request-id"),
    )
