"""Verifies the deliveries of the environment, and prints their events, or the codes of the errors."""

import json
import os

from agent_chat_client import AgentChatError, verify_webhook


def verified(body: str, headers: dict, secrets: list):
    try:
        return verify_webhook(body.encode(), headers, secrets)
    except AgentChatError as error:
        return error.code


print(json.dumps([verified(**case) for case in json.loads(os.environ["CASES"])]))
