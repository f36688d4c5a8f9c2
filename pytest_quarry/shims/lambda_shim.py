"""Runs a Lambda handler of Python: events come as JSON lines on one descriptor, answers go on another.

Usage: python lambda_shim.py FILE EXPORT, with QUARRY_SHIM=READ,WRITE in the environment. Needs nothing but Python.
"""

import importlib.util
import json
import os
import pathlib
import sys
import traceback
import types


def main() -> None:
    """Load the handler, then answer one event after another."""
    reading, writing = (int(number) for number in os.environ.pop("QUARRY_SHIM").split(","))
    os.set_inheritable(reading, False)
    os.set_inheritable(writing, False)
    events, answers = os.fdopen(reading, "r", encoding="utf-8"), os.fdopen(writing, "w", encoding="utf-8")

    def say(**message: object) -> None:
        answers.write(json.dumps(message) + "\n")
        answers.flush()

    file, export = sys.argv[1:3]
    try:
        handler = load(file, export)
    except BaseException as error:
        say(error=f"{type(error).__name__}: {error}", stack=traceback.format_exc())
        raise SystemExit(1) from None
    if not callable(handler):
        say(unusable=f"{file} has no function {export!r} to call")
        raise SystemExit(1)
    say(ready=True)
    for line in events:
        message = json.loads(line)
        try:
            value = handler(message["event"], types.SimpleNamespace(**message["context"]))
            say(value=value)
        except Exception as error:
            say(error=f"{type(error).__name__}: {error}", stack=traceback.format_exc())


def load(file: str, export: str) -> object:
    """What the file exports under that name, or None."""
    path = pathlib.Path(file)
    sys.path.insert(0, str(path.parent))
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    spec.loader.exec_module(module)
    return getattr(module, export, None)


if __name__ == "__main__":
    main()
