"""The sentences of a card and the thresholds that decide them, all in one place."""

from workbench.studies.audit.summary import Sentence

SENTENCES: tuple[Sentence, ...] = (
    Sentence(
        "needed", "all thoughts", "noise", "right", "at most, below control", 0.6, dose=1.0, aim=True,
        short="noise for all thoughts",
        holds="With noise of their length in place of its thoughts the model is near a coin: they are needed.",
        fails="Noise in place of all thoughts does not bring it down to a coin: that they are needed is not shown.",
    ),
    Sentence(
        "needed", "all thoughts", "swap", "right", "at most, below control", 0.6,
        short="thoughts of another problem",
        holds="Thoughts about another problem do as badly as noise: a thought serves the problem it is about.",
        fails="Thoughts about another problem do not bring it down to a coin: that they serve this one is not shown.",
    ),
    Sentence(
        "needed", "all thoughts", "permute", "changed", "at least", 0.1,
        short="thoughts in another order",
        holds="Their order matters: the same thoughts in another order change answers.",
        fails="Their order hardly matters: the same thoughts in another order leave the answers.",
    ),
    Sentence(
        "needed", "all steps in words", "remove", "right", "below control by", 0.1,
        short="without its steps in words",
        holds="Without the steps that it says in words the model loses answers: it needs them.",
        fails="The model answers as well without the steps that it says in words.",
    ),
    Sentence(
        "content", "twin", "both of a pair", "right", "at least", 0.5,
        short="twin pairs, both right",
        holds="Asked about the other entity it gives the other answer: it reads the question.",
        fails="Asked about the other entity it mostly fails one of the two: its accuracy is no sign of a search.",
    ),
    Sentence(
        "content", "interchange", "twin", "follows", "at least", 0.99, aim=True,
        short="all thoughts from the twin",
        holds="The answer follows the thoughts: with all thoughts of the twin it is the twin's answer.",
        fails="The answer does not always follow the thoughts: with all thoughts of the twin some answers stay.",
    ),
    Sentence(
        "content", "interchange", "same answer: reordered", "follows", "at most", 0.02, aim=True,
        short="all thoughts from a donor of the same answer",
        holds="Thoughts of a donor with the same answer leave the answer: the surgery itself breaks nothing.",
        fails="Even thoughts of a donor with the same answer turn answers: the surgery itself breaks something.",
    ),
    Sentence(
        "content", "interchange of steps in words", "twin", "follows", "at least", 0.9,
        short="the twin's steps in words",
        holds="The answer follows the steps in words: with the twin's chain it is the twin's answer.",
        fails="The answer does not always follow the steps in words: with the twin's chain some answers stay.",
    ),
    Sentence(
        "content", "rewrite in both", "single edge", "follows", "at least", 0.9,
        short="one edge rewritten",
        holds="When one edge of the graph is moved the answer moves with it.",
        fails="When one edge of the graph is moved the answer often stays: the graph is not followed edge by edge.",
    ),
    Sentence(
        "content", "thoughts against prompt", "the answer follows the thoughts", "follows", "at least", 0.5,
        short="thoughts against prompt",
        holds="Where thoughts and prompt disagree about an edge, the thoughts win.",
        fails="Where thoughts and prompt disagree about an edge, the prompt wins.",
    ),
    Sentence(
        "search", "taken out", "on any path to the target", "lost", "at least", 0.8, dose=1.0, aim=True,
        short="nodes that lead to the target taken out",
        holds="Taking the nodes that lead to the target out of the thoughts, its own name left, loses most answers.",
        fails="Taking the nodes that lead to the target out of the thoughts, its own name left, loses fewer than four "
        "answers in five (a coin between the options loses half).",
    ),
    Sentence(
        "search", "taken out", "on any path to the target", "lost", "at least", 0.4, dose=1.0,
        short="the same, against a coin",
        holds="It loses about as many as a coin would: what is left without those nodes is a guess.",
        fails="It loses fewer than a coin would: answers rest on something else as well.",
    ),
    Sentence(
        "search", "taken out", "on any path to the target", "lost", "control at most", 0.05, dose=1.0, aim=True,
        short="the same, other nodes",
        holds="As many other nodes of the same frontier, of equal value, can be taken out at hardly any loss.",
        fails="Taking out as many other nodes of the same frontier, of nearest value, costs some answers too.",
    ),
    Sentence(
        "search", "taken out", "on a shortest path", "lost", "at least", 0.4, dose=1.0,
        short="nodes on shortest paths taken out",
        holds="The nodes on shortest paths alone are what it rests on.",
        fails="With the nodes on shortest paths alone taken out fewer are lost: longer paths serve as well.",
    ),
    Sentence(
        "search", "other side put in", "in place of those that lead to the target", "turned", "at least", 0.8, dose=1.0,
        short="other side's nodes instead",
        holds="With nodes of the other side in their place the answer turns: the nodes in the thoughts decide it.",
        fails="With nodes of the other side in their place the answer often stays.",
    ),
    *(
        Sentence(
            "search", "replaced", "frontier, codes", "kept", "at least", 0.9, thought=k, aim=True,
            short=f"frontier codes for thought {k}",
            holds=f"Thought {k} replaced by the sum over its frontier, in learned codes, does as well.",
            fails=f"Thought {k} replaced by the sum over its frontier, in learned codes, does less well.",
        )
        for k in (1, 2, 3)
    ),
    Sentence(
        "search", "replaced", "frontier, embeddings", "kept", "at least", 0.9, thought=2,
        short="embeddings for thought 2",
        holds="Sums of the embeddings, as theory has it, do as well.",
        fails="Sums of the embeddings, as theory has it, do not: the model writes nodes in a code of its own.",
    ),
    Sentence(
        "search", "replaced, top node off the path", "top node alone, codes", "kept", "at most", 0.75, thought=2,
        short="top node alone, thought 2, top off the path",
        holds="Where its best node is on no path, that node alone does not do: the answer rests on nodes beside it.",
        fails="Even where its best node is on no path, that node alone does as well: the breadth is not used.",
    ),
    Sentence(
        "shortcuts", "accuracy", "the model", "right", "above control", 0.05,
        short="beside the best query-blind reader",
        holds="It does better than the best reader who does not know which entity is asked about.",
        fails="It does no better than the best reader who does not know which entity is asked about.",
    ),
    Sentence(
        "shortcuts", "where it is wrong", "fitted query-blind classifier", "agrees", "at most", 0.2,
        short="wrong with the fitted reader",
        holds="Where such a reader goes wrong, the model does not go wrong with it.",
        fails="Where such a reader goes wrong, the model often goes wrong with it.",
    ),
    Sentence(
        "shortcuts", "order", "target listed first", "right", "differs from control", 0.05,
        short="target listed first",
        holds="Which option is listed first makes a difference.",
        fails="Which option is listed first makes no difference that could be seen.",
    ),
    Sentence(
        "where", "attention cut at the answer", "thoughts", "lost", "at least", 0.3,
        short="blind to thoughts at the answer",
        holds="The answer is read off the thoughts: blind to them, it is lost.",
        fails="The answer does not need to look at the thoughts: blind to them, most answers stay.",
    ),
    Sentence(
        "where", "attention cut at the answer", "edges", "lost", "at most", 0.05,
        short="blind to edges at the answer",
        holds="The answer does not look at the graph any more: blind to its edges, it stays.",
        fails="The answer looks at the graph itself: blind to its edges, some answers are lost.",
    ),
    Sentence(
        "where", "attention cut at all thoughts", "path_edges", "lost", "at least", 0.3,
        short="thoughts blind to path edges",
        holds="Thoughts are made of the edges on the path: blind to those, they lose the answer.",
        fails="Thoughts do not need to look at the edges on the path: blind to those, most answers stay.",
    ),
    Sentence(
        "further", "more thoughts", "twice as many as trained", "right", "below control by", 0.05,
        short="twice the thoughts",
        holds="With twice as many thoughts as trained it does worse: it does not know that it has arrived.",
        fails="Twice as many thoughts as trained do no harm.",
    ),
    Sentence(
        "further", "farther targets", "7 to 12 hops", "right", "at least", 0.75,
        short="targets 7 to 12 hops away",
        holds="It reaches targets farther away than any it was trained on.",
        fails="It does not reach targets farther away than those it was trained on.",
    ),
)  # fmt: skip
"""All thresholds of an audit, in the order of the card."""
