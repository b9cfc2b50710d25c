"""A TorchScript model behind TorchServe's BaseHandler, as users write them: computing, not sleeping. It keeps the same log
as sleep.py. Run as a program with a path, it writes the model there.
"""

import os
import sys
import time

import torch

WIDTH = 768
ROWS = 64
LAYERS = 4

if __name__ == "__main__":
    layers = []
    for _ in range(LAYERS):
        layers += [torch.nn.Linear(WIDTH, WIDTH), torch.nn.ReLU()]
    torch.jit.script(torch.nn.Sequential(*layers)).save(sys.argv[1])
    sys.exit()

from ts.torch_handler.base_handler import BaseHandler


class Perceptron(BaseHandler):
    def initialize(self, context):
        folder = os.environ["STOKER_TEST_FOLDER"]
        self.log = os.open(f"{folder}/{context.model_name}.log", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        self.calls = 0
        self.note("load", "-")
        super().initialize(context)
        self.note("loaded", "-")

    def preprocess(self, data):
        self.calls += 1
        self.ids = [bytes(row.get("body") or row.get("data") or b"-").decode() for row in data]
        for each in self.ids:
            self.note("begin", each)
        return torch.randn(ROWS * len(data), WIDTH)

    def inference(self, data, *args, **kwargs):
        with torch.no_grad():
            return self.model(data)

    def postprocess(self, data):
        for each in self.ids:
            self.note("end", each)
        return self.ids

    def describe_handle(self):
        self.note("decoy", "-")
        return super().describe_handle()

    def note(self, event, request):
        line = f"{event} {request} {os.getpid()} {time.time() * 1000:.3f} {self.calls}\n"
        os.write(self.log, line.encode())
