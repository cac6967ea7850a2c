#!/usr/bin/env python3
"""Says of each line whether it is a record in the strict form, by verify_log.py.

usage: judge_lines.py     lines in hex on standard input; 1 or 0 for each on standard output

Number and previous hash are taken from the line: only its form is judged.
"""
import base64, os, re, sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import verify_log


def judge(line):
    start = re.match(rb'\{"_p":"([A-Za-z0-9+/]{43}=)","_s":(0|[1-9][0-9]{0,15}),', line)
    if not start:
        return False
    try:
        previous = base64.b64decode(start[1], validate=True)
        value = verify_log.strict(line)
        # Genesis is record 0: what a record says of itself must fit.
        number = int(start[2])
        is_genesis = value.get("what", {}).get("op") == "genesis" if isinstance(value.get("what"), dict) else False
        if is_genesis != (number == 0):
            number = None
            return verify_log.b64(previous) == start[1].decode() and form(line, value, previous)
        verify_log.record(line, number, previous)
        return True
    except (verify_log.Bad, ValueError, TypeError, KeyError, RecursionError):
        return False


def form(line, value, previous):
    """As record, but for the place of genesis: said twice, once with each number."""
    other = 1 if value["what"]["op"] != "genesis" else 0
    changed = re.sub(rb'"_s":\d+', b'"_s":%d' % other, line, count=1)
    verify_log.record(changed, other, previous)
    return True


for text in sys.stdin:
    sys.stdout.write("1" if judge(bytes.fromhex(text)) else "0")
