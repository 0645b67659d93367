"""The Python client of agent-chat-service. It needs the standard library alone."""

from . import types
from .client import AgentChat
from .errors import AgentChatError
from .stream import AnswerStream, Chunk
from .webhook import verify_webhook

__all__ = ["AgentChat", "AgentChatError", "AnswerStream", "Chunk", "types", "verify_webhook"]
