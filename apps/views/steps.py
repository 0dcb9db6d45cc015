"""The page *Steps*: one problem without a graph (ProntoQA, arithmetic, GSM8k), its steps beside what the model does.

That is what its thoughts hold, or what it says in words.
"""

from collections.abc import Sequence
from html import escape
from pathlib import Path

import polars as pl
import streamlit as st

from apps import cache, code_export, demo, links, widgets
from apps.components.header import method_badges
from apps.errors import in_words
from apps.sidebar_model import choose_count, choose_run, open_another
from apps.sidebar_problem import NO_FILE, UNLINKED, UPLOADED, say_what_to_do, upload_items
from apps.state import Run
from apps.text import no_thoughts, plain, plural, said
from workbench import catalog
from workbench.errors import WorkbenchError
from workbench.figures.layers import values_of_steps
from workbench.figures.values import option_by_thought, said_steps
from workbench.measure.chains import SaidChain
from workbench.measure.trace import Answer, Trace
from workbench.model.checkpoint import read_config
from workbench.model.reader import has_reader
from workbench.problems.problem import Item
from workbench.readings.second_model import TRAINED

SHOWN = 5
"""Tokens of a thought in the table."""
OTHERS = 40
"""Other problems of the set whose thoughts are read for the chance level."""
OTHERS_IN_WORDS = 12
"""Other problems after which the chain in words is read: each costs a pass over question and chain."""
WIDE = 170
"""Pixels of a column of steps, so that probability and chance stand beside them in a narrow window, too."""
MARKS = {True: "✓ right", False: "✗ wrong"}
SLIP = "✓ value, ✗ calculation"
"""Of a step with the right value whose own calculation does not come to it."""
MOST_OFFERED = 3
"""Runs that are offered where the one chosen reads graphs alone."""


def draw() -> None:
    """Draw the page."""
    with in_words():
        with st.sidebar:
            run = choose_run(words=True)
            open_another()
            items, file = _choose_set(run)
            item = _choose_item(items) if items else None
            run = choose_count(run)
        if run.checkpoint.format.name == "edges":
            _say_who_reads_words(run)
            links.say_what_was_left_out()
            return
        if item is None:
            say_what_to_do()
            return
        note = st.container()
        if run.checkpoint.says == "chain":
            chain = cache.chain(run, item, tuple(one for one in items if one.id != item.id)[:OTHERS_IN_WORDS])
            _head(run, item, Answer(item, chain.answer, chain.right, True))
            _chain(item, chain)
        else:
            _head(run, item, cache.answer(run.path, item, run.thoughts, "answer"))
        if run.thoughts or run.checkpoint.says != "chain":
            _thoughts(run, items, item)
        with st.expander("Code for this view", icon=":material/code:"):
            st.caption(code_export.CAPTION)
            shown = catalog.shown(file) if file else NO_FILE
            st.code(code_export.steps(run, item.id, shown, OTHERS_IN_WORDS), language="python")
        st.caption("The address bar holds the whole view: copy it, and it opens again just so." if file else UNLINKED)
        with note:
            links.say_what_was_left_out()


def _choose_set(run: Run) -> tuple[tuple[Item, ...], Path | None]:
    """Draw the box of tasks, at first that of the run, and return the problems of the one chosen and their file.

    Without an uploaded file there is no problem; an uploaded one has no path that a link could hold.
    """
    sets, own = catalog.task_sets(), str(run.checkpoint.meta.get("task", ""))
    own_file = () if demo.on() else (UPLOADED,)
    name = st.selectbox(
        "Task", [*sets, *own_file], list(sets).index(own) if own in sets else 0, key="task", bind="query-params",
        help="Problems without a graph: a bundled set, or a file of your own.",
    )  # fmt: skip
    if name == UPLOADED:
        return upload_items() or (), None
    items = cache.items(sets[name])
    if own in sets and own not in {item.task for item in items}:
        st.caption(f":orange[{plain(run.name)} was trained on {plain(own)}, not on this task.]")
    return items, sets[name]


def _choose_item(items: Sequence[Item]) -> Item:
    ids = [item.id for item in items]
    widgets.settle("item", ids)
    chosen = st.selectbox(f"Problem ({len(ids)})", ids, key="item", bind="query-params")
    back, on = st.columns(2, gap="small")
    back.button("←", key="item back", on_click=_move, args=(ids, -1), help="Previous problem", width="stretch")
    on.button("→", key="item on", on_click=_move, args=(ids, 1), help="Next problem", width="stretch")
    return next(item for item in items if item.id == chosen)


def _move(ids: Sequence[str], by: int) -> None:
    here = st.session_state.get("item")
    st.session_state["item"] = ids[((ids.index(here) if here in ids else 0) + by) % len(ids)]


def _say_who_reads_words(run: Run) -> None:
    """Say that a run reads graphs alone, and offer those that read words."""
    st.markdown("## Steps")
    st.info(
        f"**{plain(run.name)} reads graphs, written as lists of edges.** Problems in words need a run that was trained "
        "on words: `workbench train configs/arithmetic.yaml`, or a pre-trained model.",
        icon=":material/block:",
    )
    able = [name for name, path in catalog.runs().items() if "/" not in name and _reads_words(path)]
    with st.container(horizontal=True):
        for name in able[:MOST_OFFERED]:
            st.button(f"Open {plain(name)}, which reads words", key=f"open {name}", on_click=_open, args=(name,))


def _reads_words(path: Path) -> bool:
    try:
        config = read_config(path / "model" if (path / "model").is_dir() else path, path.name)
    except WorkbenchError:
        return False
    about = config.get("coconut")
    return isinstance(about, dict) and about.get("format", "edges") != "edges"


def _open(name: str) -> None:
    st.session_state["open next"] = name


def _thoughts(run: Run, items: Sequence[Item], item: Item) -> None:
    """Draw the steps beside the thoughts, and what is said after every number of these."""
    trace = cache.trace(run.path, item, run.thoughts)
    if run.checkpoint.says == "chain":  # the steps stand above
        _picture(run, items, item, trace)
    else:
        left, right = st.columns([2, 3], gap="large")
        with left:
            _steps(item)
        with right:
            _picture(run, items, item, trace)
    if run.thoughts:
        _decoded(item, trace)
        if has_reader(run.checkpoint):
            _read_by_another(run, items, item)
    _answers(item, trace)


def _head(run: Run, item: Item, answer: Answer) -> None:
    """Draw the question and the answer, with what a reader has to know before the picture."""
    spoken = run.checkpoint.says == "chain"
    st.markdown(f"## {plain(item.question.rpartition('. ')[2] or item.question)}")
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.badge(
            f"{'says' if spoken else 'answers'} {said(answer.text)}, {'right' if answer.right else 'wrong'}",
            icon=":material/check:" if answer.right else ":material/close:",
            color="green" if answer.right else "red",
            help="The answer at the end of the chain that it says, each token the likeliest."
            if spoken
            else f"The greedy answer after {plural(run.thoughts, 'thought')}: {plain(answer.said)}",
        )
        if not answer.right:
            st.badge(f"right: {said(item.answer)}", icon=":material/flag:", color="gray")
        st.badge(plural(len(item.steps), "step"), icon=":material/route:", color="gray")
        st.badge(item.task, icon=":material/category:", color="gray")
        method_badges(run.checkpoint)
    if spoken:
        st.caption(f"**{plain(run.name)} says its steps in words.** Below they stand beside those of the solution.")
    elif not run.thoughts:
        st.caption(no_thoughts(run.name, "there is none to decode"))


def _steps(item: Item) -> None:
    st.markdown("#### The steps of the solution")
    for number, step in enumerate(item.steps, 1):
        st.markdown(f"{number}. {plain(step)}")
    st.markdown(f"Answer: **{plain(item.answer)}**")
    with st.expander("Whole question", icon=":material/notes:", expanded=len(item.question) < 400):
        st.markdown(plain(item.question))


# A chain in words


def _chain(item: Item, chain: SaidChain) -> None:
    """Draw the steps that were said beside those of the solution, how likely they were, what they are for."""
    left, right = st.columns([2, 3], gap="large")
    with left:
        _steps(item)
    with right:
        st.html(_chain_said(chain))
        if chain.steps:
            widgets.chart(said_steps(chain.frame, chain.others), f"said-{item.id}")
    st.markdown("#### What it said, step by step")
    slip, mark = pl.col("right") & (pl.col("why") != ""), pl.col("right").replace_strict(MARKS, default="not known")
    frame = chain.frame.with_columns(right=pl.when(slip).then(pl.lit(SLIP)).otherwise(mark))
    others = plural(chain.others, "other problem")
    column = st.column_config
    widgets.table(
        frame, f"said-{item.id}", "said steps",
        {
            "step": column.NumberColumn(width="small"),
            "says": column.TextColumn(width=WIDE),
            "solution": column.TextColumn(width=WIDE),
            "right": column.TextColumn(
                help="Whether its value is that of the solution's step of this number; of steps that are no "
                "calculation, whether they are the same words. A right value may stand after a false calculation."
            ),
            "why": column.TextColumn("what is wrong"),
            "probability": column.NumberColumn(format="%.3f", help="The product of its tokens' probabilities."),
            "chance": column.NumberColumn(
                format="%.3f", help=f"The same words after the same steps where {others} are asked; the mean."
            ),
        },
    )  # fmt: skip
    with st.expander("Each token"):
        tokens = [
            {"step": number, "token": text, "probability": own, "chance": chance}
            for number, step in enumerate(chain.steps, chain.first)
            for text, own, chance in step.tokens
        ]
        widgets.table(pl.DataFrame(tokens), f"tokens-{item.id}", "said tokens", widgets.numbers(pl.DataFrame(tokens)))
    st.markdown("#### What it answers when it is stopped after some of its steps")
    forced = pl.DataFrame(
        {"steps": number, "answer": text.strip() or "(nothing)", "right": right}
        for number, (text, right) in enumerate(chain.forced)
    )
    widgets.table(forced, f"stopped-{item.id}", "stopped", {"steps": st.column_config.NumberColumn(width="small")})
    st.caption(
        "The answer is forced after the first of its own steps. For comparison: of this problem and the others, the "
        f"best rule that does not reason, {plain(chain.floor[0])}, gets {chain.floor[1]:.0%} right."
    )


def _chain_said(chain: SaidChain) -> str:
    """Return what the chain says in a sentence, with its chance level: one problem, so no verdict."""
    right = sum(step.right is True for step in chain.steps)
    slips = sum(step.right is True and step.why != "" for step in chain.steps)
    share = "no chance level: the file has no other problem"
    if chain.right_by_chance is not None:
        others = plural(chain.others, "other problem")
        share = f"chance {chain.right_by_chance:.0%}, the share that agrees beside the solutions of {others}"
    steps, had = f"It said <b>{plural(len(chain.steps), 'step')}</b>", "has" if slips == 1 else "have"
    after = f"; {slips} of these {had} the right value after a false calculation." if slips else "."
    told = f"{steps}; the file has none to compare them with." if not chain.item.steps else (
        f"{steps}, and <b>{right}</b> of them {'agrees' if right == 1 else 'agree'} with the solution ({share}){after}"
    )  # fmt: skip
    answer = f"It answered <b>{escape(chain.answer)}</b>" if chain.answer else "It came to no answer"
    return (
        f'<p class="says">{told} {answer}; the right one is <b>{escape(chain.item.answer)}</b>. '
        '<span class="sure">This is one problem. It proves nothing about the model in general.</span></p>'
    )


# Thoughts


def _picture(run: Run, items: Sequence[Item], item: Item, trace: Trace) -> None:
    """Draw the values of the steps in the thoughts, and how the options of the answer change with them."""
    if trace.values is not None and run.thoughts:
        others = [other for other in items if other.id != item.id][:OTHERS]
        table = cache.values_beside(run, item, tuple(others))
        st.html(_values_said(table, len(others)))
        widgets.chart(values_of_steps(table, len(others)), f"values-{item.id}")
    if trace.choices is not None:
        shares = trace.choices / trace.choices.sum(1, keepdims=True)
        first = "the right one" if len(item.options) == 2 else f"the right one of {len(item.options)}"
        st.html(
            f'<p class="says">After {plural(run.thoughts, "thought")}, <b>{shares[-1, 0]:.0%}</b> of the probability '
            f"of the options is on {first} (chance {1 / len(item.options):.0%}). "
            '<span class="sure">This is one problem. It proves nothing about the model in general.</span></p>'
        )
        widgets.chart(option_by_thought(shares[:, 0], len(item.options)), f"options-{item.id}")
    if trace.values is None and trace.choices is None:
        st.caption("The steps of this problem name no values, and its answer has no options: nothing is drawn.")


def _values_said(table: pl.DataFrame, others: int) -> str:
    best = table.sort("raw", descending=True).row(0, named=True)
    chance = (
        f"chance {best['chance']:.1%}, the mean of the same thought about {plural(others, 'other problem')}"
        if others
        else "no chance level: the file has no other problem"
    )
    return (
        f'<p class="says">The value that the LM head speaks of most is that of step {best["step"]}, '
        f"{escape(best['value'])}: <b>{best['raw']:.0%}</b> of the probability of thought {best['thought']} "
        f"({chance}). "
        '<span class="sure">This is one problem. It proves nothing about the model in general.</span></p>'
    )


def _decoded(item: Item, trace: Trace) -> None:
    """Draw the likeliest tokens of each thought beside the step that it stands for."""
    st.markdown("#### What each thought decodes to")
    rows = []
    for number, tokens in enumerate(trace.top_tokens, 1):
        step = trace.hop(number) - 1
        cells = {f"token {place}": f"{text} {share:.3f}" for place, (text, share) in enumerate(tokens[:SHOWN], 1)}
        rows.append({"thought": number, "stands for": item.steps[step] if step < len(item.steps) else "", **cells})
    widgets.table(
        pl.DataFrame(rows), f"decoded-{item.id}", "decoded",
        {"stands for": st.column_config.TextColumn(
            "stands for", width="medium",
            help="The step that was removed for it in training, where each thought stands for a step.")},
    )  # fmt: skip
    st.caption("The likeliest tokens under the LM head of the thought, each with its probability among all tokens.")


def _read_by_another(run: Run, items: Sequence[Item], item: Item) -> None:
    """Draw what the second model says of the thoughts, which it was trained to read."""
    st.markdown(f"#### What the second model says, {TRAINED}")
    others = tuple(other for other in items if other.id != item.id)[:OTHERS_IN_WORDS]
    frame = cache.second_model(run, item, others)
    column = st.column_config
    widgets.table(
        frame.with_columns(pl.col("right").replace_strict(MARKS, default="not known")), f"read-{item.id}", "read",
        {
            "step": column.NumberColumn(width="small"),
            "lm_head": column.TextColumn("LM head", help="The likeliest token of each thought."),
            "says": column.TextColumn("second model", width=WIDE),
            "solution": column.TextColumn(width=WIDE),
            "chance": column.NumberColumn(
                format="%.3f", help="How often it says a step that would be right here of the same thoughts about "
                f"{plural(len(others), 'other problem')}.",
            ),
            "why": column.TextColumn("what is wrong"),
        },
    )  # fmt: skip
    st.caption(
        f"This model came with the checkpoint and was **{TRAINED}**: for the thoughts of each step it learned to say "
        "the step. So it shows what training put there, not what thoughts hold without it, and no answer reads it."
    )


def _answers(item: Item, trace: Trace) -> None:
    """Draw what is said after every number of thoughts."""
    st.markdown("#### What it says after each number of thoughts")
    frame = pl.DataFrame(
        {
            "thoughts": depth,
            "goes on": trace.continuations[depth] if trace.continuations else "",
            "answer": text.strip() or "(nothing)",
            "right": bool(trace.answer_right[depth]),
        }
        for depth, text in enumerate(trace.answer_texts)
    )
    columns = {
        "thoughts": st.column_config.NumberColumn(width="small"),
        "goes on": st.column_config.TextColumn(width="large", help="Made to go on in words, greedily."),
        "answer": st.column_config.TextColumn(help="The greedy answer when the answer is forced at once."),
    }
    widgets.table(frame, f"answers-{item.id}", "answers", columns)
