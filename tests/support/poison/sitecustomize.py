"""On the path of a run's processes, makes files that start with KILL end the process that decodes them.

`KILL 9` does it by signal 9, as the kernel does where memory runs out; without a number it is a segmentation fault.
"""

from __future__ import annotations

import os
import re
import signal

from facegpt.photo import decode as module
from facegpt.photo.config import DecodeConfig

real = module.decode


def decode(data: bytes, config: DecodeConfig, side: int | None = None) -> module.Decoded:
    if data.startswith(b"KILL"):
        number = re.match(rb"KILL (\d+)", data)
        os.kill(os.getpid(), int(number[1]) if number else signal.SIGSEGV)
    return real(data, config, side)


module.decode = decode
