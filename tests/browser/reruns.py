"""The memory of the explorer's server over many runs of its page: `python -m tests.browser.reruns --count 1000`.

A client that speaks Streamlit's protocol presses "next problem" again and again; nothing is drawn, so that what is
measured is the server. Printed are the memory at every hundred runs, and what a run takes.
"""

import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Annotated

import numpy as np
import typer
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from websockets.sync.client import ClientConnection, connect

from tests.browser.load import memory
from tests.browser.walk import tiny_explorer

NEXT = "→"
PATIENCE = 600


class Visitor:
    """A session of the explorer without a browser.

    Args:
        socket: Open, to the server.
    """

    def __init__(self, socket: ClientConnection) -> None:
        self.socket, self.button, self.asked, self.failed = socket, "", "", False

    def run(self, press: str = "") -> None:
        """Run the page, with a button pressed or as it is opened, and wait until it has ended."""
        told = BackMsg()
        told.rerun_script.query_string = ""
        if press:
            widget = told.rerun_script.widget_states.widgets.add()
            widget.id, widget.trigger_value = press, True
        self.socket.send(told.SerializeToString())
        finished = False
        while not finished:
            heard = self.socket.recv(timeout=PATIENCE)
            assert isinstance(heard, bytes)
            finished = self._hear(ForwardMsg.FromString(heard))

    def _hear(self, message: ForwardMsg) -> bool:
        if message.WhichOneof("type") == "script_finished":
            return message.script_finished == ForwardMsg.FINISHED_SUCCESSFULLY
        if message.WhichOneof("type") == "delta" and message.delta.WhichOneof("type") == "new_element":
            element = message.delta.new_element
            kind = element.WhichOneof("type")
            self.failed |= kind == "exception"
            if kind == "button" and element.button.label == NEXT:
                self.button = element.button.id
            if kind == "markdown" and element.markdown.body.startswith("## "):
                self.asked = element.markdown.body
        return False


def main(count: Annotated[int, typer.Option(help="Runs of the page.")] = 1000) -> None:
    """Start an explorer over a tiny run, and run its page."""
    with tempfile.TemporaryDirectory() as home, tiny_explorer(Path(home)) as address:
        port = int(address.rpartition(":")[2])
        stream = f"ws://localhost:{port}/_stcore/stream"
        with connect(stream, subprotocols=["streamlit"], max_size=None, open_timeout=PATIENCE) as socket:  # type: ignore[list-item]
            visitor, seconds, asked = Visitor(socket), [], set()
            visitor.run()
            for number in range(1, count + 1):
                began = time.perf_counter()
                visitor.run(visitor.button)
                seconds.append(time.perf_counter() - began)
                asked.add(visitor.asked)
                if not number % 100 or number == count:
                    print(f"{number} runs: {memory(port):.0f} MB", flush=True)
    print(f"{len(asked)} questions; median {median(seconds):.3f} s, p95 {np.percentile(seconds, 95):.3f} s; "
          f"{'an exception' if visitor.failed else 'no exception'} on the page")  # fmt: skip


if __name__ == "__main__":
    typer.run(main)
