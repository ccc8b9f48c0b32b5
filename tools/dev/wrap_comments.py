#!/usr/bin/env python3
"""Finds lines over 120 columns, which clang-format leaves alone in comments; with --fix, wraps those that are comments.

Only the words that stick out move, to the line below or to a new one, so that lists and tables inside comments keep their
shape. Comments behind code are left to a person.
usage: wrap_comments.py [--fix] FILE...
"""

import pathlib
import re
import sys

LIMIT = 120
COMMENT = re.compile(r"^(?P<indent>\s*)(?P<mark>/\*+|\*|//)(?P<gap> +)(?P<text>\S.*)$")
RULER = re.compile(r"^(/\* -+ .*? )(-{3,})( ?\*/|)$")
LABEL = re.compile(r"^(\S+(?: \S+)* {2,})\S")
ITEM = re.compile(r"^([-*] |\d+\. )")


def continuation_prefix(comment):
    """What a line that continues this comment line begins with."""
    mark = {"//": "//", "*": "*"}.get(comment["mark"], " *")
    label = LABEL.match(comment["text"]) or ITEM.match(comment["text"])
    return comment["indent"] + mark + comment["gap"] + " " * (len(label.group(1)) if label else 0)


def continues(comment, below):
    """The match of the line below, when it carries on the sentence of the comment line; None otherwise."""
    if comment["text"].endswith("*/") or below is None:
        return None
    match = COMMENT.match(below)
    if not match or match["mark"].startswith("/*") or LABEL.match(match["text"]) or ITEM.match(match["text"]):
        return None
    if match["text"] == "*/":
        return None
    # Below an item of a list only what is indented more belongs to it.
    least = comment.start("text") + (1 if LABEL.match(comment["text"]) or ITEM.match(comment["text"]) else 0)
    return match if match.start("text") >= least else None


def split_words(comment):
    """The line in two at the last space that fits; a space before the end mark is no place to break."""
    line = comment.group(0)
    for column in range(LIMIT, comment.start("text"), -1):
        if line[column : column + 1] == " " and line[column - 1] != " " and line[column + 1 :] != "*/":
            return line[:column], line[column + 1 :]
    return line, ""


def wrap(lines):
    """The lines with the words that stick out moved down; moving may make the next line too long in its turn."""
    result = []
    pending = list(reversed(lines))
    while pending:
        line = pending.pop()
        ruler = RULER.match(line) if len(line) > LIMIT else None
        comment = COMMENT.match(line) if len(line) > LIMIT else None
        if ruler:
            line = ruler.group(1) + "-" * (len(ruler.group(2)) - (len(line) - LIMIT)) + ruler.group(3)
        elif comment and not (comment["mark"] == "/*" and "*/" in comment["text"][:-2]):
            line, rest = split_words(comment)
            below = continues(comment, pending[-1] if pending else None)
            if rest and below:
                pending.append(below.group(0)[: below.start("text")] + rest + " " + below["text"])
                pending.pop(-2)
            elif rest:
                pending.append(continuation_prefix(comment) + rest)
        result.append(line)
    return result


def main():
    fix = "--fix" in sys.argv[1:]
    status = 0
    for name in sys.argv[1:]:
        if name == "--fix":
            continue
        path = pathlib.Path(name)
        lines = path.read_text(encoding="utf-8").split("\n")
        if fix:
            wrapped = wrap(lines)
            if wrapped != lines:
                path.write_text("\n".join(wrapped), encoding="utf-8")
            lines = wrapped
        for number, line in enumerate(lines, 1):
            if len(line) > LIMIT:
                print(f"{name}:{number}: {len(line)} columns, at most {LIMIT} are wanted", file=sys.stderr)
                status = 1
    return status


if __name__ == "__main__":
    sys.exit(main())
