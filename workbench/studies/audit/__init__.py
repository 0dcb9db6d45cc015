"""The faithfulness audit of one checkpoint: batteries of interventions, and a card that says what they show.

- base: the subject that a battery asks, and the rows that it fills
- run: the batteries by name, run and kept in a directory
- necessity, content, search, shortcuts, localization, generalization: a battery each
- numbers: the part of the content battery about arithmetic, whose twins have other numbers
- text_steps: the steps that a model says in words, edited as thoughts are
- card: the card, what decides its sentences (texts in `card.yaml`), and several cards side by side
"""
