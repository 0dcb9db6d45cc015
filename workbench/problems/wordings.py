"""The sentences of the arithmetic stories: what each kind of line calculates, and how it is worded in each split.

No wording is in both splits, and every word of the test wordings is a word of the training wordings too, so that a
model that knows the words from training is asked about sentences and stories that it has not seen.
"""

from dataclasses import dataclass
from typing import Literal

Split = Literal["train", "test"]
Symbol = Literal["+", "-", "*", "/"]
Place = Literal["total", "n", "m", "last"]
"""Where a number comes from: the total so far, the two numbers of a line, the operation before on the same line."""


@dataclass(frozen=True)
class Operation:
    """One step: a symbol between two numbers."""

    symbol: Symbol
    left: Place
    right: Place


KINDS: dict[str, tuple[Operation, ...]] = {
    "start": (),
    "start_groups": (Operation("*", "n", "m"),),
    "add": (Operation("+", "total", "n"),),
    "subtract": (Operation("-", "total", "n"),),
    "multiply": (Operation("*", "total", "n"),),
    "divide": (Operation("/", "total", "n"),),
    "add_groups": (Operation("*", "n", "m"), Operation("+", "total", "last")),
    "subtract_groups": (Operation("*", "n", "m"), Operation("-", "total", "last")),
    "add_share": (Operation("/", "n", "m"), Operation("+", "total", "last")),
    "join_more": (Operation("+", "total", "n"), Operation("+", "total", "last")),
    "join_fewer": (Operation("-", "total", "n"), Operation("+", "total", "last")),
    "join_times": (Operation("*", "total", "n"), Operation("+", "total", "last")),
    "aside": (),
    "ask": (),
    "ask_price": (Operation("*", "total", "n"),),
    "ask_share": (Operation("/", "total", "n"),),
}
"""What each kind of line calculates; its last result is the new total ("start" makes n the total)."""
OPENINGS = ("start", "start_groups")
ENDINGS = ("ask", "ask_price", "ask_share")
EVENTS = tuple(kind for kind in KINDS if kind not in (*OPENINGS, *ENDINGS, "aside"))

THINGS = tuple("apples beads books buttons cards coins cookies marbles pencils shells stamps stickers".split())
BOXES = tuple("bags baskets boxes jars packs".split())

WORDINGS: dict[str, dict[Split, tuple[str, ...]]] = {
    "start": {
        "train": (
            "{name} has {n} {things}.",
            "At first {name} has {n} {things}.",
            "{name} finds {n} {things} in the morning.",
            "There are {n} {things} on the table of {name}.",
            "{name} got {n} {things} as a gift.",
        ),
        "test": (
            "In the morning {name} has {n} {things}.",
            "At first {n} {things} are on the table of {name}.",
            "As a gift {name} got {n} {things}.",
        ),
    },
    "start_groups": {
        "train": (
            "{name} has {n} {box} with {m} {things} in each.",
            "There are {n} {box} of {m} {things} each on the table of {name}.",
            "{name} got {n} {box}, each with {m} {things}.",
        ),
        "test": (
            "On the table of {name} there are {n} {box}, each with {m} {things}.",
            "At first {name} has {n} {box} of {m} {things} each.",
        ),
    },
    "add": {
        "train": (
            "{name} buys {n} more {things}.",
            "Then {other} gives {name} {n} {things}.",
            "Later {name} finds another {n} {things}.",
            "{n} more {things} come as a gift from {other}.",
            "{name} wins {n} {things} in a game.",
            "On the way home {name} picks up {n} {things}.",
        ),
        "test": (
            "Then {name} finds {n} more {things} on the way home.",
            "{other} buys another {n} {things} and gives all of them to {name}.",
            "Later {name} wins {n} more {things} from {other}.",
            "{name} picks up another {n} {things}.",
        ),
    },
    "subtract": {
        "train": (
            "{name} loses {n} {things}.",
            "Then {name} gives {n} {things} to {other}.",
            "{name} sells {n} of the {things}.",
            "Later {other} takes {n} {things} away from {name}.",
            "{n} of the {things} break, and {name} throws those away.",
            "In a game {name} loses {n} of the {things} to {other}.",
        ),
        "test": (
            "On the way home {name} loses {n} of the {things}.",
            "{other} takes {n} of the {things} from {name}.",
            "Later {name} sells {n} {things} to {other}.",
            "Then {name} throws {n} {things} away.",
        ),
    },
    "multiply": {
        "train": (
            "Then the number of {things} grows to {n} times as many.",
            "Later {name} has {n} times as many {things} as before.",
            "A game lets the {things} grow to {n} times as many.",
        ),
        "test": (
            "Then {name} has {n} times the {things} of before.",
            "Later the {things} of {name} grow to {n} times the number.",
        ),
    },
    "divide": {
        "train": (
            "{name} shares the {things} evenly among {n} friends and takes one share home.",
            "The {things} are split into {n} equal parts, and {name} keeps one part.",
            "{name} keeps only one of {n} equal parts of the {things}.",
        ),
        "test": (
            "{name} takes only one of {n} equal parts of the {things} home.",
            "{n} friends split the {things} evenly, and {name} keeps only one share.",
        ),
    },
    "add_groups": {
        "train": (
            "{name} buys {n} {box} of {m} {things} each.",
            "Then {other} gives {name} {n} {box} with {m} {things} in each.",
            "{name} finds {n} {box}, each with {m} {things}.",
            "Each of {n} friends gives {name} {m} {things}.",
        ),
        "test": (
            "Later {name} wins {n} {box} of {m} {things} each.",
            "{n} friends come, and each gives {name} {m} {things}.",
            "{other} buys {n} {box} with {m} {things} in each and gives all of them to {name}.",
        ),
    },
    "subtract_groups": {
        "train": (
            "{name} fills {n} {box} with {m} {things} each and sells them.",
            "{name} gives {m} {things} to each of {n} friends.",
            "Then {name} loses {n} {box} of {m} {things} each.",
            "{n} friends take {m} {things} each from {name}.",
        ),
        "test": (
            "{name} sells {m} {things} to each of {n} friends.",
            "{name} fills {n} {box} with {m} {things} in each and gives them away.",
            "Later {name} gives {other} {n} {box} of {m} {things} each.",
        ),
    },
    "add_share": {
        "train": (
            "{n} more {things} are shared evenly among {m} friends, and {name} is one of them.",
            "{name} gets one of {m} equal parts of {n} new {things}.",
            "{m} friends split {n} new {things} evenly, and {name} is one of the friends.",
        ),
        "test": (
            "{n} new {things} are split evenly among {m} friends, and {name} gets one share.",
            "{name} is one of {m} friends, and they share {n} more {things} evenly.",
        ),
    },
    "join_more": {
        "train": (
            "{other} has {n} more {things} than {name} and gives all of them to {name}.",
            "{other} comes with {n} more {things} than {name} has, and they put all on the table.",
        ),
        "test": ("With {n} more {things} than {name} has, {other} comes and gives them all to {name}.",),
    },
    "join_fewer": {
        "train": (
            "{other} has {n} fewer {things} than {name} and gives all of them to {name}.",
            "{other} comes with {n} fewer {things} than {name} has, and they put all on the table.",
        ),
        "test": ("With {n} fewer {things} than {name} has, {other} comes and gives them all to {name}.",),
    },
    "join_times": {
        "train": (
            "{other} has {n} times as many {things} as {name} and gives all of them to {name}.",
            "{other} comes with {n} times as many {things} as {name} has, and they put all on the table.",
        ),
        "test": ("With {n} times as many {things} as {name} has, {other} comes and gives them all to {name}.",),
    },
    "aside": {
        "train": (
            "{other} is {n} years old.",
            "The way home takes {n} minutes.",
            "There are {n} trees on the way.",
        ),
        "test": (
            "{name} is home in {n} minutes.",
            "The trees on the way home are {n} years old.",
        ),
    },
    "ask": {
        "train": (
            "How many {things} does {name} have now?",
            "How many {things} are there in the end?",
            "What is the number of {things} that {name} has now?",
        ),
        "test": (
            "How many {things} are there now?",
            "How many {things} does {name} have in the end?",
        ),
    },
    "ask_price": {
        "train": (
            "{name} sells all {things} for {n} dollars each. How many dollars does {name} get?",
            "Each of the {things} costs {n} dollars. How many dollars do all of them cost?",
            "{other} buys all the {things} and pays {n} dollars for each. How many dollars is that?",
        ),
        "test": (
            "{name} sells each of the {things} for {n} dollars. How many dollars is that in the end?",
            "{other} pays {n} dollars for each of the {things}. How many dollars do they cost?",
        ),
    },
    "ask_share": {
        "train": (
            "{name} puts the {things} evenly into {n} {box}. How many {things} are in each?",
            "{n} friends share all {things} evenly. How many {things} does each get?",
            "{name} splits all {things} evenly among {n} friends. What is the share of each?",
        ),
        "test": (
            "All {things} are split evenly into {n} {box}. How many {things} does each have?",
            "{name} shares the {things} evenly among {n} friends. How many does each of them get?",
        ),
    },
}
"""Sentences by kind of line and split."""
