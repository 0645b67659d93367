"""The behaviour of the Python client, against a server whose answers are scripted."""

import json
import threading
import unittest
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from agent_chat_client import AgentChat, AgentChatError


def answer(status, body, content_type="application/json", **headers):
    def step(handler):
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        handler.send_response(status)
        handler.send_header("content-type", content_type)
        handler.send_header("content-length", str(len(data)))
        for name, value in headers.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.end_headers()
        handler.wfile.write(data)

    return step


def problem(status, code, **members):
    body = {"status": status, "code": code, "title": code, "detail": code, "retryable": status > 428}
    return answer(status, {**body, **members}, "application/problem+json")


def cut(handler):
    handler.close_connection = True


def part_of_a_stream(handler):
    handler.send_response(200)
    handler.send_header("content-type", "text/event-stream")
    handler.end_headers()
    handler.wfile.write(b': hi\n\nid: 0\r\ndata: {"type":\r\ndata: "start"}\r\n\r\nid:1\ndata:{"type":"Zo\xc3\xab"}\n\nid: 2\nda')


REST = b'id: 2\ndata: {"type":"finish"}\n\nid: 3\ndata: [DONE]\n\n'
STARTED = answer(202, {"runId": "run_1", "status": "queued"})
GATEWAY = answer(502, b"<h1>Gateway</h1>", "text/html")


class Calls(unittest.TestCase):
    def client(self, *steps, **options):
        requests = []

        class Handler(BaseHTTPRequestHandler):
            def handle_one(self):
                self.rfile.read(int(self.headers.get("content-length") or 0))
                requests.append(self)
                steps[min(len(requests), len(steps)) - 1](self)

            do_GET = do_POST = do_DELETE = handle_one

            def log_message(self, *_):
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        self.addCleanup(server.server_close)
        self.addCleanup(server.shutdown)
        return AgentChat(f"http://127.0.0.1:{server.server_port}/", lambda: "token", **options), requests

    def fails(self, code, call, *args, **options):
        with self.assertRaises(AgentChatError) as caught:
            call(*args, **options)
        self.assertEqual(caught.exception.code, code)
        return caught.exception

    def test_all_attempts_of_a_start_have_one_key(self):
        chat, requests = self.client(cut, GATEWAY, problem(503, "shutting_down"), STARTED, user="Zoë")
        self.assertEqual(chat.start({"message": "hi"})["runId"], "run_1")
        self.assertEqual(len(requests), 4)
        self.assertEqual(len({request.headers["idempotency-key"] for request in requests}), 1)
        self.assertEqual(requests[0].headers["x-effective-user"].encode("latin-1").decode(), "Zoë")

    def test_what_cannot_succeed_is_not_repeated(self):
        for step, code in [
            (problem(422, "idempotency_key_mismatch"), "idempotency_key_mismatch"),
            (problem(409, "conversation_busy", retryable=True, activeRunId="run_2"), "conversation_busy"),
            (problem(429, "budget_exhausted", retryAfter=3600), "budget_exhausted"),
            (answer(404, b"", "text/html"), "unexpected_answer"),
            (answer(302, b"", "text/html", location="/elsewhere"), "unexpected_answer"),
        ]:
            chat, requests = self.client(step)
            error = self.fails(code, chat.start, {"message": "hi"})
            self.assertEqual((len(requests), error.attempts), (1, 1))
            if code == "conversation_busy":
                self.assertEqual(error.active_run_id, "run_2")

    def test_a_timeout_ends_the_attempts_with_the_last_error(self):
        chat, requests = self.client(problem(503, "engine_unavailable"))
        self.fails("engine_unavailable", chat.start, {"message": "hi"}, timeout=0.4)
        self.assertGreater(len(requests), 1)
        chat, _ = self.client(answer(200, b"<h1>hi</h1>"))
        self.fails("connection_failed", chat.get, "run_1", timeout=0.2)

    def test_what_has_no_key_is_not_sent_again_when_its_answer_was_lost(self):
        chat, requests = self.client(problem(503, "shutting_down"), cut)
        self.fails("connection_failed", chat.conversations.create)
        self.assertEqual(len(requests), 2)

    def test_a_conversation_that_an_earlier_attempt_has_deleted_is_deleted(self):
        gone = problem(404, "conversation_not_found")
        chat, _ = self.client(GATEWAY, gone)
        chat.conversations.delete("c")
        chat, _ = self.client(gone)
        self.fails("conversation_not_found", chat.conversations.delete, "c")

    def test_a_wait_polls_with_the_last_tag_and_ends_at_its_timeout(self):
        running = answer(200, {"runId": "run_1", "status": "running"}, etag='"1"')
        same = answer(304, b"", etag='"1"', retry_after="1")
        ended = answer(200, {"runId": "run_1", "status": "completed", "text": "yes"})
        chat, requests = self.client(running, same, ended)
        seen = []
        run = chat.wait("run_1", on_update=seen.append)
        self.assertEqual((run["text"], len(seen)), ("yes", 1))
        self.assertEqual([request.headers["if-none-match"] for request in requests], [None, '"1"', '"1"'])
        chat, _ = self.client(running, same)
        self.fails("deadline_exceeded", chat.wait, "run_1", timeout=0.3)

    def test_a_stream_goes_on_with_the_last_whole_event(self):
        chat, requests = self.client(part_of_a_stream, answer(200, REST, "text/event-stream"))
        stream = chat.follow("run_1")
        self.assertEqual([chunk["type"] for chunk in stream], ["start", "Zoë", "finish"])
        self.assertEqual(requests[1].headers["last-event-id"], "1")
        self.assertEqual(stream.last_event_id, "3")

    def test_a_stream_whose_frames_are_no_longer_kept_raises(self):
        chat, _ = self.client(problem(410, "stream_expired"))
        self.fails("stream_expired", list, chat.follow("run_1"))


unittest.main()
