"""Patterns of stream names, as Java writes them (clients.md 1.9: `streamPattern` is what java.util.regex was given). Owns reading
and matching; knows no streams.

Only what is regular is read: literals, `.`, classes, groups, `|`, repetitions, anchors, `\\Q...\\E`. A pattern matches a name as a
whole. Matching never goes back, so no pattern takes long: all ways through a name are followed at once, as bits.
"""

from __future__ import annotations

import string
from collections.abc import Callable
from typing import NamedTuple

_STEPS_MOST = 20_000
"""Steps one name may take; nested repetitions can need many."""
_DEPTH_MOST = 20
_REPEAT_MOST = 1000
_DIGITS = frozenset(string.digits)
_WORD = frozenset(string.ascii_letters + string.digits + "_")
_SPACE = frozenset(" \t\n\x0b\f\r")
_ALL = frozenset(map(chr, range(128)))
_CLASSES = {
    "d": _DIGITS,
    "D": _ALL - _DIGITS,
    "w": _WORD,
    "W": _ALL - _WORD,
    "s": _SPACE,
    "S": _ALL - _SPACE,
}
_NAMED = {
    "Lower": frozenset(string.ascii_lowercase),
    "Upper": frozenset(string.ascii_uppercase),
    "ASCII": _ALL,
    "Alpha": frozenset(string.ascii_letters),
    "Digit": _DIGITS,
    "Alnum": frozenset(string.ascii_letters + string.digits),
    "Punct": frozenset(string.punctuation),
    "L": frozenset(string.ascii_letters),
    "N": _DIGITS,
    "Nd": _DIGITS,
    "Lu": frozenset(string.ascii_uppercase),
    "Ll": frozenset(string.ascii_lowercase),
    "XDigit": frozenset(string.hexdigits),
}
_CONTROLS = {"t": "\t", "n": "\n", "r": "\r", "f": "\f", "a": "\a", "e": "\x1b"}


class BadPattern(ValueError):
    """The message says what cannot be read."""


class _Name(NamedTuple):
    """A name being matched: for every character of it, where it stands, as bits; and the bit after its end."""

    where: dict[str, int]
    end: int

    def of(self, characters: frozenset[str]) -> int:
        return sum(bits for character, bits in self.where.items() if character in characters)


class _Budget:
    """Counts steps."""

    def __init__(self) -> None:
        self.left = _STEPS_MOST

    def step(self) -> None:
        self.left -= 1
        if self.left < 0:
            raise BadPattern("it takes too many steps")


_Node = Callable[[_Name, int, _Budget], int]
"""From the places (bits) where a part of the pattern may begin to those where it may end."""


class Pattern:
    """A pattern that has been read."""

    def __init__(self, text: str) -> None:
        """Raises BadPattern."""
        self.text = text
        self._node = _Reader(text).read()

    def matches(self, name: str) -> bool:
        """Whether the whole of `name` is of this form. A name that takes too many steps is not."""
        where: dict[str, int] = {}
        for index, character in enumerate(name):
            where[character] = where.get(character, 0) | 1 << index
        end = 1 << len(name)
        try:
            return bool(self._node(_Name(where, end), 1, _Budget()) & end)
        except BadPattern:
            return False


def _characters(characters: frozenset[str]) -> _Node:
    def match(name: _Name, starts: int, budget: _Budget) -> int:
        budget.step()
        return (starts & name.of(characters)) << 1

    return match


def _sequence(parts: list[_Node]) -> _Node:
    def match(name: _Name, starts: int, budget: _Budget) -> int:
        for part in parts:
            if not starts:
                break
            starts = part(name, starts, budget)
        return starts

    return match


def _either(parts: list[_Node]) -> _Node:
    def match(name: _Name, starts: int, budget: _Budget) -> int:
        ends = 0
        for part in parts:
            ends |= part(name, starts, budget)
        return ends

    return match


def _repeat(part: _Node, least: int, most: int | None) -> _Node:
    def match(name: _Name, starts: int, budget: _Budget) -> int:
        for _ in range(least):
            budget.step()
            if not starts:
                return 0
            starts = part(name, starts, budget)
        ends = fresh = starts
        left = most - least if most is not None else -1
        while fresh and left:
            budget.step()
            # A place that was reached in fewer rounds has more of them left: it need not be tried again.
            fresh = part(name, fresh, budget) & ~ends
            ends |= fresh
            left -= 1
        return ends

    return match


def _at_start(name: _Name, starts: int, budget: _Budget) -> int:
    return starts & 1


def _at_end(name: _Name, starts: int, budget: _Budget) -> int:
    return starts & name.end


class _Reader:
    """Reads a pattern from left to right."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._depth = 0
        self._folded = False

    def read(self) -> _Node:
        node = self._alternatives()
        if self._at < len(self._text):
            raise BadPattern("a ) without its (")
        return node

    def _peek(self, count: int = 1) -> str:
        return self._text[self._at : self._at + count]

    def _take(self, count: int = 1) -> str:
        taken = self._peek(count)
        if len(taken) < count:
            raise BadPattern("it ends too early")
        self._at += count
        return taken

    def _alternatives(self) -> _Node:
        self._depth += 1
        if self._depth > _DEPTH_MOST:
            raise BadPattern("its groups are nested too deeply")
        parts = [self._one_after_another()]
        while self._peek() == "|":
            self._take()
            parts.append(self._one_after_another())
        self._depth -= 1
        return parts[0] if len(parts) == 1 else _either(parts)

    def _one_after_another(self) -> _Node:
        parts: list[_Node] = []
        while (next_ := self._peek()) and next_ not in "|)":
            if self._peek(2) == "\\Q":
                self._take(2)
                literal, found, _ = self._text[self._at :].partition("\\E")
                self._at += len(literal) + len(found)
                nodes = [self._literal(character) for character in literal]
            else:
                atom = self._atom()
                nodes = [] if atom is None else [atom]
            if nodes:
                nodes[-1] = self._repeated(nodes[-1])
            parts += nodes
        return _sequence(parts)

    def _literal(self, character: str) -> _Node:
        return self._one_of(frozenset(character))

    def _one_of(self, characters: frozenset[str]) -> _Node:
        if self._folded:
            characters |= {c.swapcase() for c in characters if c.isascii()}
        return _characters(characters)

    def _atom(self) -> _Node | None:
        character = self._take()
        if character == ".":
            return _characters(_ALL - frozenset("\n\r"))
        if character == "^":
            return _at_start
        if character == "$":
            return _at_end
        if character == "(":
            return self._group()
        if character == "[":
            return self._one_of(self._class())
        if character == "\\":
            return self._escape()
        if character in "*+?{":
            raise BadPattern(f"nothing before {character} to repeat")
        return self._literal(character)

    def _group(self) -> _Node | None:
        if self._peek() == "?":
            self._take()
            kind = self._take()
            if kind == "i" and self._peek() == ")":
                self._take()
                self._folded = True
                return None
            if kind == "<" and self._peek().isalpha():
                while self._take() != ">":
                    pass
            elif kind != ":":
                raise BadPattern(f"(?{kind} is not supported")
        folded = self._folded
        node = self._alternatives()
        self._folded = folded
        if self._peek() != ")":
            raise BadPattern("a ( without its )")
        self._take()
        return node

    def _escape(self) -> _Node:
        character = self._take()
        if character == "A":
            return _at_start
        if character in "zZ":
            return _at_end
        return self._one_of(self._escaped(character))

    def _escaped(self, character: str) -> frozenset[str]:
        if character in _CLASSES:
            return _CLASSES[character]
        if character in "pP":
            name = self._take()
            if name == "{":
                name = ""
                while (next_ := self._take()) != "}":
                    name += next_
            name = name.removeprefix("Is")
            if name not in _NAMED:
                raise BadPattern(f"\\{character}{{{name[:20]}}} is not supported")
            return _NAMED[name] if character == "p" else _ALL - _NAMED[name]
        if character in _CONTROLS:
            return frozenset(_CONTROLS[character])
        if character in "xu":
            digits = self._take(2 if character == "x" else 4)
            try:
                return frozenset(chr(int(digits, 16)))
            except ValueError:
                raise BadPattern(f"\\{character} without its digits") from None
        if character.isalnum():
            raise BadPattern(f"\\{character} is not supported")
        return frozenset(character)

    def _class(self) -> frozenset[str]:
        """A class, from after its [."""
        self._depth += 1
        if self._depth > _DEPTH_MOST:
            raise BadPattern("its classes are nested too deeply")
        negated = self._peek() == "^"
        if negated:
            self._take()
        found: frozenset[str] = frozenset()
        narrowed: list[frozenset[str]] = []
        first = True
        while True:
            character = self._take()
            if character == "]" and not first:
                break
            first = False
            if character == "[":
                found |= self._class()
                continue
            if character == "&" and self._peek() == "&":
                self._take()
                narrowed.append(found)
                found = frozenset()
                continue
            single = self._escaped(self._take()) if character == "\\" else frozenset(character)
            if self._peek() == "-" and self._peek(2)[1:] not in ("]", "[") and len(single) == 1:
                self._take()
                last = self._take()
                end = self._escaped(self._take()) if last == "\\" else frozenset(last)
                low, high = ord(min(single)), ord(min(end))
                if len(end) != 1 or low > high:
                    raise BadPattern("a range that ends before it begins")
                single = frozenset(map(chr, range(low, min(high, 127) + 1)))
            found |= single
        for other in narrowed:
            found &= other
        self._depth -= 1
        return _ALL - found if negated else found

    def _repeated(self, node: _Node) -> _Node:
        least, most = 1, 1
        unbounded = False
        character = self._peek()
        if character not in ("*", "+", "?", "{"):
            return node
        self._take()
        if character == "{":
            low, high = self._bounds()
            least, most, unbounded = low, high or low, high is None
        else:
            least = 1 if character == "+" else 0
            unbounded = character != "?"
        if self._peek() == "?":
            self._take()  # reluctant: the same names
        elif self._peek() == "+":
            raise BadPattern("possessive repetitions are not supported")
        node = _repeat(node, least, None if unbounded else most)
        if self._peek() in ("*", "?", "{"):
            raise BadPattern("a repetition of a repetition")
        return node

    def _bounds(self) -> tuple[int, int | None]:
        text = ""
        while (character := self._take()) != "}":
            text += character
        low, comma, high = text.partition(",")
        if not low.isascii() or not low.isdigit() or (high and not (high.isascii() and high.isdigit())):
            raise BadPattern(f"{{{text[:20]}}} is no number of repetitions")
        least = int(low)
        most = int(high) if high else None if comma else least
        if least > _REPEAT_MOST or (most or 0) > _REPEAT_MOST or (most is not None and most < least):
            raise BadPattern(f"{{{text[:20]}}} is no number of repetitions")
        return least, most
