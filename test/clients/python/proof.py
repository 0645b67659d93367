"""Asks every question of the proof, and prints the ids of the runs that have answered rightly."""

import json
import os
from concurrent.futures import ThreadPoolExecutor

from agent_chat_client import AgentChat

chat = AgentChat(os.environ["AGENT_URL"], os.environ["AGENT_TOKEN"])


def ask(index: int) -> str:
    message = f"What is {index + 1000} * 7?"
    text = None
    if index % 2 == 0:
        run_id = chat.start({"message": message})["runId"]
    else:
        stream = chat.stream({"message": message})
        text = "".join(stream.text())
        run_id = stream.run_id
    run = chat.wait(run_id)
    assert run["status"] == "completed", run
    assert str((index + 1000) * 7) in run["text"], (message, run["text"])
    assert text is None or text == run["text"], (text, run["text"])
    return run["runId"]


with ThreadPoolExecutor(24) as pool:
    print(json.dumps(list(pool.map(ask, range(int(os.environ["RUNS"]))))))
