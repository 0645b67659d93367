"""Calls the service with every verb of the client."""

import os

from agent_chat_client import AgentChat, AgentChatError

chat = AgentChat(os.environ["AGENT_URL"], os.environ["AGENT_TOKEN"])

run = chat.run({"message": "What is 17 * 23?"}, idempotency_key="mine")
assert run["status"] == "completed" and "391" in run["text"], run
assert chat.start({"message": "What is 17 * 23?"}, idempotency_key="mine")["runId"] == run["runId"]
assert chat.get(run["runId"]) == run

chunks = list(chat.follow(run["runId"]))
assert (chunks[0]["type"], chunks[-1]["type"]) == ("start", "finish"), chunks
assert "".join(chat.follow(run["runId"]).text()) == run["text"]

slow = chat.stream({"message": "Tell me a story of 2000 words"})
assert chat.cancel(slow.run_id)["status"] == "cancelled"
assert list(slow)[-1]["type"] == "abort"

again = chat.retry(run["runId"])
assert chat.wait(again["runId"])["retryOf"] == run["runId"]
listed = chat.list(status=["completed"], conversation_id=run["conversationId"], limit=1)
assert [one["runId"] for one in listed["data"]] == [again["runId"]]

assert len(chat.conversations.list()["data"]) == 2
created = chat.conversations.create(title="Mine", metadata={"ticket": "T-1"})
assert chat.conversations.update(created["id"], {"title": "Yours"})["title"] == "Yours"
fork = chat.conversations.fork(run["conversationId"])
assert len(chat.conversations.messages(fork["id"], order="desc")["data"]) == 2
chat.conversations.delete(fork["id"])
try:
    chat.conversations.get(fork["id"])
    raise AssertionError("it is still there")
except AgentChatError as error:
    assert (error.code, error.status) == ("conversation_not_found", 404)
assert chat.usage(group_by="agent")["total"]["runs"] == 3

asks = chat.run({"message": "Send Ada a note: lunch at one"})
assert asks["status"] == "completed" and asks["finishReason"] == "action_required", asks
(waiting,) = chat.actions.list(status="pending")["data"]
assert (waiting["runId"], waiting["toolName"]) == (asks["runId"], "send_note"), waiting
decided = chat.actions.approve(waiting["runId"], waiting["actionId"])
assert (decided["status"], decided["pending"]) == ("approved", 0), decided
goes_on = chat.wait(decided["continuedBy"])
assert goes_on["status"] == "completed" and '"sent":true' in goes_on["text"], goes_on
try:
    chat.actions.deny(waiting["runId"], waiting["actionId"], "too late")
    raise AssertionError("a second answer was taken")
except AgentChatError as error:
    assert (error.code, error.status) == ("action_decided", 409), error

assert chat.agents.list()["data"][0]["tools"]
print("done")
