"""Text and series from a model.

`generate` (`tokens`), `generate_text` (`text`), greedy and beam search (`search`); the distribution that is drawn from
(`sampling`); the prompt, which all of them run first (`prompts`). `forecast`, for numbers.
"""
