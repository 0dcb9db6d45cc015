"""The faithfulness audit of one checkpoint: batteries of interventions, and a card that says what they show."""
