"""What torch.compile leaves as it is. Apart from runtime.py, since `ffi-ext run` needs it while that imports torch."""

from __future__ import annotations

import contextlib
from typing import Any

import torch


def untraced(*functions: Any) -> None:
    """Keeps torch.compile from compiling these, and all that they call.

    Where a graph breaks at a call of C, it takes up every Python function that C calls: in a process's first call the
    whole of `_setup`, which takes half a minute and warns of recompilations.
    """
    codes = [f.__code__ for f in functions if hasattr(f, "__code__")]
    with contextlib.suppress(AttributeError, TypeError):  # nothing here is promised by torch
        eval_frame: Any = torch._C._dynamo.eval_frame
        if hasattr(eval_frame, "skip_code"):  # of torch 2.4: these alone, and not what they call
            for code in codes:
                eval_frame.skip_code(code)
            return
        skip = eval_frame._FrameAction.SKIP
        strategy = eval_frame._FrameExecStrategy(skip, skip)
        for code in codes:
            eval_frame.set_code_exec_strategy(code, strategy)
