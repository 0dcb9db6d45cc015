"""The faithfulness audit of one checkpoint: six batteries of interventions, and a card that says what they show.

rows.py        a row per figure, with its control, chance level, interval, number of problems and test
subject.py     what is audited, and answers under many surgeries
donors.py      problems that think in a problem's place: twins, rewrites, and those with the same answer
given.py       vectors of one's own, added to a thought or fed in its place
sums.py        what thoughts should be, were they sums over sets of nodes
node_masks.py  the nodes of those sets
needed.py      1: are the thoughts needed?
text_steps.py  the same of steps in words
content.py     2: is what they hold what the answer follows?
search.py      3: is it a search that they hold?
guesses.py     what a reader knows who does not read the question
shortcuts.py   4: would shortcuts do as well?
where.py       5: where is the answer made?
further.py     6: how far does it reach?
summary.py     a sentence, tied to a figure and its threshold
sentences.py   all sentences
build.py       from a checkpoint to its tables, a battery at a time
card_tables.py the tables of the card
card.py        the card, as HTML and as Markdown
beside.py      the cards of several models on one page
"""
